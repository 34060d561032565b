"""Data that the tests of the robustness suite share."""

from __future__ import annotations

import pytest

from pocketlens.data import Dataset
from pocketlens.data.strokes import draw_strokes


@pytest.fixture(scope="session")
def drawings() -> Dataset:
    return draw_strokes("test", count=40)

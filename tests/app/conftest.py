"""A small classifier and the app written for it, shared by the tests of this folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.classifiers import save_classifier
from pocketlens.app import create_app
from pocketlens.image import InputSpec

DIGITS = (*"0123456789", "nothing")


@pytest.fixture(scope="session")
def digits_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier of ten digits and `nothing`, with a gray 28 × 28 input."""
    path = tmp_path_factory.mktemp("models") / "Digits.mlpackage"
    return save_classifier(path, spec=InputSpec(28, 28), classes=DIGITS)


@pytest.fixture(scope="session")
def digits_app(digits_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The app written for `digits_model`; tests must not change it."""
    return create_app(digits_model, tmp_path_factory.mktemp("apps") / "Digits", name="Digits")

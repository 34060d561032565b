"""A seeded sample of a long table of tests; the other rows are marked `slow`."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any

import pytest


def sampled(rows: Iterable[Any], count: int, *, seed: int = 0) -> list[Any]:
    """The rows for `parametrize`: all but `count` of them run in `make test-slow` only.

    A row with several values is a tuple.
    """
    listed = [row if isinstance(row, tuple) else (row,) for row in rows]
    chosen = set(random.Random(seed).sample(range(len(listed)), count))
    return [
        pytest.param(*row, marks=() if index in chosen else pytest.mark.slow)
        for index, row in enumerate(listed)
    ]

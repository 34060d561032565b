"""Reads a classic model's numbers and names from its message, charged to the file's memory.

Python's objects take many times the memory of the bytes in the file, so arrays are filled without
lists in between, and what has to be a list is charged as such.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketlens.coreml.file.budget import charge

__all__ = ["ITEM_BYTES", "doubles", "listed", "mapped", "matrix"]

ITEM_BYTES = 200
"""About what a name or number takes: the object, and its places in a list, a set and a dict."""


def doubles(values: Collection[Any], what: str) -> NDArray[np.float64]:
    """Numbers as an array; error messages call them `what`."""
    return matrix([values], 1, len(values), what).reshape(-1)


def matrix(
    rows: Iterable[Collection[Any]], count: int, width: int, what: str = "its numbers"
) -> NDArray[np.float64]:
    """`count` rows of `width` numbers as an array, [count, width].

    Twice its size is charged: some models need an array of this size in a run.
    """
    charge(2 * 8 * count * width, what)
    made = np.empty((count, width))
    for row, values in zip(made, rows, strict=True):
        row[:] = np.fromiter(values, np.float64, width)
    return made


def listed(values: Collection[Any], what: str) -> list[Any]:
    """Names or numbers as a list, which may become a dictionary, too."""
    charge(ITEM_BYTES * len(values), what)
    return list(values)


def mapped(values: Mapping[Any, Any], what: str) -> dict[Any, Any]:
    """A map as a dictionary."""
    charge(2 * ITEM_BYTES * len(values), what)
    return dict(values)

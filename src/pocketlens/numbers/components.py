"""Connected components of a mask, without a library for it.

Each row is cut into runs of ink. Runs of neighboring rows that touch, also by a corner, belong to
the same component. All steps are array operations, so their cost does not depend on the shapes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pocketlens.errors import ImageError

__all__ = ["MAX_COMPONENTS", "Box", "Components", "find_components", "too_many"]

Mask = NDArray[np.bool_]

MAX_COMPONENTS = 1500
"""The most pieces of ink that are examined; a page of text has about as many."""


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels; `right` and `bottom` are the first pixels outside."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def width(self) -> int:
        return self.right - self.left

    @property
    def height(self) -> int:
        return self.bottom - self.top

    def joined(self, other: Box) -> Box:
        """The smallest box around both."""
        return Box(
            min(self.left, other.left),
            min(self.top, other.top),
            max(self.right, other.right),
            max(self.bottom, other.bottom),
        )

    def contains(self, other: Box) -> bool:
        """Whether the other box is inside this one."""
        return self.joined(other) == self


@dataclass(frozen=True)
class Components:
    """The components of a mask.

    Args:
        labels: `(H, W)` int32; component `k` has the number `k + 1`, all else is 0.
        boxes: The box of each component.
    """

    labels: NDArray[np.int32]
    boxes: list[Box]


def find_components(mask: Mask, *, smallest: int) -> Components:
    """Find the components of a mask, 8-connected.

    Args:
        mask: `(H, W)` bool.
        smallest: Components that are neither as wide nor as high, in pixels, are left out.

    Raises:
        ImageError: There are more than `MAX_COMPONENTS`.
    """
    row, start, end = _runs(mask)
    owner = _united(len(row), *_touching(row, start, end, mask.shape[1]))
    names, index = np.unique(owner, return_inverse=True)
    box = np.empty((len(names), 4), np.int64)  # left, top, right, bottom
    box[:, :2], box[:, 2:] = max(mask.shape), 0
    for column, values, extreme in (
        (0, start, np.minimum),
        (1, row, np.minimum),
        (2, end, np.maximum),
        (3, row + 1, np.maximum),
    ):
        extreme.at(box[:, column], index, values)
    kept = np.flatnonzero((box[:, 2:] - box[:, :2]).max(1, initial=0) >= smallest)
    if len(kept) > MAX_COMPONENTS:
        raise too_many(len(kept), f"expected at most {MAX_COMPONENTS}")
    number = np.zeros(len(names), np.int32)
    number[kept] = np.arange(1, len(kept) + 1)
    # Each run adds its number where it starts, and subtracts it where it ends.
    change = np.zeros((mask.shape[0], mask.shape[1] + 1), np.int32)
    change[row, start] += number[index]
    change[row, end] -= number[index]
    labels = change.cumsum(1, dtype=np.int32)[:, :-1]
    return Components(labels, [Box(*map(int, box[each])) for each in kept])


def too_many(pieces: int, problem: str) -> ImageError:
    """The error for a photo with more pieces of ink than a number has."""
    return ImageError(f"the photo has {pieces} pieces of ink; {problem}; crop it to the number")


def _runs(mask: Mask) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Row, first column and column after the last of each run of ink, in reading order."""
    padded = np.zeros((mask.shape[0], mask.shape[1] + 2), np.int8)
    padded[:, 1:-1] = mask
    step = np.diff(padded, axis=1)
    row, start = np.nonzero(step == 1)
    _, end = np.nonzero(step == -1)
    return row, start, end


def _touching(
    row: NDArray[np.int64], start: NDArray[np.int64], end: NDArray[np.int64], width: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pairs of runs of neighboring rows that touch."""
    stride = width + 2
    first = np.searchsorted(row * stride + end, (row + 1) * stride + start)
    last = np.searchsorted(row * stride + start, (row + 1) * stride + end, "right")
    count = np.maximum(last - first, 0)
    above = np.repeat(np.arange(len(row)), count)
    offset = np.arange(len(above)) - np.repeat(count.cumsum() - count, count)
    return above, np.repeat(first, count) + offset


def _united(count: int, one: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.int64]:
    """The lowest member of the set of each of `count` things, given pairs in the same set."""
    parent = np.arange(count)
    while True:
        a, b = parent[one], parent[other]
        if (a == b).all():
            return parent
        np.minimum.at(parent, np.maximum(a, b), np.minimum(a, b))
        while (parent != (higher := parent[parent])).any():
            parent = higher

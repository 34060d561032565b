"""Where touching digits may be cut: paths from top to bottom through little ink."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = ["MAX_CUTS", "Cut", "find_cuts"]

Array = NDArray[np.float32]

ROWS = 64
"""The height in which a component is searched for cuts."""

REACH = 18
"""How many columns a path may go to either side of where it starts, of `ROWS`."""

BEND = 0.04
"""The cost of a step to the side, as of this much ink."""

EVERY = 4
"""A path is searched at each fourth column."""

MOST_INK = 0.4
"""A cut goes through at most this much ink, as a share of the height."""

AGAIN = 0.2
"""The cost of each further stroke that a cut goes through, as of this much ink."""

EDGE = 5
"""A cut is at least this many columns from the edge, of `ROWS`."""

APART = 0.09
"""Cuts are at least this far apart on average, as a share of the height."""

MAX_CUTS = 24
"""The most cuts of one component."""


@dataclass(frozen=True)
class Cut:
    """A path from top to bottom.

    Args:
        columns: The first column to its right in each row, `(H,)`.
        ink: How much ink it goes through, as a share of a digit's height.
        strokes: Through how many strokes it goes.
    """

    columns: NDArray[np.int64]
    ink: float
    strokes: int


def find_cuts(mask: NDArray[np.bool_], height: float) -> list[Cut]:
    """Find cuts of a component, from left to right.

    Args:
        mask: The component, `(H, W)` bool, cut to its box.
        height: The height of a digit in pixels.

    """
    rows, columns = mask.shape
    scale = ROWS / height
    size = (max(1, round(columns * scale)), max(1, round(rows * scale)))
    whole = Image.fromarray(mask.view(np.uint8) * 255).resize(size, Image.Resampling.BOX)
    ink = np.asarray(whole, np.float32) / np.float32(255)
    starts = np.arange(EDGE, size[0] - EDGE, EVERY)[: EVERY * 8 * MAX_CUTS]
    if not len(starts):
        return []
    paths, cost = _paths(ink, starts)
    chosen: list[int] = []
    through = ink[np.arange(len(ink)), paths.astype(np.int64)] > 0.4  # (K, H)
    strokes = (np.diff(through.astype(np.int8), axis=1, prepend=0) == 1).sum(1)
    # Two digits mostly touch at one place; a cut through a 0 goes through it twice.
    for one in np.argsort(cost + AGAIN * ROWS * (strokes - 1), kind="stable"):
        if len(chosen) == MAX_CUTS:
            break
        inside = EDGE < paths[one].mean() < size[0] - EDGE
        if (
            inside
            and cost[one] <= MOST_INK * ROWS
            and all(np.abs(paths[one] - paths[each]).mean() > APART * ROWS for each in chosen)
        ):
            chosen.append(int(one))
    chosen.sort(key=lambda each: float(paths[each].mean()))
    found: list[Cut] = []
    for each in chosen:
        at = np.interp(np.arange(rows) / rows * len(ink), np.arange(len(ink)), paths[each])
        cut = np.rint((at + 0.5) / scale).astype(np.int64)
        if found:
            cut = np.maximum(cut, found[-1].columns)
        found.append(Cut(cut, float(cost[each]) / ROWS, int(strokes[each])))
    return found


def _paths(ink: Array, starts: NDArray[np.int64]) -> tuple[Array, Array]:
    """The cheapest path around each start: columns `(K, H)`, and its cost `(K,)`."""
    high, wide = ink.shape
    columns = starts[:, None] + np.arange(-REACH, REACH + 1)  # (K, C)
    inside = (columns >= 0) & (columns < wide)
    value = np.where(inside, ink[:, np.clip(columns, 0, wide - 1)], 1e6)  # (H, K, C)
    total = np.empty_like(value)
    total[0] = value[0]
    bend = np.array([[BEND], [0], [BEND]], np.float32)
    step = np.empty(value.shape, np.int64)
    for row in range(1, high):
        around = np.pad(total[row - 1], ((0, 0), (1, 1)), constant_values=1e6)
        three = np.stack([around[:, :-2], around[:, 1:-1], around[:, 2:]], 1) + bend
        step[row] = three.argmin(1) - 1
        total[row] = value[row] + three.min(1)
    # Paths that end far from where they are searched belong to another start.
    total[-1] += 0.02 * np.abs(np.arange(-REACH, REACH + 1))
    at = total[-1].argmin(1)
    which = np.arange(len(starts))
    cost, paths = total[-1][which, at], np.empty((len(starts), high), np.float32)
    for row in range(high - 1, -1, -1):
        paths[:, row] = columns[which, at]
        if row:
            at = at + step[row, which, at]
    return paths, cost.astype(np.float32)

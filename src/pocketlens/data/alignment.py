"""Aligning small pictures, of which one may be a crop of the other."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketlens.data.fingerprints import Fingerprints

__all__ = [
    "CELLS",
    "WHOLE",
    "Numbers",
    "Sums",
    "aligned",
    "centered",
    "polished",
    "product",
    "turned",
]

Floats = NDArray[np.float32]
Numbers = NDArray[np.int64]

CELLS = 24
"""The side of the grid on which pictures are compared."""

WHOLE = (0.0, 1.0, 0.0, 1.0)
"""The window that is the whole picture: left, right, top and bottom, as shares of the side."""

SHIFTS = (-0.025, 0.0, 0.025)
"""By how much a window is moved, to the side and down, where its alignment has not succeeded."""

NEAR, LOST, ALIGNED = 0.9, 0.5, 0.9999
"""Correlations: below which a window is shifted, below which aligning it is useless, and from which
on it is aligned."""

LEAST_GAIN = 1e-5
"""The least gain of correlation for which a window is moved."""

FIRST_ROUNDS, ROUNDS, MOST_MOVED = 2, 8, 0.03
"""Steps before and after the shifts, and the most that an edge is moved in one, as a share of the
window's side."""

DAMPING = 1e-3
"""Keeps edges in place that make no difference, as a share of the largest difference."""

FINER = (0.01, 0.005, 0.0025)
"""By how much edges are moved at last, as shares of the side."""

MOVED = ((1, 1, 0, 0), (0, 0, 1, 1), (1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1))
"""Which edges are moved together at last: left, right, top and bottom."""

EDGES = np.linspace(0, 1, CELLS + 1, dtype=np.float32)
CENTERS = (EDGES[1:] + EDGES[:-1]) / 2


def turned(planes: NDArray[Any], turn: int) -> NDArray[Any]:
    """Pictures `(..., H, W)`, turned by `turn % 4` quarters, and from 4 on mirrored first."""
    mirrored = planes[..., ::-1] if turn >= 4 else planes
    return np.rot90(mirrored, turn % 4, axes=(-2, -1))


@dataclass(frozen=True, eq=False)
class Sums:
    """The planes of M pictures, from which the means of any windows are made.

    Args:
        luma: `(M, 49, 49)`, sums of the brightness above and to the left of each pixel's corner.
        blue: `(M, 17, 17)`, the same of Cb.
        red: `(M, 17, 17)`, the same of Cr.
    """

    luma: Floats
    blue: Floats
    red: Floats

    @classmethod
    def of(cls, pictures: Fingerprints) -> Sums:
        """The sums of pictures."""
        planes = (pictures.luma, pictures.chroma[:, 0], pictures.chroma[:, 1])
        return cls(*(_summed(plane) for plane in planes))

    def gray(self, pictures: Numbers, windows: Floats) -> Floats:
        """The brightness of the cells of windows, `(N, 24, 24)`, 0 to 255.

        Args:
            pictures: `(N,)`, the number of the picture of each window.
            windows: `(N, 4)`, left, right, top and bottom, as shares of the side.
        """
        return _cells(self.luma, pictures, windows)

    def planes(self, pictures: Numbers, windows: Floats) -> Floats:
        """Brightness, Cb and Cr of the cells of windows, `(N, 3, 24, 24)`, 0 to 255; see `gray`.

        They are interpolated by cubic functions, more exact than those of `gray`.
        """
        each = (self.luma, self.blue, self.red)
        found = [_cells(_wider(sums), pictures, windows, _cubic, 1) for sums in each]
        return np.clip(np.stack(found, axis=1), 0, 255)


def _summed(planes: NDArray[np.uint8]) -> Floats:
    count, height, width = planes.shape
    sums = np.zeros((count, height + 1, width + 1), np.float32)
    inner = sums[:, 1:, 1:]
    np.cumsum(planes, axis=1, dtype=np.float32, out=inner)
    np.cumsum(inner, axis=2, out=inner)
    return sums


def _wider(sums: Floats) -> Floats:
    """Sums of planes whose border is one pixel wider: `(M, S, S)` to `(M, S + 2, S + 2)`."""
    wider = np.empty((len(sums), sums.shape[1] + 2, sums.shape[2] + 2), np.float32)
    wider[:, 1:-1, 1:-1] = sums
    for at, near, far in ((0, 1, 2), (-1, -2, -3)):
        wider[:, at, 1:-1] = 2 * wider[:, near, 1:-1] - wider[:, far, 1:-1]
    for at, near, far in ((0, 1, 2), (-1, -2, -3)):
        wider[:, :, at] = 2 * wider[:, :, near] - wider[:, :, far]
    return wider


Weights = Callable[[Floats], tuple[Floats, ...]]
"""The shares of the points around a place, given its distance from the first one inside."""


def _linear(at: Floats) -> tuple[Floats, ...]:
    return 1 - at, at


def _cubic(at: Floats) -> tuple[Floats, ...]:
    """Source: R. Keys, "Cubic Convolution Interpolation for Digital Image Processing", 1981."""
    square, cube = at**2, at**3
    before, after = square - 0.5 * at - 0.5 * cube, 0.5 * cube - 0.5 * square
    return before, 1 - 2.5 * square + 1.5 * cube, 0.5 * at + 2 * square - 1.5 * cube, after


def _cells(
    sums: Floats, pictures: Numbers, windows: Floats, weights: Weights = _linear, border: int = 0
) -> Floats:
    """The mean of each cell of windows of planes, `(N, 24, 24)`."""
    side = sums.shape[-1] - 1 - 2 * border
    left, right, top, bottom = (windows[:, at : at + 1] for at in range(4))
    across, down = left + (right - left) * EDGES, top + (bottom - top) * EDGES
    corners = _between(sums, pictures, across * side, down * side, side, weights)
    lines = corners[:, 1:] - corners[:, :-1]
    means: Floats = lines[..., 1:] - lines[..., :-1]
    means /= ((right - left) * (bottom - top) * (side / CELLS) ** 2)[..., None]
    return means


def _between(
    planes: Floats, pictures: Numbers, across: Floats, down: Floats, side: int, weights: Weights
) -> Floats:
    """The values of planes between their points, `(N, K, K)`; `across` and `down`: `(N, K)`."""
    width, (count, points) = planes.shape[-1], across.shape
    row, column = (np.minimum(at.astype(np.int64), side - 1) for at in (down, across))
    # `take` from one axis is several times as fast as an index for each axis.
    rows, first = planes.reshape(-1, width), row + pictures[:, None] * width
    shares = weights((down - row).astype(np.float32)[..., None])
    lines = _mixed([np.take(rows, first + at, 0) for at in range(len(shares))], shares)
    start = np.arange(count * points).reshape(count, points, 1) * width
    values, places = lines.ravel(), start + column[:, None, :]
    shares = weights((across - column).astype(np.float32)[:, None, :])
    return _mixed([np.take(values, places + at) for at in range(len(shares))], shares)


def _mixed(values: list[Floats], shares: tuple[Floats, ...]) -> Floats:
    for each, share in zip(values, shares, strict=True):
        each *= share
    for each in values[1:]:
        values[0] += each
    return values[0]


@dataclass(frozen=True, eq=False)
class _Goals:
    """Pictures that windows of others are aligned with.

    Args:
        values: `(M, 576)`, their cells, centered and of length 1.
        solution: `(M, 5, 576)`; its product with centered cells says how much of the picture is in
            them, and of its change when an edge is moved.
    """

    values: Floats
    solution: Floats

    @classmethod
    def of(cls, luma: NDArray[np.uint8]) -> _Goals:
        """Of `(M, 48, 48)`."""
        around = np.pad(luma.astype(np.float32), ((0, 0), (1, 1), (1, 1)), mode="edge")
        down = around[:, 1:-1:2] + around[:, 2:-1:2]  # (M, 24, 50), two pixels each
        across = around[:, :, 1:-1:2] + around[:, :, 2:-1:2]  # (M, 50, 24)
        own = (down[:, :, 1:-1:2] + down[:, :, 2:-1:2]) / 4
        x = down[:, :, 2:-1:2] + down[:, :, 3::2] - down[:, :, :-2:2] - down[:, :, 1:-2:2]
        y = across[:, 2:-1:2] + across[:, 3::2] - across[:, :-2:2] - across[:, 1:-2:2]
        slopes = (x * (1 - CENTERS), x * CENTERS, y * (1 - CENTERS[:, None]), y * CENTERS[:, None])
        columns = [own, *(each * np.float32(CELLS / 4) for each in slopes)]
        rows = np.stack([each.reshape(len(own), -1) for each in columns], axis=1)
        rows -= rows.mean(axis=2, keepdims=True)
        rows /= np.maximum(np.linalg.norm(rows[:, :1], axis=2, keepdims=True), 1e-6)
        square = (rows @ rows.transpose(0, 2, 1)).astype(np.float64)
        most = square[:, 1:, 1:].max(axis=(1, 2))
        for at in range(1, 5):
            square[:, at, at] += DAMPING * most
        square[:, 0, 0] += 1e-6
        square += 1e-9 * np.eye(5)
        return cls(rows[:, 0].copy(), np.linalg.inv(square).astype(np.float32) @ rows)


def aligned(
    sums: Sums, others: NDArray[np.uint8], pairs: Numbers, windows: Floats
) -> tuple[Floats, Floats]:
    """Move the edges of each window until its part of a picture resembles the other picture most.

    By Gauss-Newton steps on the squared difference, up to a linear change of the brightness. Each
    step is found on the side of the other picture, whose slopes stay the same.
    Source: S. Baker, I. Matthews, "Lucas-Kanade 20 Years On: A Unifying Framework", 2004
    (section 3.2, the inverse compositional algorithm).

    Args:
        sums: A pictures.
        others: `(B, 48, 48)`, the brightness of the other ones.
        pairs: `(N, 2)`, the number of the picture, and of the other one.
        windows: `(N, 4)`, where to start.

    Returns:
        `(N, 4)`, and the correlation there, `(N,)`.
    """
    goals, (first, second) = _Goals.of(others), pairs.T
    windows = windows.copy()
    own = centered(sums.gray(first, windows))
    best = product(own, goals.values[second])

    def move(some: Numbers, moved: Floats) -> Numbers:
        """Move some windows; returns those for which it helped."""
        cells = centered(sums.gray(first[some], moved))
        found = product(cells, goals.values[second[some]])
        helped = (found > best[some] + LEAST_GAIN) & (moved >= 0).all(1) & (moved <= 1).all(1)
        changed = some[helped]
        windows[changed], own[changed], best[changed] = moved[helped], cells[helped], found[helped]
        return changed

    def step(rounds: int) -> None:
        some = np.flatnonzero((best > LOST) & (best < ALIGNED))
        for _ in range(rounds):
            parts = np.einsum("nkc,nc->nk", goals.solution[second[some]], own[some])
            moves = parts[:, 1:] / np.maximum(parts[:, :1], 0.1)  # the pictures resemble each other
            sides = np.repeat(windows[some, 1::2] - windows[some, ::2], 2, axis=1)
            back = np.clip(moves, -MOST_MOVED, MOST_MOVED) * sides
            some = move(some, np.clip(windows[some] - back, 0, 1))

    step(FIRST_ROUNDS)
    far = np.flatnonzero(best < NEAR)
    start = windows[far]
    for shift in [(x, x, y, y) for x in SHIFTS for y in SHIFTS if x or y]:
        move(far, start + np.array(shift, np.float32))
    step(ROUNDS)
    return windows, best


def polished(sums: Sums, others: Floats, pairs: Numbers, windows: Floats) -> Floats:
    """Windows whose edges are moved one by one, and together, as long as that helps.

    It is slow, but it also aligns thin lines that `aligned` has missed by a little.

    Args:
        sums: A pictures.
        others: `(B, 24, 24)`, the brightness of the other ones.
        pairs: `(N, 2)`, the number of the picture, and of the other one.
        windows: `(N, 4)`, where to start.
    """
    first, goals, windows = pairs[:, 0], centered(others)[pairs[:, 1]], windows.copy()
    best = product(centered(sums.gray(first, windows)), goals)
    for size in FINER:
        for edges in MOVED:
            for step in (-size, size):
                moved = np.clip(windows + np.array(edges, np.float32) * np.float32(step), 0, 1)
                found = product(centered(sums.gray(first, moved)), goals)
                better = found > best
                windows[better], best[better] = moved[better], found[better]
    return windows


def centered(grid: Floats) -> Floats:
    """Grids less their mean, as vectors `(N, …)` of length 1."""
    flat = (grid - grid.mean(axis=(-2, -1), keepdims=True)).reshape(
        len(grid), math.prod(grid.shape[1:])
    )
    unit: Floats = flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6)
    return unit


def product(one: Floats, two: Floats) -> Floats:
    """The products of vectors, `(N,)`."""
    found: Floats = np.einsum("nc,nc->n", one, two)
    return found

"""Aligning two small pictures, of which one may be a crop of the other, and comparing them."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketlens.data.fingerprints import Fingerprints

__all__ = ["CELLS", "aligned", "cells", "correlated", "is_same", "turned"]

Floats = NDArray[np.float32]

CELLS = 24
"""The side of the grid on which pictures are compared."""

SHIFTS = (-0.025, 0.0, 0.025)
"""By how much a window is moved, to the side and down, to find where its alignment starts."""

NEAR, LOST, ALIGNED = 0.9, 0.5, 0.999
"""Correlations: from which on a window is not shifted before its alignment, below which aligning it
is useless, and from which on it is aligned."""

LEAST_GAIN = 1e-4
"""The least gain of correlation for which a window is moved."""

ROUNDS, MOST_MOVED = 6, 0.03
"""Steps of the alignment, and the most that an edge is moved in one, as a share of the side."""

NUDGE = 0.004
"""By how much an edge is moved to see what changes."""

DAMPING = 1e-3
"""Keeps edges in place that make no difference, as a share of the largest difference."""

SAME, SAME_EDGES = 0.93, 0.75
"""The least correlation of the cells, and of their differences from the cells around them."""

PLAIN = 0.4
"""A picture in which this share of the cells has one brightness is plain, such as a drawing."""

PLAIN_SAME, PLAIN_EDGES = 0.98, 0.945
"""The same for plain gray pictures: two different drawings of one thing are very similar."""

COLORFUL, COLORFUL_SAME, COLORFUL_EDGES = 6.0, 0.97, 0.9
"""The same for plain pictures with colors, and how far those are from gray on average."""

PLAIN_SIDE = 0.88
"""The least side of a crop of a plain picture: a larger drawing of a thing resembles a crop."""

HOPELESS = 0.6
"""Below this correlation, no other brightness is tried."""

SAME_HUE, PLAIN_HUE = 0.5, 0.93
"""The least agreement of the hues, in other and in plain pictures."""

WHITE = 245
"""Brighter cells have no hue that counts: there, a brighter copy has lost it."""

FAINT = 8.0
"""Colors that are hardly farther from gray than this do not count."""

GAINS = (1.0, 1.15, 1.3, 1.5)
"""How much brighter a picture is made, for the values that this cuts off."""


def turned(planes: NDArray[Any], turn: int) -> NDArray[Any]:
    """Pictures `(..., H, W)`, turned by `turn % 4` quarters, and from 4 on mirrored first."""
    mirrored = planes[..., ::-1] if turn >= 4 else planes
    return np.rot90(mirrored, turn % 4, axes=(-2, -1))


def cells(planes: NDArray[np.uint8], windows: Floats) -> Floats:
    """The mean of each cell of a grid over a window of each picture.

    Args:
        planes: `(N, S, S)`.
        windows: `(N, 4)`, left, right, top and bottom, as shares of the side.

    Returns:
        `(N, 24, 24)`, 0 to 255.
    """
    side = planes.shape[-1]
    # Sums over everything above and to the left of each pixel's corner.
    sums = np.zeros((len(planes), side + 1, side + 1), np.float32)
    np.cumsum(np.cumsum(planes, axis=1, dtype=np.float32), axis=2, out=sums[:, 1:, 1:])
    return _cells(sums, windows)


def _cells(sums: Floats, windows: Floats) -> Floats:
    side = sums.shape[-1] - 1
    part = np.linspace(0, 1, CELLS + 1, dtype=np.float32)
    left, right, top, bottom = (windows[:, at : at + 1] for at in range(4))
    across = (left + (right - left) * part) * side
    down = (top + (bottom - top) * part) * side
    column, row = (np.clip(at.astype(np.int64), 0, side - 1) for at in (across, down))
    picture = np.arange(len(sums))[:, None]
    rest = (down - row)[..., None]
    lines = sums[picture, row] * (1 - rest) + sums[picture, row + 1] * rest
    rest = (across - column)[:, None, :]
    number, line = picture[..., None], np.arange(CELLS + 1)[None, :, None]
    corners = lines[number, line, column[:, None, :]] * (1 - rest)
    corners += lines[number, line, column[:, None, :] + 1] * rest
    areas = (right - left) * (bottom - top) * (side / CELLS) ** 2
    means: Floats = np.diff(np.diff(corners, axis=1), axis=2) / areas[..., None]
    return means


def correlated(luma: NDArray[np.uint8], other: Floats, windows: Floats) -> Floats:
    """The correlation of the windows of pictures with the cells of others, `(N,)`."""
    return _product(_centered(cells(luma, windows)), _centered(other))


def aligned(luma: NDArray[np.uint8], other: Floats, windows: Floats) -> tuple[Floats, Floats]:
    """Move the edges of each window until its part of the picture resembles the other picture most.

    By Gauss-Newton steps on the squared difference, up to a linear change of the brightness.
    Source: B. Lucas, T. Kanade, "An Iterative Image Registration Technique", 1981.

    Args:
        luma: `(N, 48, 48)`.
        other: The cells of the other pictures, `(N, 24, 24)`.
        windows: `(N, 4)`, where to start.

    Returns:
        `(N, 4)`, and the correlation there, `(N,)`.
    """
    side = luma.shape[-1]
    sums = np.zeros((len(luma), side + 1, side + 1), np.float32)
    np.cumsum(np.cumsum(luma, axis=1, dtype=np.float32), axis=2, out=sums[:, 1:, 1:])
    goal = _centered(other)
    windows = windows.copy()
    best = _product(_centered(_cells(sums, windows)), goal)

    def move(some: NDArray[np.int64], moved: Floats) -> NDArray[np.int64]:
        """Move some windows; returns those for which it helped."""
        found = _product(_centered(_cells(sums[some], moved)), goal[some])
        helped = (found > best[some] + LEAST_GAIN) & (moved >= 0).all(1) & (moved <= 1).all(1)
        windows[some[helped]], best[some[helped]] = moved[helped], found[helped]
        return some[helped]

    far = np.flatnonzero(best < NEAR)
    start = windows[far]
    for shift in [(x, x, y, y) for x in SHIFTS for y in SHIFTS if x or y]:
        move(far, start + np.array(shift, np.float32))
    some = np.flatnonzero((best > LOST) & (best < ALIGNED))
    for _ in range(ROUNDS):
        if len(some):
            step = _step(sums[some], goal[some], windows[some])
            some = move(some, np.clip(windows[some] + step, 0, 1))
    return windows, best


def _step(sums: Floats, goal: Floats, windows: Floats) -> Floats:
    """The step of each edge, `(N, 4)`: goal ≈ a * cells + b + sum of c * change by an edge."""
    own = _cells(sums, windows)
    size = np.linalg.norm(
        (own - own.mean(axis=(1, 2), keepdims=True)).reshape(len(own), -1), axis=1
    )
    columns = [own]
    for edge in range(4):
        nudged = windows.copy()
        inward = np.float32(NUDGE if edge % 2 == 0 else -NUDGE)
        nudged[:, edge] += inward
        columns.append((_cells(sums, nudged) - own) / inward)
    rows = np.stack([each.reshape(len(own), -1) for each in columns], axis=1)  # (N, 5, 576)
    rows = (rows - rows.mean(axis=2, keepdims=True)) / np.maximum(size, 1e-6)[:, None, None]
    square = rows @ rows.transpose(0, 2, 1)
    most = square[:, 1:, 1:].max(axis=(1, 2))
    for at in range(1, 5):
        square[:, at, at] += DAMPING * most
    square[:, 0, 0] += 1e-6
    square += 1e-9 * np.eye(5, dtype=np.float32)
    found = np.linalg.solve(square, rows @ goal[:, :, None])[:, :, 0]
    gain = np.maximum(found[:, :1], 0.1)  # the pictures resemble each other
    steps: Floats = np.clip(found[:, 1:] / gain, -MOST_MOVED, MOST_MOVED).astype(np.float32)
    return steps


def is_same(
    pictures: Fingerprints, others: Fingerprints, windows: Floats
) -> tuple[NDArray[np.bool_], Floats]:
    """Whether the window of each picture shows what the other picture shows.

    Another brightness makes no difference, not even where it has cut off the brightest values: one
    picture is made brighter in the same way, or each of its colors is given the distribution that
    it has in the other one.

    Args:
        pictures: N pictures.
        others: As many.
        windows: `(N, 4)`, the part of each picture.

    Returns:
        `(N,)`, and their correlation `(N,)`.
    """
    whole = np.tile(np.array((0, 1, 0, 1), np.float32), (len(windows), 1))
    one, two = _colors(pictures, windows), _colors(others, whole)
    plain = np.maximum(_plainness(one), _plainness(two)) > PLAIN
    colorful = plain & (np.minimum(_color(pictures), _color(others)) > COLORFUL)
    least = np.where(colorful, COLORFUL_SAME, np.where(plain, PLAIN_SAME, SAME))
    least_edges = np.where(colorful, COLORFUL_EDGES, np.where(plain, PLAIN_EDGES, SAME_EDGES))
    sides = np.minimum(windows[:, 1] - windows[:, 0], windows[:, 3] - windows[:, 2])
    possible = np.flatnonzero(~plain | (sides > PLAIN_SIDE))
    same, correlation = np.zeros(len(windows), bool), _product(_centered(one), _centered(two))
    tones: list[Callable[[Floats, Floats], Floats]] = [_matched]
    tones += [partial(_brighter, gain) for gain in GAINS]
    for first, second in ((one, two), (two, one)):
        for tone in tones:
            some = possible[~same[possible] & (correlation[possible] > HOPELESS)]
            if not len(some):
                break
            target = second[some]
            toned = tone(first[some], target)
            found = _product(_centered(toned), _centered(target))
            edges = _product(*(_centered(_edges(_gray(each))) for each in (toned, target)))
            same[some] = (found > least[some]) & (edges > least_edges[some])
            correlation[some] = np.maximum(correlation[some], found)
    some = np.flatnonzero(same)
    same[some] = _hue(one[some], two[some]) > np.where(plain[some], PLAIN_HUE, SAME_HUE)
    return same, correlation


def _colors(pictures: Fingerprints, windows: Floats) -> Floats:
    """Red, green and blue of the cells, `(N, 3, 24, 24)`."""
    luma = cells(pictures.luma, windows)
    blue, red = (cells(pictures.chroma[:, plane], windows) - 128 for plane in (0, 1))
    planes = (luma + 1.402 * red, luma - 0.344 * blue - 0.714 * red, luma + 1.772 * blue)
    colors: Floats = np.clip(np.stack(planes, axis=1), 0, 255)
    return colors


def _matched(one: Floats, two: Floats) -> Floats:
    """Colors `(N, 3, 24, 24)`, each value replaced by that of its rank in the other picture."""
    order = np.argsort(one.reshape(len(one), 3, -1), axis=2)
    same = np.empty(order.shape, np.float32)
    np.put_along_axis(same, order, np.sort(two.reshape(order.shape), axis=2), axis=2)
    return same.reshape(one.shape)


def _brighter(gain: float, one: Floats, _: Floats) -> Floats:
    """Colors that are made brighter, as far as they go."""
    brighter: Floats = np.minimum(one * np.float32(gain), 255)
    return brighter


def _hue(one: Floats, two: Floats) -> Floats:
    """How well the hues of colors `(N, 3, 24, 24)` agree, from -1 to 1; 1 without colors."""
    best = np.full(len(one), -1, np.float32)
    shown = ((_gray(one) < WHITE) & (_gray(two) < WHITE))[:, None]
    for first, second in ((one, two), (two, one)):
        target = (second - second.mean(axis=1, keepdims=True)) * shown
        for gain in GAINS:
            brighter = _brighter(gain, first, second)
            own = (brighter - brighter.mean(axis=1, keepdims=True)) * shown
            sums = [(a * b).sum(axis=(1, 2, 3)) for a in (own, target) for b in (a, target)]
            counted = FAINT**2 * np.maximum(shown.sum(axis=(1, 2, 3)), 1)
            found = (sums[1] + counted) / np.sqrt((sums[0] + counted) * (sums[2] + counted))
            best = np.maximum(best, found)
    return best


def _gray(colors: Floats) -> Floats:
    gray: Floats = np.tensordot(colors, np.array((0.299, 0.587, 0.114), np.float32), (1, 0))
    return gray


def _color(pictures: Fingerprints) -> Floats:
    """How far the colors are from gray: the root of the mean square, `(N,)`."""
    colors = pictures.chroma.reshape(len(pictures), -1).astype(np.float32) - 128
    mean: Floats = np.sqrt((colors**2).mean(axis=1))
    return mean


def _plainness(colors: Floats) -> Floats:
    """The share of the cells whose brightness is that of most cells, within 8 levels."""
    grid = _gray(colors)
    levels = np.clip(grid.reshape(len(grid), -1) / 8, 0, 31).astype(np.int64)
    counts = np.zeros((len(grid), 33), np.int64)
    np.add.at(counts, (np.arange(len(grid))[:, None], levels), 1)
    share: Floats = ((counts[:, :-1] + counts[:, 1:]).max(axis=1) / levels.shape[1]).astype(
        np.float32
    )
    return share


def _edges(grid: Floats) -> Floats:
    """The difference of each cell `(..., 24, 24)` from the mean of the nine cells around it."""
    padded = np.pad(grid, (*[(0, 0)] * (grid.ndim - 2), (1, 1), (1, 1)), mode="edge")
    around = sum(
        padded[..., down : down + CELLS, across : across + CELLS]
        for down in range(3)
        for across in range(3)
    )
    edges: Floats = grid - around / 9
    return edges


def _centered(grid: Floats) -> Floats:
    return _unit(grid - grid.mean(axis=(-2, -1), keepdims=True))


def _unit(vectors: Floats) -> Floats:
    flat = vectors.reshape(len(vectors), math.prod(vectors.shape[1:]))
    unit: Floats = flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6)
    return unit


def _product(one: Floats, two: Floats) -> Floats:
    product: Floats = np.einsum("nc,nc->n", one, two)
    return product

"""Aligning two small pictures, of which one may be a crop of the other, and comparing them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketlens.data.fingerprints import Fingerprints

__all__ = ["CELLS", "aligned", "cells", "correlated", "is_same", "turned"]

Floats = NDArray[np.float32]

CELLS = 24
"""The side of the grid on which pictures are compared."""

STEPS = (0.03, 0.015, 0.007)
"""By how much an edge of a crop is moved, as a share of the side."""

ROUNDS = 2

WHITE = 245
"""Brighter cells do not count: there, a brighter copy has lost what the original shows."""

LEAST_CELLS = 0.4
"""If fewer cells than this share are darker than `WHITE`, all of them count."""

SAME, SAME_EDGES = 0.93, 0.75
"""The least correlation of the cells, and of their differences from the cells around them."""

PLAIN = 0.4
"""A picture in which this share of the cells has one brightness is plain, such as a drawing."""

PLAIN_SAME, PLAIN_EDGES = 0.985, 0.93
"""The same for plain gray pictures: two different drawings of one thing are very similar."""

COLORFUL, COLORFUL_SAME, COLORFUL_EDGES = 10.0, 0.97, 0.9
"""The same for plain pictures with colors, and how far those are from gray on average."""

COLOR = 2.0
"""The weight of a difference in color, compared with one in brightness."""


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


def aligned(luma: NDArray[np.uint8], other: Floats, windows: Floats) -> Floats:
    """Move the edges of each window until its part of the picture resembles the other picture most.

    Args:
        luma: `(N, 48, 48)`.
        other: The cells of the other pictures, `(N, 24, 24)`.
        windows: `(N, 4)`, where to start.

    Returns:
        `(N, 4)`.
    """
    side = luma.shape[-1]
    sums = np.zeros((len(luma), side + 1, side + 1), np.float32)
    np.cumsum(np.cumsum(luma, axis=1, dtype=np.float32), axis=2, out=sums[:, 1:, 1:])
    goal = _centered(other)
    best = _product(_centered(_cells(sums, windows)), goal)
    windows = windows.copy()
    for step in STEPS:
        for _ in range(ROUNDS):
            for edge in range(4):
                for move in (step, -step):
                    moved = windows.copy()
                    moved[:, edge] = np.clip(moved[:, edge] + np.float32(move), 0, 1)
                    found = _product(_centered(_cells(sums, moved)), goal)
                    better = found > best
                    windows[better], best[better] = moved[better], found[better]
    return windows


def is_same(
    pictures: Fingerprints, others: Fingerprints, windows: Floats
) -> tuple[NDArray[np.bool_], Floats]:
    """Whether the window of each picture shows what the other picture shows.

    Args:
        pictures: N pictures.
        others: As many.
        windows: `(N, 4)`, the part of each picture.

    Returns:
        `(N,)`, and their correlation `(N,)`.
    """
    whole = np.tile(np.array((0, 1, 0, 1), np.float32), (len(windows), 1))
    one, two = cells(pictures.luma, windows), cells(others.luma, whole)
    counted = (one < WHITE) & (two < WHITE)
    counted |= counted.mean(axis=(1, 2), keepdims=True) < LEAST_CELLS
    edges = _product(_centered(_edges(one)), _centered(_edges(two)))
    vectors = []
    for luma, chroma, window in ((one, pictures.chroma, windows), (two, others.chroma, whole)):
        total = np.maximum(counted.sum(axis=(1, 2), keepdims=True), 1)
        bright = luma - (luma * counted).sum(axis=(1, 2), keepdims=True) / total
        colors = [COLOR * (cells(chroma[:, plane], window) - 128) for plane in (0, 1)]
        vectors.append(np.stack([bright, *colors], axis=1) * counted[:, None])
    correlation = _product(_unit(vectors[0]), _unit(vectors[1]))
    plain = np.maximum(_plainness(one), _plainness(two)) > PLAIN
    colorful = plain & (np.minimum(_color(pictures), _color(others)) > COLORFUL)
    least = np.where(colorful, COLORFUL_SAME, np.where(plain, PLAIN_SAME, SAME))
    least_edges = np.where(colorful, COLORFUL_EDGES, np.where(plain, PLAIN_EDGES, SAME_EDGES))
    return (correlation > least) & (edges > least_edges), correlation


def _color(pictures: Fingerprints) -> Floats:
    """How far the colors are from gray: the root of the mean square, `(N,)`."""
    colors = pictures.chroma.reshape(len(pictures), -1).astype(np.float32) - 128
    mean: Floats = np.sqrt((colors**2).mean(axis=1))
    return mean


def _plainness(grid: Floats) -> Floats:
    """The share of the cells whose brightness is that of most cells, within 8 levels."""
    levels = np.clip(grid.reshape(len(grid), -1) / 8, 0, 31).astype(np.int64)
    counts = np.zeros((len(grid), 33), np.int64)
    np.add.at(counts, (np.arange(len(grid))[:, None], levels), 1)
    share: Floats = ((counts[:, :-1] + counts[:, 1:]).max(axis=1) / levels.shape[1]).astype(
        np.float32
    )
    return share


def _edges(grid: Floats) -> Floats:
    """The difference of each cell from the mean of the nine cells around it."""
    padded = np.pad(grid, ((0, 0), (1, 1), (1, 1)), mode="edge")
    around = sum(
        padded[:, down : down + CELLS, across : across + CELLS]
        for down in range(3)
        for across in range(3)
    )
    edges: Floats = grid - around / 9
    return edges


def _centered(grid: Floats) -> Floats:
    return _unit(grid - grid.mean(axis=(1, 2), keepdims=True))


def _unit(vectors: Floats) -> Floats:
    flat = vectors.reshape(len(vectors), -1)
    unit: Floats = flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6)
    return unit


def _product(one: Floats, two: Floats) -> Floats:
    product: Floats = np.einsum("nc,nc->n", one, two)
    return product

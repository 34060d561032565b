"""Distance fields of ink drawings, to redraw their strokes with any pen at any size.

A drawing has two fields. `drawn` follows its outline: it is below 0 where the drawing has ink.
`pen` is the distance to the center line of its strokes: where it is below the radius of a pen, that
pen leaves ink. Both are in *units* of 1/28 of the image's side (MNIST's pixels). Both can be
interpolated well, unlike the pixels themselves.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["FINE", "GRID", "REACH", "DistanceFields", "distance_fields"]

UNITS = 28
"""Units per side of the image."""

MARGIN = 2
"""Units by which a field is larger than the image on each side, for thicker pens."""

FINE = 3
"""Samples of a field per unit."""

GRID = (UNITS + 2 * MARGIN) * FINE
"""Samples of a field per side."""

REACH = 3.0
"""Largest value of `pen`, in units; larger distances are set to about this value."""

SLOPE = 3.2
"""Width of a soft edge between paper and ink, in units, similar to MNIST's."""

BLOT = 1.2
"""Ink is a blot where its depth is more than this many times half the width of thin strokes."""

DEEPEST = 9
"""The largest depth of ink that is measured, in samples."""

SMOOTHING = 4
"""Number of passes that average the squared distance over neighbors, which smooths the steps in the
center line. Each pass adds a variance of 1/2 sample²."""

Array = NDArray[np.float32]


@dataclass(frozen=True)
class DistanceFields:
    """Distance fields of `N` drawings.

    Args:
        drawn: `(N, GRID, GRID)` approximate distance to the outline of the ink, negative inside,
            in units.
        pen: `(N, GRID, GRID)` distance to the center line of the nearest stroke, in units.
        own: `(N,)` half the width of the drawing's original strokes, in units.
    """

    drawn: Array
    pen: Array
    own: Array


def distance_fields(images: NDArray[np.uint8]) -> DistanceFields:
    """Distance fields of drawings `(N, H, W)` in light ink on black; each must have some ink."""
    fine = np.stack([_enlarged(image) for image in images])
    most = fine.max(axis=(1, 2), keepdims=True)
    drawn = SLOPE * (0.5 - fine / most)
    ink = drawn < 0
    middle = _thinned(ink)
    dots = ~middle.any(axis=(1, 2))  # thinning removes a square of 2 × 2 samples completely
    middle[dots] = ink[dots]
    depth = np.sqrt(_squared_distance(~ink, DEEPEST))
    thin, own = _widths(depth, middle)
    # Ink that is deeper than the strokes is a filled loop. With only the center line the loop would
    # be lost, and people could no longer read the digit.
    middle |= ink & (depth > BLOT * thin[:, None, None] + 0.5)
    squared = _squared_distance(middle, round(REACH * FINE))
    for _ in range(SMOOTHING):
        squared = _averaged(squared)
    # For a straight line, averaging turns the squared distance x² into x² + variance.
    distance = np.sqrt(np.maximum(squared - SMOOTHING / 2, 0)) / FINE
    return DistanceFields(
        drawn.astype(np.float32), distance.astype(np.float32), own / np.float32(FINE)
    )


def _enlarged(image: NDArray[np.uint8]) -> Array:
    from PIL import Image

    side, margin = UNITS * FINE, MARGIN * FINE
    plane = Image.fromarray(image.astype(np.float32))
    fine = np.asarray(plane.resize((side, side), Image.Resampling.BICUBIC))
    return np.pad(fine, margin)


def _widths(depth: Array, middle: NDArray[np.bool_]) -> tuple[Array, Array]:
    """Half the width of each drawing's thin strokes, and of its typical strokes, in samples."""
    found = [np.quantile(d[m], (0.3, 0.5)) for d, m in zip(depth, middle, strict=True)]
    thin, own = np.array(found, np.float32).T
    return thin, own


def _thinned(ink: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The center lines, one sample wide, of ink `(N, S, S)` that does not touch the border.

    Source: T. Y. Zhang and C. Y. Suen, "A Fast Parallel Algorithm for Thinning Digital Patterns",
    Communications of the ACM 27 (1984), 236-239.
    """
    side = ink.shape[1]
    there = ink.astype(np.uint8).ravel()
    places = np.flatnonzero(there)
    around = [down * side + right for down, right in AROUND]
    quiet = step = 0
    while quiet < 2:
        code = np.zeros(len(places), np.uint8)
        for bit, offset in enumerate(around):
            code |= there[places + offset] << bit
        removed = REMOVABLE[step % 2][code]
        there[places[removed]] = 0
        quiet = 0 if removed.any() else quiet + 1
        places = places[~removed]
        step += 1
    return there.reshape(ink.shape).astype(bool)


AROUND = ((-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1))
"""The neighbors P2 to P9 of Zhang and Suen: clockwise from the top."""


def _removable(step: int) -> NDArray[np.bool_]:
    """For each of the 256 neighborhoods: whether sub-iteration `step` removes its center."""
    near = (np.arange(256)[:, None] >> np.arange(8)) & 1  # (256, 8)
    count = near.sum(axis=1)
    rises = ((near == 0) & (np.roll(near, -1, axis=1) == 1)).sum(axis=1)
    up, right, down, left = near[:, 0], near[:, 2], near[:, 4], near[:, 6]
    if step == 0:
        edge = (up * right * down == 0) & (right * down * left == 0)
    else:
        edge = (up * right * left == 0) & (up * down * left == 0)
    removable: NDArray[np.bool_] = (count >= 2) & (count <= 6) & (rises == 1) & edge
    return removable


REMOVABLE = (_removable(0), _removable(1))


def _squared_distance(points: NDArray[np.bool_], reach: int) -> Array:
    """Squared distance `(N, S, S)` to the nearest point, in samples, at most (reach + 1)².

    `reach` must be at most 10, so that all sums fit in 8 bits.
    """
    far = (reach + 1) ** 2
    squared = np.where(points, np.uint8(0), np.uint8(far))
    for axis in (1, 2):
        nearest = squared.copy()
        for step in range(1, reach + 1):
            there = squared + np.uint8(step * step)
            before = [slice(None)] * 3
            after = [slice(None)] * 3
            before[axis], after[axis] = slice(None, -step), slice(step, None)
            for here, other in ((before, after), (after, before)):
                place = nearest[tuple(here)]
                np.minimum(place, there[tuple(other)], out=place)
        squared = nearest
    limited: Array = np.minimum(squared, far).astype(np.float32)
    return limited


def _averaged(field: Array) -> Array:
    """The mean of neighbors with weights 1, 2, 1 along both axes; the border is not changed."""
    for axis in (1, 2):
        turned = np.moveaxis(field, axis, 0)
        field = field.copy()
        inner = np.moveaxis(field, axis, 0)[1:-1]
        np.add(turned[:-2], turned[2:], out=inner)
        inner += 2 * turned[1:-1]
        inner /= 4
    return field

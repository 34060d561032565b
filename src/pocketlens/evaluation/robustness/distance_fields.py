"""Ink drawings as smooth fields, so that a stroke can be drawn again with any pen at any size.

Two fields of a drawing are kept. `drawn` follows its own outline: where it is below 0 there was
ink. `pen` is the distance to the middle of its strokes: where it is below a pen's radius there is
ink of that pen. Both are in *units*, 1/28 of the image's side, as MNIST counts pixels; both
interpolate well, which pixels of ink do not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["FINE", "GRID", "REACH", "Fields", "ink_fields"]

UNITS = 28
"""Units a side of the image."""

MARGIN = 2
"""Units that a field reaches beyond the image on every side, for pens thicker than its own."""

FINE = 3
"""Samples of a field per unit."""

GRID = (UNITS + 2 * MARGIN) * FINE
"""Samples of a field per side."""

REACH = 3.0
"""Beyond this distance, in units, `pen` stays what it is."""

SLOPE = 3.2
"""Units of distance for a step from paper to ink: MNIST's strokes have edges this soft."""

BLOT = 1.2
"""Ink deeper than this many times half the width of the drawing's thinner strokes is a blot."""

DEEPEST = 9
"""How far, in samples, the depth of ink is measured."""

SMOOTHING = 4
"""How often the squared distance is averaged over neighbors: takes the stairs out of the middle
line. Each pass adds 1/2 sample² of variance."""

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Fields:
    """Fields of `N` drawings.

    Args:
        drawn: `(N, GRID, GRID)` about the distance to the ink's outline, negative inside, in units.
        pen: `(N, GRID, GRID)` the distance to the middle of the nearest stroke, in units.
        own: `(N,)` half the width of the drawing's own strokes, in units.
    """

    drawn: Array
    pen: Array
    own: Array


def ink_fields(images: NDArray[np.uint8]) -> Fields:
    """The fields of drawings `(N, H, W)`, light ink on black; each has some ink."""
    fine = np.stack([_enlarged(image) for image in images])
    most = fine.max(axis=(1, 2), keepdims=True)
    drawn = SLOPE * (0.5 - fine / most)
    ink = drawn < 0
    middle = _thinned(ink)
    dots = ~middle.any(axis=(1, 2))  # thinning takes a square of two samples away whole
    middle[dots] = ink[dots]
    depth = np.sqrt(_squared_distance(~ink, DEEPEST))
    thin, own = _widths(depth, middle)
    # Ink deeper than strokes are is the inside of a loop that ran full. A middle line alone would
    # lose it, and a person could no longer read on.
    middle |= ink & (depth > BLOT * thin[:, None, None] + 0.5)
    squared = _squared_distance(middle, round(REACH * FINE))
    for _ in range(SMOOTHING):
        squared = _averaged(squared)
    # Of a straight line's squared distance x², averaging makes x² + variance.
    distance = np.sqrt(np.maximum(squared - SMOOTHING / 2, 0)) / FINE
    return Fields(drawn.astype(np.float32), distance.astype(np.float32), own / np.float32(FINE))


def _enlarged(image: NDArray[np.uint8]) -> Array:
    from PIL import Image

    side, margin = UNITS * FINE, MARGIN * FINE
    plane = Image.fromarray(image.astype(np.float32))
    fine = np.asarray(plane.resize((side, side), Image.Resampling.BICUBIC))
    return np.pad(fine, margin)


def _widths(depth: Array, middle: NDArray[np.bool_]) -> tuple[Array, Array]:
    """Half the width of each drawing's thinner strokes, and of its typical ones, in samples."""
    found = [np.quantile(d[m], (0.3, 0.5)) for d, m in zip(depth, middle, strict=True)]
    thin, own = np.array(found, np.float32).T
    return thin, own


def _thinned(ink: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The middle lines, one sample wide, of ink `(N, S, S)` that leaves the border free.

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
        goes = REMOVABLE[step % 2][code]
        there[places[goes]] = 0
        quiet = 0 if goes.any() else quiet + 1
        places = places[~goes]
        step += 1
    return there.reshape(ink.shape).astype(bool)


AROUND = ((-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1))
"""The neighbors P2 to P9 of Zhang and Suen: from above, clockwise."""


def _removable(step: int) -> NDArray[np.bool_]:
    """For each of the 256 neighborhoods, whether its middle goes in sub-iteration `step`."""
    near = (np.arange(256)[:, None] >> np.arange(8)) & 1  # (256, 8)
    count = near.sum(axis=1)
    rises = ((near == 0) & (np.roll(near, -1, axis=1) == 1)).sum(axis=1)
    up, right, down, left = near[:, 0], near[:, 2], near[:, 4], near[:, 6]
    if step == 0:
        edge = (up * right * down == 0) & (right * down * left == 0)
    else:
        edge = (up * right * left == 0) & (up * down * left == 0)
    return (count >= 2) & (count <= 6) & (rises == 1) & edge


REMOVABLE = (_removable(0), _removable(1))


def _squared_distance(points: NDArray[np.bool_], reach: int) -> Array:
    """Squared distance in samples `(N, S, S)` to the nearest point, at most (reach + 1)².

    A reach of at most 10 keeps every sum within 8 bits.
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
    return np.minimum(squared, far).astype(np.float32)


def _averaged(field: Array) -> Array:
    """The mean of neighbors with the weights 1 2 1 along both axes; the border stays as it is."""
    for axis in (1, 2):
        turned = np.moveaxis(field, axis, 0)
        field = field.copy()
        inner = np.moveaxis(field, axis, 0)[1:-1]
        np.add(turned[:-2], turned[2:], out=inner)
        inner += 2 * turned[1:-1]
        inner /= 4
    return field

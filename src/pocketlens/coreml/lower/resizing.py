"""Resizing images: which points of the input each element of the result is taken from."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pocketlens.coreml.graph import Array, Graph, Value
from pocketlens.coreml.lower.batch import over_batch
from pocketlens.errors import ModelFileError, UnsupportedParameter

__all__ = ["centres", "edges", "linear", "nearest", "resized_sides", "scaled", "upsample_nearest"]

MAX_SIDE = 2**20
"""The largest height or width that is resized to."""

# Core ML's sampling mode -> how ONNX calls the same points
SAME_POINTS = {
    "DEFAULT": "asymmetric",
    "STRICT_ALIGN_CORNERS": "align_corners",
    "ALIGN_CORNERS": "align_corners",
    "UNALIGN_CORNERS": "half_pixel",
}


def scaled(x: Value, height: float, width: float) -> tuple[int, int]:
    """The sizes of `x` [*B, H, W] times the factors, rounded down.

    The product is taken in float32, in which the file holds the factors.
    """
    sides = zip((x.size(-2), x.size(-1)), (height, width), strict=True)
    rows, columns = (np.floor(np.float32(size) * np.float32(factor)) for size, factor in sides)
    return resized_sides(rows, columns)


def resized_sides(height: float, width: float) -> tuple[int, int]:
    """Height and width as whole numbers that are not too large.

    Raises:
        ModelFileError: One is below 1 or beyond `MAX_SIDE`.
    """
    if not (1 <= height <= MAX_SIDE and 1 <= width <= MAX_SIDE):
        raise ModelFileError(
            f"an image should become {height:g} × {width:g}; expected 1 to {MAX_SIDE} each"
        )
    return int(height), int(width)


def linear(g: Graph, x: Value, sides: tuple[int, int], mode: str) -> Value:
    """`x` [*B, H, W] resized to `sides`, interpolating linearly between the four nearest.

    Args:
        mode: `DEFAULT`, `STRICT_ALIGN_CORNERS`, `ALIGN_CORNERS`, `UNALIGN_CORNERS` or
            `OFFSET_CORNERS`, as the specification defines them.
    """
    if mode in SAME_POINTS and not (mode == "ALIGN_CORNERS" and 1 in sides):
        return over_batch(g, x, lambda v: _resize(g, v, sides, SAME_POINTS[mode]))
    if mode not in ("OFFSET_CORNERS", "ALIGN_CORNERS"):
        raise UnsupportedParameter(
            f"the sampling mode is {mode!r}; expected OFFSET_CORNERS or {', '.join(SAME_POINTS)}"
        )
    points = _offset_corners if mode == "OFFSET_CORNERS" else _align_corners

    def formula(v: Value) -> Value:
        for axis, side in ((-2, sides[0]), (-1, sides[1])):
            v = _between(g, v, axis, points(v.size(axis), side))
        return v

    return g.in_float32(formula, x)


def nearest(
    g: Graph, x: Value, sides: tuple[int, int], points: Callable[[int, int], Array]
) -> Value:
    """`x` [*B, H, W] resized to `sides` by taking one element for each.

    Args:
        points: From the size before and after to the positions taken.
    """
    for axis, side in ((-2, sides[0]), (-1, sides[1])):
        x = g.Gather(x, points(x.size(axis), side), axis=axis)
    return x


def upsample_nearest(g: Graph, x: Value, height: float, width: float) -> Value:
    """`x` [*B, H, W] with its elements repeated.

    By what is no whole number, the size is the product rounded down, and the element taken is that
    at the ratio of the sizes, as in coremltools' own tests.
    """
    if all(factor >= 1 and factor == int(factor) for factor in (height, width)):
        # Whole factors need no known sizes.
        scales = np.array([1] * (x.rank - 2) + [height, width], np.float32)
        return g.Resize(
            x,
            None,
            scales,
            mode="nearest",
            coordinate_transformation_mode="asymmetric",
            nearest_mode="floor",
        )
    exact = x.size(-2) * height, x.size(-1) * width
    rounded = [round(size) for size in exact]
    # coremltools adds 1e-4 to the size that it wants before it divides by the given one.
    if all(abs(size - whole) <= 1e-3 for size, whole in zip(exact, rounded, strict=True)):
        return nearest(g, x, resized_sides(*rounded), edges)
    return nearest(g, x, scaled(x, height, width), edges)


def centres(size: int, side: int) -> Array:
    """The element in which the centre of each result lies (TensorFlow's half pixel centers)."""
    return (2 * np.arange(side) + 1) * size // (2 * side)


def edges(size: int, side: int) -> Array:
    """The element in which the near edge of each result lies."""
    return np.arange(side) * size // side


def _resize(g: Graph, x: Value, sides: tuple[int, int], points: str) -> Value:
    target = np.array([*x.sizes[:2], *sides], np.int64)
    return g.Resize(x, None, None, target, mode="linear", coordinate_transformation_mode=points)


def _offset_corners(size: int, side: int) -> Array:
    delta = max(1, size - 1) / side
    return np.clip(0.5 * delta + np.arange(side) * delta, 0, size - 1)


def _align_corners(size: int, side: int) -> Array:
    return np.array([(size - 1) / 2]) if side == 1 else np.linspace(0, size - 1, side)


def _between(g: Graph, x: Value, axis: int, points: Array) -> Value:
    """`x` at `points` along `axis`, linear between the two elements around each."""
    below = np.floor(points).astype(np.int64)
    above = np.minimum(below + 1, x.size(axis) - 1)
    part = (points - below).astype(x.dtype).reshape((-1,) + (1,) * (-axis - 1))
    low, high = g.Gather(x, below, axis=axis), g.Gather(x, above, axis=axis)
    return g.Add(low, g.Mul(g.Sub(high, low), part))

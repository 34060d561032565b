"""Resizing images: which points of the input each element of the result is taken from."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from pocketlens.coreml.graph import Array, Graph, Value
from pocketlens.coreml.ops.common.batch import over_batch
from pocketlens.coreml.ops.common.filling import stop_if_large
from pocketlens.coreml.ops.common.ordering import counting
from pocketlens.errors import ModelFileError, UnsupportedParameter

__all__ = [
    "centers",
    "edges",
    "linear",
    "nearest",
    "resized_later",
    "resized_sides",
    "upsample_linear",
    "upsample_nearest",
]

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
    _check_mode(mode)
    points = _offset_corners if mode == "OFFSET_CORNERS" else _align_corners

    def formula(v: Value) -> Value:
        for axis, side in ((-2, sides[0]), (-1, sides[1])):
            v = _between(g, v, axis, points(v.size(axis), side))
        return v

    return g.in_float32(formula, x)


def upsample_linear(g: Graph, x: Value, height: float, width: float, mode: str) -> Value:
    """`x` [*B, H, W] made larger or smaller by factors, as `linear` does it.

    Args:
        mode: `DEFAULT`, `STRICT_ALIGN_CORNERS` or `UNALIGN_CORNERS`.
    """
    if None not in (x.shape or (None,))[-2:] or not _whole(height, width):
        return linear(g, x, scaled(x, height, width), mode)
    # Whole factors need no known sizes.
    scales, points = np.array([1, 1, height, width], np.float32), SAME_POINTS[mode]

    def formula(v: Value) -> Value:
        return g.Resize(v, None, scales, mode="linear", coordinate_transformation_mode=points)

    return over_batch(g, x, formula)


def _whole(*factors: float) -> bool:
    return all(factor >= 1 and factor == int(factor) for factor in factors)


def resized_later(g: Graph, x: Value, sides: Mapping[int, Value], mode: str) -> Value:
    """`x` resized along the axes of `sides` to sizes (int64 scalars) that only a run tells.

    A size of 0 keeps that of `x`; one below, or more than the memory may hold, stops the run.

    Args:
        mode: As in `linear`, or `NEAREST_NEIGHBOR` for the element in which each center lies.
    """
    if mode != "NEAREST_NEIGHBOR":
        _check_mode(mode)

    def formula(v: Value) -> Value:
        for axis, side in sides.items():
            size = g.reshape(g.Shape(v, start=axis, end=axis + 1), [])
            side = g.Where(g.Equal(side, np.array(0, np.int64)), size, side)
            rows = g.Div(g.cast(g.Size(v), np.float64), g.cast(size, np.float64))
            count = g.Mul(rows, g.cast(side, np.float64))
            below = g.Less(side, np.array(0, np.int64))
            count = g.Where(below, np.array(np.inf), count)
            numbers = counting(g, g.Add(side, stop_if_large(g, count, v.dtype.itemsize)))
            if mode == "NEAREST_NEIGHBOR":
                middles = g.Add(g.Add(numbers, numbers), np.array(1, np.int64))
                v = g.Gather(v, g.Div(g.Mul(middles, size), g.Add(side, side)), axis=axis)
            else:
                points = _points_later(g, numbers, size, side, mode)
                v = _between_later(g, v, axis, points, size)
        return v

    return formula(x) if mode == "NEAREST_NEIGHBOR" else g.in_float32(formula, x)


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
    if _whole(height, width):
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


def centers(size: int, side: int) -> Array:
    """The element in which the center of each result lies (TensorFlow's half pixel centers)."""
    return (2 * np.arange(side) + 1) * size // (2 * side)


def edges(size: int, side: int) -> Array:
    """The element in which the near edge of each result lies."""
    return np.arange(side) * size // side


def _resize(g: Graph, x: Value, sides: tuple[int, int], points: str) -> Value:
    return g.Resize(
        x,
        None,
        None,
        np.array(sides, np.int64),
        axes=[2, 3],
        mode="linear",
        coordinate_transformation_mode=points,
    )


def _check_mode(mode: str) -> None:
    if mode not in SAME_POINTS and mode != "OFFSET_CORNERS":
        raise UnsupportedParameter(
            f"the sampling mode is {mode!r}; expected OFFSET_CORNERS or {', '.join(SAME_POINTS)}"
        )


def _offset_corners(size: int, side: int) -> Array:
    delta = max(1, size - 1) / side
    return np.clip(0.5 * delta + np.arange(side) * delta, 0, size - 1)


def _align_corners(size: int, side: int) -> Array:
    return np.array([(size - 1) / 2]) if side == 1 else np.linspace(0, size - 1, side)


def _between(g: Graph, x: Value, axis: int, points: Array) -> Value:
    """`x` at `points` along `axis`, linear between the two elements around each."""
    below = np.floor(points).astype(np.int64)
    above = np.minimum(below + 1, x.size(axis) - 1)
    part = (points - below).astype(x.dtype)
    return _mixed(g, x, axis, *map(g.constant, (below, above, part)))


def _between_later(g: Graph, x: Value, axis: int, points: Value, size: Value) -> Value:
    """`_between` for points (float64) along an axis of `size` that only a run tells."""
    whole = g.Floor(points)
    below, part = g.cast(whole, np.int64), g.cast(g.Sub(points, whole), x.dtype)
    one = np.array(1, np.int64)
    return _mixed(g, x, axis, below, g.Min(g.Add(below, one), g.Sub(size, one)), part)


def _mixed(g: Graph, x: Value, axis: int, below: Value, above: Value, part: Value) -> Value:
    """The elements at `below` and those at `above`, of which `part` is taken."""
    part = g.reshape(part, [-1] + [1] * (x.rank - 1 - axis % x.rank))
    low, high = g.Gather(x, below, axis=axis), g.Gather(x, above, axis=axis)
    return g.Add(low, g.Mul(g.Sub(high, low), part))


def _points_later(g: Graph, numbers: Value, size: Value, side: Value, mode: str) -> Value:
    """Where in `size` elements each of the `numbers` (0 to `side` - 1) is taken from, in float64.

    In every mode a straight line: it begins at `first` and goes on by `step`.
    """
    numbers, size, side = (g.cast(value, np.float64) for value in (numbers, size, side))
    nothing, half, one = (g.constant(number, np.float64) for number in (0, 0.5, 1))
    last = g.Sub(size, one)
    inner = g.Div(last, g.Max(g.Sub(side, one), one))  # from the first center to the last
    middle = g.Where(g.Equal(side, one), g.Mul(last, half), nothing)
    outer = g.Div(size, side)
    offset = g.Div(g.Max(last, one), side)
    first, step = {
        "DEFAULT": (nothing, outer),
        "STRICT_ALIGN_CORNERS": (nothing, inner),
        "ALIGN_CORNERS": (middle, inner),
        "UNALIGN_CORNERS": (g.Mul(g.Sub(outer, one), half), outer),
        "OFFSET_CORNERS": (g.Mul(offset, half), offset),
    }[mode]
    points = g.Add(first, g.Mul(numbers, step))
    return g.Min(g.Max(points, nothing), last)

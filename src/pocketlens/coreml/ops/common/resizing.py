"""Image resizing: the points of the input that each element of the result is sampled from."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from pocketlens.coreml.graph import Array, Graph, Value
from pocketlens.coreml.ops.common.batch import over_batch
from pocketlens.coreml.ops.common.filling import stop_if_large
from pocketlens.coreml.ops.common.ordering import arange
from pocketlens.errors import ModelFileError, UnsupportedParameter

__all__ = [
    "centers",
    "check_sides",
    "edges",
    "linear",
    "nearest",
    "resize_dynamic",
    "upsample_linear",
    "upsample_nearest",
]

MAX_SIDE = 2**20
"""The largest height or width of a result."""

# Core ML's sampling mode -> ONNX's name for the same points
SAME_POINTS = {
    "DEFAULT": "asymmetric",
    "STRICT_ALIGN_CORNERS": "align_corners",
    "ALIGN_CORNERS": "align_corners",
    "UNALIGN_CORNERS": "half_pixel",
}


def scaled_sides(x: Value, height: float, width: float) -> tuple[int, int]:
    """The height and width of `x` [*B, H, W] times the factors, rounded down.

    The product is computed in float32, the type of the factors in the file.
    """
    sides = zip((x.size(-2), x.size(-1)), (height, width), strict=True)
    rows, columns = (np.floor(np.float32(size) * np.float32(factor)) for size, factor in sides)
    return check_sides(rows, columns)


def check_sides(height: float, width: float) -> tuple[int, int]:
    """Height and width as integers, after a check of their range.

    Raises:
        ModelFileError: One of them is less than 1 or more than `MAX_SIDE`.
    """
    if not (1 <= height <= MAX_SIDE and 1 <= width <= MAX_SIDE):
        raise ModelFileError(
            f"the resized image has {height:g} × {width:g} pixels; expected 1 to {MAX_SIDE} each"
        )
    return int(height), int(width)


def linear(g: Graph, x: Value, sides: tuple[int, int], mode: str) -> Value:
    """`x` [*B, H, W] resized to `sides` by bilinear interpolation.

    Args:
        g: The graph.
        x: The images.
        sides: The new height and width.
        mode: `DEFAULT`, `STRICT_ALIGN_CORNERS`, `ALIGN_CORNERS`, `UNALIGN_CORNERS` or
            `OFFSET_CORNERS`, as the specification defines them.
    """
    if mode in SAME_POINTS and not (mode == "ALIGN_CORNERS" and 1 in sides):
        return over_batch(g, x, lambda v: _resize(g, v, sides, SAME_POINTS[mode]))
    _check_mode(mode)
    points = _offset_corners if mode == "OFFSET_CORNERS" else _align_corners

    def formula(v: Value) -> Value:
        for axis, side in ((-2, sides[0]), (-1, sides[1])):
            v = _interpolate(g, v, axis, points(v.size(axis), side))
        return v

    return g.in_float32(formula, x)


def upsample_linear(g: Graph, x: Value, height: float, width: float, mode: str) -> Value:
    """`x` [*B, H, W] scaled by factors, like `linear`.

    Args:
        g: The graph.
        x: The images.
        height: The factor for the height.
        width: The factor for the width.
        mode: `DEFAULT`, `STRICT_ALIGN_CORNERS` or `UNALIGN_CORNERS`.
    """
    if None not in (x.shape or (None,))[-2:] or not _whole(height, width):
        return linear(g, x, scaled_sides(x, height, width), mode)
    # Whole factors need no known sizes.
    scales, points = np.array([1, 1, height, width], np.float32), SAME_POINTS[mode]

    def formula(v: Value) -> Value:
        return g.Resize(v, None, scales, mode="linear", coordinate_transformation_mode=points)

    return over_batch(g, x, formula)


def _whole(*factors: float) -> bool:
    return all(factor >= 1 and factor == int(factor) for factor in factors)


def resize_dynamic(g: Graph, x: Value, sides: Mapping[int, Value], mode: str) -> Value:
    """`x` resized to sizes that are known only at run time.

    A size of 0 keeps the size of `x`; a negative or too large one stops the run.

    Args:
        g: The graph.
        x: The images.
        sides: An axis of `x` -> its new size, an int64 scalar.
        mode: As in `linear`, or `NEAREST_NEIGHBOR` for the sampling of `centers`.
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
            numbers = arange(g, g.Add(side, stop_if_large(g, count, v.dtype.itemsize)))
            if mode == "NEAREST_NEIGHBOR":
                middles = g.Add(g.Add(numbers, numbers), np.array(1, np.int64))
                v = g.Gather(v, g.Div(g.Mul(middles, size), g.Add(side, side)), axis=axis)
            else:
                points = _points_dynamic(g, numbers, size, side, mode)
                v = _interpolate_dynamic(g, v, axis, points, size)
        return v

    return formula(x) if mode == "NEAREST_NEIGHBOR" else g.in_float32(formula, x)


def nearest(
    g: Graph, x: Value, sides: tuple[int, int], points: Callable[[int, int], Array]
) -> Value:
    """`x` [*B, H, W] resized to `sides`; each result is one element of `x`.

    Args:
        g: The graph.
        x: The images.
        sides: The new height and width.
        points: Takes the old and the new size, returns the positions to take.
    """
    for axis, side in ((-2, sides[0]), (-1, sides[1])):
        x = g.Gather(x, points(x.size(axis), side), axis=axis)
    return x


def upsample_nearest(g: Graph, x: Value, height: float, width: float) -> Value:
    """`x` [*B, H, W] scaled by factors; each result is one element of `x`.

    If a factor is not an integer, the size is the product rounded down, and positions are scaled by
    the ratio of the sizes, as in coremltools' own tests.
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
    # coremltools computes a factor as (new size + 1e-4) / old size.
    if all(abs(size - whole) <= 1e-3 for size, whole in zip(exact, rounded, strict=True)):
        return nearest(g, x, check_sides(*rounded), edges)
    return nearest(g, x, scaled_sides(x, height, width), edges)


def centers(size: int, side: int) -> Array:
    """The element that contains the center of each result (TensorFlow's half-pixel centers)."""
    return (2 * np.arange(side) + 1) * size // (2 * side)


def edges(size: int, side: int) -> Array:
    """The element that contains the first edge of each result."""
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


def _interpolate(g: Graph, x: Value, axis: int, points: Array) -> Value:
    """`x` at fractional `points` along `axis`, interpolated linearly."""
    below = np.floor(points).astype(np.int64)
    above = np.minimum(below + 1, x.size(axis) - 1)
    part = (points - below).astype(x.dtype)
    return _mix(g, x, axis, *map(g.constant, (below, above, part)))


def _interpolate_dynamic(g: Graph, x: Value, axis: int, points: Value, size: Value) -> Value:
    """`_interpolate` for points (float64) along an axis whose `size` is known only at run time."""
    whole = g.Floor(points)
    below, part = g.cast(whole, np.int64), g.cast(g.Sub(points, whole), x.dtype)
    one = np.array(1, np.int64)
    return _mix(g, x, axis, below, g.Min(g.Add(below, one), g.Sub(size, one)), part)


def _mix(g: Graph, x: Value, axis: int, below: Value, above: Value, part: Value) -> Value:
    """`(1 - part) x[below] + part x[above]` along `axis`."""
    part = g.reshape(part, [-1] + [1] * (x.rank - 1 - axis % x.rank))
    low, high = g.Gather(x, below, axis=axis), g.Gather(x, above, axis=axis)
    return g.Add(low, g.Mul(g.Sub(high, low), part))


def _points_dynamic(g: Graph, numbers: Value, size: Value, side: Value, mode: str) -> Value:
    """The position in `size` elements of each of the `numbers` (0 to `side` - 1), in float64.

    In every mode the positions are `first + step * number`.
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

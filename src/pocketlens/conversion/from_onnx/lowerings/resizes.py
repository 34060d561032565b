"""Lowerings of resizing: linear along each axis, so a product with a constant matrix."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pocketlens.conversion.from_onnx.lowerings.registry import (
    Var,
    dtype_of,
    floats,
    full_axes,
    ints,
    is_float,
    lowers,
    mb,
    sizes,
)
from pocketlens.errors import ConversionError


@lowers("Resize")
def resize(
    x: Var,
    roi: Var = None,
    scales: Var = None,
    target: Var = None,
    *,
    antialias: int = 0,
    axes: Sequence[int] | None = None,
    coordinate_transformation_mode: str = "half_pixel",
    cubic_coeff_a: float = -0.75,
    exclude_outside: int = 0,
    extrapolation_value: float = 0.0,
    keep_aspect_ratio_policy: str = "stretch",
    mode: str = "nearest",
    nearest_mode: str = "round_prefer_floor",
) -> Var:
    own = sizes(x)
    at = full_axes(axes, len(own))
    factors = _per_axis(floats(scales, "scales") or [], at, [1.0] * len(own))
    wanted = list(own)
    if given := ints(target, "sizes"):
        for axis, size in zip(at, given, strict=True):
            wanted[axis] = size
        if keep_aspect_ratio_policy != "stretch":
            pick = min if keep_aspect_ratio_policy == "not_larger" else max
            common = pick(wanted[axis] / own[axis] for axis in at)
            for axis in at:
                wanted[axis] = math.floor(common * own[axis] + 0.5)
                factors[axis] = common
        else:
            factors = [new / old for new, old in zip(wanted, own, strict=True)]
    else:
        wanted = [math.floor(side * factor) for side, factor in zip(own, factors, strict=True)]
    if min(wanted) < 1:
        raise ConversionError(f"its result {wanted} is empty; Core ML has no empty tensors")
    crop = floats(roi, "roi") or []
    starts = _per_axis(crop[: len(crop) // 2], at, [0.0] * len(own))
    ends = _per_axis(crop[len(crop) // 2 :], at, [1.0] * len(own))
    if not is_float(x):
        x = mb.cast(x=x, dtype="fp32")
    moved = [axis for axis in range(len(own)) if wanted[axis] != own[axis] or factors[axis] != 1]
    if coordinate_transformation_mode == "tf_crop_and_resize":
        moved = at
    native = _native(
        x, own, wanted, moved, mode, coordinate_transformation_mode, nearest_mode, antialias
    )
    if native is not None:
        return native
    outside = np.zeros(wanted, bool)
    for axis in moved:
        places = _places(
            own[axis],
            wanted[axis],
            factors[axis],
            coordinate_transformation_mode,
            starts[axis],
            ends[axis],
        )
        matrix = _matrix(
            places,
            own[axis],
            factors[axis],
            mode,
            nearest_mode,
            cubic_coeff_a,
            bool(exclude_outside),
            bool(antialias),
        )
        x = _along(x, axis, matrix.astype(dtype_of(x)))
        if coordinate_transformation_mode == "tf_crop_and_resize":
            beyond = (places < 0) | (places > own[axis] - 1)
            shape = [1] * len(own)
            shape[axis] = -1
            outside |= beyond.reshape(shape)
    if outside.any():
        fill = np.full(wanted, extrapolation_value, dtype_of(x))
        x = mb.select(cond=outside, a=fill, b=x)
    return mb.identity(x=x)


def _per_axis(given: Sequence[float], axes: Sequence[int], default: list[float]) -> list[float]:
    if given:
        for axis, value in zip(axes, given, strict=True):
            default[axis] = value
    return default


def _native(
    x: Var,
    own: list[int],
    wanted: list[int],
    moved: list[int],
    mode: str,
    coordinates: str,
    nearest: str,
    antialias: int,
) -> Var | None:
    """Core ML's own op for the usual enlargements of images; None if it has none."""
    if len(own) != 4 or not set(moved) <= {2, 3} or antialias or not moved:
        return None
    if any(wanted[axis] % own[axis] for axis in (2, 3)):
        return None
    height, width = (wanted[axis] // own[axis] for axis in (2, 3))
    repeats = (coordinates == "asymmetric" and nearest == "floor") or (
        coordinates in ("half_pixel", "half_pixel_symmetric")
        and nearest in ("round_prefer_floor", "round_prefer_ceil")
    )
    if mode == "nearest" and repeats:
        return mb.upsample_nearest_neighbor(
            x=x, scale_factor_height=height, scale_factor_width=width
        )
    if mode == "linear" and coordinates in ("half_pixel", "pytorch_half_pixel"):
        return mb.upsample_bilinear(
            x=x,
            scale_factor_height=float(height),
            scale_factor_width=float(width),
            align_corners=False,
        )
    return None


def _along(x: Var, axis: int, matrix: NDArray[np.floating]) -> Var:
    """A tensor whose axis is multiplied by a matrix `(out, in)`."""
    rank = len(sizes(x))
    if rank == 1:
        return mb.squeeze(x=mb.matmul(x=matrix, y=mb.expand_dims(x=x, axes=[1])), axes=[1])
    if axis == rank - 1:
        return mb.matmul(x=x, y=np.ascontiguousarray(matrix.T))
    if axis == rank - 2:
        return mb.matmul(x=matrix, y=x)
    order = list(range(rank))
    order[axis], order[-1] = order[-1], order[axis]
    turned = mb.matmul(x=mb.transpose(x=x, perm=order), y=np.ascontiguousarray(matrix.T))
    return mb.transpose(x=turned, perm=order)


def _places(
    old: int, new: int, scale: float, coordinates: str, start: float, end: float
) -> NDArray[np.float64]:
    """Where each element of the result lies in the source."""
    at = np.arange(new, dtype=np.float64)
    length = scale * old  # not rounded
    if coordinates == "align_corners":
        return at * (old - 1) / (length - 1) if length != 1 else 0 * at
    if coordinates == "asymmetric":
        return at / scale
    if coordinates == "tf_crop_and_resize":
        if new == 1:
            return np.full(1, (end - start) * (old - 1) / 2 + start * (old - 1))
        return at * (end - start) * (old - 1) / (new - 1) + start * (old - 1)
    if coordinates == "pytorch_half_pixel" and new == 1:
        return 0 * at - 0.5
    half = (at + 0.5) / scale - 0.5
    if coordinates == "half_pixel_symmetric":
        adjustment = new / length
        center = old / 2
        return center * (1 - adjustment) + half
    if coordinates in ("half_pixel", "pytorch_half_pixel"):
        return half
    raise ConversionError(f"the coordinate mode {coordinates!r} is unknown")


def _matrix(
    places: NDArray[np.float64],
    old: int,
    scale: float,
    mode: str,
    nearest: str,
    a: float,
    exclude_outside: bool,
    antialias: bool,
) -> NDArray[np.float64]:
    """The share `(out, in)` of each source element in each result."""
    rows = np.zeros((len(places), old))
    if mode == "nearest":
        rounded = {
            "round_prefer_floor": np.ceil(places - 0.5),
            "round_prefer_ceil": np.floor(places + 0.5),
            "floor": np.floor(places),
            "ceil": np.ceil(places),
        }
        chosen = rounded[nearest]
        rows[np.arange(len(places)), chosen.clip(0, old - 1).astype(int)] = 1
        return rows
    wide = min(scale, 1.0) if antialias else 1.0
    reach = math.ceil((2 if mode == "cubic" else 1) / wide) + 1
    for row, place in enumerate(places):
        base = math.floor(place)
        near = np.arange(base - reach, base + reach + 1)
        away = np.abs(near - place) * wide
        if mode == "cubic":
            share = np.where(
                away <= 1,
                ((a + 2) * away - (a + 3)) * away**2 + 1,
                np.where(away < 2, ((a * away - 5 * a) * away + 8 * a) * away - 4 * a, 0),
            )
        else:
            share = np.maximum(0, 1 - away)
        if exclude_outside:
            share = np.where((near < 0) | (near > old - 1), 0, share)
        if antialias or exclude_outside:
            share = share / share.sum()
        np.add.at(rows[row], near.clip(0, old - 1), share)
    return rows

"""Lowerings of resizing: along each axis a constant linear map, or a choice of rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from pocketlens.conversion.lowerings.axes import linear_maps
from pocketlens.conversion.lowerings.registry import lowers

aten = torch.ops.aten


@lowers(aten.upsample_nearest1d.vec, aten.upsample_nearest2d.vec, aten.upsample_nearest3d.vec)
def upsample_nearest(x: Tensor, size: Sequence[int] | None, scales: Sequence[float] | None) -> Any:
    axes = _axes(x, size, scales)
    if all(float(scale).is_integer() for _, _, scale in axes) and x.ndim == 4:
        return NotImplemented
    return _chosen_rows(x, axes, "nearest")


@lowers(
    aten._upsample_nearest_exact1d.vec,
    aten._upsample_nearest_exact2d.vec,
    aten._upsample_nearest_exact3d.vec,
)
def upsample_nearest_exact(
    x: Tensor, size: Sequence[int] | None, scales: Sequence[float] | None
) -> Tensor:
    return _chosen_rows(x, _axes(x, size, scales), "nearest-exact")


def _chosen_rows(x: Tensor, axes: Sequence[tuple[int, dict[str, Any], float]], mode: str) -> Tensor:
    for dim, options, _ in axes:
        numbers = torch.arange(float(x.shape[dim])).reshape(1, 1, -1)
        rows = F.interpolate(numbers, mode=mode, **options).reshape(-1).long()
        x = x.index_select(dim, rows)
    return x


def _axes(
    x: Tensor, size: Sequence[int] | None, scales: Sequence[float] | None
) -> list[tuple[int, dict[str, Any], float]]:
    """Each axis that changes: its number, its options for `F.interpolate`, its factor."""
    axes: list[tuple[int, dict[str, Any], float]] = []
    for index in range(x.ndim - 2):
        if scales is not None:
            axes.append((2 + index, {"scale_factor": scales[index]}, scales[index]))
        elif size is not None:
            side = x.shape[2 + index]
            axes.append((2 + index, {"size": size[index]}, size[index] / side))
    return axes


@lowers(aten.upsample_linear1d.vec, aten.upsample_trilinear3d.vec)
def upsample_linear(
    x: Tensor, size: Sequence[int] | None, corners: bool, scales: Sequence[float] | None
) -> Tensor:
    return _resized(x, size, scales, mode="linear", align_corners=corners)


@lowers(aten.upsample_bilinear2d.vec)
def upsample_bilinear(
    x: Tensor, size: Sequence[int] | None, corners: bool, scales: Sequence[float] | None
) -> Any:
    if corners or scales is None or all(float(scale).is_integer() for scale in scales):
        return NotImplemented
    return _resized(x, size, scales, mode="linear", align_corners=corners)


@lowers(aten._upsample_bilinear2d_aa.vec)
def upsample_bilinear_aa(
    x: Tensor, size: Sequence[int] | None, corners: bool, scales: Sequence[float] | None
) -> Tensor:
    return _resized(x, size, scales, mode="bilinear", align_corners=corners, antialias=True)


@lowers(aten._upsample_bicubic2d_aa.vec)
def upsample_bicubic_aa(
    x: Tensor, size: Sequence[int] | None, corners: bool, scales: Sequence[float] | None
) -> Tensor:
    return _resized(x, size, scales, mode="bicubic", align_corners=corners, antialias=True)


def _resized(
    x: Tensor, size: Sequence[int] | None, scales: Sequence[float] | None, **options: Any
) -> Tensor:
    matrices = []
    for dim, axis, _ in _axes(x, size, scales):
        unit = torch.eye(x.shape[dim])[None]  # what each row contributes
        if options["mode"] == "linear":
            matrices.append(F.interpolate(unit, **axis, **options)[0].T)
        else:  # PyTorch has these modes for planes only, so the other axis keeps its size
            ((key, value),) = axis.items()
            both: dict[str, Any] = {key: (value, x.shape[dim] if key == "size" else 1.0)}
            matrices.append(F.interpolate(unit[None], **both, **options)[0, 0])
    return linear_maps(x, matrices)

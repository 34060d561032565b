"""Lowerings of normalizations and statistics."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from pocketlens.conversion.lowerings.registry import lowers

aten = torch.ops.aten


@lowers(aten.rms_norm.default)
def rms_norm(
    x: Tensor, shape: Sequence[int], weight: Tensor | None = None, eps: float | None = None
) -> Tensor:
    eps = torch.finfo(x.dtype).eps if eps is None else eps
    squares = (x * x).mean(list(range(-len(shape), 0)), keepdim=True)
    y = x * torch.rsqrt(squares + eps)
    return y if weight is None else y * weight


@lowers(aten.instance_norm.default)
def instance_norm(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    mean: Tensor | None,
    variance: Tensor | None,
    use_input_stats: bool,
    _momentum: float,
    eps: float,
    *_: Any,
) -> Any:
    if use_input_stats or mean is None or variance is None:
        return NotImplemented
    # coremltools takes the statistics of the input in any case.
    sides = (-1, *(1,) * (x.ndim - 2))
    factor = torch.rsqrt(variance + eps) * (1 if weight is None else weight)
    offset = -mean * factor + (0 if bias is None else bias)
    return x * factor.reshape(sides) + offset.reshape(sides)


@lowers(aten.var.correction)
def var(
    x: Tensor,
    dim: Sequence[int] | None = None,
    *,
    correction: float | None = None,
    keepdim: bool = False,
) -> Tensor:
    # Without `dim`, coremltools divides by the number of elements whatever the correction is.
    dims = list(range(x.ndim)) if not dim else list(dim)
    off = x - x.mean(dims, keepdim=True)
    count = math.prod(x.shape[each] for each in dims)
    squares: Tensor = (off * off).sum(dims, keepdim=keepdim)
    return squares / (count - (1 if correction is None else correction))


@lowers(aten.std.correction)
def std(x: Tensor, dim: Sequence[int] | None = None, **options: Any) -> Tensor:
    return torch.sqrt(var(x, dim, **options))

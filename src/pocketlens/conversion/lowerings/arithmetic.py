"""Lowerings of arithmetic."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from pocketlens.conversion.lowerings.registry import lowers

aten = torch.ops.aten


# coremltools ignores `alpha`, a keyword argument.


@lowers(aten.add.Tensor, aten.add.Scalar)
def add(x: Tensor, y: Any, *, alpha: float = 1) -> Any:
    return NotImplemented if alpha == 1 else x + alpha * y


@lowers(aten.sub.Tensor, aten.sub.Scalar)
def sub(x: Tensor, y: Any, *, alpha: float = 1) -> Any:
    return NotImplemented if alpha == 1 else x - alpha * y


@lowers(aten.rsub.Tensor, aten.rsub.Scalar)
def rsub(x: Tensor, y: Any, alpha: float = 1) -> Any:
    return NotImplemented if alpha == 1 else y - alpha * x


# coremltools ignores `dtype`: zeros like truth values are truth values, not numbers.


@lowers(aten.zeros_like.default)
def zeros_like(x: Tensor, *, dtype: torch.dtype | None = None, **_: Any) -> Any:
    return (
        NotImplemented
        if dtype in (None, x.dtype)
        else torch.zeros_like(aten._to_copy.default(x, dtype=dtype))
    )


@lowers(aten.ones_like.default)
def ones_like(x: Tensor, *, dtype: torch.dtype | None = None, **_: Any) -> Any:
    return (
        NotImplemented
        if dtype in (None, x.dtype)
        else torch.ones_like(aten._to_copy.default(x, dtype=dtype))
    )


@lowers(aten.full_like.default)
def full_like(x: Tensor, value: float, *, dtype: torch.dtype | None = None, **_: Any) -> Any:
    return (
        NotImplemented
        if dtype in (None, x.dtype)
        else torch.full_like(aten._to_copy.default(x, dtype=dtype), value)
    )


@lowers(aten.clamp.Tensor)
def clamp(x: Tensor, least: Tensor | None = None, most: Tensor | None = None) -> Tensor:
    x = x if least is None else torch.maximum(x, least)
    return x if most is None else torch.minimum(x, most)


@lowers(aten.cosine_similarity.default)
def cosine_similarity(x: Tensor, y: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    # coremltools ignores `eps`.
    lengths = [torch.sqrt((each * each).sum(dim, keepdim=True)).clamp(min=eps) for each in (x, y)]
    return (x / lengths[0] * (y / lengths[1])).sum(dim)


@lowers(aten.atan2.default)
def atan2(y: Tensor, x: Tensor) -> Tensor:
    # coremltools returns 0 for y = 0 and x < 0, and NaN for 0 and 0.
    minus_zero = torch.logical_and(y == 0, torch.full_like(y, 1.0) / y < 0)
    below = torch.logical_or(y < 0, minus_zero)
    half = torch.where(below, torch.full_like(y, -math.pi), torch.full_like(y, math.pi))
    nothing = torch.zeros_like(y)
    angle = torch.atan(y / torch.where(x == 0, torch.full_like(x, 1.0), x))
    angle = angle + torch.where(x < 0, half, nothing)
    upright = torch.where(y == 0, nothing, half / 2)
    return torch.where(x == 0, upright, angle)


@lowers(aten.trunc.default)
def trunc(x: Tensor) -> Tensor:
    return torch.sign(x) * torch.floor(torch.abs(x))


@lowers(aten.fmod.Scalar, aten.fmod.Tensor)
def fmod(x: Tensor, y: Tensor | float) -> Any:
    if not x.is_floating_point():
        return NotImplemented
    return x - trunc(x / y) * y


@lowers(aten.reciprocal.default)
def reciprocal(x: Tensor) -> Tensor:
    # Core ML's `inverse` adds 1e-4 to the divisor.
    return torch.full_like(x, 1.0) / x


@lowers(aten.cumsum.default)
def cumsum(x: Tensor, dim: int, **options: Any) -> Any:
    # Of the negative axes, coremltools accepts the last one only.
    return NotImplemented if dim >= -1 else torch.cumsum(x, dim + x.ndim, **options)


@lowers(aten.bucketize.Tensor)
def bucketize(x: Tensor, boundaries: Tensor, *, right: bool = False, **_: Any) -> Tensor:
    x = x.unsqueeze(-1)
    above: Tensor = x >= boundaries if right else x > boundaries
    return torch.where(above, 1, 0).sum(-1)


@lowers(aten.one_hot.default)
def one_hot(x: Tensor, classes: int = -1) -> Any:
    # coremltools takes integers only, and makes other numbers of some integers, as in `clamp`.
    return (
        NotImplemented if classes < 0 else torch.where(x[..., None] == torch.arange(classes), 1, 0)
    )

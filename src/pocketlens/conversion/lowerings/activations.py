"""Lowerings of activations, and of choices between two tensors."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from pocketlens.conversion.lowerings.registry import lowers

aten = torch.ops.aten


@lowers(aten.gelu.default)
def gelu(x: Tensor, *, approximate: str = "none") -> Any:
    if approximate == "none":
        return NotImplemented
    # coremltools 9 ignores keyword arguments of this op.
    return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)))


@lowers(aten.softplus.default)
def softplus(x: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Any:
    if threshold >= 20:  # beyond it, the two branches differ by less than 3e-9
        return NotImplemented
    y = x * beta
    return torch.where(y > threshold, x, _softplus(y) / beta)


@lowers(aten.log_sigmoid.default)
def log_sigmoid(x: Tensor) -> Tensor:
    return -_softplus(-x)


def _softplus(x: Tensor) -> Tensor:
    """Does not overflow."""
    return torch.relu(x) + torch.log(1 + torch.exp(-torch.abs(x)))


@lowers(aten.log_softmax.int, aten._log_softmax.default)
def log_softmax(x: Tensor, dim: int, *_: Any) -> Tensor:
    # coremltools computes log(softmax(x)), where small probabilities become 0.
    less = x - x.amax(dim, keepdim=True)
    return less - torch.log(torch.exp(less).sum(dim, keepdim=True))


@lowers(aten.where.ScalarSelf)
def where_number_first(condition: Tensor, number: float, other: Tensor) -> Tensor:
    # Core ML wants both of one type.
    return torch.where(condition, torch.full_like(other, number), other)


@lowers(aten.where.ScalarOther)
def where_number_last(condition: Tensor, x: Tensor, number: float) -> Tensor:
    return torch.where(condition, x, torch.full_like(x, number))


@lowers(aten.prelu.default)
def prelu(x: Tensor, weight: Tensor) -> Any:
    if x.ndim == 4 or weight.numel() == 1:
        return NotImplemented
    slope = weight.reshape(-1, *(1,) * (x.ndim - 2))
    return torch.relu(x) - slope * torch.relu(-x)


MASKED = -3e4
"""In place of minus infinity in a mask: within float16, and e to its power is 0."""


@lowers(aten.scaled_dot_product_attention.default)
def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Any:
    # A row whose positions are all masked is 0 in PyTorch, and not a number in Core ML.
    if (
        attn_mask is None
        or not attn_mask.is_floating_point()
        or dropout_p
        or is_causal
        or enable_gqa
    ):
        return NotImplemented
    factor = query.shape[-1] ** -0.5 if scale is None else scale
    mask = attn_mask.clamp(min=MASKED)
    shares = torch.softmax((query * factor) @ key.transpose(-2, -1) + mask, -1)
    seen = mask.amax(-1, keepdim=True) > MASKED / 2
    return torch.where(seen, shares, torch.zeros_like(shares)) @ value

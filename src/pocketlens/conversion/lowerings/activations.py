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

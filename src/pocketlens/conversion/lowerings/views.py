"""Lowerings of views."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from pocketlens.conversion.lowerings.registry import lowers

aten = torch.ops.aten


@lowers(aten.as_strided.default)
def as_strided(
    x: Tensor, size: Sequence[int], stride: Sequence[int], offset: int | None = None
) -> Tensor:
    # The numbers at positions that are known, of a tensor without gaps.
    positions = torch.full((), offset or 0, dtype=torch.int64)
    for length, step in zip(size, stride, strict=True):
        positions = positions[..., None] + torch.arange(length) * step
    return x.reshape(-1).index_select(0, positions.reshape(-1)).reshape(size)

"""Lowerings of pooling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from pocketlens.conversion.lowerings.axes import full, linear_maps
from pocketlens.conversion.lowerings.registry import lowers

aten = torch.ops.aten


@lowers(aten.avg_pool1d.default, aten.avg_pool2d.default, aten.avg_pool3d.default)
def avg_pool(
    x: Tensor,
    kernel: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0,),
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Any:
    if not ceil_mode and divisor_override is None:
        return NotImplemented
    # The mean over whole windows of a zero-padded image, times a constant map: window size divided
    # by PyTorch's divisor.
    count = x.ndim - 2
    kernel, padding = full(kernel, count), full(padding, count)
    stride = full(stride, count) if stride else kernel
    pool = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}[count]
    options: dict[str, Any] = {} if count == 1 else {"divisor_override": divisor_override}
    ones = torch.ones(1, 1, *x.shape[2:])
    kept = pool(ones, kernel, stride, padding, ceil_mode, count_include_pad, **options)
    sides: list[int] = []
    for size, k, s, p, out in zip(
        x.shape[2:], kernel, stride, padding, kept.shape[2:], strict=True
    ):
        sides = [p, max(0, (out - 1) * s + k - size - p), *sides]
    covered = pool(F.pad(ones, sides), kernel, stride)  # the share of each window that is image
    for dim, side in enumerate(kept.shape[2:], start=2):
        covered = covered.narrow(dim, 0, side)
    whole = pool(F.pad(x, sides), kernel, stride)
    for dim, side in enumerate(kept.shape[2:], start=2):
        whole = whole.narrow(dim, 0, side)
    return whole * (kept / covered)


@lowers(
    aten.adaptive_avg_pool1d.default,
    aten.adaptive_avg_pool2d.default,
    aten._adaptive_avg_pool2d.default,
    aten.adaptive_avg_pool3d.default,
    aten._adaptive_avg_pool3d.default,
)
def adaptive_avg_pool(x: Tensor, size: Sequence[int]) -> Any:
    sides = list(zip(x.shape[2:], size, strict=True))
    if x.ndim < 5 and all(side % out == 0 for side, out in sides):
        return NotImplemented
    # Windows of different sizes; coremltools has an op for each of them, or none.
    return linear_maps(x, [_adaptive_matrix(*each) for each in sides])


def _adaptive_matrix(side: int, out: int) -> Tensor:
    return F.adaptive_avg_pool1d(torch.eye(side)[:, None], out)[:, 0].T


@lowers(aten.max_pool1d.default, aten.max_pool2d.default)
def max_pool(
    x: Tensor,
    kernel: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0,),
    dilation: Sequence[int] = (1,),
    ceil_mode: bool = False,
) -> Any:
    count = x.ndim - 2
    kernel, dilation = full(kernel, count), full(dilation, count)
    if all(each == 1 for each in dilation):
        return NotImplemented
    stride = full(stride, count) if stride else kernel
    padding = full(padding, count)
    pool = F.max_pool1d if count == 1 else F.max_pool2d
    outs = pool(x, kernel, stride, padding, dilation, ceil_mode).shape[2:]
    for index, out in enumerate(outs):
        dim, k, d = 2 + index, kernel[index], dilation[index]
        s, p, size = stride[index], padding[index], x.shape[2 + index]
        last = (out - 1) * s + (k - 1) * d + 1
        sides = [*(0, 0) * (count - 1 - index), p, max(0, last - size - p)]
        padded = F.pad(x, sides, value=float("-inf")) if any(sides) else x
        parts = [
            padded[(slice(None),) * dim + (slice(i * d, i * d + (out - 1) * s + 1, s),)]
            for i in range(k)
        ]
        x = parts[0]
        for part in parts[1:]:
            x = torch.maximum(x, part)
    return x

"""Lowerings of padding, convolutions and bilinear layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from pocketlens.conversion.lowerings.registry import lowers

aten = torch.ops.aten


@lowers(aten.pad.default, aten.constant_pad_nd.default)
def pad(x: Tensor, sides: Sequence[int], mode: Any = "constant", value: Any = None) -> Any:
    if mode == "circular":
        return pad_circular(x, sides)
    if mode == "replicate" and x.ndim == 5:  # a NeuralNetwork has no such layer
        for pair in range(len(sides) // 2):
            dim = x.ndim - 1 - pair
            rows = torch.arange(-sides[2 * pair], x.shape[dim] + sides[2 * pair + 1])
            x = x.index_select(dim, rows.clamp(0, x.shape[dim] - 1))
        return x
    if min(sides) >= 0 or mode in ("reflect", "replicate"):
        return NotImplemented
    if not isinstance(mode, str):  # constant_pad_nd
        value = mode
    for pair in range(len(sides) // 2):
        dim, cut = x.ndim - 1 - pair, [max(0, -side) for side in sides[2 * pair : 2 * pair + 2]]
        x = x.narrow(dim, cut[0], x.shape[dim] - sum(cut))
    return F.pad(x, [max(0, side) for side in sides], value=value or 0.0)


@lowers(aten._pad_circular.default)
def pad_circular(x: Tensor, sides: Sequence[int]) -> Tensor:
    for pair in range(len(sides) // 2):
        dim, (before, after) = x.ndim - 1 - pair, sides[2 * pair : 2 * pair + 2]
        size = x.shape[dim]
        inner = x.narrow(dim, max(0, -before), size - max(0, -before) - max(0, -after))
        parts = [inner]
        if before > 0:
            parts.insert(0, x.narrow(dim, size - before, before))
        if after > 0:
            parts.append(x.narrow(dim, 0, after))
        x = torch.cat(parts, dim) if len(parts) > 1 else inner
    return x


@lowers(aten.conv_transpose1d.default, aten.conv_transpose2d.input, aten.conv_transpose3d.input)
def conv_transpose(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sequence[int] = (1,),
    padding: Sequence[int] = (0,),
    output_padding: Sequence[int] = (0,),
    groups: int = 1,
    dilation: Sequence[int] = (1,),
) -> Any:
    if not any(output_padding):
        return NotImplemented
    count = x.ndim - 2
    stride, padding, output_padding, dilation = (
        [*each] * count if len(each) == 1 else each
        for each in (stride, padding, output_padding, dilation)
    )
    make = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}[count]
    y: Tensor = make(x, weight, None, stride, 0, 0, groups, dilation)
    for index in range(count):
        dim, more = 2 + index, max(0, output_padding[index] - padding[index])
        if more:  # beyond what the kernel reaches
            y = F.pad(y, [*(0, 0) * (count - 1 - index), 0, more])
        size = y.shape[dim] - padding[index]
        size -= max(0, padding[index] - output_padding[index])
        y = y.narrow(dim, padding[index], size)
    return y if bias is None else y + bias.reshape(-1, *(1,) * count)


@lowers(aten._trilinear.default)
def trilinear(
    a: Tensor,
    b: Tensor,
    c: Tensor,
    expand_a: Sequence[int],
    expand_b: Sequence[int],
    expand_c: Sequence[int],
    summed: Sequence[int],
    *_: Any,
) -> Tensor:
    for dims, which in ((expand_a, 0), (expand_b, 1), (expand_c, 2)):
        for dim in sorted(dims):
            a = a.unsqueeze(dim) if which == 0 else a
            b = b.unsqueeze(dim) if which == 1 else b
            c = c.unsqueeze(dim) if which == 2 else c
    return (a * b * c).sum(list(summed))

"""Shapes, indexing, scattering, types."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

__all__ = ["ROWS"]

ROWS: dict[str, Any] = {
    "roll(3)": lambda x: torch.roll(x, 3, 2),
    "roll(-3, 2)": lambda x: torch.roll(x, (-3, 2), (2, 3)),
    "roll(flattened)": lambda x: torch.roll(x, 5),
    "flip": lambda x: x.flip(1, 3),
    "rot90": lambda x: torch.rot90(x, 1, (2, 3)),
    "rot90(3)": lambda x: torch.rot90(x, 3, (3, 2)),
    "permute": lambda x: x.permute(0, 3, 1, 2),
    "movedim": lambda x: x.movedim(1, 3),
    "reshape": lambda x: x.reshape(1, 4, -1),
    "expand": lambda x: x[:, :1].expand(1, 4, 12, 12),
    "repeat": lambda x: x.repeat(1, 2, 1, 3),
    "repeat_interleave": lambda x: x.repeat_interleave(3, 2),
    "tile": lambda x: x.tile(2, 1, 3),
    "x[..., ::2, 1::3]": lambda x: x[..., ::2, 1::3],
    "x[:, [2, 0]]": lambda x: x[:, [2, 0]],
    "x[:, :, -3:, :-2]": lambda x: x[:, :, -3:, :-2],
    "x[:, :, index, index]": lambda x: x[:, :, torch.tensor([1, 5]), torch.tensor([0, -1])],
    "x[:, index, :, index]": lambda x: x[:, torch.tensor([1, 2]), :, torch.tensor([0, -1])],
    "index_select": lambda x: x.index_select(3, torch.tensor([5, 0, 11])),
    "gather": lambda x: x.gather(3, x.argsort(3)),
    "gather(index smaller)": lambda x: x.gather(2, x.argmax(2, keepdim=True)),
    "take_along_dim": lambda x: torch.take_along_dim(x, x.argsort(2), 2),
    "take": lambda x: torch.take(x, torch.tensor([5, 100, 431])),
    "scatter": lambda x: torch.zeros(1, 3, 12, 12).scatter(3, x.argsort(3), x),
    "scatter_add": lambda x: x.scatter_add(3, x.argsort(3), x),
    "scatter_add(colliding)": lambda x: x.scatter_add(3, x.abs().long(), x),
    "scatter_reduce(amax)": lambda x: x.scatter_reduce(3, x.argsort(3), x.flip(2), "amax"),
    "scatter(number)": lambda x: x.scatter(3, x.argmax(3, keepdim=True), 7.0),
    "index_add": lambda x: x.index_add(2, torch.tensor([0, 0, 3]), x[:, :, :3], alpha=2.0),
    "index_copy": lambda x: x.index_copy(2, torch.tensor([0, 4, 3]), x[:, :, :3]),
    "index_fill": lambda x: x.index_fill(2, torch.tensor([0, 4]), 3.0),
    "select_scatter": lambda x: torch.select_scatter(x, x[:, :, 0], 2, 5),
    "slice_scatter": lambda x: torch.slice_scatter(x, x[:, :, :4], 2, 1, 9, 2),
    "in-place slice": lambda x: _assign(x),
    "chunk": lambda x: x.chunk(5, 3)[2] + x.chunk(5, 3)[1],
    "split": lambda x: x.split([2, 7, 3], 2)[1],
    "tensor_split": lambda x: x.tensor_split(5, 3)[0],
    "unbind": lambda x: x.unbind(1)[2],
    "narrow": lambda x: x.narrow(2, 3, 4),
    "stack": lambda x: torch.stack([x, x.flip(2)], 2),
    "cat": lambda x: torch.cat([x, x.flip(2)[:, :1]], 1),
    "hstack": lambda x: torch.hstack([x, 2 * x]),
    "meshgrid": lambda x: (
        x * torch.meshgrid(torch.arange(12.0), torch.arange(12.0), indexing="ij")[0]
    ),
    "linspace": lambda x: x * torch.linspace(-1, 1, 12),
    "arange": lambda x: x * torch.arange(0, 6, 0.5),
    "full_like": lambda x: x + torch.full_like(x, 0.3),
    "new_zeros": lambda x: torch.cat([x, x.new_zeros(1, 1, 12, 12)], 1),
    "eye": lambda x: x @ (torch.eye(12) + 0.5),
    "as_strided": lambda x: x.as_strided((1, 3, 5, 5), (432, 144, 24, 2)),
    "unflatten": lambda x: x.unflatten(2, (3, 4)).sum(2),
    "squeeze": lambda x: x[:, :1].squeeze(1),
    "triu_indices": lambda x: x[:, 0][:, *torch.triu_indices(12, 12, 1)],
    "complex abs: fft": lambda x: torch.fft.fft2(x).abs(),
    "rfft": lambda x: torch.view_as_real(torch.fft.rfft(x)),
    "float64": lambda x: (x.double() * 1.000001 + 1e-9).float(),
    "half": lambda x: (x.half() * 3).float(),
    "bfloat16": lambda x: (x.bfloat16() * 3).float(),
    "uint8": lambda x: (40 * (x + 2)).to(torch.uint8).float(),
}


def _assign(x: Tensor) -> Tensor:
    y = x.clone()
    y[:, :, 2:5, ::2] = y[:, :, 6:9, ::2] * 2
    return y

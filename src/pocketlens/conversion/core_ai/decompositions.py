"""The program in ops that `coreai-torch` has: PyTorch's own decompositions, and a few of ours."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from pocketlens.compat import core_ai_ops, pytorch_decompositions
from pocketlens.conversion.quiet import quiet

__all__ = ["in_known_ops"]

aten = torch.ops.aten


def var_mean(
    x: Tensor,
    dim: Sequence[int] | None = None,
    *,
    correction: float | None = None,
    keepdim: bool = False,
) -> tuple[Tensor, Tensor]:
    """Variance and mean."""
    dims = list(range(x.ndim)) if dim is None else list(dim)
    mean = x.mean(dims, keepdim=True)
    count = 1
    for each in dims:
        count *= x.shape[each]
    less = max(0.0, count - (1.0 if correction is None else correction))
    squares = ((x - mean) * (x - mean)).sum(dims, keepdim=keepdim)
    return squares / less, x.mean(dims, keepdim=keepdim)


def var(
    x: Tensor,
    dim: Sequence[int] | None = None,
    *,
    correction: float | None = None,
    keepdim: bool = False,
) -> Tensor:
    """Variance."""
    return var_mean(x, dim, correction=correction, keepdim=keepdim)[0]


def isnan(x: Tensor) -> Tensor:
    """Whether each number is none."""
    return torch.logical_not(x == x)


def remainder(x: Any, y: Any) -> Tensor:
    """With the sign of the divisor."""
    found: Tensor = x - torch.floor(x / y) * y
    return found


def cumprod(x: Tensor, dim: int, *, dtype: torch.dtype | None = None) -> Tensor:
    """The product of the numbers so far."""
    x = x if dtype is None else x.to(dtype)
    parts = [x.select(dim, 0)]
    for index in range(1, x.shape[dim]):
        parts.append(parts[-1] * x.select(dim, index))
    return torch.stack(parts, dim)


def unfold(x: Tensor, dim: int, size: int, step: int) -> Tensor:
    """Windows of one axis, as the last axis."""
    dim %= x.ndim
    count = (x.shape[dim] - size) // step + 1
    places = torch.arange(count)[:, None] * step + torch.arange(size)
    found = x.index_select(dim, places.reshape(-1))
    windows = found.reshape(*x.shape[:dim], count, size, *x.shape[dim + 1 :])
    return windows.movedim(dim + 1, -1)


def diagonal(x: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """The diagonal of two axes, as the last axis."""
    x = x.movedim((dim1, dim2), (-2, -1))
    height, width = x.shape[-2:]
    first = offset if offset >= 0 else -offset * width
    count = max(0, min(height + min(0, offset), width - max(0, offset)))
    places = torch.arange(count) * (width + 1) + first
    return x.flatten(-2).index_select(-1, places)


OWN: dict[Any, Callable[..., Any]] = {
    aten.var.correction: var,
    aten.var_mean.correction: var_mean,
    aten.isnan.default: isnan,
    aten.remainder.Scalar: remainder,
    aten.remainder.Scalar_Tensor: remainder,
    aten.cumprod.default: cumprod,
    aten.diagonal.default: diagonal,
    aten.unfold.default: unfold,
}
"""Ops that PyTorch's decompositions express in ops that Apple's converter does not have, or by
reading the memory behind a view."""


def in_known_ops(program: torch.export.ExportedProgram) -> torch.export.ExportedProgram:
    """The program, with each op that the converter lacks expressed in others, if that is known."""
    with quiet():
        # It warns of every build of PyTorch with a suffix, such as `+cpu`.
        warnings.filterwarnings("ignore", "coreai-torch has only been validated", UserWarning)
        import coreai_torch

        known = core_ai_ops()
    table: dict[Any, Any] = coreai_torch.get_decomp_table()
    kept = set(torch.export.default_decompositions()) - set(table)
    possible = {**pytorch_decompositions(), **OWN}
    table.update({op: OWN[op] for op in OWN if op in table})
    tried: set[Any] = set()
    while table:
        program = program.run_decompositions(table)
        tried |= set(table)
        table = {
            node.target: possible[node.target]
            for node in program.graph.nodes
            if node.op == "call_function"
            and node.target in possible
            and node.target not in tried | kept
            and str(node.target).removeprefix("aten.") not in known
        }
    return program

"""Matrix products."""

from __future__ import annotations

import math

import numpy as np

from pocketlens.coreml.graph import Graph, Value
from pocketlens.coreml.ops.common.ordering import arange, size_along

__all__ = ["band", "linear", "swap_last_axes"]


def linear(g: Graph, x: Value, weight: Value, bias: Value | None) -> Value:
    """`x Wᵀ + b`: x [*D, Din], weight [Dout, Din], bias [Dout] -> [*D, Dout].

    `Gemm` takes the weight as stored in the file and rounds once; `MatMul` needs it transposed,
    which would be a second copy in memory. There is no `Gemm` for integers; `MatMul` is exact.
    """
    floating = x.dtype.kind == "f"
    if floating and x.rank == 2:
        return g.Gemm(x, weight, bias, transB=1)
    leading = [-1 if size is None else size for size in (x.shape or ())[:-1]]
    if floating and (-1 not in leading or (leading.count(-1) == 1 and 0 not in leading)):
        rows = g.reshape(x, [-1 if -1 in leading else math.prod(leading), weight.size(1)])
        return g.reshape(g.Gemm(rows, weight, bias, transB=1), [*leading, weight.size(0)])
    product = g.MatMul(x, g.transpose(weight, [1, 0]))
    return product if bias is None else g.Add(product, bias)


def band(g: Graph, x: Value, lower: int | None, upper: int | None) -> Value:
    """`x` with zeros outside a band around the diagonal of its last two dimensions.

    Args:
        g: The graph.
        x: Rank 2 or more.
        lower: The number of diagonals to keep below the main one; negative: the main one and
            diagonals above it are dropped too. None: all.
        upper: The number to keep above it, in the same way. None: all.
    """
    rows, columns = (size_along(g, x, axis) for axis in (-2, -1))
    below = g.Sub(arange(g, rows, dims_after=1), arange(g, columns))
    for far, limit in ((below, lower), (g.Neg(below), upper)):
        if limit is not None:
            inside = g.LessOrEqual(far, g.constant(limit, np.int64))
            x = g.Where(inside, x, g.like(0, x))
    return x


def swap_last_axes(g: Graph, x: Value) -> Value:
    """`x` with its last two dimensions swapped."""
    axes = list(range(x.rank))
    return g.transpose(x, [*axes[:-2], axes[-1], axes[-2]])

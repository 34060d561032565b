"""Matrix products."""

from __future__ import annotations

import numpy as np

from pocketlens.coreml.graph import Graph, Value

__all__ = ["linear"]


def linear(g: Graph, x: Value, weight: Value, bias: Value | None) -> Value:
    """`x Wᵀ + b`: x [*D, Din], weight [Dout, Din], bias [Dout] -> [*D, Dout]."""
    if x.rank == 2:
        return g.Gemm(x, weight, bias, transB=1)
    if weight.const is not None:
        transposed = g.constant(np.ascontiguousarray(weight.const.T))
    else:
        transposed = g.transpose(weight, [1, 0])
    product = g.MatMul(x, transposed)
    return product if bias is None else g.Add(product, bias)

"""Matrix products."""

from __future__ import annotations

from pocketlens.coreml.graph import Graph, Value, Values
from pocketlens.coreml.lower.matrix import linear as linear_
from pocketlens.coreml.lower.matrix import swapped
from pocketlens.coreml.table import mil


@mil()
def linear(
    g: Graph,
    x: Value,  # [*D, Din]
    weight: Value,  # [Dout, Din]
    bias: Value | None = None,  # [Dout]
) -> Value:
    return linear_(g, x, weight, bias)


@mil()
def matmul(
    g: Graph, x: Value, y: Value, transpose_x: bool = False, transpose_y: bool = False
) -> Value:
    left = swapped(g, x) if transpose_x else x
    right = swapped(g, y) if transpose_y else y
    return g.MatMul(left, right)


@mil()
def einsum(g: Graph, values: Values, equation: str) -> Value:
    return g.Einsum(*values, equation=equation)

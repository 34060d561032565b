"""Matrix products."""

from __future__ import annotations

from pocketlens.coreml.graph import Graph, Value, Values
from pocketlens.coreml.lower.matrix import linear as linear_
from pocketlens.coreml.table import mil


def _swapped(g: Graph, x: Value) -> Value:
    axes = list(range(x.rank))
    return g.transpose(x, [*axes[:-2], axes[-1], axes[-2]])


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
    left = _swapped(g, x) if transpose_x else x
    right = _swapped(g, y) if transpose_y else y
    return g.MatMul(left, right)


@mil()
def einsum(g: Graph, values: Values, equation: str) -> Value:
    return g.Einsum(*values, equation=equation)

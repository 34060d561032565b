"""Elementwise ops on two tensors, which broadcast as in NumPy."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pocketlens.coreml.graph import Graph, Value
from pocketlens.coreml.ops.common.arithmetic import divide, floor_divide, modulo
from pocketlens.coreml.ops.common.filling import stop_if
from pocketlens.coreml.ops.registry import mil

# op of the specification -> equivalent ONNX operator
SAME = {
    "add": "Add",
    "equal": "Equal",
    "greater": "Greater",
    "greater_equal": "GreaterOrEqual",
    "less": "Less",
    "less_equal": "LessOrEqual",
    "logical_and": "And",
    "logical_or": "Or",
    "logical_xor": "Xor",
    "maximum": "Max",
    "minimum": "Min",
    "mul": "Mul",
    "pow": "Pow",
    "sub": "Sub",
}


def _same(operator: str) -> Callable[[Graph, Value, Value], Value]:
    def lowering(g: Graph, x: Value, y: Value) -> Value:
        return g.op(operator, x, y)[0]

    return lowering


for _op, _operator in SAME.items():
    mil(name=_op)(_same(_operator))


@mil()
def not_equal(g: Graph, x: Value, y: Value) -> Value:
    return g.Not(g.Equal(x, y))


@mil()
def real_div(g: Graph, x: Value, y: Value) -> Value:
    # The specification does not define the rounding of integers; coremltools' tests expect zero.
    return g.Div(x, y) if x.dtype.kind == "f" else divide(g, x, y)


@mil()
def floor_div(g: Graph, x: Value, y: Value) -> Value:
    return floor_divide(g, x, y)


@mil()
def mod(g: Graph, x: Value, y: Value) -> Value:
    if x.dtype == np.int32:
        # On x86, dividing the lowest integer by -1 crashes; dividing by 1 has the same remainder.
        y = g.Where(g.Equal(y, g.like(-1, y)), g.like(1, y), y)
    if x.dtype.kind in "iu":
        if y.const is None or not np.all(y.const):
            # In ONNX Runtime before 1.25 a division by zero crashes the process.
            zeros = g.ReduceSum(g.cast(g.Equal(y, g.like(0, y)), np.int32), keepdims=0)
            y = g.Add(
                y, g.cast(stop_if(g, g.cast(zeros, np.bool_), "divides an integer by 0"), y.dtype)
            )
        return g.Mod(x, y)
    return g.in_float32(lambda a, b: modulo(g, a, b), x, y)

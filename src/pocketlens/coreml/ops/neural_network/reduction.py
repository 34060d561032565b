"""Reductions over some axes, or over all of them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pocketlens.coreml.graph import Graph, Ints, Value
from pocketlens.coreml.ops.registry import layer
from pocketlens.errors import ModelFileError

# layer of the specification -> equivalent ONNX operator
SAME = {
    "reduceL1": "ReduceL1",
    "reduceL2": "ReduceL2",
    "reduceLogSum": "ReduceLogSum",
    "reduceLogSumExp": "ReduceLogSumExp",
    "reduceMax": "ReduceMax",
    "reduceMean": "ReduceMean",
    "reduceMin": "ReduceMin",
    "reduceProd": "ReduceProd",
    "reduceSum": "ReduceSum",
    "reduceSumSquare": "ReduceSumSquare",
}

MODES = {
    "SUM": "ReduceSum",
    "AVG": "ReduceMean",
    "PROD": "ReduceProd",
    "SUMSQUARE": "ReduceSumSquare",
    "L1": "ReduceL1",
    "L2": "ReduceL2",
    "MAX": "ReduceMax",
    "MIN": "ReduceMin",
}

AXES = {"CHW": [-3, -2, -1], "HW": [-2, -1], "C": [-3], "H": [-2], "W": [-1]}


def _same(operator: str) -> Callable[..., Value]:
    def lowering(
        g: Graph, x: Value, *, axes: Ints = (), keepDims: bool = False, reduceAll: bool = False
    ) -> Value:
        if not axes and not reduceAll:
            raise ModelFileError("it sets neither axes nor reduceAll; expected one of them")
        over = None if reduceAll else np.array(axes, np.int64)
        y = g.op(operator, x, over, keepdims=int(keepDims))[0]
        return g.reshape(y, [1]) if y.rank == 0 else y  # there is no rank 0

    return lowering


for _name, _operator in SAME.items():
    layer(name=_name)(_same(_operator))


@layer()
def reduce(
    g: Graph, x: Value, *, mode: str = "SUM", epsilon: float = 1e-6, axis: str = "CHW"
) -> Value:
    over = AXES[axis]
    if mode == "ARGMAX":
        if len(over) != 1:
            raise ModelFileError(f"the axis of ARGMAX is {axis}; expected C, H or W")
        return g.cast(g.ArgMax(x, axis=over[0]), np.float32)
    if mode == "LOGSUM":
        x, operator = g.Log(g.Add(x, g.like(epsilon, x))), "ReduceSum"
    else:
        operator = MODES[mode]
    return g.op(operator, x, np.array(over, np.int64))[0]


def _arg(operator: str) -> Callable[..., Value]:
    def lowering(g: Graph, x: Value, *, axis: int = 0, removeDim: bool = False) -> Value:
        keep = not removeDim or x.rank == 1  # there is no rank 0
        return g.cast(g.op(operator, x, axis=axis, keepdims=int(keep))[0], np.float32)

    return lowering


layer(name="argMax")(_arg("ArgMax"))
layer(name="argMin")(_arg("ArgMin"))

"""Reductions over some axes, or over all of them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pocketlens.coreml.graph import Graph, Ints, Value
from pocketlens.coreml.ops.registry import IOS17, mil
from pocketlens.errors import UnsupportedParameter

# op of the specification -> equivalent ONNX operator
SAME = {
    "reduce_l1_norm": "ReduceL1",
    "reduce_l2_norm": "ReduceL2",
    "reduce_log_sum": "ReduceLogSum",
    "reduce_log_sum_exp": "ReduceLogSumExp",
    "reduce_max": "ReduceMax",
    "reduce_mean": "ReduceMean",
    "reduce_min": "ReduceMin",
    "reduce_prod": "ReduceProd",
    "reduce_sum": "ReduceSum",
    "reduce_sum_square": "ReduceSumSquare",
}


def _same(operator: str) -> Callable[..., Value]:
    def lowering(g: Graph, x: Value, axes: Ints | None = None, keep_dims: bool = False) -> Value:
        over = None if axes is None else np.array(axes, np.int64)
        return g.op(operator, x, over, keepdims=int(keep_dims))[0]

    return lowering


for _op, _operator in SAME.items():
    mil(name=_op)(_same(_operator))


def _arg(operator: str) -> Callable[..., Value]:
    def lowering(g: Graph, x: Value, axis: int = -1, keep_dims: bool = False) -> Value:
        return g.cast(g.op(operator, x, axis=axis, keepdims=int(keep_dims))[0], np.int32)

    return lowering


def _arg_ios17(operator: str) -> Callable[..., Value]:
    types = {"int32": np.int32, "uint16": np.uint16}

    def lowering(
        g: Graph, x: Value, axis: int = -1, keep_dims: bool = False, output_dtype: str = "int32"
    ) -> Value:
        if output_dtype not in types:
            raise UnsupportedParameter(
                f"'output_dtype' is {output_dtype!r}; expected int32 or uint16"
            )
        found = g.op(operator, x, axis=axis, keepdims=int(keep_dims))[0]
        return g.cast(found, types[output_dtype])

    return lowering


for _op, _operator in {"reduce_argmax": "ArgMax", "reduce_argmin": "ArgMin"}.items():
    mil(name=_op)(_arg(_operator))
    mil(name=_op, since=IOS17)(_arg_ios17(_operator))

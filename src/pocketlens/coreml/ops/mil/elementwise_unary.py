"""Elementwise ops on one tensor of any shape."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pocketlens.coreml.graph import Graph, Value
from pocketlens.coreml.ops.registry import IOS17, mil
from pocketlens.errors import UnsupportedParameter

# op of the specification -> equivalent ONNX operator
SAME = {
    "abs": "Abs",
    "acos": "Acos",
    "asin": "Asin",
    "atan": "Atan",
    "atanh": "Atanh",
    "ceil": "Ceil",
    "cos": "Cos",
    "cosh": "Cosh",
    "erf": "Erf",
    "exp": "Exp",
    "floor": "Floor",
    "logical_not": "Not",
    "round": "Round",  # halves round to even (0.5 to 0), as specified
    "sign": "Sign",
    "sin": "Sin",
    "sinh": "Sinh",
    "sqrt": "Sqrt",
    "tan": "Tan",
    "tanh": "Tanh",
}


def _same(operator: str) -> Callable[[Graph, Value], Value]:
    def lowering(g: Graph, x: Value) -> Value:
        return g.op(operator, x)[0]

    return lowering


for _op, _operator in SAME.items():
    mil(name=_op)(_same(_operator))


@mil()
def clip(g: Graph, x: Value, alpha: float, beta: float) -> Value:
    return g.Clip(x, g.like(alpha, x), g.like(beta, x))


@mil()
def exp2(g: Graph, x: Value) -> Value:
    return g.Pow(g.like(2.0, x), x)


@mil()
def square(g: Graph, x: Value) -> Value:
    return g.Mul(x, x)


@mil()
def threshold(g: Graph, x: Value, alpha: float) -> Value:
    return g.Max(x, g.like(alpha, x))


@mil()
def inverse(g: Graph, x: Value, epsilon: float = 1e-4) -> Value:
    return g.in_float32(lambda v: g.Reciprocal(g.Add(v, g.like(epsilon, v))), x)


@mil()
def log(g: Graph, x: Value, epsilon: float = 1e-45) -> Value:
    return g.in_float32(lambda v: g.Log(g.Add(v, g.like(epsilon, v))), x)


@mil()
def rsqrt(g: Graph, x: Value, epsilon: float = 1e-12) -> Value:
    return g.in_float32(lambda v: g.Reciprocal(g.Sqrt(g.Add(v, g.like(epsilon, v)))), x)


TYPES = {"bool": np.bool_, "fp16": np.float16, "fp32": np.float32, "int32": np.int32}
TYPES_IOS17 = {
    **TYPES,
    "int8": np.int8,
    "int16": np.int16,
    "uint8": np.uint8,
    "uint16": np.uint16,
}


def _cast(g: Graph, x: Value, dtype: str, known: dict[str, type]) -> Value:
    if dtype not in known:
        raise UnsupportedParameter(f"'dtype' is {dtype!r}; expected one of {', '.join(known)}")
    return g.cast(x, known[dtype])


@mil()
def cast(g: Graph, x: Value, dtype: str) -> Value:
    return _cast(g, x, dtype, TYPES)


@mil(since=IOS17, name="cast")
def cast_ios17(g: Graph, x: Value, dtype: str) -> Value:
    return _cast(g, x, dtype, TYPES_IOS17)

"""Elementwise arithmetic."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce

import numpy as np

from pocketlens.coreml.graph import Graph, Ints, Message, Value
from pocketlens.coreml.ops.common.arithmetic import floor_divide, modulo
from pocketlens.coreml.ops.common.weights import weight_array
from pocketlens.coreml.ops.registry import layer
from pocketlens.errors import ModelFileError

# layer of the specification -> equivalent ONNX operator, on one tensor
UNARY = {
    "acos": "Acos",
    "acosh": "Acosh",
    "asin": "Asin",
    "asinh": "Asinh",
    "atan": "Atan",
    "atanh": "Atanh",
    "ceil": "Ceil",
    "cos": "Cos",
    "cosh": "Cosh",
    "erf": "Erf",
    "floor": "Floor",
    "sign": "Sign",
    "sin": "Sin",
    "sinh": "Sinh",
    "tan": "Tan",
    "tanh": "Tanh",
}

# the same on two tensors, which broadcast as in NumPy
BINARY = {
    "addBroadcastable": "Add",
    "divideBroadcastable": "Div",
    "maxBroadcastable": "Max",
    "minBroadcastable": "Min",
    "multiplyBroadcastable": "Mul",
    "powBroadcastable": "Pow",
    "subtractBroadcastable": "Sub",
}

# the same on two tensors, or on one and the scalar alpha; the result is 1.0 or 0.0
COMPARISONS = {
    "equal": "Equal",
    "greaterEqual": "GreaterOrEqual",
    "greaterThan": "Greater",
    "lessEqual": "LessOrEqual",
    "lessThan": "Less",
}

LOGICAL = {"logicalAnd": "And", "logicalOr": "Or", "logicalXor": "Xor"}


def _unary(operator: str) -> Callable[..., Value]:
    def lowering(g: Graph, x: Value) -> Value:
        return g.op(operator, x)[0]

    return lowering


def _binary(operator: str) -> Callable[..., Value]:
    def lowering(g: Graph, x: Value, y: Value) -> Value:
        return g.op(operator, x, y)[0]

    return lowering


def _comparison(operator: str) -> Callable[..., Value]:
    def lowering(g: Graph, x: Value, y: Value | None = None, *, alpha: float = 0.0) -> Value:
        other = g.like(alpha, x) if y is None else y
        return g.cast(g.op(operator, x, other)[0], np.float32)

    return lowering


def _truth(g: Graph, x: Value) -> Value:
    return g.cast(x, np.bool_)


def _logical(operator: str) -> Callable[..., Value]:
    def lowering(g: Graph, x: Value, y: Value) -> Value:
        return g.cast(g.op(operator, _truth(g, x), _truth(g, y))[0], np.float32)

    return lowering


for _make, _table in (
    (_unary, UNARY),
    (_binary, BINARY),
    (_comparison, COMPARISONS),
    (_logical, LOGICAL),
):
    for _name, _operator in _table.items():
        layer(name=_name)(_make(_operator))


@layer()
def notEqual(g: Graph, x: Value, y: Value | None = None, *, alpha: float = 0.0) -> Value:
    other = g.like(alpha, x) if y is None else y
    return g.cast(g.Not(g.Equal(x, other)), np.float32)


@layer()
def logicalNot(g: Graph, x: Value) -> Value:
    return g.cast(g.Not(_truth(g, x)), np.float32)


@layer()
def floorDivBroadcastable(g: Graph, x: Value, y: Value) -> Value:
    return floor_divide(g, x, y)


@layer()
def modBroadcastable(g: Graph, x: Value, y: Value) -> Value:
    return modulo(g, x, y)


@layer()
def whereBroadcastable(g: Graph, condition: Value, x: Value, y: Value) -> Value:
    return g.Where(_truth(g, condition), x, y)


@layer()
def exp2(g: Graph, x: Value) -> Value:
    return g.Pow(g.like(2.0, x), x)


@layer(name="round")
def round_(g: Graph, x: Value) -> Value:
    return g.Round(x)


@layer()
def clip(g: Graph, x: Value, *, minVal: float = 0.0, maxVal: float = 0.0) -> Value:
    return g.Clip(x, g.like(minVal, x), g.like(maxVal, x))


@layer()
def unary(
    g: Graph,
    x: Value,
    *,
    type: str = "SQRT",
    alpha: float = 0.0,
    epsilon: float = 1e-6,
    shift: float = 0.0,
    scale: float = 1.0,
) -> Value:
    v = x
    if scale != 1.0:
        v = g.Mul(v, g.like(scale, x))
    if shift != 0.0:
        v = g.Add(v, g.like(shift, x))
    functions: dict[str, Callable[[], Value]] = {
        "SQRT": lambda: g.Sqrt(v),
        "RSQRT": lambda: g.Reciprocal(g.Sqrt(g.Add(v, g.like(epsilon, x)))),
        "INVERSE": lambda: g.Reciprocal(g.Add(v, g.like(epsilon, x))),
        "POWER": lambda: g.Pow(v, g.like(alpha, x)),
        "EXP": lambda: g.Exp(v),
        "LOG": lambda: g.Log(g.Add(v, g.like(epsilon, x))),  # as coremltools' tests expect
        "ABS": lambda: g.Abs(v),
        "THRESHOLD": lambda: g.Max(v, g.like(alpha, x)),
    }
    return functions[type]()


@layer()
def add(g: Graph, *xs: Value, alpha: float = 0.0) -> Value:
    return g.Add(xs[0], g.like(alpha, xs[0])) if len(xs) == 1 else reduce(g.Add, xs)


@layer()
def multiply(g: Graph, *xs: Value, alpha: float = 0.0) -> Value:
    return g.Mul(xs[0], g.like(alpha, xs[0])) if len(xs) == 1 else reduce(g.Mul, xs)


@layer()
def average(g: Graph, *xs: Value) -> Value:
    return g.Mean(*xs)


@layer(name="max")
def max_(g: Graph, *xs: Value) -> Value:
    return g.Max(*xs)


@layer(name="min")
def min_(g: Graph, *xs: Value) -> Value:
    return g.Min(*xs)


def _broadcast_shape(shape: Ints, name: str) -> Ints:
    """The shape [1], [C], [1, H, W] or [C, H, W], extended to broadcast with [*B, C, H, W]."""
    if len(shape) == 1:
        return (*shape, 1, 1)
    if len(shape) != 3:
        raise ModelFileError(f"{name} is {list(shape)}; expected one or three sizes")
    return shape


@layer()
def scale(
    g: Graph,
    x: Value,
    *,
    shapeScale: Ints,
    scale: Message,
    hasBias: bool = False,
    shapeBias: Ints = (),
    bias: Message | None = None,
) -> Value:
    factor = weight_array(scale, _broadcast_shape(shapeScale, "shapeScale"), "scale")
    y = g.Mul(x, factor)
    if not hasBias:
        return y
    return g.Add(y, weight_array(bias, _broadcast_shape(shapeBias, "shapeBias"), "bias"))


@layer()
def bias(g: Graph, x: Value, *, shape: Ints, bias: Message) -> Value:
    return g.Add(x, weight_array(bias, _broadcast_shape(shape, "shape"), "bias"))

"""Elementwise arithmetic; reductions."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from arrays import Draw, f32
from layer_cases.activation import channel
from layer_cases.case import Case, x4
from layer_cases.linear import beta, gamma

draw = Draw(104)

x2, row = draw.normal(3, 5), draw.normal(5)
chw = draw.normal(4, 7, 6)


def number(f: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *xs: f(*xs).astype(np.float32)


whole, other = np.round(2 * x2), np.round(2 * row)
UNARY: list[tuple[str, Callable[..., Any], np.ndarray]] = [
    ("acos", np.arccos, draw.unit(3, 4)),
    ("acosh", np.arccosh, 1 + draw.positive(3, 4)),
    ("asin", np.arcsin, draw.unit(3, 4)),
    ("asinh", np.arcsinh, x4),
    ("atan", np.arctan, x4),
    ("atanh", np.arctanh, draw.unit(3, 4)),
    ("ceil", np.ceil, x4),
    ("cos", np.cos, x4),
    ("cosh", np.cosh, x4),
    ("erf", np.vectorize(math.erf), x4),
    ("exp2", np.exp2, x4),
    ("floor", np.floor, x4),
    ("round", np.round, x4),
    ("sign", np.sign, whole),
    ("sin", np.sin, x4),
    ("sinh", np.sinh, x4),
    ("tan", np.tan, draw.unit(3, 4)),
    ("tanh", np.tanh, x4),
    ("copy", lambda x: x, x4),
]
BINARY: list[tuple[str, Callable[..., Any], np.ndarray, np.ndarray]] = [
    ("addBroadcastable", np.add, x2, row),
    ("subtractBroadcastable", np.subtract, x2, row),
    ("multiplyBroadcastable", np.multiply, x2, row),
    ("divideBroadcastable", np.divide, x2, draw.positive(5)),
    ("maxBroadcastable", np.maximum, x2, row),
    ("minBroadcastable", np.minimum, x2, row),
    ("powBroadcastable", np.power, draw.positive(3, 5), row),
    ("floorDivBroadcastable", np.floor_divide, 4 * x2, draw.positive(5)),
    ("modBroadcastable", np.mod, 4 * x2, f32([1.5, -2, 0.5, 3, -0.75])),
    ("equal", number(np.equal), whole, other),
    ("notEqual", number(np.not_equal), whole, other),
    ("greaterThan", number(np.greater), whole, other),
    ("greaterEqual", number(np.greater_equal), whole, other),
    ("lessThan", number(np.less), whole, other),
    ("lessEqual", number(np.less_equal), whole, other),
    ("logicalAnd", number(np.logical_and), whole, other),
    ("logicalOr", number(np.logical_or), whole, other),
    ("logicalXor", number(np.logical_xor), whole, other),
]
FUNCTIONS: list[tuple[str, Callable[..., Any], dict[str, float]]] = [
    ("SQRT", np.sqrt, {}),
    ("RSQRT", lambda x: 1 / np.sqrt(x + 0.5), {"epsilon": 0.5}),
    ("INVERSE", lambda x: 1 / (x + 1e-6), {}),
    ("POWER", lambda x: x**1.7, {"alpha": 1.7}),
    ("EXP", np.exp, {}),
    ("LOG", lambda x: np.log(2 * x + 1), {"scale": 2.0, "shift": 1.0}),
    ("LOG", lambda x: np.log(x + 0.25), {"epsilon": 0.25}),
    ("ABS", lambda x: np.abs(x - 2), {"shift": -2.0}),
    ("THRESHOLD", lambda x: np.maximum(x, 1), {"alpha": 1.0}),
]
ELEMENTWISE = [
    *(Case(name, [x], {}, f) for name, f, x in UNARY),
    *(Case(name, [a, b], {}, f) for name, f, a, b in BINARY),
    *(
        Case(name, [whole], {"alpha": 1.0}, lambda x, f=f: f(x, 1).astype(np.float32), "alpha")
        for name, f in [
            ("equal", np.equal),
            ("notEqual", np.not_equal),
            ("greaterThan", np.greater),
            ("greaterEqual", np.greater_equal),
            ("lessThan", np.less),
            ("lessEqual", np.less_equal),
        ]
    ),
    Case("logicalNot", [whole], {}, number(np.logical_not)),
    Case("whereBroadcastable", [whole, x2, row], {}, lambda c, a, b: np.where(c != 0, a, b)),
    Case("clip", [x4], {"minVal": -0.5, "maxVal": 0.75}, lambda x: np.clip(x, -0.5, 0.75)),
    *(
        Case("unary", [draw.positive(3, 4)], {"type": kind} | fields, f, kind)
        for kind, f, fields in FUNCTIONS
    ),
    Case("add", [x4, x4[:, :, :1, :1]], {}, np.add),
    Case("add", [x4], {"alpha": 1.5}, lambda x: x + 1.5, "alpha"),
    Case("multiply", [x4, x4, x4[:, :1]], {}, lambda a, b, c: a * b * c),
    Case("multiply", [x4], {"alpha": 1.5}, lambda x: x * 1.5, "alpha"),
    Case("average", [x4, 2 * x4], {}, lambda a, b: (a + b) / 2),
    Case("max", [x4, -x4], {}, np.maximum),
    Case("min", [x4, -x4], {}, np.minimum),
    Case(
        "scale",
        [x4],
        {"shapeScale": [4], "scale": gamma, "hasBias": True, "shapeBias": [1], "bias": beta[:1]},
        lambda x: x * channel(gamma) + beta[0],
    ),
    Case("scale", [x4], {"shapeScale": [4, 7, 6], "scale": chw}, lambda x: x * chw, "full"),
    Case("bias", [x4], {"shape": [1, 7, 6], "bias": chw[:1]}, lambda x: x + chw[:1]),
]

small = draw.positive(2, 3, 4)
REDUCE: dict[str, Callable[..., Any]] = {
    "reduceL1": lambda x, a, k: np.abs(x).sum(a, keepdims=k),
    "reduceL2": lambda x, a, k: np.sqrt((x**2).sum(a, keepdims=k)),
    "reduceLogSum": lambda x, a, k: np.log(x.sum(a, keepdims=k)),
    "reduceLogSumExp": lambda x, a, k: np.log(np.exp(x).sum(a, keepdims=k)),
    "reduceMax": lambda x, a, k: x.max(a, keepdims=k),
    "reduceMean": lambda x, a, k: x.mean(a, keepdims=k),
    "reduceMin": lambda x, a, k: x.min(a, keepdims=k),
    "reduceProd": lambda x, a, k: x.prod(a, keepdims=k),
    "reduceSum": lambda x, a, k: x.sum(a, keepdims=k),
    "reduceSumSquare": lambda x, a, k: (x**2).sum(a, keepdims=k),
}
REDUCTIONS = [
    *(
        Case(name, [small], {"axes": [0, -1]}, lambda x, f=f: f(x, (0, 2), False))
        for name, f in REDUCE.items()
    ),
    Case("reduceSum", [small], {"reduceAll": True}, lambda x: x.sum().reshape(1), "no rank 0"),
    Case(
        "reduceSum",
        [small],
        {"reduceAll": True, "keepDims": True},
        lambda x: x.sum(keepdims=True),
        "all",
    ),
    *(
        Case("reduce", [small], {"mode": mode, "axis": axis}, f, f"{mode} {axis}")
        for mode, axis, f in [
            ("SUM", "CHW", lambda x: x.sum(keepdims=True)),
            ("AVG", "HW", lambda x: x.mean((1, 2), keepdims=True)),
            ("PROD", "C", lambda x: x.prod(0, keepdims=True)),
            ("LOGSUM", "H", lambda x: np.log(x + 1e-6).sum(1, keepdims=True)),
            ("SUMSQUARE", "W", lambda x: (x**2).sum(2, keepdims=True)),
            ("L1", "W", lambda x: np.abs(x).sum(2, keepdims=True)),
            ("L2", "W", lambda x: np.sqrt((x**2).sum(2, keepdims=True))),
            ("MAX", "W", lambda x: x.max(2, keepdims=True)),
            ("MIN", "W", lambda x: x.min(2, keepdims=True)),
            ("ARGMAX", "C", lambda x: x.argmax(0)[None]),
        ]
    ),
    Case("argMax", [small], {"axis": -1, "removeDim": True}, lambda x: x.argmax(-1)),
    Case("argMax", [row], {"removeDim": True}, lambda x: x.argmax(keepdims=True), "rank 1"),
    Case("argMin", [small], {"axis": 1}, lambda x: x.argmin(1)[:, None]),
]

"""Normalization; elementwise arithmetic."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch.nn.functional as F

from arrays import Draw, t
from mil_cases.activation import unary
from mil_cases.case import Case, x2

draw = Draw(113)

gamma, beta = draw.normal(4), draw.normal(4)
mean, variance = draw.normal(4), draw.positive(4)
scale56, shift56 = draw.normal(7, 6), draw.normal(7, 6)


def lrn(x: np.ndarray) -> np.ndarray:
    return F.local_response_norm(t(x), 3, alpha=0.5, beta=0.7, k=2.0).numpy()


NORMALIZATIONS = [
    unary(
        "batch_norm",
        lambda x: F.batch_norm(t(x), t(mean), t(variance), eps=1e-5),
        mean=mean,
        variance=variance,
    ),
    unary(
        "batch_norm",
        lambda x: F.batch_norm(t(x), t(mean), t(variance), t(gamma), t(beta), eps=1e-3),
        mean=mean,
        variance=variance,
        gamma=gamma,
        beta=beta,
        epsilon=1e-3,
    ),
    unary("instance_norm", lambda x: F.instance_norm(t(x), eps=1e-5)),
    unary(
        "instance_norm",
        lambda x: F.instance_norm(t(x), weight=t(gamma), bias=t(beta), eps=1e-2),
        gamma=gamma,
        beta=beta,
        epsilon=1e-2,
    ),
    unary("layer_norm", lambda x: F.layer_norm(t(x), x.shape, eps=1e-5)),
    unary(
        "layer_norm",
        lambda x: F.layer_norm(t(x), (7, 6), t(scale56), t(shift56), eps=1e-4),
        axes=[-2, -1],
        gamma=scale56,
        beta=shift56,
        epsilon=1e-4,
    ),
    unary("l2_norm", lambda x: x / np.sqrt((x**2).sum((1, 2, 3), keepdims=True) + 1e-6)),
    unary("local_response_norm", lrn, size=3, alpha=0.5, beta=0.7, k=2.0),
]

row = draw.normal(5)
BINARY = [
    Case(op, {"x": a, "y": b}, {}, f, kind)
    for op, f, kind, a, b in [
        ("add", np.add, "", x2, row),
        ("sub", np.subtract, "", x2, row),
        ("mul", np.multiply, "", x2, row),
        ("real_div", np.divide, "", x2, draw.positive(5)),
        ("maximum", np.maximum, "", x2, row),
        ("minimum", np.minimum, "", x2, row),
        ("pow", np.power, "", draw.positive(3, 5), row),
        ("floor_div", np.floor_divide, "", 4 * x2, draw.positive(5)),
        ("mod", np.mod, "", 4 * x2, np.array([1.5, -2, 0.5, 3, -0.75], np.float32)),
        ("equal", np.equal, "bool", np.round(x2), np.round(row)),
        ("not_equal", np.not_equal, "bool", np.round(x2), np.round(row)),
        ("greater", np.greater, "bool", np.round(x2), np.round(row)),
        ("greater_equal", np.greater_equal, "bool", np.round(x2), np.round(row)),
        ("less", np.less, "bool", np.round(x2), np.round(row)),
        ("less_equal", np.less_equal, "bool", np.round(x2), np.round(row)),
    ]
]
whole, divisor = (
    np.array([[-7, -1, 0, 3, 8]], np.int32),
    np.array([[2], [-3]], np.int32),
)
INT32: list[tuple[str, Callable[..., Any]]] = [
    ("floor_div", np.floor_divide),
    ("mod", np.mod),
    ("add", np.add),
    ("real_div", lambda x, y: np.trunc(x / y)),
]
BINARY += [
    Case(op, {"x": whole, "y": divisor}, {}, f, "int32", only="int32", note="int32")
    for op, f in INT32
]
true, false = np.array([True, True, False, False]), np.array([True, False, True, False])
BINARY += [
    Case(op, {"x": true, "y": false}, {}, f, "bool", only="bool")
    for op, f in [
        ("logical_and", np.logical_and),
        ("logical_or", np.logical_or),
        ("logical_xor", np.logical_xor),
    ]
]

UNARY = [
    unary("abs", np.abs),
    unary("acos", np.arccos, draw.unit(3, 4)),
    unary("asin", np.arcsin, draw.unit(3, 4)),
    unary("atan", np.arctan),
    unary("atanh", np.arctanh, draw.unit(3, 4)),
    unary("ceil", np.ceil),
    unary("cos", np.cos),
    unary("cosh", np.cosh),
    unary("erf", np.vectorize(math.erf)),
    unary("exp", np.exp),
    unary("exp2", np.exp2),
    unary("floor", np.floor),
    unary("round", np.round, np.array([0.5, 1.5, -0.5, -1.2, 2.5], np.float32)),
    unary("sign", np.sign, np.array([-2.0, 0.0, 3.0], np.float32)),
    unary("sin", np.sin),
    unary("sinh", np.sinh),
    unary("sqrt", np.sqrt, draw.positive(3, 4)),
    unary("square", np.square),
    unary("tan", np.tan, draw.unit(3, 4)),
    unary("tanh", np.tanh),
    unary("clip", lambda x: np.clip(x, -0.5, 0.75), alpha=-0.5, beta=0.75),
    unary("threshold", lambda x: np.maximum(x, 0.25), alpha=0.25),
    unary("inverse", lambda x: 1 / (x + 1e-4), draw.positive(3, 4)),
    unary("inverse", lambda x: 1 / (x + 0.5), draw.positive(3, 4), epsilon=0.5),
    unary("log", np.log, draw.positive(3, 4)),
    unary("log", lambda x: np.log(x + 0.5), draw.positive(3, 4), epsilon=0.5),
    unary("rsqrt", lambda x: 1 / np.sqrt(x), draw.positive(3, 4)),
    unary("rsqrt", lambda x: 1 / np.sqrt(x + 0.5), draw.positive(3, 4), epsilon=0.5),
    Case("logical_not", {"x": true}, {}, np.logical_not, "bool", only="bool"),
    Case("cast", {"x": 3 * x2}, {"dtype": "int32"}, np.trunc, "int32"),
    Case("cast", {"x": x2}, {"dtype": "fp16"}, lambda x: x, "float16", tolerance=1e-3),
    Case(
        "cast",
        {"x": 10 * draw.positive(3, 4)},
        {"dtype": "uint8"},
        np.trunc,
        "uint8",
        opset="CoreML7",
        note="iOS 17",
    ),
    Case("identity", {"x": x2}, {}, lambda x: x),
    Case(
        "select",
        {"cond": np.array([[True], [False], [True]]), "a": x2, "b": 2 * x2},
        {},
        lambda cond, a, b: np.where(cond, a, b),
    ),
]

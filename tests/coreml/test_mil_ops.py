"""Every ML Program op that runs, in float32 and float16, against NumPy or PyTorch."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from pocketlens.coreml import coverage
from pocketlens.errors import ModelFileError, PocketlensError, UnsupportedParameter

R = np.random.default_rng(7)


def normal(*shape: int) -> np.ndarray:
    return R.standard_normal(shape).astype(np.float32)


def positive(*shape: int) -> np.ndarray:
    return R.uniform(0.3, 3.0, shape).astype(np.float32)


def unit(*shape: int) -> np.ndarray:
    return R.uniform(-0.9, 0.9, shape).astype(np.float32)


def t(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.asarray(array, np.float32))


@dataclass
class Case:
    """One row: an op, what it is given, and what follows.

    `expected` takes the inputs (float32 arrays) and gives the output or outputs. In the float16
    run, float32 arrays and numbers among the inputs and fields are float16.
    """

    op: str
    inputs: dict[str, Any]
    fields: dict[str, Any]
    expected: Callable[..., Any]
    kind: str = ""  # of the output; by default that of x
    opset: str = "CoreML6"
    only: str = ""  # the one precision in which the op exists
    tolerance: float = 0.0
    note: str = ""
    attributes: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.op}{'-' + self.note if self.note else ''}"


x4 = normal(2, 4, 7, 6)
x2 = normal(3, 5)
gaussian = np.vectorize(lambda v: 0.5 * v * (1 + math.erf(v / math.sqrt(2))))
sigmoid = lambda v: 1 / (1 + np.exp(-v))  # noqa: E731
softplus = lambda v: np.log1p(np.exp(v))  # noqa: E731


def unary(op: str, f: Callable[..., Any], x: np.ndarray = x4, **fields: Any) -> Case:
    return Case(op, {"x": x}, fields, lambda x: f(x))


def column(values: Any) -> np.ndarray:
    return np.asarray(values, np.float32).reshape(1, -1, 1, 1)


alpha4 = np.array([0.1, 0.5, -0.3, 1.5], np.float32)
beta4 = np.array([1.0, 0.5, 2.0, 1.5], np.float32)

ACTIVATIONS = [
    unary("relu", lambda x: np.maximum(x, 0)),
    unary("relu6", lambda x: np.clip(x, 0, 6), 5 * x4),
    unary("sigmoid", sigmoid),
    unary("silu", lambda x: x * sigmoid(x)),
    unary("softplus", softplus),
    unary("softsign", lambda x: x / (1 + abs(x))),
    unary("elu", lambda x: np.where(x > 0, x, 0.7 * (np.exp(x) - 1)), alpha=0.7),
    unary("leaky_relu", lambda x: np.where(x >= 0, x, 0.2 * x), alpha=0.2),
    unary("prelu", lambda x: np.where(x >= 0, x, column(alpha4) * x), alpha=alpha4),
    unary(
        "clamped_relu",
        lambda x: np.minimum(0.8, np.where(x >= 0, x, 0.2 * x)),
        alpha=0.2,
        beta=0.8,
    ),
    unary("linear_activation", lambda x: 1.5 * x - 0.25, alpha=1.5, beta=-0.25),
    unary("scaled_tanh", lambda x: 1.5 * np.tanh(0.6 * x), alpha=1.5, beta=0.6),
    unary("sigmoid_hard", lambda x: np.clip(0.3 * x + 0.4, 0, 1), alpha=0.3, beta=0.4),
    unary(
        "softplus_parametric",
        lambda x: column(alpha4) * softplus(column(beta4) * x),
        alpha=alpha4,
        beta=beta4,
    ),
    unary(
        "thresholded_relu",
        lambda x: np.where(x >= 0.5, x, 0),
        np.array([[0.25, 0.5, 0.75, -1]], np.float32),
        alpha=0.5,
    ),
    unary("gelu", gaussian),
    unary("gelu", gaussian, mode="EXACT"),
    unary("gelu", lambda x: F.gelu(t(x), approximate="tanh").numpy(), mode="TANH_APPROXIMATION"),
    unary("gelu", lambda x: x * sigmoid(1.702 * x), mode="SIGMOID_APPROXIMATION"),
    unary("softmax", lambda x: F.softmax(t(x), -1).numpy()),
    unary("softmax", lambda x: F.softmax(t(x), 1).numpy(), axis=1),
]

weight = normal(6, 4, 3, 3)
bias6 = normal(6)
odd = normal(1, 4, 6, 5)
even_kernel = normal(3, 4, 2, 2)
wt, wg = normal(4, 3, 3, 3), normal(4, 2, 3, 3)


def conv_case(
    note: str, x: np.ndarray, w: np.ndarray, expected: Callable[..., Any], **fields: Any
) -> Case:
    tolerance = 0.02  # a float16 sum of dozens of products
    return Case("conv", {"x": x}, {"weight": w} | fields, expected, note=note, tolerance=tolerance)


CONVOLUTIONS = [
    conv_case("defaults", odd, weight, lambda x: F.conv2d(t(x), t(weight))),
    conv_case(
        "custom",
        odd,
        weight,
        lambda x: F.conv2d(F.pad(t(x), (3, 0, 1, 2)), t(weight), t(bias6), stride=(2, 1)),
        bias=bias6,
        strides=[2, 1],
        pad_type="custom",
        pad=[1, 2, 3, 0],
    ),
    # Size 6, window 3, stride 2: one zero in all, below and to the right; size 5: one each side.
    conv_case(
        "same",
        odd,
        weight,
        lambda x: F.conv2d(F.pad(t(x), (1, 1, 0, 1)), t(weight), stride=2),
        strides=[2, 2],
        pad_type="same",
    ),
    conv_case(
        "same-even-kernel",
        odd,
        even_kernel,
        lambda x: F.conv2d(F.pad(t(x), (0, 1, 0, 1)), t(even_kernel)),
        pad_type="same",
    ),
    conv_case(
        "same-lower",
        odd,
        even_kernel,
        lambda x: F.conv2d(F.pad(t(x), (1, 0, 1, 0)), t(even_kernel)),
        pad_type="same_lower",
    ),
    conv_case(
        "dilated",
        odd,
        weight,
        lambda x: F.conv2d(t(x), t(weight), padding=2, dilation=2),
        dilations=[2, 2],
        pad_type="same",
    ),
    conv_case(
        "depthwise",
        odd,
        weight[:4, :1],
        lambda x: F.conv2d(t(x), t(weight[:4, :1]), groups=4),
        groups=4,
    ),
    conv_case("1d", x4[:, :, :, 0], weight[..., 0], lambda x: F.conv1d(t(x), t(weight[..., 0]))),
    conv_case(
        "3d",
        normal(1, 4, 4, 4, 4),
        (w3 := normal(2, 4, 2, 2, 2)),
        lambda x: F.conv3d(t(x), t(w3)),
    ),
    Case(
        "conv",
        {"x": odd, "weight": weight},
        {},
        lambda x, weight: F.conv2d(t(x), t(weight)),
        note="weight given at run time",
        opset="CoreML7",
        tolerance=0.02,
    ),
    *(
        Case("conv_transpose", {"x": odd}, {"weight": w} | fields, e, note=note, tolerance=0.02)
        for note, w, fields, e in [
            ("defaults", wt, {}, lambda x: F.conv_transpose2d(t(x), t(wt))),
            (
                "custom",
                wt,
                {"strides": [2, 2], "pad_type": "custom", "pad": [1, 0, 0, 2]},
                lambda x: F.conv_transpose2d(t(x), t(wt), stride=2)[:, :, 1:, :-2],
            ),
            (
                "same",
                wt,
                {"strides": [2, 2], "pad_type": "same"},
                lambda x: F.conv_transpose2d(t(x), t(wt), stride=2)[:, :, :12, :10],
            ),
            (
                "groups",
                wg,
                {"groups": 2, "bias": bias6[:4]},
                lambda x: F.conv_transpose2d(t(x), t(wg), t(bias6[:4]), groups=2),
            ),
            (
                "output-shape",
                wt,
                {
                    "strides": [2, 2],
                    "pad_type": "custom",
                    "pad": [1, 1, 1, 1],
                    "output_shape": [1, 3, 12, 10],
                },
                lambda x: F.conv_transpose2d(t(x), t(wt), stride=2, padding=1, output_padding=1),
            ),
        ]
    ),
]


def pool_case(op: str, note: str, expected: Callable[..., Any], **fields: Any) -> Case:
    return Case(op, {"x": odd}, fields, lambda x: expected(t(x)), note=note)


POOLS = [
    pool_case(
        "max_pool", "2", lambda x: F.max_pool2d(x, 2), kernel_sizes=[2, 2], strides=[2, 2],
        pad_type="valid",
    ),
    pool_case(
        "max_pool", "stride 1", lambda x: F.max_pool2d(x, 3, 1), kernel_sizes=[3, 3],
        pad_type="valid",
    ),
    pool_case(
        "max_pool", "same", lambda x: F.max_pool2d(F.pad(x, (1, 1, 0, 1), value=-9), 3, 2),
        kernel_sizes=[3, 3], strides=[2, 2], pad_type="same",
    ),
    pool_case(
        "max_pool", "ceil", lambda x: F.max_pool2d(x, 3, 2, 1, ceil_mode=True),
        kernel_sizes=[3, 3], strides=[2, 2], pad_type="custom", pad=[1, 1, 1, 1], ceil_mode=True,
    ),
    pool_case(
        "max_pool", "large padding",
        lambda x: F.max_pool2d(F.pad(x, (0, 2, 0, 0), value=-9), 2, (1, 3)),
        kernel_sizes=[2, 2], strides=[1, 3], pad_type="custom", pad=[0, 0, 0, 2],
    ),
    pool_case(
        "avg_pool", "count", lambda x: F.avg_pool2d(x, 3, 2, 1), kernel_sizes=[3, 3],
        strides=[2, 2], pad_type="custom", pad=[1, 1, 1, 1],
    ),
    pool_case(
        "avg_pool", "exclude", lambda x: F.avg_pool2d(x, 3, 2, 1, count_include_pad=False),
        kernel_sizes=[3, 3], strides=[2, 2], pad_type="custom", pad=[1, 1, 1, 1],
        exclude_padding_from_average=True,
    ),
    pool_case(
        "avg_pool", "ceil count", lambda x: F.avg_pool2d(x, 3, 2, 1, ceil_mode=True),
        kernel_sizes=[3, 3], strides=[2, 2], pad_type="custom", pad=[1, 1, 1, 1], ceil_mode=True,
    ),
    pool_case(
        "avg_pool", "ceil exclude",
        lambda x: F.avg_pool2d(x, 3, 2, 1, ceil_mode=True, count_include_pad=False),
        kernel_sizes=[3, 3], strides=[2, 2], pad_type="custom", pad=[1, 1, 1, 1], ceil_mode=True,
        exclude_padding_from_average=True,
    ),
    pool_case(
        "avg_pool", "large padding exclude",
        lambda x: F.avg_pool2d(F.pad(x, (0, 1, 0, 0), mode="replicate"), 2, (1, 2)),
        kernel_sizes=[2, 2], strides=[1, 2], pad_type="custom", pad=[0, 0, 0, 2],
        exclude_padding_from_average=True,
    ),
    pool_case(
        "l2_pool", "2", lambda x: F.lp_pool2d(x, 2.0, 2), kernel_sizes=[2, 2], strides=[2, 2],
        pad_type="valid",
    ),
    Case(
        "avg_pool", {"x": odd[..., 0]}, {"kernel_sizes": [2], "pad_type": "valid"},
        lambda x: F.avg_pool1d(t(x), 2, 1), note="1d",
    ),
]  # fmt: skip

gamma, beta = normal(4), normal(4)
mean, variance = normal(4), positive(4)
scale56, shift56 = normal(7, 6), normal(7, 6)


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

row = normal(5)
BINARY = [
    Case(op, {"x": a, "y": b}, {}, f, kind)
    for op, f, kind, a, b in [
        ("add", np.add, "", x2, row),
        ("sub", np.subtract, "", x2, row),
        ("mul", np.multiply, "", x2, row),
        ("real_div", np.divide, "", x2, positive(5)),
        ("maximum", np.maximum, "", x2, row),
        ("minimum", np.minimum, "", x2, row),
        ("pow", np.power, "", positive(3, 5), row),
        ("floor_div", np.floor_divide, "", 4 * x2, positive(5)),
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
BINARY += [
    Case(op, {"x": whole, "y": divisor}, {}, f, "int32", only="int32", note="int32")
    for op, f in [
        ("floor_div", np.floor_divide),
        ("mod", np.mod),
        ("add", np.add),
        ("real_div", lambda x, y: np.trunc(x / y)),
    ]
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
    unary("acos", np.arccos, unit(3, 4)),
    unary("asin", np.arcsin, unit(3, 4)),
    unary("atan", np.arctan),
    unary("atanh", np.arctanh, unit(3, 4)),
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
    unary("sqrt", np.sqrt, positive(3, 4)),
    unary("square", np.square),
    unary("tan", np.tan, unit(3, 4)),
    unary("tanh", np.tanh),
    unary("clip", lambda x: np.clip(x, -0.5, 0.75), alpha=-0.5, beta=0.75),
    unary("threshold", lambda x: np.maximum(x, 0.25), alpha=0.25),
    unary("inverse", lambda x: 1 / (x + 1e-4), positive(3, 4)),
    unary("inverse", lambda x: 1 / (x + 0.5), positive(3, 4), epsilon=0.5),
    unary("log", np.log, positive(3, 4)),
    unary("log", lambda x: np.log(x + 0.5), positive(3, 4), epsilon=0.5),
    unary("rsqrt", lambda x: 1 / np.sqrt(x), positive(3, 4)),
    unary("rsqrt", lambda x: 1 / np.sqrt(x + 0.5), positive(3, 4), epsilon=0.5),
    Case("logical_not", {"x": true}, {}, np.logical_not, "bool", only="bool"),
    Case("cast", {"x": 3 * x2}, {"dtype": "int32"}, np.trunc, "int32"),
    Case("cast", {"x": x2}, {"dtype": "fp16"}, lambda x: x, "float16", tolerance=1e-3),
    Case(
        "cast",
        {"x": 10 * positive(3, 4)},
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

matrix, matrix_bias = normal(6, 5), normal(6)
counts = np.random.default_rng(4).integers(-5, 6, (6, 5)).astype(np.int32)
REDUCE = {
    "reduce_l1_norm": lambda x, a, k: np.abs(x).sum(a, keepdims=k),
    "reduce_l2_norm": lambda x, a, k: np.sqrt((x**2).sum(a, keepdims=k)),
    "reduce_log_sum": lambda x, a, k: np.log(x.sum(a, keepdims=k)),
    "reduce_log_sum_exp": lambda x, a, k: np.log(np.exp(x).sum(a, keepdims=k)),
    "reduce_max": lambda x, a, k: x.max(a, keepdims=k),
    "reduce_mean": lambda x, a, k: x.mean(a, keepdims=k),
    "reduce_min": lambda x, a, k: x.min(a, keepdims=k),
    "reduce_prod": lambda x, a, k: x.prod(a, keepdims=k),
    "reduce_sum": lambda x, a, k: x.sum(a, keepdims=k),
    "reduce_sum_square": lambda x, a, k: (x**2).sum(a, keepdims=k),
}
small = positive(2, 3, 4)
LINEAR = [
    Case("linear", {"x": x2}, {"weight": matrix}, lambda x: x @ matrix.T, tolerance=0.01),
    Case(
        "linear",
        {"x": normal(2, 3, 5)},
        {"weight": matrix, "bias": matrix_bias},
        lambda x: x @ matrix.T + matrix_bias,
        note="rank 3",
        tolerance=0.01,
    ),
    Case(
        "linear",
        {"x": normal(5)},
        {"weight": matrix, "bias": matrix_bias},
        lambda x: x @ matrix.T + matrix_bias,
        note="rank 1",
        tolerance=0.01,
    ),
    Case("matmul", {"x": x2, "y": normal(2, 5, 4)}, {}, lambda x, y: x @ y, tolerance=0.01),
    Case(
        "matmul",
        {"x": normal(2, 5, 3), "y": normal(4, 5)},
        {"transpose_x": True, "transpose_y": True},
        lambda x, y: x.swapaxes(1, 2) @ y.T,
        note="transposed",
        tolerance=0.01,
    ),
    Case(
        "linear",
        {"x": x2},
        {"weight": counts, "bias": counts[:, 0]},
        lambda x: x @ counts.T + counts[:, 0],
        opset="CoreML7",
        note="int32 weights",
        tolerance=0.01,
    ),
    Case(
        "matmul",
        {"x": x2},
        {"y": counts, "transpose_y": True},
        lambda x: x @ counts.T,
        opset="CoreML7",
        note="int32 constant",
        tolerance=0.01,
    ),
    Case(
        "matmul",
        {"y": whole},
        {"x": np.float32([[0.5], [1.5]])},
        lambda y: np.trunc([[0.5], [1.5]] @ y),
        "int32",
        opset="CoreML7",
        only="int32",
        note="whole numbers by a constant",
    ),
    Case(
        "einsum",
        {"values": [normal(1, 2, 3, 4), normal(1, 4, 3, 5)]},
        {"equation": "nchw,nwhu->nchu"},
        lambda a, b: np.einsum("nchw,nwhu->nchu", a, b),
        tolerance=0.01,
    ),
    Case(
        "einsum",
        {"values": [normal(1, 2, 3, 4), normal(6, 4, 1, 5)]},
        {"equation": "a b c d , a d c e -> a b c e"},
        lambda a, b: np.einsum("nchw,nwu->nchu", np.repeat(a, 6, 0), b[:, :, 0]),
        note="broadcast",
        tolerance=0.01,
    ),
    Case(
        "einsum",
        {"values": [normal(2, 3, 4), normal(4, 3, 5)]},
        {"equation": "chw,whr->chr"},
        lambda a, b: np.stack([a[:, h] @ b[:, h] for h in range(3)], 1),
        note="rank 3",
        tolerance=0.01,
    ),
    *(
        Case(
            op,
            {"x": small},
            {"axes": [0, -1], "keep_dims": True},
            lambda x, f=f: f(x, (0, 2), True),
            tolerance=0.01,
        )
        for op, f in REDUCE.items()
    ),
    *(
        Case(
            op, {"x": small}, {}, lambda x, f=f: f(x, (0, 1, 2), False), note="all", tolerance=0.01
        )
        for op, f in REDUCE.items()
    ),
    Case("reduce_argmax", {"x": x2}, {}, lambda x: x.argmax(-1), "int32"),
    Case(
        "reduce_argmin",
        {"x": x2},
        {"axis": 0, "keep_dims": True},
        lambda x: x.argmin(0, keepdims=True),
        "int32",
    ),
    Case(
        "reduce_argmax",
        {"x": x2},
        {"output_dtype": "uint16"},
        lambda x: x.argmax(-1),
        "uint16",
        opset="CoreML7",
        note="iOS 17",
    ),
    Case("reduce_argmin", {"x": x2}, {}, lambda x: x.argmin(-1), "int32", opset="CoreML7"),
]

one, two = normal(2, 3, 4), normal(2, 3, 4)
MOVES = [
    Case(
        "concat",
        {"values": [np.array(2.5, np.float32), np.array(-3, np.float32)]},
        {"axis": 0},
        lambda a, b: np.stack([a, b]),
        note="numbers",
    ),
    Case(
        "concat",
        {"values": [np.float32([1, 2]), np.array(-3, np.float32)]},
        {"axis": 0},
        lambda a, b: np.append(a, b),
        note="a row and a number",
    ),
    Case(
        "concat",
        {"values": [one, two[:, :1]]},
        {"axis": 1},
        lambda a, b: np.concatenate([a, b], 1),
    ),
    Case(
        "concat",
        {"values": [one, two]},
        {"axis": -2, "interleave": True},
        lambda a, b: np.stack([a, b], 2).reshape(2, 6, 4),
        note="interleave",
    ),
    Case("stack", {"values": [one, two]}, {"axis": -1}, lambda a, b: np.stack([a, b], -1)),
    Case("split", {"x": one}, {"axis": 2, "num_splits": 2}, lambda x: np.split(x, 2, 2)),
    Case(
        "split",
        {"x": one},
        {"axis": -1, "split_sizes": [1, 3]},
        lambda x: np.split(x, [1], 2),
        note="sizes",
    ),
    Case("flatten2d", {"x": one}, {}, lambda x: x.reshape(2, 12)),
    Case("flatten2d", {"x": one}, {"axis": -1}, lambda x: x.reshape(6, 4), note="axis"),
    Case(
        "pad",
        {"x": one},
        {"pad": [1, 2, 0, 3], "constant_val": 0.5},
        lambda x: np.pad(x, [(0, 0), (1, 2), (0, 3)], constant_values=0.5),
    ),
    Case(
        "pad",
        {"x": one},
        {"pad": [1, 2, 3, 0], "mode": "reflect"},
        lambda x: np.pad(x, [(0, 0), (1, 2), (3, 0)], mode="reflect"),
        note="reflect",
    ),
    Case(
        "pad",
        {"x": one},
        {"pad": [1, 2], "mode": "replicate"},
        lambda x: np.pad(x, [(0, 0), (0, 0), (1, 2)], mode="edge"),
        note="replicate",
    ),
    Case("reshape", {"x": one}, {"shape": [0, -1, 6]}, lambda x: x.reshape(2, 2, 6)),
    Case("reshape", {"x": one}, {"shape": [24]}, lambda x: x.reshape(24)),
    Case("transpose", {"x": one}, {"perm": [2, 0, -2]}, lambda x: x.transpose(2, 0, 1)),
    Case("expand_dims", {"x": x2}, {"axes": [0, -1]}, lambda x: x[None, ..., None]),
    Case("squeeze", {"x": one[:1, :, :1]}, {"axes": [0, 1]}, lambda x: x[0]),
    Case("squeeze", {"x": one[:1, :, :1]}, {}, lambda x: x.squeeze(), note="all"),
    Case(
        "slice_by_index",
        {"x": one},
        {"begin": [0, 2, -1], "end": [2, 0, 0], "stride": [1, -1, -2]},
        lambda x: x[:, 2:0:-1, -1:0:-2],
    ),
    Case(
        "slice_by_index",
        {"x": one},
        {
            "begin": [1, 9, 1],
            "end": [0, 0, 9],
            "begin_mask": [False, True, False],
            "end_mask": [False, False, True],
            "stride": [1, -1, 2],
            "squeeze_mask": [True, False, False],
        },
        lambda x: x[1, :0:-1, 1::2],
        note="masks",
    ),
    Case(
        "slice_by_index",
        {"x": one},
        {"begin": [-1, 0, 0], "end": [0, 3, 4], "squeeze_mask": [True, False, False]},
        lambda x: x[-1],
        note="squeeze the last",
    ),
    Case(
        "slice_by_size",
        {"x": one},
        {"begin": [0, 1, -3], "size": [-1, 2, 2]},
        lambda x: x[:, 1:3, 1:3],
    ),
    Case(
        "slice_by_index",
        {"x": one, "begin": np.int32([-1, 2, -1]), "end": np.int32([0, 0, 0])},
        {"stride": [1, -1, -2], "squeeze_mask": [True, False, False]},
        lambda x, begin, end: x[-1, 2:0:-1, -1:0:-2],
        note="computed bounds",
    ),
    Case(
        "slice_by_index",
        {"x": one, "begin": np.int32([1, 9, 1]), "end": np.int32([0, 0, 9])}
        | {"stride": np.int32([1, -1, 2])},
        {"begin_mask": [False, True, False], "end_mask": [True, False, True]},
        lambda x, begin, end, stride: x[1:, :0:-1, 1::2],
        note="computed bounds and steps",
    ),
    Case(
        "slice_by_size",
        {"x": one, "begin": np.int32([0, 1, -3])},
        {"size": [-1, 2, 2]},
        lambda x, begin: x[:, 1:3, 1:3],
        note="computed",
    ),
    Case(
        "tile",
        {"x": one, "reps": np.int32([1, 2, 3])},
        {},
        lambda x, reps: np.tile(x, (1, 2, 3)),
        note="computed",
    ),
    Case(
        "reshape",
        {"x": one, "shape": np.int32([0, -1, 6])},
        {},
        lambda x, shape: x.reshape(2, 2, 6),
        note="computed",
    ),
    Case("reverse", {"x": one}, {"axes": [0, -1]}, lambda x: x[::-1, :, ::-1]),
    Case("reverse", {"x": one}, {}, lambda x: x[::-1, ::-1, ::-1], note="all"),
    Case("tile", {"x": one}, {"reps": [1, 2, 3]}, lambda x: np.tile(x, (1, 2, 3))),
    Case(
        "depth_to_space",
        {"x": x4},
        {"block_size": 2},
        lambda x: x.reshape(2, 2, 2, 1, 7, 6).transpose(0, 3, 4, 1, 5, 2).reshape(2, 1, 14, 12),
    ),
    Case(
        "space_to_depth",
        {"x": x4[:, :, :6]},
        {"block_size": 2},
        lambda x: x.reshape(2, 4, 3, 2, 3, 2).transpose(0, 3, 5, 1, 2, 4).reshape(2, 16, 3, 3),
    ),
    Case("pixel_shuffle", {"x": x4}, {"upscale_factor": 2}, lambda x: F.pixel_shuffle(t(x), 2)),
    Case(
        "pixel_unshuffle",
        {"x": x4[:, :, :6]},
        {"downscale_factor": 3},
        lambda x: F.pixel_unshuffle(t(x), 3),
    ),
    Case(
        "crop",
        {"x": x4},
        {"crop_height": [1, 2], "crop_width": [0, 3]},
        lambda x: x[:, :, 1:-2, :-3],
    ),
]

line = np.array([[[0, 1]]], np.float32)  # the specification's own example


def grid(x: np.ndarray, rows: Any, columns: Any) -> np.ndarray:
    """x [..., H, W] at fractional rows and columns, linear in between."""
    for axis, points in ((-2, rows), (-1, columns)):
        x = np.apply_along_axis(
            lambda v, p=points: np.interp(np.asarray(p), np.arange(len(v)), v), axis, x
        )
    return x


def interpolated(size: tuple[int, int], **options: Any) -> Callable[..., Any]:
    return lambda x: F.interpolate(t(x), size=size, mode="bilinear", **options)


RESIZING = [
    *(
        Case(
            "resize_bilinear",
            {"x": line},
            {"target_size_height": 1, "target_size_width": len(values), "sampling_mode": mode},
            lambda _, values=values: np.array([[values]]),
            note=f"{mode} {len(values)}",
            tolerance=0.01,
        )
        for mode, values in [
            ("UNALIGN_CORNERS", [0.0, 0.1, 0.5, 0.9, 1.0]),
            ("STRICT_ALIGN_CORNERS", [0.0, 0.25, 0.5, 0.75, 1.0]),
            ("ALIGN_CORNERS", [0.0, 0.25, 0.5, 0.75, 1.0]),
            ("DEFAULT", [0.0, 0.4, 0.8, 1.0, 1.0]),
            ("OFFSET_CORNERS", [0.1, 0.3, 0.5, 0.7, 0.9]),
            ("UNALIGN_CORNERS", [0.0, 0.0, 1 / 3, 2 / 3, 1.0, 1.0]),
            ("STRICT_ALIGN_CORNERS", [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
            ("DEFAULT", [0.0, 1 / 3, 2 / 3, 1.0, 1.0, 1.0]),
            ("OFFSET_CORNERS", [1 / 12, 0.25, 5 / 12, 7 / 12, 0.75, 11 / 12]),
            ("STRICT_ALIGN_CORNERS", [0.0]),
            ("ALIGN_CORNERS", [0.5]),
        ]
    ),
    Case("resize_bilinear", {"x": x4}, {}, lambda x: x[:, :, :1, :1], note="defaults"),
    *(
        Case(
            "resize_bilinear",
            {"x": x4},
            {"target_size_height": 4, "target_size_width": 13, "sampling_mode": mode},
            expected,
            note=f"{mode} 4 × 13",
        )
        for mode, expected in [
            ("UNALIGN_CORNERS", interpolated((4, 13))),
            ("ALIGN_CORNERS", interpolated((4, 13), align_corners=True)),
            ("DEFAULT", lambda x: grid(x, np.arange(4) * 7 / 4, np.arange(13) * 6 / 13)),
            (
                "OFFSET_CORNERS",
                lambda x: grid(x, (np.arange(4) + 0.5) * 6 / 4, (np.arange(13) + 0.5) * 5 / 13),
            ),
        ]
    ),
    # The half pixel centers of TensorFlow, from which coremltools converts to this op.
    Case(
        "resize_nearest_neighbor",
        {"x": x4},
        {"target_size_height": 10, "target_size_width": 4},
        lambda x: F.interpolate(t(x), size=(10, 4), mode="nearest-exact"),
    ),
    Case(
        "upsample_nearest_neighbor",
        {"x": x4},
        {"scale_factor_height": 1.3},
        lambda x: x[:, :, [0, 0, 1, 2, 3, 3, 4, 5, 6]],
        note="a part of a row left over",
    ),
    Case(
        "upsample_nearest_neighbor",
        {"x": x4},
        {"scale_factor_height": 2.0, "scale_factor_width": 3.0},
        lambda x: x.repeat(2, 2).repeat(3, 3),
    ),
    Case(
        "upsample_nearest_neighbor",
        {"x": x4},
        {"scale_factor_width": 1.5},
        lambda x: F.interpolate(t(x), size=(7, 9), mode="nearest"),
        note="fraction",
    ),
    *(
        Case(
            "upsample_bilinear",
            {"x": x4},
            {"scale_factor_height": 2.5, "scale_factor_width": 0.75} | fields,
            expected,
            opset=opset,
            note=f"{opset} {fields}",
        )
        for opset, fields, expected in [
            ("CoreML5", {}, interpolated((17, 4), align_corners=True)),
            ("CoreML5", {"align_corners": False}, interpolated((17, 4))),
            ("CoreML6", {}, interpolated((17, 4), align_corners=True)),
            (
                "CoreML6",
                {"align_corners": False, "half_pixel_centers": True},
                interpolated((17, 4)),
            ),
            (
                "CoreML6",
                {"align_corners": False, "half_pixel_centers": False},
                lambda x: grid(x, np.arange(17) * 7 / 17, np.arange(4) * 6 / 4),
            ),
        ]
    ),
    Case(
        "upsample_bilinear",
        {"x": line},
        {"scale_factor_width": 2.6, "align_corners": False},
        lambda _: np.array([[[0.0, 0.1, 0.5, 0.9, 1.0]]]),
        note="example",
        only="float32",
    ),
    Case(
        "resize",
        {"x": np.float32([-6.174, 9.371]).reshape(1, 1, 1, 2, 1)},
        {"shape": np.int32([1, 1, 3, 2]), "resized_dims": np.uint32(2)}
        | {"interpolation_mode": "NEAREST_NEIGHBOR"},
        lambda x: x.reshape(2)[[0, 0, 1, 1, 1, 1]].reshape(1, 1, 1, 3, 2),
        opset="CoreML7",
        note="nearest",
    ),
    Case(
        "resize",
        {"x": x4},
        {"shape": np.int32([4, 0, 13]), "resized_dims": np.uint32(2)},
        lambda x: grid(x, np.arange(7), np.arange(13) * 6 / 13),
        opset="CoreML7",
        note="keep the height",
    ),
    Case(
        "resize",
        {"x": x4},
        {"shape": np.int32([3]), "resized_dims": np.uint32(1)}
        | {"sampling_mode": "UNALIGN_CORNERS"},
        interpolated((7, 3)),
        opset="CoreML7",
        note="width only",
    ),
]

# gather: the picture that NumPy's own indexing gives; scatter: NumPy's unbuffered ufunc.at.
SCATTER: dict[str, Callable[..., Any]] = {
    "add": np.add.at,
    "sub": np.subtract.at,
    "mul": np.multiply.at,
    "div": np.divide.at,
    "max": np.maximum.at,
    "min": np.minimum.at,
    "update": lambda data, at, new: data.__setitem__(at, new),
}
picks = np.int32([2, 0, -1, 0])
pairs = np.int32([[[1, 2], [0, 0]], [[1, 0], [0, -1]]])
deep = normal(2, 3, 4, 5)
batched = np.int32([[3, 0], [1, 1]])


def scattered(mode: str, at: Any) -> Callable[..., Any]:
    def expected(data: np.ndarray, _: Any, updates: np.ndarray) -> np.ndarray:
        data = data.copy()
        SCATTER[mode](data, at, updates)
        return data

    return expected


def scatter_case(op: str, indices: np.ndarray, shape: Any, at: Any, **fields: Any) -> Case:
    mode = fields.get("mode", "add")
    given = {"data": one, "indices": indices, "updates": positive(*shape)}
    note = f"{mode} {fields.get('axis', '')}"
    return Case(op, given, fields, scattered(mode, at), note=note)


once = np.int32([2, 0])
along = np.int32([[[2, 0, 1, 1]], [[0, 0, 2, -1]]])
along_at = (np.arange(2)[:, None, None], along, np.arange(4))
INDEXING = [
    Case("gather", {"x": one, "indices": np.int32([1, 0, -1])}, {}, lambda x, i: x[[1, 0, -1]]),
    Case(
        "gather",
        {"x": one, "indices": np.int32([[2, 0], [1, -1]])},
        {"axis": -2},
        lambda x, i: x[:, i],
        opset="CoreML5",
        note="iOS 15",
    ),
    *(
        Case(
            "gather",
            {"x": deep, "indices": batched},
            {"axis": axis, "batch_dims": 1} | fields,
            expected,
            opset=opset,
            note=f"batch {axis} {opset}",
        )
        for axis, expected in [
            (2, lambda x, i: np.stack([x[b][:, i[b]] for b in range(2)])),
            (-1, lambda x, i: np.stack([x[b][:, :, i[b]] for b in range(2)])),
        ]
        for opset, fields in [("CoreML6", {}), ("CoreML7", {"validate_indices": True})]
    ),
    Case(
        "gather",
        {"x": deep, "indices": np.int32([2, 1])},
        {"axis": 1, "batch_dims": 1},
        lambda x, i: np.stack([x[0, 2], x[1, 1]]),
        note="batch of scalars",
    ),
    *(
        Case(
            "gather_along_axis",
            {"x": one, "indices": along},
            {"axis": 1} | fields,
            lambda x, i: np.take_along_axis(x, i, 1),
            opset=opset,
            note=opset,
        )
        for opset, fields in [("CoreML5", {}), ("CoreML7", {"validate_indices": False})]
    ),
    Case("gather_nd", {"x": one, "indices": pairs}, {}, lambda x, i: x[i[..., 0], i[..., 1]]),
    *(
        Case(
            "gather_nd",
            {"x": deep, "indices": np.int32([[[1, 2]], [[0, 3]]])},
            {"batch_dims": 1} | fields,
            lambda x, i: np.stack([x[0, 1, 2], x[1, 0, 3]])[:, None],
            opset=opset,
            note=f"batch {opset}",
        )
        for opset, fields in [("CoreML6", {}), ("CoreML7", {"validate_indices": True})]
    ),
    *(
        scatter_case(
            "scatter", picks if mode != "update" else once,
            (2, 4 if mode != "update" else 2, 4),
            (slice(None), picks if mode != "update" else once), axis=1, mode=mode,
        )
        for mode in SCATTER
    ),
    scatter_case("scatter", np.int32([1, 1, 0]), (3, 3, 4), np.int32([1, 1, 0])),
    *(
        scatter_case("scatter_along_axis", along, (2, 1, 4), along_at, axis=-2, mode=mode)
        for mode in SCATTER
    ),
    *(
        scatter_case("scatter_nd", pairs, (2, 2, 4), (pairs[..., 0], pairs[..., 1]), mode=mode)
        for mode in SCATTER
    ),
    # The example of the specification.
    Case(
        "scatter",
        {
            "data": np.int32([[1, 2, 3], [4, 5, 6]]),
            "indices": np.int32([1, 0]),
            "updates": np.int32([[5, 6, 7], [8, 9, 10]]),
        },
        {"axis": 0, "mode": "add", "validate_indices": True},
        lambda *_: np.int32([[9, 11, 13], [9, 11, 13]]),
        "int32",
        opset="CoreML7",
        only="int32",
    ),
    *(
        Case(
            op,
            {"data": x2, "indices": indices, "updates": updates},
            {"mode": "update", "validate_indices": False},
            expected,
            opset="CoreML7",
            note="iOS 17",
        )
        for op, indices, updates, expected in [
            (
                "scatter_along_axis",
                np.int32([[2, 1, 0, 0, 1]]),
                row[None],
                lambda d, i, u: np.where(np.arange(3)[:, None] == i, u, d),
            ),
            (
                "scatter_nd",
                np.int32([[2], [0]]),
                x2[:2] + 1,
                lambda d, i, u: np.stack([u[1], d[1], u[0]]),
            ),
        ]
    ),
]  # fmt: skip


def band(x: np.ndarray, lower: float, upper: float) -> np.ndarray:
    m, n = np.indices(x.shape[-2:])
    return x * ((m - n <= lower) & (n - m <= upper))


def sequences_reversed(x: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """x [seq, *, batch]."""
    y = x.copy()
    for i, length in enumerate(lengths):
        y[:length, ..., i] = x[:length, ..., i][::-1]
    return y


def updated(x: np.ndarray, place: Any, update: np.ndarray) -> np.ndarray:
    y = x.copy()
    y[place] = update
    return y


all_, big = np.inf, np.array([[5, 300, 300, -2, 7]], np.int32)
kept = np.float32([[0, 1.5, 0], [-2, 0, 0.25]])
numbers = np.int32([[2, 0], [-1, 3]])
MAKING = [
    Case("shape", {"x": one}, {}, lambda _: np.int32([2, 3, 4]), "int32"),
    Case("fill", {}, {"shape": np.int32([2, 3])}, lambda: np.zeros((2, 3)), "float32"),
    Case("fill", {}, {"shape": np.int32([2]), "value": 1.5}, lambda: np.full(2, 1.5), note="value"),
    Case(
        "fill",
        {"shape": np.int32([2, 3])},
        {"value": True},
        lambda _: np.ones((2, 3)),
        "bool",
        note="shape given at run time",
        only="bool",
    ),
    Case("fill_like", {"ref_tensor": one}, {}, np.zeros_like, "float32"),
    Case("fill_like", {"ref_tensor": one}, {"value": 7}, lambda x: 0 * x + 7, "int32", note="7"),
    *(
        Case(
            "range_1d",
            {},
            {"start": start, "end": end, "step": step},
            lambda start=start, end=end, step=step: np.arange(start, end, step),
            kind,
            note=f"{start} {end} {step}",
        )
        for start, end, step, kind in [
            (2, 11, 3, "int32"),
            (5, -1, -2, "int32"),
            (0.5, 3.0, 0.75, ""),
        ]
    ),
    Case(
        "range_1d",
        {"end": np.array(7, np.int32)},
        {"start": 1, "step": 2},
        lambda _: np.int32([1, 3, 5]),
        "int32",
        note="end given at run time",
        only="int32",
    ),
    Case("cumsum", {"x": one}, {}, lambda x: x.cumsum(0)),
    Case(
        "cumsum",
        {"x": one},
        {"axis": -1, "exclusive": True},
        lambda x: x.cumsum(-1) - x,
        note="exclusive",
    ),
    Case(
        "cumsum",
        {"x": one},
        {"axis": 1, "exclusive": True, "reverse": True},
        lambda x: x[:, ::-1].cumsum(1)[:, ::-1] - x,
        note="reverse",
    ),
    Case("band_part", {"x": one}, {}, lambda x: x),
    Case(
        "band_part",
        {"x": np.ones((3, 4), np.bool_)},
        {"lower": 0},
        lambda x: np.triu(x),
        "bool",
        only="bool",
    ),
    *(
        Case(
            "band_part",
            {"x": one},
            {"lower": lower, "upper": upper},
            lambda x, lower=lower, upper=upper: band(
                x, all_ if lower < 0 else lower, all_ if upper < 0 else upper
            ),
            note=f"{lower} {upper}",
        )
        for lower, upper in [(0, -1), (-1, 0), (0, 0), (1, 2)]
    ),
    Case("one_hot", {"indices": numbers}, {"one_hot_vector_size": 4},
         lambda i: (i[..., None] == np.arange(4)), "int32"),
    Case(
        "one_hot",
        {"indices": numbers},
        {"one_hot_vector_size": 3, "axis": 1, "on_value": 0.5, "off_value": -1.0},
        lambda i: np.where(i[:, None] == np.arange(3)[:, None], 0.5, -1),
        note="values",
    ),
    Case("non_zero", {"x": kept}, {}, np.argwhere, "int32"),
    Case("non_zero", {"x": kept != 0}, {}, np.argwhere, "int32", only="bool"),
    Case("argsort", {"x": one}, {}, lambda x: np.argsort(-x, -1), "int32"),
    Case(
        "argsort",
        {"x": one},
        {"axis": 1, "ascending": True},
        lambda x: np.argsort(x, 1),
        "int32",
        note="ascending",
    ),
    Case("topk", {"x": big}, {}, lambda x: [[[300]], [[1]]], "int32", only="int32"),
    Case(
        "topk",
        {"x": big},
        {"k": 3, "ascending": True},
        lambda x: [[[-2, 5, 7]], [[3, 0, 4]]],
        "int32",
        opset="CoreML5",
        only="int32",
        note="iOS 15",
    ),
    Case(
        "topk",
        {"x": one},
        {"k": 2, "axis": 0, "return_indices": False, "sort": False},
        lambda x: -np.sort(-x, 0),
        note="values only",
    ),
    Case(
        "topk",
        {"x": one},
        {"k": -1, "axis": 1, "return_indices": False},
        lambda x: -np.sort(-x, 1),
        opset="CoreML7",
        note="all",
    ),
    Case(
        "topk",
        {"x": big.astype(np.uint16)[:, :3]},
        {"k": 2, "output_indices_dtype": "uint16"},
        lambda x: [[[300, 300]], [[1, 2]]],
        "uint16",
        opset="CoreML7",
        only="uint16",
        note="uint16",
    ),
    Case("sliding_windows", {"x": one}, {"axis": 1, "size": 2},
         lambda x: np.stack([x[:, 0:2], x[:, 1:3]], 1)),
    Case(
        "sliding_windows",
        {"x": one},
        {"axis": -1, "size": 2, "stride": 2},
        lambda x: np.stack([x[..., 0:2], x[..., 2:4]], -2),
        note="stride",
    ),
    Case(
        "reverse_sequence",
        {"x": one, "lengths": np.int32([0, 1, 2, 2])},
        {"batch_axis": -1},
        sequences_reversed,
    ),
    Case(
        "reverse_sequence",
        {"x": one, "lengths": np.int32([3, 2])},
        {"seq_axis": 2},
        lambda x, lengths: sequences_reversed(x.T, lengths).T,
        note="batch first",
    ),
    # TensorFlow's examples, whose batch holds the cells of a block one after the other.
    Case(
        "space_to_batch",
        {"x": np.float32([[1, 2], [3, 4]])[None, None]},
        {"block_shape": np.int32([2, 2]), "paddings": np.int32([[0, 0], [0, 0]])},
        lambda _: np.float32([1, 2, 3, 4]).reshape(4, 1, 1, 1),
    ),
    Case(
        "space_to_batch",
        {"x": x4},
        {"block_shape": np.int32([2, 3]), "paddings": np.int32([[1, 0], [0, 3]])},
        lambda x: np.concatenate(
            [
                np.pad(x, [(0, 0), (0, 0), (1, 0), (0, 3)])[:, :, i::2, j::3]
                for i in range(2)
                for j in range(3)
            ]
        ),
        note="padded",
    ),
    Case(
        "batch_to_space",
        {"x": normal(12, 2, 3, 4)},
        {"block_shape": np.int32([2, 3]), "crops": np.int32([[1, 0], [0, 2]])},
        lambda x: x.reshape(2, 3, 2, 2, 3, 4)
        .transpose(2, 3, 4, 0, 5, 1)
        .reshape(2, 2, 6, 12)[:, :, 1:, :-2],
    ),
    # The example of the specification.
    Case(
        "reshape_like",
        {"x": normal(180), "ref_tensors": [normal(2, 3, 4), normal(1, 5, 6)]},
        {"begins": (0, 1), "ends": (2, 0), "end_masks": (False, True)},
        lambda x, *_: x.reshape(2, 3, 5, 6),
    ),
    Case(
        "slice_update",
        {"x": deep, "update": normal(2, 2, 1, 4)},
        {"begin": np.int32([0, 1, -3, 9]), "end": np.int32([2, -9, 2, 4])}
        | {"begin_mask": [False, False, False, True], "end_mask": [False, True, False, False]},
        lambda x, update: updated(x, np.s_[:, 1:, 1:2, :4], update),
        opset="CoreML8",
    ),
    Case(
        "slice_update",
        {"x": deep, "update": normal(2, 4, 5)},
        {"begin": np.int32([0, -1, 0, 0]), "end": np.int32([2, 0, 4, 5])}
        | {"stride": np.int32([1, 1, 1, 1]), "squeeze_mask": [False, True, False, False]},
        lambda x, update: updated(x, np.s_[:, -1], update),
        opset="CoreML8",
        note="squeeze",
    ),
    Case(
        "slice_update",
        {"x": deep, "update": normal(2, 2, 3)},
        {"begin": np.int32([0, -1, 3, 0]), "end": np.int32([2, 0, 0, 5])}
        | {"stride": np.int32([1, 1, -2, 2]), "squeeze_mask": [False, True, False, False]},
        lambda x, update: updated(x, np.s_[:, -1, 3:0:-2, ::2], update),
        opset="CoreML8",
        note="steps",
    ),
    Case(
        "slice_update",
        {"x": deep, "update": normal(2, 1, 4, 2), "begin": np.int32([9, -1, 0, 2])},
        {"end": np.int32([2, 3, 4, 4]), "begin_mask": [True, False, False, False]},
        lambda x, update, begin: updated(x, np.s_[:, -1:, :, 2:4], update),
        opset="CoreML8",
        note="computed",
    ),
]  # fmt: skip

wide_range = np.float32([[-70, 0.25, 0.75], [1.25, 31, 200]])
codes = np.int8([[-128, 0, 3], [7, 100, 127]])
steps, offsets = np.float32([0.5, 2]), np.int8([3, -4])
QUANTIZATION = [
    Case(
        "quantize",
        {"input": wide_range},
        {"scale": 0.5, "output_dtype": "int8"},
        lambda x: np.clip(np.round(x / 0.5), -128, 127),
        "int8",
        opset="CoreML7",
    ),
    Case(
        "quantize",
        {"input": wide_range},
        {"scale": 0.5, "output_dtype": "uint8", "zero_point": np.uint8(9)},
        lambda x: np.clip(np.round(x / 0.5) + 9, 0, 255),
        "uint8",
        opset="CoreML7",
        note="zero point",
    ),
    Case(
        "quantize",
        {"input": wide_range},
        {"scale": steps, "output_dtype": "int8", "zero_point": offsets, "axis": 0},
        lambda x: np.clip(np.round(x / steps[:, None]) + offsets[:, None], -128, 127),
        "int8",
        opset="CoreML7",
        note="axis",
    ),
    Case(
        "dequantize",
        {"input": codes},
        {"scale": 0.5},
        lambda x: 0.5 * x,
        opset="CoreML7",
    ),
    Case(
        "dequantize",
        {"input": codes.T},
        {"scale": steps, "zero_point": offsets, "axis": -1},
        lambda x: steps * (x.astype(int) - offsets),
        opset="CoreML7",
        note="axis",
    ),
]

query, key, content = normal(2, 3, 4, 5), normal(2, 3, 6, 5), normal(2, 3, 6, 7)


def attention_case(note: str, mask: np.ndarray | None = None) -> Case:
    given = {"query": query, "key": key, "value": content}
    return Case(
        "scaled_dot_product_attention",
        given if mask is None else given | {"attn_mask": mask},
        {},
        lambda q, k, v, m=None: F.scaled_dot_product_attention(
            t(q), t(k), t(v), None if m is None else torch.from_numpy(m)
        ),
        opset="CoreML8",
        note=note,
    )


ATTENTION = [
    attention_case("plain"),
    attention_case("numbers", normal(4, 6)),
    attention_case("bool", np.tril(np.ones((4, 6), bool))),
]

spots = R.uniform(-1.3, 1.3, (2, 3, 4, 2)).astype(np.float32)


def sampled(mode: str, padding: str, corners: bool) -> Callable[..., Any]:
    return lambda x, at: F.grid_sample(
        t(x), t(at), mode=mode, padding_mode=padding, align_corners=corners
    )


def resample_case(
    modes: tuple[str, str, str], corners: bool, expected: Callable[..., Any], **given: Any
) -> Case:
    sampling, padding, space = modes
    fields = {"sampling_mode": sampling, "padding_mode": padding, "coordinates_mode": space}
    return Case(
        "resample",
        {"x": x4, "coordinates": given.get("at", spots)},
        fields | {"align_corners": corners, "padding_value": given.get("value", 0.0)},
        expected,
        note=f"{' '.join(modes)} {corners}",
        tolerance=0.02,
    )


zero_to_one, both = "normalized_zero_to_one", "normalized_minus_one_to_one"
# Columns up to 5 and rows up to 6 lie within x4 [2, 4, 7, 6].
dots = R.uniform(-2.4, 7.4, (2, 3, 4, 2)).astype(np.float32)
ends = np.float32([5, 6])
RESAMPLING = [
    Case(  # published in coremltools' own tests; the last point lies between two elements
        "resample",
        {
            "x": np.float32([[[[11, 22], [33, 44]]]]),
            "coordinates": np.float32([-1, -2, -3.7, -1, 0, 0, 3.5, 1.2]).reshape(1, 2, 2, 2),
        },
        {"sampling_mode": "nearest", "padding_mode": "symmetric", "padding_value": -1.0}
        | {"coordinates_mode": zero_to_one, "align_corners": False},
        lambda *_: np.float32([[[[22, 33], [11, 33]]]]),
        note="between two",
    ),
    *(
        resample_case((mode, padding, both), corners, sampled(mode, torch_padding, corners))
        for mode in ("bilinear", "nearest")
        for padding, torch_padding, corners in [
            ("constant", "zeros", True),
            ("constant", "zeros", False),
            ("border", "border", True),
            ("border", "border", False),
            ("reflection", "reflection", True),
            ("symmetric", "reflection", False),
        ]
    ),
    resample_case(
        ("bilinear", "border", zero_to_one),
        False,
        lambda x, at: sampled("bilinear", "border", False)(x, 2 * at - 1),
        at=np.abs(spots),
    ),
    *(
        resample_case(
            ("bilinear", padding, "unnormalized"),
            False,
            lambda x, at, name=name: sampled("bilinear", name, True)(x, 2 * at / ends - 1),
            at=dots,
        )
        for padding, name in [
            ("constant", "zeros"),
            ("border", "border"),
            ("reflection", "reflection"),
        ]
    ),
    resample_case(
        ("bilinear", "constant", both),
        True,
        lambda x, at: sampled("bilinear", "zeros", True)(x - 3, at) + 3,
        value=3.0,
    ),
    *(
        Case(
            "affine",
            {"x": x4, "transform_matrix": normal(batch, 6)},
            {"output_height": 3, "output_width": 5, "sampling_mode": "bilinear"}
            | {"padding_mode": "constant", "padding_value": 0.0, "coordinates_mode": both}
            | {"align_corners": True},
            lambda x, matrix: F.grid_sample(
                t(x),
                F.affine_grid(
                    t(np.broadcast_to(matrix.reshape(-1, 2, 3), (2, 2, 3)).copy()),
                    [2, 4, 3, 5],
                    align_corners=True,
                ),
                align_corners=True,
            ),
            note=f"{batch}",
            tolerance=0.02,
        )
        for batch in (1, 2)
    ),
]

CASES = [
    *ACTIVATIONS,
    *CONVOLUTIONS,
    *POOLS,
    *NORMALIZATIONS,
    *BINARY,
    *UNARY,
    *LINEAR,
    *MOVES,
    *RESIZING,
    *INDEXING,
    *MAKING,
    *QUANTIZATION,
    *ATTENTION,
    *RESAMPLING,
]

# Ops that are checked elsewhere: constants and weights in test_weights.py, classify in
# test_classifier.py, others in the test named as their family.
ELSEWHERE = {
    "classify",
    "cond",
    "constexpr_affine_dequantize",
    "constexpr_blockwise_shift_scale",
    "constexpr_cast",
    "constexpr_lut_to_dense",
    "constexpr_lut_to_sparse",
    "constexpr_sparse_blockwise_shift_scale",
    "constexpr_sparse_to_dense",
    "coreml_update_state",
    "crop_resize",
    "gru",
    "list_gather",
    "list_length",
    "list_read",
    "list_scatter",
    "list_write",
    "lstm",
    "make_list",
    "non_maximum_suppression",
    "random_bernoulli",
    "random_categorical",
    "random_normal",
    "random_uniform",
    "read_state",
    "rnn",
    "while_loop",
    "write_state",
}


def halved(value: Any) -> Any:
    """The same in float16, where it is a floating-point array or number."""
    if isinstance(value, list):
        return [halved(item) for item in value]
    if isinstance(value, float):
        return np.float16(value)
    if isinstance(value, np.ndarray) and value.dtype == np.float32:
        return value.astype(np.float16)
    return value


def flat(inputs: dict[str, Any]) -> list[np.ndarray]:
    return [a for v in inputs.values() for a in (v if isinstance(v, list) else [v])]


ROWS = [
    pytest.param(case, precision, id=f"{case}-{precision}")
    for case in CASES
    for precision in ("float32", "float16")
    if precision == "float32" or not case.only
]


@pytest.mark.parametrize(("case", "precision"), ROWS)
def test_op(case: Case, precision: str, run_op: Callable[..., list[np.ndarray]]) -> None:
    half = precision == "float16"
    inputs = {k: halved(v) for k, v in case.inputs.items()} if half else case.inputs
    fields = {k: halved(v) for k, v in case.fields.items()} if half else case.fields
    # The formula gets what the op gets: inputs as rounded, worked out in float32.
    wide = [a.astype(np.float32) if a.dtype == np.float16 else a for a in flat(inputs)]
    with np.errstate(all="ignore"):
        expected = case.expected(*wide)
    several = expected if isinstance(expected, (list, tuple)) else [expected]
    arrays = [e.numpy() if isinstance(e, torch.Tensor) else np.asarray(e) for e in several]
    outputs = [(case.kind or precision, a.shape) for a in arrays]
    answers = run_op(case.op, inputs, fields, outputs, case.opset, case.attributes)
    loose = case.tolerance or 4e-3
    tolerance = {"rtol": loose, "atol": loose} if half else {"rtol": 2e-5, "atol": 2e-6}
    if case.kind == "float16":
        tolerance = {"rtol": case.tolerance, "atol": 0}
    for answer, array in zip(answers, arrays, strict=True):
        np.testing.assert_allclose(np.asarray(answer, np.float64), array, **tolerance)


@dataclass
class Refusal:
    """One row: what an op is given that it does not take, and what the error says."""

    op: str
    inputs: dict[str, Any]
    fields: dict[str, Any]
    error: type[Exception]
    message: str
    opset: str = "CoreML6"

    def __str__(self) -> str:
        return f"{self.op}-{self.message}"


REFUSALS = [
    Refusal(
        "upsample_nearest_neighbor",
        {"x": x4},
        {"scale_factor_height": 0.34},
        UnsupportedParameter,
        "make 2.38 × 6 of .* expected whole numbers",
    ),
    Refusal(
        "resize_bilinear",
        {"x": x4},
        {"target_size_height": 2**30, "target_size_width": 2},
        ModelFileError,
        "should become 1.07374e.09 × 2; expected 1 to 1048576 each",
    ),
    Refusal(
        "resize_bilinear",
        {"x": x4},
        {"sampling_mode": "CUBIC"},
        UnsupportedParameter,
        "the sampling mode is 'CUBIC'; expected OFFSET_CORNERS or DEFAULT",
    ),
    Refusal(
        "range_1d",
        {},
        {"start": 0, "end": 2**31 - 1, "step": 1},
        ModelFileError,
        "would be int32.2147483647.; expected at most 2147483648 bytes",
    ),
    Refusal(
        "range_1d",
        {},
        {"start": 0, "end": 3, "step": 0},
        ModelFileError,
        "a range has the step 0; expected a number other than 0",
    ),
    Refusal(
        "fill",
        {},
        {"shape": np.int32([2**20, 2**20])},
        ModelFileError,
        "would be float32.*; expected at most 2147483648 bytes",
    ),
    Refusal(
        "one_hot",
        {"indices": numbers},
        {"one_hot_vector_size": 2**31 - 1},
        ModelFileError,
        "expected at most 2147483648 bytes",
    ),
    Refusal("topk", {"x": one}, {"k": 9}, ModelFileError, "TopK cannot take"),
    Refusal("topk", {"x": one}, {"k": 0}, ModelFileError, "the 0 largest elements are asked for"),
    Refusal(
        "sliding_windows",
        {"x": one},
        {"axis": 0, "size": 3},
        ModelFileError,
        "windows of 3, 1 apart, do not fit 2 elements",
    ),
    Refusal(
        "reverse_sequence",
        {"x": one, "lengths": np.int32([1, 1])},
        {},
        ModelFileError,
        "along the same axis, 0",
    ),
    Refusal(
        "space_to_batch",
        {"x": x4},
        {"block_shape": np.int32([2, 2]), "paddings": np.int32([[0, 0], [0, 0]])},
        ModelFileError,
        "7 × 6 is not divisible by 'block_shape' .2, 2.",
    ),
    Refusal(
        "slice_update",
        {"x": one, "update": one[:, :, :3]},
        {"begin": np.int32([0, 0, 0]), "end": np.int32([2, 2, 4]), "stride": np.int32([1, 1, 2])},
        ModelFileError,
        "the slice has the sizes .2, 2, 2.; expected those of",
        "CoreML8",
    ),
    Refusal(
        "slice_update",
        {"x": one, "update": one[:1]},
        {"begin": np.int32([0, 0, 0]), "end": np.int32([2, 3, 4])},
        ModelFileError,
        "the slice has the sizes .2, 3, 4.; expected those of",
        "CoreML8",
    ),
    Refusal(
        "quantize",
        {"input": wide_range},
        {"scale": steps, "output_dtype": "int8", "axis": 1},
        ModelFileError,
        "'axis' is 1 for the scale .* of input",
        "CoreML7",
    ),
    Refusal(
        "quantize",
        {"input": wide_range},
        {"scale": 0.5, "output_dtype": "int4"},
        UnsupportedParameter,
        "'output_dtype' is 'int4'; expected one of int8, uint8",
        "CoreML7",
    ),
    Refusal(
        "resample",
        {"x": x4, "coordinates": spots},
        {"sampling_mode": "bilinear", "padding_mode": "symmetric", "padding_value": 0.0}
        | {"coordinates_mode": both, "align_corners": True},
        UnsupportedParameter,
        "'padding_mode' is 'symmetric' and 'align_corners' True; expected False",
    ),
    Refusal(
        "scatter",
        {"data": one, "indices": picks, "updates": one},
        {"axis": 3},
        ModelFileError,
        "the axis is 3; x has 3 dimensions",
    ),
    Refusal(
        "scatter_nd",
        {"data": one, "indices": pairs, "updates": one},
        {"mode": "xor"},
        UnsupportedParameter,
        "the mode is 'xor'; expected one of update, add, sub, mul, div, max, min",
    ),
    Refusal(
        "scatter_nd",
        {"data": picks, "indices": once[:, None], "updates": once},
        {"mode": "div"},
        UnsupportedParameter,
        "the mode is 'div' .* expected a floating-point type",
    ),
    Refusal(
        "gather",
        {"x": deep, "indices": batched},
        {"axis": 0, "batch_dims": 1},
        ModelFileError,
        "1 batch dimensions, axis 0 and .* do not fit",
    ),
    Refusal(
        "upsample_bilinear",
        {"x": x4},
        {"half_pixel_centers": True},
        UnsupportedParameter,
        "are both true; expected at most one",
    ),
    Refusal(
        "resize",
        {"x": x4},
        {"shape": np.int32([2, 3, 4]), "resized_dims": np.uint32(3)},
        UnsupportedParameter,
        "'resized_dims' is 3; expected 1 or 2",
        "CoreML7",
    ),
]


@pytest.mark.parametrize("row", REFUSALS, ids=str)
def test_refusal(row: Refusal, run_op: Callable[..., list[np.ndarray]]) -> None:
    with pytest.raises(row.error, match=row.message):
        run_op(row.op, row.inputs, row.fields, [("float32", (1,))], row.opset)


@pytest.mark.parametrize("op", ["gather", "gather_along_axis", "gather_nd", "scatter_nd"])
def test_index_beyond_the_tensor(op: str, run_op: Callable[..., list[np.ndarray]]) -> None:
    indices = np.full((1, 1), 9, np.int32)
    if op == "scatter_nd":
        given, shape = {"data": x2, "indices": indices, "updates": x2[:1]}, (3, 5)
    else:
        given = {"x": x2, "indices": indices}
        shape = {"gather": (1, 1, 5), "gather_along_axis": (1, 1), "gather_nd": (1, 5)}[op]
    with pytest.raises(PocketlensError, match="ut of (bounds|range)|ut of data bounds|invalid ind"):
        run_op(op, given, {}, [("float32", shape)])


def test_every_op_that_runs_has_a_case() -> None:
    supported = {row.op for row in coverage("mil") if row.supported}
    assert {case.op for case in CASES} | ELSEWHERE == supported

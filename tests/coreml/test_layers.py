"""Every NeuralNetwork layer that runs, against NumPy or PyTorch."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from pocketlens.coreml import coverage

R = np.random.default_rng(11)


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
    """One row: a layer, its inputs, its fields, and what follows from the inputs."""

    layer: str
    inputs: list[np.ndarray]
    fields: dict[str, Any]
    expected: Callable[..., Any]
    note: str = ""

    def __str__(self) -> str:
        return f"{self.layer}{'-' + self.note if self.note else ''}"


def edges(top: int, bottom: int, left: int, right: int) -> dict[str, Any]:
    """BorderAmounts, height first."""
    rows = [(top, bottom), (left, right)]
    return {"borderAmounts": [{"startEdgeSize": a, "endEdgeSize": b} for a, b in rows]}


x4 = normal(2, 4, 7, 6)
x5 = normal(2, 3, 4, 7, 6)
odd = normal(1, 4, 6, 5)
weight, bias6 = normal(6, 4, 3, 3), normal(6)
depthwise = normal(4, 1, 3, 3)
even = normal(3, 4, 2, 2)
transposed = normal(4, 3, 3, 3)
sizes = {"outputChannels": 6, "kernelChannels": 4, "kernelSize": [3, 3], "weights": weight}


def over_batch(f: Callable[[torch.Tensor], torch.Tensor]) -> Callable[..., Any]:
    def expected(x: np.ndarray) -> torch.Tensor:
        y = f(t(x).reshape(-1, *x.shape[-3:]))
        return y.reshape(*x.shape[:-3], *y.shape[1:])

    return expected


CONVOLUTIONS = [
    Case("convolution", [odd], sizes, lambda x: F.conv2d(t(x), t(weight)), "defaults"),
    Case(
        "convolution",
        [x5],
        sizes | {"hasBias": True, "bias": bias6, "valid": {}},
        over_batch(lambda x: F.conv2d(x, t(weight), t(bias6))),
        "rank 5",
    ),
    Case(
        "convolution",
        [odd],
        sizes | {"stride": [2, 1], "valid": {"paddingAmounts": edges(1, 2, 3, 0)}},
        lambda x: F.conv2d(F.pad(t(x), (3, 0, 1, 2)), t(weight), stride=(2, 1)),
        "borders",
    ),
    Case(
        "convolution",
        [odd],
        sizes | {"stride": [2, 2], "same": {}},
        lambda x: F.conv2d(F.pad(t(x), (1, 1, 0, 1)), t(weight), stride=2),
        "same",
    ),
    Case(
        "convolution",
        [odd],
        {"outputChannels": 3, "kernelChannels": 4, "kernelSize": [2, 2], "weights": even}
        | {"same": {"asymmetryMode": "TOP_LEFT_HEAVY"}},
        lambda x: F.conv2d(F.pad(t(x), (1, 0, 1, 0)), t(even)),
        "same, top left",
    ),
    Case(
        "convolution",
        [odd],
        sizes | {"dilationFactor": [2, 2], "same": {}},
        lambda x: F.conv2d(t(x), t(weight), padding=2, dilation=2),
        "dilated",
    ),
    Case(
        "convolution",
        [odd],
        {"outputChannels": 4, "kernelChannels": 1, "nGroups": 4, "weights": depthwise},
        lambda x: F.conv2d(t(x), t(depthwise), groups=4),
        "depthwise",
    ),
    Case(
        "convolution",
        [odd, weight],
        {"outputChannels": 6, "kernelChannels": 4},
        lambda x, w: F.conv2d(t(x), t(w)),
        "weights given at run time",
    ),
    *(
        Case(
            "convolution",
            [odd],
            {"outputChannels": 3, "kernelChannels": 4, "weights": transposed}
            | {"isDeconvolution": True, "stride": [2, 2]}
            | fields,
            lambda x, cut=cut: F.conv_transpose2d(t(x), t(transposed), stride=2)[cut],
            note,
        )
        for note, fields, cut in [
            ("transposed", {"valid": {}}, np.s_[:]),
            ("cut", {"valid": {"paddingAmounts": edges(1, 0, 0, 2)}}, np.s_[:, :, 1:, :-2]),
            ("transposed same", {"same": {}}, np.s_[:, :, :12, :10]),
            ("output shape", {"outputShape": [12, 11]}, np.s_[:, :, :12, :]),
        ]
    ),
    Case(
        "convolution",
        [odd],
        {"outputChannels": 3, "kernelChannels": 4, "weights": transposed}
        | {"isDeconvolution": True, "dilationFactor": [2, 1], "valid": {}},
        lambda x: F.conv_transpose2d(t(x), t(transposed), dilation=(2, 1)),
        "transposed, dilated",
    ),
]


def pool(note: str, expected: Callable[..., Any], **fields: Any) -> Case:
    return Case("pooling", [odd], fields, lambda x: expected(t(x)), note)


POOLS = [
    pool("defaults", lambda x: F.max_pool2d(x, 3, 1)),
    pool("max", lambda x: F.max_pool2d(x, 2), kernelSize=[2, 2], stride=[2, 2], valid={}),
    pool(
        "same",
        lambda x: F.max_pool2d(F.pad(x, (1, 1, 0, 1), value=-9), 3, 2),
        stride=[2, 2],
        same={},
    ),
    pool(
        "average",
        lambda x: F.avg_pool2d(x, 3, 2, 1),
        type="AVERAGE",
        stride=[2, 2],
        valid={"paddingAmounts": edges(1, 1, 1, 1)},
    ),
    pool(
        "average exclude",
        lambda x: F.avg_pool2d(x, 3, 2, 1, count_include_pad=False),
        type="AVERAGE",
        stride=[2, 2],
        valid={"paddingAmounts": edges(1, 1, 1, 1)},
        avgPoolExcludePadding=True,
    ),
    pool(
        "last pixel",
        lambda x: F.max_pool2d(x, 3, 2, 1, ceil_mode=True),
        stride=[2, 2],
        includeLastPixel={"paddingAmounts": [1, 1]},
    ),
    pool("global", lambda x: x.mean((2, 3), keepdim=True), type="AVERAGE", globalPooling=True),
    pool("global max", lambda x: x.amax((2, 3), keepdim=True), globalPooling=True),
    pool("l2", lambda x: F.lp_pool2d(x, 2.0, 2), type="L2", kernelSize=[2, 2], stride=[2, 2]),
    Case("pooling", [x5], {}, over_batch(lambda x: F.max_pool2d(x, 3, 1)), "rank 5"),
]

sigmoid = lambda v: 1 / (1 + np.exp(-v))  # noqa: E731
gaussian = np.vectorize(lambda v: 0.5 * v * (1 + math.erf(v / math.sqrt(2))))
alpha4, beta4 = np.float32([0.1, 0.5, -0.3, 1.5]), np.float32([1.0, 0.5, 2.0, 1.5])


def channel(values: np.ndarray) -> np.ndarray:
    return values.reshape(-1, 1, 1)


def activation(kind: str, f: Callable[..., Any], note: str = "", **fields: Any) -> Case:
    return Case("activation", [x4], {kind: fields}, f, note or kind)


ACTIVATIONS = [
    activation("linear", lambda x: 1.5 * x - 0.25, alpha=1.5, beta=-0.25),
    activation("ReLU", lambda x: np.maximum(x, 0)),
    activation("leakyReLU", lambda x: np.where(x >= 0, x, 0.2 * x), alpha=0.2),
    activation("thresholdedReLU", lambda x: np.where(x >= 0.5, x, 0), alpha=0.5),
    activation("PReLU", lambda x: np.where(x >= 0, x, channel(alpha4) * x), alpha=alpha4),
    activation(
        "PReLU", lambda x: np.where(x >= 0, x, 0.3 * x), "PReLU of one", alpha=np.float32([0.3])
    ),
    activation("tanh", np.tanh),
    activation("scaledTanh", lambda x: 1.5 * np.tanh(0.6 * x), alpha=1.5, beta=0.6),
    activation("sigmoid", sigmoid),
    activation("sigmoidHard", lambda x: np.clip(0.3 * x + 0.4, 0, 1), alpha=0.3, beta=0.4),
    activation("ELU", lambda x: np.where(x > 0, x, 0.7 * (np.exp(x) - 1)), alpha=0.7),
    activation("softsign", lambda x: x / (1 + abs(x))),
    activation("softplus", lambda x: np.log1p(np.exp(x))),
    activation(
        "parametricSoftplus",
        lambda x: channel(alpha4) * np.log1p(np.exp(channel(beta4) * x)),
        alpha=alpha4,
        beta=beta4,
    ),
    Case(
        "clampedReLU",
        [x4],
        {"alpha": 0.2, "beta": 0.8},
        lambda x: np.minimum(0.8, np.where(x >= 0, x, 0.2 * x)),
    ),
    Case("gelu", [x4], {}, gaussian),
    Case(
        "gelu",
        [x4],
        {"mode": "TANH_APPROXIMATION"},
        lambda x: F.gelu(t(x), approximate="tanh"),
        "tanh",
    ),
    Case(
        "gelu", [x4], {"mode": "SIGMOID_APPROXIMATION"}, lambda x: x * sigmoid(1.702 * x), "sigmoid"
    ),
    Case("softmax", [x4], {}, lambda x: F.softmax(t(x), 1)),
    Case("softmaxND", [x4], {"axis": -1}, lambda x: F.softmax(t(x), -1)),
]

matrix, offset = normal(6, 5), normal(6)
wide_matrix = normal(6, 168)
dense = {"inputChannels": 5, "outputChannels": 6, "weights": matrix}
biased = dense | {"hasBias": True, "bias": offset}
DENSE = [
    Case("innerProduct", [normal(5)], dense, lambda x: x @ matrix.T, "rank 1"),
    Case("innerProduct", [normal(3, 5)], biased, lambda x: x @ matrix.T + offset, "rank 2"),
    Case("innerProduct", [normal(2, 3, 5)], biased, lambda x: x @ matrix.T + offset, "rank 3"),
    Case(
        "innerProduct",
        [x4],
        {"inputChannels": 168, "outputChannels": 6, "weights": wide_matrix},
        lambda x: (x.reshape(2, 168) @ wide_matrix.T).reshape(2, 6, 1, 1),
        "rank 4",
    ),
    Case(
        "innerProduct",
        [x5],
        {"inputChannels": 168, "outputChannels": 6, "weights": wide_matrix},
        lambda x: (x.reshape(2, 3, 168) @ wide_matrix.T).reshape(2, 3, 6, 1, 1),
        "rank 5",
    ),
    Case("batchedMatmul", [normal(2, 3, 5), normal(5, 4)], {}, lambda a, b: a @ b),
    Case("batchedMatmul", [normal(5), normal(5)], {}, lambda a, b: (a @ b).reshape(1, 1), "1-D"),
    Case(
        "batchedMatmul",
        [normal(2, 5, 3), normal(4, 5)],
        {"transposeA": True, "transposeB": True},
        lambda a, b: a.swapaxes(1, 2) @ b.T,
        "transposed",
    ),
    Case(
        "batchedMatmul",
        [normal(2, 3, 5)],
        {"weightMatrixFirstDimension": 5, "weightMatrixSecondDimension": 6}
        | {"weights": matrix, "hasBias": True, "bias": offset},
        lambda x: x @ matrix.T + offset,
        "weights",
    ),
]

words, vocabulary, word_bias = np.float32([[2], [0], [4]]), normal(6, 5), normal(6)
DENSE += [
    Case(
        "embedding",
        [words[:, :, None, None]],
        {"inputDim": 5, "outputChannels": 6, "weights": vocabulary}
        | {"hasBias": True, "bias": word_bias},
        lambda _: (vocabulary.T[[2, 0, 4]] + word_bias)[:, :, None, None],
    ),
    Case(
        "embeddingND",
        [words[None]],
        {"vocabSize": 5, "embeddingSize": 6, "weights": vocabulary},
        lambda _: vocabulary.T[[2, 0, 4]][None],
    ),
    Case(
        "dot",
        [normal(2, 3, 1, 1), normal(2, 3, 1, 1)],
        {},
        lambda a, b: (a * b).sum(1, keepdims=True),
    ),
    Case(
        "dot",
        [normal(2, 3, 1, 1), normal(2, 3, 1, 1)],
        {"cosineSimilarity": True},
        lambda a, b: F.cosine_similarity(t(a), t(b), 1)[:, None],
        "cosine",
    ),
]

mean, variance, gamma, beta = normal(4), positive(4), normal(4), normal(4)
NORMALIZATIONS = [
    Case(
        "batchnorm",
        [x4],
        {"channels": 4, "mean": mean, "variance": variance, "gamma": gamma, "beta": beta},
        lambda x: F.batch_norm(t(x), t(mean), t(variance), t(gamma), t(beta), eps=1e-5),
    ),
    Case(
        "batchnorm",
        [x5],
        {"channels": 4, "mean": mean, "variance": variance, "epsilon": 1e-2},
        over_batch(lambda x: F.batch_norm(x, t(mean), t(variance), eps=1e-2)),
        "rank 5",
    ),
    Case(
        "batchnorm",
        [x4],
        {"channels": 4, "gamma": gamma, "beta": beta}
        | {"computeMeanVar": True, "instanceNormalization": True},
        lambda x: F.instance_norm(t(x), weight=t(gamma), bias=t(beta), eps=1e-5),
        "instance",
    ),
    Case("mvn", [x4], {}, lambda x: x - x.mean((2, 3), keepdims=True)),
    Case(
        "mvn",
        [x4],
        {"acrossChannels": True, "normalizeVariance": True, "epsilon": 1e-3},
        lambda x: F.layer_norm(t(x), (4, 7, 6), eps=1e-3),
        "across channels",
    ),
    Case("l2normalize", [x4], {}, lambda x: x / np.sqrt((x**2).sum((1, 2, 3), keepdims=True))),
    Case(
        "lrn",
        [x4],
        {"alpha": 0.5, "beta": 0.7, "localSize": 3, "k": 2.0},
        lambda x: F.local_response_norm(t(x), 3, alpha=0.5, beta=0.7, k=2.0),
    ),
    Case(
        "layerNormalization",
        [x4],
        {"normalizedShape": [7, 6], "eps": 1e-4}
        | {"gamma": (g76 := normal(7, 6)), "beta": (b76 := normal(7, 6))},
        lambda x: F.layer_norm(t(x), (7, 6), t(g76), t(b76), eps=1e-4),
    ),
]

x2, row = normal(3, 5), normal(5)
chw = normal(4, 7, 6)


def number(f: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *xs: f(*xs).astype(np.float32)


whole, other = np.round(2 * x2), np.round(2 * row)
ELEMENTWISE = [
    *(
        Case(name, [x], {}, f)
        for name, f, x in [
            ("acos", np.arccos, unit(3, 4)),
            ("acosh", np.arccosh, 1 + positive(3, 4)),
            ("asin", np.arcsin, unit(3, 4)),
            ("asinh", np.arcsinh, x4),
            ("atan", np.arctan, x4),
            ("atanh", np.arctanh, unit(3, 4)),
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
            ("tan", np.tan, unit(3, 4)),
            ("tanh", np.tanh, x4),
            ("copy", lambda x: x, x4),
        ]
    ),
    *(
        Case(name, [a, b], {}, f)
        for name, f, a, b in [
            ("addBroadcastable", np.add, x2, row),
            ("subtractBroadcastable", np.subtract, x2, row),
            ("multiplyBroadcastable", np.multiply, x2, row),
            ("divideBroadcastable", np.divide, x2, positive(5)),
            ("maxBroadcastable", np.maximum, x2, row),
            ("minBroadcastable", np.minimum, x2, row),
            ("powBroadcastable", np.power, positive(3, 5), row),
            ("floorDivBroadcastable", np.floor_divide, 4 * x2, positive(5)),
            ("modBroadcastable", np.mod, 4 * x2, np.float32([1.5, -2, 0.5, 3, -0.75])),
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
    ),
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
        Case("unary", [positive(3, 4)], {"type": kind} | fields, f, kind)
        for kind, f, fields in [
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

small = positive(2, 3, 4)
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

one, two = normal(2, 3, 4), normal(2, 3, 4)
sequence = normal(2, 1, 4, 3, 6)
blocks = np.arange(1, 17, dtype=np.float32).reshape(1, 8, 1, 2)


def channel_last(x: np.ndarray) -> np.ndarray:
    last = x.transpose(0, 1, 3, 4, 2).reshape(2, 1, 6, 6, 2)
    return last.transpose(0, 1, 4, 2, 3)


MOVES = [
    Case("flatten", [x4], {}, lambda x: x.reshape(2, 168, 1, 1)),
    Case(
        "flatten",
        [x5],
        {"mode": "CHANNEL_LAST"},
        lambda x: x.transpose(0, 1, 3, 4, 2).reshape(2, 3, 168, 1, 1),
        "channel last",
    ),
    Case("flattenTo2D", [one], {"axis": -1}, lambda x: x.reshape(6, 4)),
    Case("reshape", [sequence], {"targetShape": [6, 2, 6]}, lambda x: x.reshape(2, 1, 6, 2, 6)),
    Case(
        "reshape",
        [sequence],
        {"targetShape": [4, 2, 3, 6]},
        lambda x: x.reshape(4, 1, 2, 3, 6),
        "sequence",
    ),
    Case(
        "reshape",
        [sequence],
        {"targetShape": [2, 6, 6], "mode": "CHANNEL_LAST"},
        channel_last,
        "channel last",
    ),
    Case("reshapeStatic", [one], {"targetShape": [4, 6]}, lambda x: x.reshape(4, 6)),
    Case("rankPreservingReshape", [one], {"targetShape": [0, 2, -1]}, lambda x: x.reshape(2, 2, 6)),
    Case("permute", [sequence], {"axis": [3, 1, 2, 0]}, lambda x: x.transpose(4, 1, 2, 3, 0)),
    Case("permute", [sequence], {}, lambda x: x, "default"),
    Case("transpose", [one], {"axes": [2, 0, 1]}, lambda x: x.transpose(2, 0, 1)),
    Case("squeeze", [one[:1, :, :1]], {"axes": [0, -1]}, lambda x: x.reshape(3)),
    Case("squeeze", [one[:1, :1, :1]], {"squeezeAll": True}, lambda x: x.reshape(1), "all"),
    Case("expandDims", [x2], {"axes": [0, -1]}, lambda x: x[None, ..., None]),
    Case("concat", [x4, x4[:, :1]], {}, lambda a, b: np.concatenate([a, b], 1)),
    Case(
        "concat",
        [x5, x5],
        {"sequenceConcat": True},
        lambda a, b: np.concatenate([a, b], 0),
        "sequence",
    ),
    Case("concatND", [one, two], {"axis": -1}, lambda a, b: np.concatenate([a, b], -1)),
    Case(
        "concatND",
        [one, two],
        {"axis": 1, "interleave": True},
        lambda a, b: np.stack([a, b], 2).reshape(2, 6, 4),
        "interleave",
    ),
    Case("stack", [one, two], {"axis": -2}, lambda a, b: np.stack([a, b], 2)),
    Case("split", [x4], {"nOutputs": 2}, lambda x: np.split(x, 2, 1)),
    Case("splitND", [one], {"axis": -1, "splitSizes": [1, 3]}, lambda x: np.split(x, [1], 2)),
    Case("splitND", [one], {"numSplits": 2}, lambda x: np.split(x, 2, 0), "even"),
    Case("splitND", [one], {"numSplits": 3, "axis": 2}, lambda x: np.array_split(x, 3, 2), "rest"),
    Case(
        "sliceStatic",
        [normal(5, 5, 5)],
        {
            "beginIds": [1, 2, 3],
            "beginMasks": [True, False, True],
            "endIds": [3, -3, 2],
            "endMasks": [False, True, True],
            "strides": [2, 2, 2],
            "squeezeMasks": [False, True, False],
        },
        lambda x: x[:3:2, 2, ::2],
    ),
    Case(
        "slice",
        [x4],
        {"startIndex": 1, "endIndex": -1, "stride": 2, "axis": "HEIGHT_AXIS"},
        lambda x: x[:, :, 1:-1:2],
    ),
    Case("crop", [x4], {"cropAmounts": edges(1, 2, 0, 3)}, lambda x: x[:, :, 1:-2, :-3]),
    Case(
        "crop",
        [x4, x4[:, :, :3, :2]],
        {"offset": [2, 1]},
        lambda x, _: x[:, :, 2:5, 1:3],
        "like another",
    ),
    Case(
        "padding",
        [x4],
        {"constant": {"value": 0.5}, "paddingAmounts": edges(1, 2, 0, 3)},
        lambda x: np.pad(x, [(0, 0), (0, 0), (1, 2), (0, 3)], constant_values=0.5),
    ),
    *(
        Case(
            "padding",
            [x4],
            {kind: {}, "paddingAmounts": edges(1, 2, 0, 3)},
            lambda x, mode=mode: np.pad(x, [(0, 0), (0, 0), (1, 2), (0, 3)], mode=mode),
            kind,
        )
        for kind, mode in [("reflection", "reflect"), ("replication", "edge")]
    ),
    Case(
        "constantPad",
        [x2],
        {"value": 1.5, "padAmounts": [0, 1, 4, 0]},
        lambda x: np.pad(x, [(0, 1), (4, 0)], constant_values=1.5),
    ),
    Case(
        "constantPad",
        [x2],
        {"padAmounts": [0, 4, 9, 0], "padToGivenOutputSizeMode": True},
        lambda x: np.pad(x, [(0, 1), (4, 0)]),
        "to size",
    ),
    # The two examples of the specification itself.
    Case(
        "reorganizeData",
        [blocks],
        {"mode": "DEPTH_TO_SPACE", "blockSize": 2},
        lambda _: np.float32([[[1, 5, 2, 6], [9, 13, 10, 14]], [[3, 7, 4, 8], [11, 15, 12, 16]]])[
            None
        ],
        "depth to space",
    ),
    Case(
        "reorganizeData",
        [blocks],
        {"mode": "PIXEL_SHUFFLE", "blockSize": 2},
        lambda _: np.float32([[[1, 3, 2, 4], [5, 7, 6, 8]], [[9, 11, 10, 12], [13, 15, 14, 16]]])[
            None
        ],
        "pixel shuffle",
    ),
    Case(
        "reorganizeData",
        [np.float32([[[1, 5, 2, 6], [9, 13, 10, 14]], [[3, 7, 4, 8], [11, 15, 12, 16]]])[None]],
        {"blockSize": 2},
        lambda _: blocks,
        "space to depth",
    ),
    Case("reverse", [one], {"reverseDim": [True, False, True]}, lambda x: x[::-1, :, ::-1]),
    Case("tile", [one], {"reps": [2, 3]}, lambda x: np.tile(x, (1, 2, 3))),
    Case("tile", [one, np.float32([2, 3])], {}, lambda x, _: np.tile(x, (1, 2, 3)), "computed"),
    Case("loadConstant", [], {"shape": [2, 3, 4], "data": one}, lambda: one[None, None]),
    Case("loadConstantND", [], {"shape": [2, 3, 4], "data": one}, lambda: one),
]

line = np.float32([[[0, 1]]])
RESIZING = [
    Case("upsample", [x4], {"scalingFactor": [2, 3]}, lambda x: x.repeat(2, 2).repeat(3, 3)),
    Case("upsample", [x4], {}, lambda x: x, "default"),
    *(
        Case(
            "upsample",
            [x],
            {"mode": "BILINEAR", "linearUpsampleMode": mode} | factors,
            lambda x, size=size, options=options: F.interpolate(
                t(x), size=size, mode="bilinear", **options
            ),
            mode,
        )
        for mode, x, factors, size, options in [
            (
                "ALIGN_CORNERS_TRUE",
                x4,
                {"scalingFactor": [2, 3]},
                (14, 18),
                {"align_corners": True},
            ),
            ("ALIGN_CORNERS_FALSE", x4, {"fractionalScalingFactor": [2.5, 0.75]}, (17, 4), {}),
        ]
    ),
    Case(
        "upsample",
        [line],
        {"mode": "BILINEAR", "scalingFactor": [1, 3]},
        lambda _: np.float32([[[0, 1 / 3, 2 / 3, 1, 1, 1]]]),
        "bilinear default",
    ),
    *(
        Case(
            "resizeBilinear",
            [line],
            {"targetSize": [1, 5]} | ({"mode": {"samplingMethod": mode}} if mode else {}),
            lambda _, values=values: np.float32([[values]]),
            mode or "default",
        )
        for mode, values in [
            ("", [0, 0.25, 0.5, 0.75, 1]),
            ("STRICT_ALIGN_ENDPOINTS_MODE", [0, 0.25, 0.5, 0.75, 1]),
            ("ALIGN_ENDPOINTS_MODE", [0, 0.25, 0.5, 0.75, 1]),
            ("UPSAMPLE_MODE", [0, 0.4, 0.8, 1, 1]),
            ("ROI_ALIGN_MODE", [0.1, 0.3, 0.5, 0.7, 0.9]),
        ]
    ),
]

picks, pairs = np.float32([2, 0, -1]), np.float32([[1, 2], [0, 0], [1, -1]])
along = np.float32([[[2, 0, 1, 1]], [[0, 0, 2, -1]]])


def scattered(f: Callable[..., Any], at: Any) -> Callable[..., Any]:
    def expected(data: np.ndarray, _: Any, updates: np.ndarray) -> np.ndarray:
        data = data.copy()
        f(data, at, updates)
        return data

    return expected


def put(data: np.ndarray, at: Any, new: np.ndarray) -> None:
    data[at] = new


INDEXING = [
    Case("gather", [one, picks], {"axis": 1}, lambda x, _: x[:, [2, 0, -1]]),
    Case(
        "gatherAlongAxis",
        [one, along],
        {"axis": -2},
        lambda x, i: np.take_along_axis(x, i.astype(int), 1),
    ),
    Case("gatherND", [one, pairs], {}, lambda x, _: x[[1, 0, 1], [2, 0, -1]]),
    *(
        Case(
            layer,
            [one, indices, positive(*shape)],
            fields | ({"mode": f"SCATTER_{mode}"} if mode else {}),
            scattered(f, at),
            mode or "default",
        )
        for mode, f in [
            ("", put),
            ("UPDATE", put),
            ("ADD", np.add.at),
            ("SUB", np.subtract.at),
            ("MUL", np.multiply.at),
            ("DIV", np.divide.at),
            ("MAX", np.maximum.at),
            ("MIN", np.minimum.at),
        ]
        for layer, indices, shape, fields, at in [
            ("scatter", picks[:2], (2, 2, 4), {"axis": 1}, (slice(None), [2, 0])),
            (
                "scatterAlongAxis",
                along,
                (2, 1, 4),
                {"axis": 1},
                (np.arange(2)[:, None, None], along.astype(int), np.arange(4)),
            ),
            ("scatterND", pairs, (3, 4), {}, ([1, 0, 1], [2, 0, -1])),
        ]
        # Only where no place comes twice is it clear which update stays.
        if layer != "scatterND" or mode in ("ADD", "SUB", "MUL", "DIV", "MAX", "MIN")
    ),
    Case(
        "scatterND",
        [one, pairs[:2], normal(2, 4)],
        {},
        scattered(put, ([1, 0], [2, 0])),
        "default",
    ),
]

kept = np.float32([[0, 1.5, 0], [-2, 0, 0.25]])
sequences = np.arange(12, dtype=np.float32).reshape(2, 3, 2)
shape34 = np.float32([3, 4])
MAKING = [
    Case("getShape", [one], {}, lambda _: np.float32([2, 3, 4])),
    Case("fillLike", [one], {"value": 1.5}, lambda x: np.full_like(x, 1.5)),
    Case("fillStatic", [], {"value": 1.5, "targetShape": [2, 3]}, lambda: np.full((2, 3), 1.5)),
    Case("fillDynamic", [shape34], {"value": -2.0}, lambda _: np.full((3, 4), -2)),
    Case(
        "rangeStatic",
        [],
        {"startValue": 0.5, "endValue": 3.0, "stepSizeValue": 0.75},
        lambda: np.arange(0.5, 3, 0.75),
    ),
    *(
        Case(
            "rangeDynamic",
            [np.float32([value]) for value in values],
            {"startValue": 1.0, "stepSizeValue": 2.0},
            lambda *_, expected=expected: np.float32(expected),
            f"{len(values)}",
        )
        for values, expected in [
            ([6], [1, 3, 5]),
            ([6, -1], [-1, 1, 3, 5]),
            ([6, 10, -1.5], [10, 8.5, 7]),
        ]
    ),
    # The examples of the specification.
    *(
        Case(
            "cumSum",
            [np.float32([4, 6, 7])],
            {"excludeFinalSum": exclude, "reverse": reverse},
            lambda _, expected=expected: np.float32(expected),
            f"{exclude} {reverse}",
        )
        for exclude, reverse, expected in [
            (False, False, [4, 10, 17]),
            (True, False, [0, 4, 10]),
            (False, True, [17, 13, 7]),
            (True, True, [13, 7, 0]),
        ]
    ),
    Case("cumSum", [one], {"axis": -1}, lambda x: x.cumsum(-1), "axis"),
    Case("matrixBandPart", [one], {"numLower": 1}, lambda x: np.triu(np.tril(x), -1)),
    Case("matrixBandPart", [one], {"numLower": -1, "numUpper": 2}, lambda x: np.tril(x, 2), "all"),
    *(
        Case(name, [one], {"k": k}, lambda x, f=f, k=k: f(x, k), f"{k}")
        for name, f in [("lowerTriangular", np.tril), ("upperTriangular", np.triu)]
        for k in (0, 1, -2)
    ),
    Case("whereNonZero", [kept], {}, np.argwhere),
    Case(
        "oneHot",
        [np.float32([2, -1])],
        {"oneHotVectorSize": 4, "axis": -1, "onValue": 5.0, "offValue": -1.0},
        lambda _: np.float32([[-1, -1, 5, -1], [-1, -1, -1, -1]]),
    ),
    Case(
        "oneHot",
        [np.float32([[2, 0]]), np.float32([3])],
        {"axis": 1, "onValue": 1.0},
        lambda *_: np.float32([[[0, 1], [0, 0], [1, 0]]]),
        "size given at run time",
    ),
    Case("argSort", [np.float32([[3, 5, 32], [3, 77, 6]])], {"axis": 1},
         lambda _: np.float32([[0, 1, 2], [0, 2, 1]])),
    Case("argSort", [np.float32([3.1, 5.4, 32.9, 3.2, 77])], {"descending": True},
         lambda _: np.float32([4, 2, 1, 3, 0]), "descending"),
    Case(
        "topK",
        [one],
        {"axis": -1, "K": 2},
        lambda x: [-np.sort(-x, -1)[..., :2], np.argsort(-x, -1)[..., :2]],
    ),
    Case(
        "topK",
        [one],
        {"axis": 1, "K": 3, "useBottomK": True},
        lambda x: [np.sort(x, 1), np.argsort(x, 1)],
        "bottom",
    ),
    Case(
        "topK",
        [one, np.float32([2])],
        {"axis": -1},
        lambda x, _: [-np.sort(-x, -1)[..., :2], np.argsort(-x, -1)[..., :2]],
        "computed",
    ),
    # The examples of the specification.
    Case(
        "reverseSeq",
        [np.arange(8, dtype=np.float32).reshape(2, 4), np.float32([3, 0])],
        {"sequenceAxis": 1},
        lambda *_: np.float32([[2, 1, 0, 3], [4, 5, 6, 7]]),
    ),
    Case(
        "reverseSeq",
        [sequences, np.float32([2, 3])],
        {"sequenceAxis": 1},
        lambda *_: np.float32([2, 3, 0, 1, 4, 5, 10, 11, 8, 9, 6, 7]).reshape(2, 3, 2),
        "rank 3",
    ),
    Case(
        "slidingWindows",
        [one],
        {"axis": 2, "windowSize": 2, "step": 2},
        lambda x: np.stack([x[..., :2], x[..., 2:]], 2),
    ),
    Case("sliceBySize", [one, np.float32([1])], {"size": 2, "axis": 1}, lambda x, _: x[:, 1:3]),
    Case("broadcastToLike", [row, normal(3, 5)], {}, lambda x, _: np.tile(x, (3, 1))),
    Case("broadcastToStatic", [row], {"targetShape": [3, 5]}, lambda x: np.tile(x, (3, 1))),
    Case("broadcastToDynamic", [one[0, 0], shape34], {}, lambda x, _: np.tile(x, (3, 1))),
    Case("reshapeLike", [one, normal(4, 6)], {}, lambda x, _: x.reshape(4, 6)),
    Case("reshapeDynamic", [one[0], np.float32([2, 6])], {}, lambda x, _: x.reshape(2, 6)),
]  # fmt: skip

CASES = [
    *CONVOLUTIONS,
    *POOLS,
    *ACTIVATIONS,
    *DENSE,
    *NORMALIZATIONS,
    *ELEMENTWISE,
    *REDUCTIONS,
    *MOVES,
    *RESIZING,
    *INDEXING,
    *MAKING,
]

# Layers that are checked in the test named as their family.
ELSEWHERE = {
    "NonMaximumSuppression",
    "biDirectionalLSTM",
    "branch",
    "categoricalDistribution",
    "convolution3d",
    "cropResize",
    "globalPooling3d",
    "gru",
    "loop",
    "loopBreak",
    "loopContinue",
    "pooling3d",
    *(
        f"random{kind}{form}"
        for kind in ("Bernoulli", "Normal", "Uniform")
        for form in ("Dynamic", "Like", "Static")
    ),
    "sequenceRepeat",
    "simpleRecurrent",
    "sliceDynamic",
    "uniDirectionalLSTM",
}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_layer(case: Case, run_layer: Callable[..., list[np.ndarray]]) -> None:
    expected = case.expected(*case.inputs)
    several = expected if isinstance(expected, (list, tuple)) else [expected]
    arrays = [e.numpy() if isinstance(e, torch.Tensor) else np.asarray(e) for e in several]
    answers = run_layer(case.layer, case.inputs, case.fields, [a.shape for a in arrays])
    for answer, array in zip(answers, arrays, strict=True):
        assert answer.shape == array.shape
        np.testing.assert_allclose(answer, array, rtol=3e-5, atol=3e-6)


def test_every_layer_that_runs_has_a_case() -> None:
    supported = {row.op for row in coverage("neural_network") if row.supported}
    assert {case.layer for case in CASES} | ELSEWHERE == supported

"""Seeded graphs with the patterns that ONNX Runtime's passes look for, each with its inputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from pocketlens.coreml.graph import Graph, Value

__all__ = ["PATTERNS", "Made", "random_graph"]

Rng: TypeAlias = np.random.Generator
Made: TypeAlias = "tuple[Graph, dict[str, np.ndarray]]"
Pattern: TypeAlias = "Callable[[Graph, Rng, dict[str, np.ndarray], Any], Value]"


def given(g: Graph, rng: Rng, feed: dict[str, np.ndarray], dtype: Any, *shape: int) -> Value:
    """A new input of the graph, with random values."""
    name = f"x{len(feed)}"
    feed[name] = rng.normal(size=shape).astype(dtype)
    return g.input(name, dtype, shape)


def random(rng: Rng, dtype: Any, *shape: int, scale: float = 1.0) -> np.ndarray:
    return (rng.normal(size=shape) * scale).astype(dtype)


def scaled(g: Graph, rng: Rng, x: Value) -> Value:
    """The value, or the value multiplied or divided by a number, on either side, once or twice."""
    for _ in range(rng.integers(0, 3)):
        number = g.constant(np.full([1] * int(rng.integers(0, 2)), rng.choice([2.0, 0.5, -3.0])))
        number = g.cast(number, x.dtype)
        match rng.integers(0, 3):
            case 0:
                x = g.Mul(x, number)
            case 1:
                x = g.Mul(number, x)
            case 2:
                x = g.Div(x, number)
    return x


def matmul_scale(g: Graph, rng: Rng, feed: dict[str, np.ndarray], dtype: Any) -> Value:
    n = int(rng.integers(2, 5))
    values = [given(g, rng, feed, dtype, *([2] * int(rng.integers(0, 2))), n, n)]
    for _ in range(rng.integers(3, 8)):
        one, other = (values[int(rng.integers(0, len(values)))] for _ in range(2))
        if rng.random() < 0.5:
            values.append(scaled(g, rng, one))
        elif rng.random() < 0.2:
            values.append(g.Transpose(one, perm=[*range(one.rank - 2), one.rank - 1, one.rank - 2]))
        else:
            values.append(scaled(g, rng, g.MatMul(scaled(g, rng, one), other)))
    return g.Add(values[-1], values[int(rng.integers(0, len(values) - 1))])


def attention(g: Graph, rng: Rng, feed: dict[str, np.ndarray], dtype: Any) -> Value:
    heads, steps, width = int(rng.integers(1, 3)), int(rng.integers(2, 5)), 4
    x = given(g, rng, feed, dtype, 1, steps, heads * width)

    def projected() -> Value:
        y = g.MatMul(x, random(rng, dtype, heads * width, heads * width, scale=0.5))
        if rng.random() < 0.7:
            y = g.Add(y, random(rng, dtype, heads * width))
        y = g.Reshape(y, np.array([1, steps, heads, width], np.int64))
        return g.Transpose(y, perm=[0, 2, 1, 3])

    q, k, v = projected(), projected(), projected()
    q = scaled(g, rng, q)
    scores = scaled(g, rng, g.MatMul(q, g.Transpose(scaled(g, rng, k), perm=[0, 1, 3, 2])))
    if rng.random() < 0.5:
        mask = np.triu(np.full((steps, steps), -1e4), 1).astype(dtype)
        scores = g.Add(scores, mask)
    y = g.Transpose(g.MatMul(g.Softmax(scores, axis=-1), v), perm=[0, 2, 1, 3])
    y = g.Reshape(y, np.array([1, steps, heads * width], np.int64))
    return g.Add(x, g.MatMul(y, random(rng, dtype, heads * width, heads * width)))


def gelu(g: Graph, rng: Rng, feed: dict[str, np.ndarray], dtype: Any) -> Value:
    x = given(g, rng, feed, dtype, 2, 3, 4)
    if rng.random() < 0.5:
        x = g.Add(x, random(rng, dtype, *rng.choice([[4], [1]])))
    half, one = g.like(0.5, x), g.like(1, x)
    match rng.integers(0, 3):
        case 0:
            root = g.like(rng.choice([2**0.5, 1.4142, 1.5]), x)
            inner = g.Add(g.Erf(g.Div(x, root)), one)
        case 1:
            cube = g.Mul(g.Pow(x, g.like(3, x)), g.like(rng.choice([0.044715, 0.05]), x))
            inner = g.Add(one, g.Tanh(g.Mul(g.Add(x, cube), g.like(0.7978845608, x))))
        case _:
            return g.Mul(x, g.Sigmoid(g.Mul(x, g.like(rng.choice([1.702, 1.0, 0.5]), x))))
    return g.Mul(g.Mul(x, inner), half) if rng.random() < 0.5 else g.Mul(g.Mul(half, x), inner)


def layer_norm(g: Graph, rng: Rng, feed: dict[str, np.ndarray], dtype: Any) -> Value:
    x = given(g, rng, feed, dtype, 2, 3, 4)
    axes = [2] if rng.random() < 0.7 else [1]
    if rng.random() < 0.5:
        x = g.Add(x, given(g, rng, feed, dtype, 2, 3, 4))
    axis = np.array(axes, np.int64)
    centered = g.Sub(x, g.ReduceMean(x, axis, keepdims=1)) if rng.random() < 0.7 else x
    squares = g.Pow(centered, g.like(2, x)) if rng.random() < 0.5 else g.Mul(centered, centered)
    spread = g.Add(g.ReduceMean(squares, axis, keepdims=1), g.like(rng.choice([1e-5, 0.1]), x))
    y = g.Div(centered, g.Sqrt(spread))
    size = [4] if axes == [2] or rng.random() < 0.5 else [3, 1]
    y = g.Mul(y, random(rng, dtype, *size))
    return g.Add(y, random(rng, dtype, *size)) if rng.random() < 0.7 else y


def convolution(g: Graph, rng: Rng, feed: dict[str, np.ndarray], dtype: Any) -> Value:
    channels, groups = 4, int(rng.choice([1, 2, 4]))
    x = given(g, rng, feed, dtype, 1, channels, 6, 5)
    for _ in range(rng.integers(1, 4)):
        if rng.random() < 0.3:
            pads = np.array([0, 0, *rng.integers(0, 3, 2), 0, 0, *rng.integers(0, 3, 2)])
            x = g.Pad(x, pads, g.like(rng.choice([0.0, 1.0]), x))
        bias = random(rng, dtype, channels) if rng.random() < 0.5 else None
        weight = random(rng, dtype, channels, channels // groups, 3, 3, scale=0.3)
        y = g.Conv(x, weight, bias, group=groups, pads=[1, 1, 1, 1])
        if rng.random() < 0.4:
            mean, scale = random(rng, dtype, channels), random(rng, dtype, channels)
            variance = abs(random(rng, dtype, channels)) + np.asarray(0.1, dtype)
            y = g.BatchNormalization(y, scale, mean, mean, variance, epsilon=1e-3)
        for _ in range(rng.integers(0, 2)):
            factor = random(rng, dtype, *rng.choice(np.array([(4, 1, 1), (1, 1, 1)])))
            y = g.Mul(y, factor) if rng.random() < 0.5 else g.Add(factor, y)
        if rng.random() < 0.3 and y.shape == x.shape:
            y = g.Add(x, y)
        match rng.integers(0, 5):
            case 0:
                y = g.Relu(y)
            case 1:
                y = g.Clip(y, g.like(-0.5, y), g.like(0.5, y))
            case 2:
                y = g.LeakyRelu(y, alpha=0.1)
            case 3:
                y = g.HardSigmoid(y, alpha=0.2, beta=0.5)
        x = y
    return g.Reshape(x, np.array([1, -1], np.int64)) if rng.random() < 0.3 else x


def layout(g: Graph, rng: Rng, feed: dict[str, np.ndarray], dtype: Any) -> Value:
    x = given(g, rng, feed, dtype, 2, 3, 4, 2)
    kept = [x]
    for _ in range(rng.integers(3, 9)):
        match rng.integers(0, 9):
            case 0 | 1:
                x = g.Transpose(x, perm=rng.permutation(x.rank).tolist())
            case 2:
                x = g.Reshape(x, rng.permutation(np.array(x.sizes)).astype(np.int64))
            case 3 if x.rank < 6:
                x = g.Unsqueeze(x, rng.integers(0, x.rank + 1, 1))
            case 4 if 1 in x.sizes:
                x = g.Squeeze(x, np.array([x.sizes.index(1)], np.int64))
            case 5:
                axis = int(rng.integers(0, x.rank))
                end = int(rng.integers(1, x.sizes[axis] + 1))
                ends = np.array([end], np.int64), np.array([axis], np.int64)
                x = g.Concat(g.Slice(x, np.zeros(1, np.int64), *ends), x, axis=axis)
            case 6:
                axis = int(rng.integers(0, x.rank))
                x = g.Gather(x, rng.integers(0, x.sizes[axis], int(rng.integers(1, 4))), axis=axis)
            case 7:
                x = g.Add(x, random(rng, dtype, *x.sizes[-1:]))
            case 8:
                x = g.ReduceMax(x, rng.integers(0, x.rank, 1), keepdims=1)
        kept.append(x)
    return x


def casts(g: Graph, rng: Rng, feed: dict[str, np.ndarray], dtype: Any) -> Value:
    x = g.Mul(given(g, rng, feed, dtype, 3, 4), g.cast(g.constant(300.0), dtype))
    for _ in range(rng.integers(2, 7)):
        x = g.cast(x, str(rng.choice(["f2", "f2", "f4", "i4", "i1", "f8", "?"])))
        if x.dtype.kind == "f":
            x = g.Add(x, x) if rng.random() < 0.4 else g.Relu(x) if rng.random() < 0.5 else x
    return g.cast(x, np.float32)


def quantized(g: Graph, rng: Rng, feed: dict[str, np.ndarray], dtype: Any) -> Value:
    kind = np.dtype(str(rng.choice(["i1", "u1"])))

    def through(x: Value) -> Value:
        scale = g.constant(rng.choice([0.0973, 0.2391, 0.0211]), dtype)
        zero = np.array(rng.integers(-3, 4) if kind == "i1" else 128, kind)
        return g.DequantizeLinear(g.QuantizeLinear(x, scale, zero), scale, zero)

    x = through(given(g, rng, feed, dtype, 1, 4, 6, 6))
    for _ in range(rng.integers(1, 4)):
        match rng.integers(0, 6):
            case 0:
                w = rng.integers(-9, 9, (4, 4, 3, 3)).astype(np.int8)
                wide = g.DequantizeLinear(
                    g.constant(w), g.constant(0.1037, dtype), np.array(0, np.int8)
                )
                x = g.Conv(x, wide, pads=[1, 1, 1, 1])
            case 1:
                x = g.Relu(x)
            case 2:
                x = g.Add(x, through(given(g, rng, feed, dtype, 1, 4, 6, 6)))
            case 3:
                x = g.Clip(x, g.like(0, x), g.like(6, x))
            case 4:
                x = g.MatMul(x, through(given(g, rng, feed, dtype, 6, 6)))
            case 5:
                x = g.Concat(x, x, axis=2)
                x = g.MaxPool(x, kernel_shape=[2, 1], strides=[2, 1])
        x = through(x) if rng.random() < 0.7 else x
    return g.Reshape(x, np.array([1, 4, -1], np.int64)) if rng.random() < 0.3 else x


def pooling(g: Graph, rng: Rng, feed: dict[str, np.ndarray], dtype: Any) -> Value:
    x = given(g, rng, feed, dtype, 1, 3, 9, 8)
    for _ in range(rng.integers(1, 4)):
        if rng.random() < 0.6:
            pads = np.array([0, 0, *rng.integers(0, 3, 2), 0, 0, *rng.integers(0, 3, 2)])
            number = g.like(rng.choice([0.0, 0.0, -9.0]), x)
            mode = rng.choice(["constant", "constant", "edge", "reflect"])
            x = g.Pad(x, pads, number, mode=str(mode))
        window = {"kernel_shape": [2, 3], "strides": rng.integers(1, 3, 2).tolist()}
        window["pads"] = rng.integers(0, 2, 4).tolist()
        match rng.integers(0, 4):
            case 0:
                x = g.MaxPool(x, **window, ceil_mode=int(rng.integers(0, 2)))
            case 1:
                x = g.AveragePool(x, **window, count_include_pad=int(rng.integers(0, 2)))
            case 2:
                x = g.Conv(x, random(rng, dtype, 3, 3, 2, 3), pads=window["pads"])
            case _:
                x = g.Relu(x)
        if min(x.sizes) < 3:
            break
    return x


def branches(g: Graph, rng: Rng, feed: dict[str, np.ndarray], dtype: Any) -> Value:
    """Other patterns inside the branches of an If, on values from outside."""
    x = given(g, rng, feed, dtype, 3, 3)
    y = g.MatMul(scaled(g, rng, x), x)
    condition = g.Greater(g.ReduceSum(x, keepdims=0), g.like(0, x))
    inner = [g.inner(), g.inner()]
    for each in inner:
        z = scaled(each, rng, y)
        z = each.Softmax(each.MatMul(z, scaled(each, rng, x)), axis=-1)
        each.outputs = [each.Add(z, random(rng, dtype, 3, 3))]
    graphs = dict(zip(("then_branch", "else_branch"), inner, strict=True))
    (result,) = g.nested("If", [condition], graphs, [(np.dtype(dtype), (3, 3))])
    return g.MatMul(scaled(g, rng, result), y)


def dense(g: Graph, rng: Rng, feed: dict[str, np.ndarray], dtype: Any) -> Value:
    x = given(g, rng, feed, dtype, 3, 4)
    shared = random(rng, dtype, 4, 4)  # one weight, used several times, also transposed
    for _ in range(rng.integers(1, 5)):
        match rng.integers(0, 4):
            case 0:
                y = g.Gemm(x, shared, random(rng, dtype, 4), transB=int(rng.integers(0, 2)))
            case 1:
                y = g.MatMul(x, shared)
            case 2:
                y = g.MatMul(g.Transpose(g.Transpose(x, perm=[1, 0]), perm=[1, 0]), shared)
            case _:
                y = g.Sum(g.Gemm(x, shared), g.Gemm(x, shared, transB=1))
        if rng.random() < 0.5:
            y = g.Add(y, random(rng, dtype, *rng.choice(np.array([(1, 4), (3, 4), (3, 1)]))))
        if rng.random() < 0.3:
            mean, scale = random(rng, dtype, 4), random(rng, dtype, 4)
            y = g.BatchNormalization(y, scale, mean, mean, abs(scale) + scale.dtype.type(0.1))
        match rng.integers(0, 4):
            case 0:
                y = g.Relu(y)
            case 1:
                y = g.Softmax(g.Add(y, random(rng, dtype, 3, 4)), axis=int(rng.integers(0, 2)))
            case 2:
                y = g.Where(g.Not(g.Less(y, x)), y, x)
        x = y
    return x


PATTERNS: dict[str, Pattern] = {
    each.__name__: each
    for each in (
        matmul_scale, attention, gelu, layer_norm, convolution, layout, casts, quantized, dense,
        pooling, branches,
    )
}  # fmt: skip


def random_graph(pattern: str, seed: int) -> Made:
    """The graph of a seed, its one output named `y`, and its inputs; half of them are float16."""
    rng = np.random.default_rng([seed, *map(ord, pattern)])
    dtype = np.dtype(np.float16 if rng.random() < 0.5 else np.float32)
    graph = Graph()
    feed: dict[str, np.ndarray] = {}
    value = PATTERNS[pattern](graph, rng, feed, dtype)
    graph.output("y", value)
    return graph, feed

"""Fully connected layers, matrix products and embeddings."""

from __future__ import annotations

import math

import numpy as np

from pocketlens.coreml.graph import Graph, Message, Value
from pocketlens.coreml.ops.common.matrix import linear, swap_last_axes
from pocketlens.coreml.ops.common.weights import weight_array
from pocketlens.coreml.ops.registry import layer
from pocketlens.errors import ModelFileError


@layer()
def innerProduct(
    g: Graph,
    x: Value,
    *,
    inputChannels: int,
    outputChannels: int,
    hasBias: bool = False,
    weights: Message,  # [Cout, Cin]
    bias: Message | None = None,
    int8DynamicQuantize: bool = False,  # noqa: ARG001
) -> Value:
    weight = g.constant(weight_array(weights, (outputChannels, inputChannels)))
    offset = g.constant(weight_array(bias, (outputChannels,), "bias")) if hasBias else None
    if 2 <= x.rank <= 3 and None in (x.shape or ()):
        return linear(g, x, weight, offset)
    sizes = x.sizes
    # Up to rank 3, the last dimension is Cin; above, the last three dimensions together.
    lead = sizes[:-1] if len(sizes) <= 3 else sizes[:-3]
    if math.prod(sizes[len(lead) :]) != inputChannels:
        raise ModelFileError(
            f"its input has the shape {list(sizes)}; expected {inputChannels} channels"
        )
    rows = g.reshape(x, [math.prod(lead), inputChannels])
    y = linear(g, rows, weight, offset)
    return g.reshape(y, [*lead, outputChannels, *([1, 1] if len(sizes) > 3 else [])])


@layer()
def batchedMatmul(
    g: Graph,
    a: Value,
    b: Value | None = None,
    *,
    transposeA: bool = False,
    transposeB: bool = False,
    weightMatrixFirstDimension: int = 0,
    weightMatrixSecondDimension: int = 0,
    hasBias: bool = False,
    weights: Message | None = None,
    bias: Message | None = None,
    int8DynamicQuantize: bool = False,  # noqa: ARG001
) -> Value:
    if b is None:
        # The matrix [X1, X2] is stored column by column, as [X2, X1].
        shape = (weightMatrixSecondDimension, weightMatrixFirstDimension)
        weight = g.constant(weight_array(weights, shape))
        offset = g.constant(weight_array(bias, shape[:1], "bias")) if hasBias else None
        if a.rank == 1:
            return g.reshape(linear(g, g.reshape(a, [1, -1]), weight, offset), [shape[0]])
        return linear(g, a, weight, offset)
    left = g.Unsqueeze(a, np.array([0], np.int64)) if a.rank == 1 else a
    right = g.Unsqueeze(b, np.array([1], np.int64)) if b.rank == 1 else b
    return g.MatMul(
        swap_last_axes(g, left) if transposeA else left,
        swap_last_axes(g, right) if transposeB else right,
    )


@layer()
def embedding(
    g: Graph,
    x: Value,  # [*B, 1, 1, 1]
    *,
    inputDim: int,
    outputChannels: int,
    hasBias: bool = False,
    weights: Message,  # [Cout, Din]
    bias: Message | None = None,
) -> Value:
    sizes = x.sizes
    if len(sizes) < 4 or sizes[-3:] != (1, 1, 1):
        raise ModelFileError(f"the indices are {x!r}; expected [*B, 1, 1, 1]")
    rows = _look_up(g, x, (outputChannels, inputDim), weights, bias if hasBias else None)
    return g.reshape(rows, [*sizes[:-3], outputChannels, 1, 1])


@layer()
def embeddingND(
    g: Graph,
    x: Value,  # [*B, 1]
    *,
    vocabSize: int,
    embeddingSize: int,
    hasBias: bool = False,
    weights: Message,  # [Cout, Din]
    bias: Message | None = None,
) -> Value:
    sizes = x.sizes
    if len(sizes) < 2 or sizes[-1] != 1:
        raise ModelFileError(f"the indices are {x!r}; expected [*B, 1]")
    rows = _look_up(g, x, (embeddingSize, vocabSize), weights, bias if hasBias else None)
    return g.reshape(rows, [*sizes[:-1], embeddingSize])


def _look_up(
    g: Graph, x: Value, shape: tuple[int, int], weights: Message, bias: Message | None
) -> Value:
    table = np.ascontiguousarray(weight_array(weights, shape).T)
    if bias is not None:
        table = table + weight_array(bias, shape[:1], "bias")
    return g.Gather(g.constant(table), g.cast(x, np.int64))


@layer()
def dot(g: Graph, a: Value, b: Value, *, cosineSimilarity: bool = False) -> Value:
    at = np.array([-3], np.int64)  # x [*B, C, 1, 1]
    product = g.ReduceSum(g.Mul(a, b), at)
    if not cosineSimilarity:
        return product
    return g.Div(product, g.Mul(g.ReduceL2(a, at), g.ReduceL2(b, at)))

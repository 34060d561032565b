"""Filled tensors, ranges, sorting, one-hot vectors; integers are floating-point numbers here."""

from __future__ import annotations

import numpy as np

from pocketlens.coreml.graph import Graph, Ints, Value
from pocketlens.coreml.ops.common import ordering
from pocketlens.coreml.ops.common.filling import bounded_fill
from pocketlens.coreml.ops.common.matrix import band
from pocketlens.coreml.ops.registry import layer
from pocketlens.errors import ModelFileError


def _number(g: Graph, value: float) -> Value:
    return g.constant(value, np.float32)


@layer()
def getShape(g: Graph, x: Value) -> Value:
    return g.cast(g.Shape(x), np.float32)


@layer()
def fillLike(g: Graph, reference: Value, *, value: float = 0.0) -> Value:
    return g.Expand(_number(g, value), g.Shape(reference))


@layer()
def fillStatic(g: Graph, *, value: float = 0.0, targetShape: Ints) -> Value:
    return g.Expand(_number(g, value), np.array(targetShape, np.int64))


@layer()
def fillDynamic(g: Graph, shape: Value, *, value: float = 0.0) -> Value:
    return bounded_fill(
        g, _number(g, value), g.reshape(shape, [-1])
    )  # the shape may be a single number


@layer()
def rangeStatic(
    g: Graph, *, endValue: float = 0.0, startValue: float = 0.0, stepSizeValue: float = 0.0
) -> Value:
    return ordering.range_1d(
        g, _number(g, startValue), _number(g, endValue), _number(g, stepSizeValue)
    )


@layer()
def rangeDynamic(
    g: Graph,
    end: Value,
    start: Value | None = None,
    step: Value | None = None,
    *,
    startValue: float = 0.0,
    stepSizeValue: float = 0.0,
) -> Value:
    return ordering.range_1d(
        g,
        _number(g, startValue) if start is None else start,
        end,
        _number(g, stepSizeValue) if step is None else step,
    )


@layer()
def cumSum(
    g: Graph,
    x: Value,
    computed_axis: Value | None = None,  # replaces the field
    *,
    axis: int = 0,
    excludeFinalSum: bool = False,
    reverse: bool = False,
) -> Value:
    if computed_axis is None:
        at = g.constant(axis, np.int64)
    else:
        at = g.reshape(g.cast(computed_axis, np.int64), [])
    return g.CumSum(x, at, exclusive=int(excludeFinalSum), reverse=int(reverse))


@layer()
def matrixBandPart(g: Graph, x: Value, *, numLower: int = 0, numUpper: int = 0) -> Value:
    return band(g, x, None if numLower < 0 else numLower, None if numUpper < 0 else numUpper)


@layer()
def lowerTriangular(g: Graph, x: Value, *, k: int = 0) -> Value:
    return band(g, x, None, k)


@layer()
def upperTriangular(g: Graph, x: Value, *, k: int = 0) -> Value:
    return band(g, x, -k, None)


@layer()
def whereNonZero(g: Graph, x: Value) -> Value:
    return g.cast(ordering.non_zero(g, x), np.float32)


@layer()
def oneHot(
    g: Graph,
    indices: Value,
    size: Value | None = None,
    *,
    oneHotVectorSize: int = 0,
    axis: int = 0,
    onValue: float = 0.0,
    offValue: float = 0.0,
) -> Value:
    on, off = _number(g, onValue), _number(g, offValue)
    return ordering.one_hot(g, indices, oneHotVectorSize if size is None else size, axis, on, off)


@layer()
def argSort(g: Graph, x: Value, *, axis: int = 0, descending: bool = False) -> Value:
    return g.cast(ordering.argsort(g, x, axis, ascending=not descending), np.float32)


@layer()
def topK(
    g: Graph,
    x: Value,
    count: Value | None = None,
    *,
    axis: int = 0,
    K: int = 0,
    useBottomK: bool = False,
) -> tuple[Value, Value]:
    if count is None and not 1 <= K <= x.size(axis):
        raise ModelFileError(f"K is {K}; expected 1 to {x.size(axis)}")
    values, indices = ordering.top_k(
        g, x, K if count is None else count, axis, ascending=useBottomK
    )
    return values, g.cast(indices, np.float32)

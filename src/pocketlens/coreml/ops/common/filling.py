"""Tensors whose size is computed while the model runs, and which must not outgrow the memory."""

from __future__ import annotations

import numpy as np

from pocketlens.coreml.graph import MAX_TENSOR_BYTES, Graph, Value

__all__ = ["filled", "repeated", "stop_if", "stop_if_large"]


def filled(g: Graph, number: Value, shape: Value) -> Value:
    """`number` in a tensor of `shape`; one that is too large stops the run before it is made."""
    sizes = g.cast(shape, np.int64)
    if sizes.const is not None:
        return g.Expand(number, sizes)
    wide = g.cast(sizes, np.float64)  # their product may be too large for an integer
    below = g.Less(sizes, np.array(0, np.int64))
    count = g.ReduceProd(g.Where(below, np.array(np.inf), wide), keepdims=0)
    return g.Expand(number, g.Add(sizes, stop_if_large(g, count, number.dtype.itemsize)))


def repeated(g: Graph, x: Value, counts: Value) -> Value:
    """`x`, along each dimension as often as `counts` says; too often stops the run."""
    times = g.cast(counts, np.int64)
    if times.const is None:
        sizes = g.Mul(g.cast(g.Shape(x), np.float64), g.cast(times, np.float64))
        count = g.ReduceProd(sizes, keepdims=0)
        times = g.Add(times, stop_if_large(g, count, x.dtype.itemsize))
    return g.Tile(x, times)


def stop_if_large(g: Graph, count: Value, itemsize: int) -> Value:
    """An int64 zero for `count` (float64, a scalar) elements; beyond `MAX_TENSOR_BYTES` an error.

    It must go into what makes the tensor, so that it is computed before.
    """
    return stop_if(g, g.Greater(count, np.array(MAX_TENSOR_BYTES // itemsize, np.float64)))


def stop_if(g: Graph, fault: Value) -> Value:
    """An int64 zero; an error where `fault` (a bool, a scalar) is true."""
    # One element is all there is to gather: asking for the second one stops the run.
    return g.Gather(np.zeros(1, np.int64), g.cast(fault, np.int64))

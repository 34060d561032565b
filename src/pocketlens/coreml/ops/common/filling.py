"""Tensors whose size is computed while the model runs.

Each is limited to what is left of the file's memory, and to `MAX_TENSOR_BYTES`.
"""

from __future__ import annotations

import numpy as np

from pocketlens.coreml.file.budget import memory_left
from pocketlens.coreml.graph import MAX_TENSOR_BYTES, Graph, Value

__all__ = ["bounded_fill", "bounded_tile", "stop_if", "stop_if_large"]


def bounded_fill(g: Graph, number: Value, shape: Value) -> Value:
    """A tensor of `shape` filled with `number`; a shape that is too large stops the run first."""
    sizes = g.cast(shape, np.int64)
    if sizes.const is not None:
        return g.Expand(number, sizes)
    wide = g.cast(sizes, np.float64)  # their product may be too large for an integer
    below = g.Less(sizes, np.array(0, np.int64))
    count = g.ReduceProd(g.Where(below, np.array(np.inf), wide), keepdims=0)
    return g.Expand(number, g.Add(sizes, stop_if_large(g, count, number.dtype.itemsize)))


def bounded_tile(g: Graph, x: Value, counts: Value) -> Value:
    """`x` repeated `counts` times along each dimension; a result too large stops the run first."""
    times = g.cast(counts, np.int64)
    if times.const is None:
        sizes = g.Mul(g.cast(g.Shape(x), np.float64), g.cast(times, np.float64))
        count = g.ReduceProd(sizes, keepdims=0)
        times = g.Add(times, stop_if_large(g, count, x.dtype.itemsize))
    return g.Tile(x, times)


def stop_if_large(g: Graph, count: Value, itemsize: int) -> Value:
    """An int64 zero; an error in the run if `count` elements exceed the memory that is left.

    Add the zero to an input of the operator that creates the tensor, so that the check runs first.

    Args:
        g: The graph.
        count: The number of elements, a float64 scalar.
        itemsize: Bytes per element.
    """
    most = memory_left(MAX_TENSOR_BYTES)
    large = g.Greater(count, np.array(most // itemsize, np.float64))
    reason = f"would make a tensor with a negative size, or of more than {most} bytes,"
    return stop_if(g, large, reason)


def stop_if(g: Graph, condition: Value, reason: str) -> Value:
    """An int64 zero; an error in the run if `condition` is true.

    Args:
        g: The graph.
        condition: A bool scalar.
        reason: What the operation does then, such as `divides by zero`.
    """
    # There is one element; gathering the second one stops the run with an error.
    zero = g.Gather(np.zeros(1, np.int64), g.cast(condition, np.int64))
    if zero.const is None:
        g.stops[g.nodes[-1].name] = f"{g.what} {reason}"
    return zero

"""Filling a tensor with one number."""

from __future__ import annotations

import numpy as np

from pocketlens.coreml.graph import MAX_TENSOR_BYTES, Graph, Value

__all__ = ["filled"]


def filled(g: Graph, number: Value, shape: Value) -> Value:
    """`number` in a tensor of `shape`; one that is too large stops the run before it is made."""
    sizes = g.cast(shape, np.int64)
    if sizes.const is not None:
        return g.Expand(number, sizes)
    zero = np.array(0, np.int64)
    wide = g.cast(sizes, np.float64)  # their product may be too large for an integer
    count = g.ReduceProd(g.Where(g.Less(sizes, zero), np.array(np.inf), wide), keepdims=0)
    most = np.array(MAX_TENSOR_BYTES // number.dtype.itemsize, np.float64)
    # One element is all there is to gather: asking for the second one stops the run.
    nothing = g.Gather(np.zeros(1, np.int64), g.cast(g.Greater(count, most), np.int64))
    return g.Expand(number, g.Add(sizes, nothing))

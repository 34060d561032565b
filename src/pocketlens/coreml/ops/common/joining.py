"""Concatenation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pocketlens.coreml.graph import Graph, Value

__all__ = ["concatenate"]


def concatenate(g: Graph, values: Sequence[Value], axis: int, *, interleave: bool = False) -> Value:
    """Concatenate along `axis`.

    Scalars have no axis: if there is one among `values`, all are joined to one row.

    Args:
        g: The graph.
        values: One or more tensors.
        axis: May be negative.
        interleave: The first elements of all tensors come first, then the second ones, and so on.
    """
    if any(value.shape == () for value in values):
        values = [g.reshape(value, [1]) if value.shape == () else value for value in values]
        axis = 0
    if not interleave:
        return g.Concat(*values, axis=axis)
    rank = values[0].rank
    at = np.array([axis % rank + 1], np.int64)
    together = g.Concat(*(g.Unsqueeze(value, at) for value in values), axis=int(at[0]))
    axis %= rank
    if None in (values[0].shape or (None,)):
        before, after = g.Shape(values[0], end=axis), g.Shape(values[0], start=axis + 1)
        return g.Reshape(together, g.Concat(before, np.array([-1], np.int64), after, axis=0))
    sizes = list(values[0].sizes)
    sizes[axis] *= len(values)
    return g.reshape(together, sizes)

"""Leading dimensions that the specification treats as batch dimensions."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from pocketlens.coreml.graph import Graph, Value
from pocketlens.errors import ModelFileError

__all__ = ["over_batch"]


def over_batch(g: Graph, x: Value, function: Callable[[Value], Value], *, inner: int = 3) -> Value:
    """Apply `function` to x [*B, ...] with *B flattened to one dimension; *B is restored afterward.

    Args:
        g: The graph.
        x: The tensor.
        function: Takes and returns a tensor with `inner + 1` dimensions.
        inner: The number of dimensions after *B; 3 for channels, height, width.
    """
    extra = x.rank - inner
    if extra < 0:
        raise ModelFileError(f"{x!r} has {x.rank} dimensions; expected at least {inner}")
    if extra == 1:
        return function(x)
    if None in (x.shape or ()):
        return _over_open_batch(g, x, function, extra)
    lead = x.sizes[:extra]
    y = function(g.reshape(x, [math.prod(lead), *x.sizes[extra:]]))
    return g.reshape(y, [*lead, *y.sizes[1:]])


def _over_open_batch(g: Graph, x: Value, function: Callable[[Value], Value], extra: int) -> Value:
    """`over_batch` for sizes that are known only when the model runs."""
    rest = np.array([-1], np.int64)
    flat = g.Reshape(x, g.Concat(rest, g.Shape(x, start=extra), axis=0))
    known = x.shape or ()
    flat.shape = (None, *known[extra:])
    y = function(flat)
    whole = g.Reshape(y, g.Concat(g.Shape(x, end=extra), g.Shape(y, start=1), axis=0))
    if y.shape is not None:
        whole.shape = (*known[:extra], *y.shape[1:])
    return whole

"""Gathering and scattering by indices, as both dialects define them.

Negative indices count from the end, except those from `reject_negative`. An index out of range
stops the run with an error; the specification requires that error or leaves the case undefined.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from pocketlens.coreml.graph import Graph, Value
from pocketlens.errors import ModelFileError, UnsupportedParameter

__all__ = [
    "gather",
    "gather_along_axis",
    "gather_nd",
    "reject_negative",
    "scatter",
    "scatter_along_axis",
    "scatter_nd",
]

# The specification's mode -> ONNX's reduction
REDUCTIONS = {
    "update": "none",
    "add": "add",
    "sub": "add",
    "mul": "mul",
    "div": "mul",
    "max": "max",
    "min": "min",
}


def gather(g: Graph, x: Value, indices: Value, axis: int, batch_dims: int = 0) -> Value:
    """`x[..., indices, ...]` at `axis`; the first `batch_dims` dimensions are shared."""
    rank, count = x.rank, indices.rank - batch_dims
    axis = _axis(x, axis)
    index = g.cast(indices, np.int64)
    if not batch_dims:
        return g.Gather(x, index, axis=axis)
    if not 0 < batch_dims <= axis or count < 0:
        raise ModelFileError(
            f"{batch_dims} batch dimensions, axis {axis} and {indices!r} do not fit {x!r}"
        )
    batch, between = range(batch_dims), range(batch_dims, axis)
    front = g.transpose(x, [*batch, axis, *between, *range(axis + 1, rank)])
    y = g.GatherND(front, g.Unsqueeze(index, np.array([-1], np.int64)), batch_dims=batch_dims)
    # Now *batch, *indices, *between, *after.
    found = range(batch_dims, batch_dims + count)
    moved = range(batch_dims + count, axis + count)
    return g.transpose(y, [*batch, *moved, *found, *range(axis + count, rank - 1 + count)])


def gather_along_axis(g: Graph, x: Value, indices: Value, axis: int) -> Value:
    """One element of `x` per index: the index along `axis`, its own position along other axes."""
    return g.GatherElements(x, g.cast(indices, np.int64), axis=_axis(x, axis))


def gather_nd(g: Graph, x: Value, indices: Value, batch_dims: int = 0) -> Value:
    """The slices of `x` at the coordinates in the last dimension of `indices`."""
    return g.GatherND(x, g.cast(indices, np.int64), batch_dims=batch_dims)


def scatter(g: Graph, data: Value, indices: Value, updates: Value, axis: int, mode: str) -> Value:
    """`data` with `updates` written at `indices` along `axis`; `mode` says how."""
    axis = _axis(data, axis)
    after = axis + indices.rank
    # Flatten the indices to one row, and their dimensions in the updates likewise.
    row = g.reshape(indices, [-1 if i == axis else 1 for i in range(data.rank)])
    if None in ((updates.shape or (None,)) + (indices.shape or (None,))):
        one = np.array([-1], np.int64)
        before, rest = g.Shape(updates, end=axis), g.Shape(updates, start=after)
        updates = g.Reshape(updates, g.Concat(before, one, rest, axis=0))
        index = g.Expand(row, g.Shape(updates))
    else:
        flat = [*updates.sizes[:axis], math.prod(indices.sizes), *updates.sizes[after:]]
        updates = g.reshape(updates, flat)
        index = g.Expand(row, np.array(flat, np.int64))
    return scatter_along_axis(g, data, index, updates, axis, mode)


def scatter_along_axis(
    g: Graph, data: Value, indices: Value, updates: Value, axis: int, mode: str
) -> Value:
    """`data` with each update written at its index along `axis`, its own position elsewhere."""
    index, at = g.cast(indices, np.int64), _axis(data, axis)

    def into(x: Value, new: Value, reduction: str) -> Value:
        return g.ScatterElements(x, index, new, axis=at, reduction=reduction)

    return _combined(g, data, updates, mode, into)


def scatter_nd(g: Graph, data: Value, indices: Value, updates: Value, mode: str) -> Value:
    """`data` with `updates` written at the coordinates in the last dimension of `indices`."""
    index = g.cast(indices, np.int64)

    def into(x: Value, new: Value, reduction: str) -> Value:
        return g.ScatterND(x, index, new, reduction=reduction)

    return _combined(g, data, updates, mode, into)


def reject_negative(
    g: Graph, x: Value, indices: Value, axis: int | None = None, *, start: int = 0
) -> Value:
    """`indices` with each negative one replaced by one out of range, which stops the run.

    Args:
        g: The graph.
        x: The tensor that they index.
        indices: Any integer type.
        axis: The axis that they index. None: the last dimension of `indices` holds coordinates for
            the dimensions of `x` from `start` on.
        start: See `axis`.
    """
    index = g.cast(indices, np.int64)
    if axis is None:
        sizes = g.Shape(x, start=start, end=start + indices.size(-1))
    else:
        at = _axis(x, axis)
        sizes = g.Shape(x, start=at, end=at + 1)
    return g.Where(g.Less(index, np.array(0, np.int64)), sizes, index)


def _combined(
    g: Graph,
    data: Value,
    updates: Value,
    mode: str,
    into: Callable[[Value, Value, str], Value],
) -> Value:
    if mode not in REDUCTIONS:
        raise UnsupportedParameter(f"the mode is {mode!r}; expected one of {', '.join(REDUCTIONS)}")

    def formula(x: Value, new: Value) -> Value:
        if mode == "sub":
            new = g.Neg(new)
        if mode != "div":
            return into(x, new, REDUCTIONS[mode])
        # An index may occur more than once: divide by the product of its updates.
        ones = g.Expand(g.like(1.0, x), g.Shape(x))
        return g.Div(x, into(ones, new, "mul"))

    if mode == "div" and data.dtype.kind != "f":  # rounded toward zero, as real_div
        return g.cast(formula(*(g.cast(each, np.float64) for each in (data, updates))), data.dtype)
    return g.in_float32(formula, data, updates)


def _axis(x: Value, axis: int) -> int:
    if not -x.rank <= axis < x.rank:
        raise ModelFileError(f"the axis is {axis}; x has {x.rank} dimensions")
    return axis % x.rank

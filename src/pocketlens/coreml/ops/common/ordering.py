"""Ranges, sorting, and one-hot vectors."""

from __future__ import annotations

import numpy as np

from pocketlens.coreml.graph import Graph, Value
from pocketlens.coreml.ops.common.filling import stop_if_large
from pocketlens.errors import ModelFileError

__all__ = ["arange", "argsort", "non_zero", "one_hot", "range_1d", "size_along", "top_k"]


def arange(g: Graph, count: Value | int, *, dims_after: int = 0) -> Value:
    """0, 1, … `count` - 1 in int64, followed by `dims_after` dimensions of size 1."""
    if isinstance(count, int):
        end = g.constant(count, np.int64)
    else:
        end = g.reshape(g.cast(count, np.int64), [])
    numbers = g.Range(np.array(0, np.int64), end, np.array(1, np.int64))
    return g.reshape(numbers, [-1] + [1] * dims_after) if dims_after else numbers


def size_along(g: Graph, x: Value, axis: int) -> Value | int:
    """The size of `x` along `axis`; a tensor if it is known only when the model runs."""
    if x.shape is None or None in x.shape[axis:][:1]:
        return g.Shape(x, start=axis, end=axis + 1 or None)  # 0 would be before the first axis
    return x.size(axis)


def range_1d(g: Graph, start: Value, end: Value, step: Value) -> Value:
    """`start`, `start + step`, … up to `end` (exclusive); all three are scalars."""
    for value in (start, end, step):
        if value.const is not None and not np.isfinite(value.const).all():
            raise ModelFileError(
                f"a range has the bound or step {value.const}; expected a finite number"
            )
    if step.const is not None and not step.const.all():
        raise ModelFileError("a range has the step 0; expected a number other than 0")
    start, end, step = (g.reshape(value, []) for value in (start, end, step))
    if any(value.const is None for value in (start, end, step)):
        wide = [g.cast(value, np.float64) for value in (start, end, step)]
        count = g.Div(g.Sub(wide[1], wide[0]), wide[2])
        nothing = stop_if_large(g, count, end.dtype.itemsize)
        end = g.Add(end, g.cast(nothing, end.dtype))
    return g.in_float32(g.Range, start, end, step)


def top_k(g: Graph, x: Value, k: int | Value, axis: int, *, ascending: bool) -> tuple[Value, Value]:
    """The `k` largest (ascending: smallest) elements along `axis`, sorted, and their indices.

    Equal elements keep their order.

    Args:
        g: The graph.
        x: Any rank but 0.
        k: The number of elements; -1 for all.
        axis: May be negative.
        ascending: The smallest first.
    """
    largest = int(not ascending)
    count = _count(g, x, k, axis)
    values, indices = g.op("TopK", x, count, outputs=2, axis=axis, largest=largest, sorted=1)
    return values, indices


def _count(g: Graph, x: Value, k: int | Value, axis: int) -> Value:
    if isinstance(k, Value):
        return g.reshape(g.cast(k, np.int64), [1])
    axis %= x.rank
    if k == -1 and x.shape is not None and x.shape[axis] is None:
        return g.Shape(x, start=axis, end=axis + 1)
    count = x.size(axis) if k == -1 else k
    if count < 1:
        raise ModelFileError(f"the number of elements to select is {count}; expected 1 or more")
    return g.constant([count], np.int64)


def argsort(g: Graph, x: Value, axis: int, *, ascending: bool) -> Value:
    """The indices (int64) that sort `x` along `axis`."""
    return top_k(g, x, -1, axis, ascending=ascending)[1]


def non_zero(g: Graph, x: Value) -> Value:
    """The indices (int64, [N, rank]) of the elements that are not zero."""
    return g.Transpose(g.NonZero(x), perm=[1, 0])


def one_hot(
    g: Graph, indices: Value, size: Value | int, axis: int, on_value: Value, off_value: Value
) -> Value:
    """`on_value` at each index along a new axis of `size`, `off_value` elsewhere.

    An index that is negative or too large has `off_value` everywhere.
    """
    rank = indices.rank + 1
    if not -rank <= axis < rank:
        raise ModelFileError(f"the new axis is {axis}; the result has {rank} dimensions")
    axis %= rank
    index = g.Unsqueeze(g.cast(indices, np.int64), np.array([axis], np.int64))
    places = arange(g, size, dims_after=rank - 1 - axis)
    return g.Where(g.Equal(index, places), on_value, off_value)

"""Slicing with begin, end, stride and masks, as both dialects define it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pocketlens.coreml.graph import Graph, Value
from pocketlens.coreml.ops.common.ordering import arange
from pocketlens.errors import ModelFileError

__all__ = [
    "LAST",
    "reverse",
    "reverse_sequence",
    "slice_by_index",
    "slice_by_size",
    "slice_dynamic",
    "slice_update",
    "slice_update_dynamic",
    "sliding_windows",
]

LAST = 2**31 - 1  # larger than any size; as an end it means "to the end"


def reverse(g: Graph, x: Value, axes: Sequence[int]) -> Value:
    """`x` with the elements along each of `axes` in reverse order."""
    if not axes:
        return g.Identity(x)
    count = len(axes)
    return g.Slice(
        x,
        np.full(count, LAST, np.int64),
        np.full(count, -LAST, np.int64),
        np.array(axes, np.int64),
        np.full(count, -1, np.int64),
    )


def slice_by_index(
    g: Graph,
    x: Value,
    begin: Sequence[int],
    end: Sequence[int],
    stride: Sequence[int] | None = None,
    begin_mask: Sequence[bool] | None = None,
    end_mask: Sequence[bool] | None = None,
    squeeze_mask: Sequence[bool] | None = None,
) -> Value:
    """`x[begin:end:stride]` in every dimension.

    Args:
        g: The graph.
        x: The tensor.
        begin: The first index, one per dimension.
        end: The index after the last, one per dimension.
        stride: One per dimension; None for 1.
        begin_mask: True: start at the first element (for a negative stride: at the last).
        end_mask: True: continue to the last element (for a negative stride: to the first).
        squeeze_mask: True: take the element at `begin` and drop the dimension.
    """
    rank = x.rank
    steps = list(stride or [1] * rank)
    masks = [list(mask or [False] * rank) for mask in (begin_mask, end_mask, squeeze_mask)]
    lengths = {len(each) for each in (begin, end, steps, *masks)}
    if lengths != {rank} or 0 in steps:
        raise ModelFileError(
            f"the bounds, strides and masks of a slice need {rank} numbers each, and no stride of 0"
        )
    starts, ends = [], []
    for i, (first, last, step) in enumerate(zip(begin, end, steps, strict=True)):
        ignore_first, ignore_last, single = (mask[i] for mask in masks)
        if single:
            starts.append(first)
            ends.append(first + 1 if first != -1 else LAST)
            steps[i] = 1
            continue
        starts.append((0 if step > 0 else LAST) if ignore_first else first)
        ends.append((LAST if step > 0 else -LAST) if ignore_last else last)
    y = g.Slice(
        x,
        np.array(starts, np.int64),
        np.array(ends, np.int64),
        np.arange(rank),
        np.array(steps, np.int64),
    )
    drop = [i for i, single in enumerate(masks[2]) if single]
    return g.Squeeze(y, np.array(drop, np.int64)) if drop else y


def slice_dynamic(
    g: Graph,
    x: Value,
    begin: Value,
    end: Value,
    stride: Value | None = None,
    begin_mask: Sequence[bool] | None = None,
    end_mask: Sequence[bool] | None = None,
    squeeze_mask: Sequence[bool] | None = None,
) -> Value:
    """`slice_by_index` with bounds that are known only at run time."""
    rank = x.rank
    from_start, to_end, single = (
        np.array(mask or [False] * rank) for mask in (begin_mask, end_mask, squeeze_mask)
    )
    if not from_start.size == to_end.size == single.size == rank:
        raise ModelFileError(f"the masks of a slice need {rank} values each")
    first, last = (g.reshape(g.cast(each, np.int64), [rank]) for each in (begin, end))
    one, far = g.constant(1, np.int64), g.constant(LAST, np.int64)
    steps = (
        g.constant(np.ones(rank, np.int64))
        if stride is None
        else g.reshape(g.cast(stride, np.int64), [rank])
    )
    forwards = g.Greater(steps, g.constant(0, np.int64))
    behind = g.Where(g.Equal(first, g.constant(-1, np.int64)), far, g.Add(first, one))
    starts = g.Where(from_start & ~single, g.Where(forwards, g.constant(0, np.int64), far), first)
    ends = g.Where(to_end, g.Where(forwards, far, g.constant(-LAST, np.int64)), last)
    y = g.Slice(
        x,
        starts,
        g.Where(single, behind, ends),
        np.arange(rank),
        g.Where(single, one, steps),
    )
    drop = np.flatnonzero(single)
    return g.Squeeze(y, drop) if drop.size else y


def slice_by_size(g: Graph, x: Value, begin: Value, size: Value) -> Value:
    """`size` elements from `begin` on.

    Args:
        g: The graph.
        x: The tensor.
        begin: The first index, one per dimension; a negative one counts from the end.
        size: The number of elements, one per dimension; -1 for all that remain.
    """
    first, count = (g.reshape(g.cast(each, np.int64), [x.rank]) for each in (begin, size))
    zero = g.constant(0, np.int64)
    first = g.Where(g.Less(first, zero), g.Add(first, g.Shape(x)), first)
    end = g.Where(g.Less(count, zero), g.constant(LAST, np.int64), g.Add(first, count))
    return g.Slice(x, first, end, np.arange(x.rank))


def sliding_windows(g: Graph, x: Value, axis: int, size: int, stride: int) -> Value:
    """All windows of `size` elements along `axis`; the new dimension comes after `axis`."""
    length = x.size(axis)
    if not (1 <= size <= length and stride >= 1):
        raise ModelFileError(
            f"windows of size {size} and stride {stride} do not fit {length} elements"
        )
    starts = arange(g, (length - size) // stride + 1, dims_after=1)
    index = g.Add(g.Mul(starts, g.constant(stride, np.int64)), arange(g, size))
    return g.Gather(x, index, axis=axis)


def reverse_sequence(g: Graph, x: Value, lengths: Value, seq_axis: int, batch_axis: int) -> Value:
    """`x` with the first `lengths[i]` elements along `seq_axis` in reverse order.

    Args:
        g: The graph.
        x: The tensor.
        lengths: One per index i along `batch_axis`.
        seq_axis: May be negative.
        batch_axis: May be negative.
    """
    rank = x.rank
    seq, batch = seq_axis % rank, batch_axis % rank
    if seq == batch:
        raise ModelFileError(f"the sequences and the batch have the same axis, {seq}")
    place = arange(g, x.size(seq), dims_after=rank - 1 - seq)
    length = g.reshape(g.cast(lengths, np.int64), [-1] + [1] * (rank - 1 - batch))
    mirrored = g.Sub(g.Sub(length, np.array(1, np.int64)), place)
    index = g.Where(g.Less(place, length), mirrored, place)
    return g.GatherElements(x, g.Expand(index, g.Shape(x)), axis=seq)


def slice_update(
    g: Graph, x: Value, update: Value, begin: Sequence[int], end: Sequence[int]
) -> Value:
    """`x` with `update` in place of `x[begin:end]`.

    Args:
        g: The graph.
        x: The tensor.
        update: The new elements.
        begin: The first index, one per dimension, within `x`.
        end: The index after the last, one per dimension, within `x`.
    """
    # From the last axis to the first: concatenate the elements before and after to the result so
    # far, which has the full size along later axes and the size of the slice along earlier ones.
    for axis in range(x.rank - 1, -1, -1):
        here = np.array([axis], np.int64)
        lead = np.arange(axis)
        first, last = (np.array(each[:axis], np.int64) for each in (begin, end))
        region = g.Slice(x, first, last, lead) if axis else x
        parts = [update]
        if begin[axis] > 0:
            until = np.array([begin[axis]], np.int64)
            parts.insert(0, g.Slice(region, np.array([0], np.int64), until, here))
        if end[axis] < x.size(axis):
            after = np.array([end[axis]], np.int64)
            parts.append(g.Slice(region, after, np.array([LAST], np.int64), here))
        update = g.Concat(*parts, axis=axis) if len(parts) > 1 else update
    return update


def slice_update_dynamic(
    g: Graph,
    x: Value,
    update: Value,
    begin: Value,
    stride: Value | None,
    begin_mask: Sequence[bool],
    squeeze_mask: Sequence[bool],
) -> Value:
    """`x` with `update` at every `stride`-th element from `begin` on, both known at run time.

    Args:
        g: The graph.
        x: The tensor.
        update: The new elements.
        begin: The first index, one per dimension; a negative one counts from the end.
        stride: One per dimension; None for 1.
        begin_mask: True: start at the first element (for a negative stride: at the last).
        squeeze_mask: True: `update` lacks this dimension; the slice is one element wide.
    """
    rank = x.rank
    kept = [axis for axis in range(rank) if not squeeze_mask[axis]]
    if len(kept) != update.rank or len(begin_mask) != rank:
        raise ModelFileError(f"the slice has {len(kept)} dimensions; expected those of {update!r}")
    sizes = [1] * rank
    for axis, size in zip(kept, update.sizes, strict=True):
        sizes[axis] = size
    zero, shape = g.constant(0, np.int64), g.Shape(x)
    steps = (
        g.constant(np.ones(rank, np.int64))
        if stride is None
        else g.Where(np.array(squeeze_mask), g.constant(1, np.int64), g.cast(stride, np.int64))
    )
    first = g.cast(begin, np.int64)
    first = g.Where(g.Less(first, zero), g.Add(first, shape), first)
    edge = g.Where(g.Less(steps, zero), g.Sub(shape, g.constant(1, np.int64)), zero)
    first = g.Where(np.array(begin_mask) & ~np.array(squeeze_mask), edge, first)
    full = np.array([*sizes, 1], np.int64)
    places = []
    for axis, size in enumerate(sizes):
        at = np.array([axis], np.int64)
        start, step = (g.Gather(each, at) for each in (first, steps))
        along = g.Add(start, g.Mul(step, g.constant(np.arange(size))))
        line = [size if other == axis else 1 for other in range(rank)]
        places.append(g.Expand(g.reshape(along, [*line, 1]), full))
    return g.ScatterND(x, g.Concat(*places, axis=-1), g.reshape(update, sizes))

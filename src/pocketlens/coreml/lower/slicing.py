"""Slicing with begin, end, stride and masks, as both dialects define it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pocketlens.coreml.graph import Graph, Value
from pocketlens.errors import ModelFileError

__all__ = ["reverse", "slice_by_index"]

LAST = 2**31 - 1  # beyond any size: up to the end


def reverse(g: Graph, x: Value, axes: Sequence[int]) -> Value:
    """The elements along each of `axes` in the opposite order."""
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
        begin: Where to start; so for `end` (not included) and `stride`, one a dimension.
        begin_mask: True: start at the beginning (going backwards: at the end).
        end_mask: True: go on to the end (going backwards: to the beginning).
        squeeze_mask: True: take the element at `begin` and drop the dimension.
    """
    rank = x.rank
    steps = list(stride or [1] * rank)
    masks = [list(mask or [False] * rank) for mask in (begin_mask, end_mask, squeeze_mask)]
    lengths = {len(each) for each in (begin, end, steps, *masks)}
    if lengths != {rank} or 0 in steps:
        raise ModelFileError(f"a slice of {rank} dimensions has bounds, steps or masks of another")
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

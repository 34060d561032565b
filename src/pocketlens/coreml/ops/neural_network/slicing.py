"""Slices and windows."""

from __future__ import annotations

import numpy as np

from pocketlens.coreml.graph import Bools, Graph, Ints, Value
from pocketlens.coreml.ops.common.ordering import arange
from pocketlens.coreml.ops.common.slicing import (
    LAST,
    slice_by_index,
    slice_dynamic,
    sliding_windows,
)
from pocketlens.coreml.ops.registry import layer
from pocketlens.errors import ModelFileError, UnsupportedParameter


@layer()
def sliceStatic(
    g: Graph,
    x: Value,
    *,
    beginIds: Ints,
    beginMasks: Bools,
    endIds: Ints,
    endMasks: Bools,
    strides: Ints,
    squeezeMasks: Bools = (),
) -> Value:
    masks = squeezeMasks or None
    return slice_by_index(g, x, beginIds, endIds, strides, beginMasks, endMasks, masks)


@layer(restrictions="constant squeezeMasks only")
def sliceDynamic(
    g: Graph,
    x: Value,
    begin: Value,
    end: Value | None = None,  # these five replace the fields
    stride: Value | None = None,
    begin_mask: Value | None = None,
    end_mask: Value | None = None,
    squeeze_mask: Value | None = None,
    *,
    beginMasks: Bools = (),
    endIds: Ints = (),
    endMasks: Bools = (),
    strides: Ints = (),
    squeezeMasks: Bools = (),
) -> Value:
    no = np.zeros(x.rank, np.bool_)

    # coremltools writes five defaults into each field, whatever the number of dimensions.
    def mask(given: Value | None, field: Bools) -> Value:
        if given is None:
            return g.constant(np.array(field[: x.rank]) if field else no)
        return g.cast(given, np.bool_)

    ends = g.constant(endIds[: x.rank], np.int64) if end is None else end
    steps = stride
    if steps is None:
        steps = g.constant(strides[: x.rank] or (1,) * x.rank, np.int64)
    single = mask(squeeze_mask, squeezeMasks)
    if single.const is None:
        raise UnsupportedParameter(
            f"squeezeMasks is computed while the model runs ({single.name!r}); expected a constant"
        )
    if {each.size(0) for each in (begin, ends, steps, single)} != {x.rank}:
        raise ModelFileError(
            f"its bounds, strides and masks must have {x.rank} numbers each, one per dimension of x"
        )
    forwards = g.Greater(g.cast(steps, np.int64), g.constant(0, np.int64))
    first, last = (g.constant(each, np.int64) for each in (0, LAST))
    from_start = g.And(mask(begin_mask, beginMasks), g.constant(~single.const))
    return slice_dynamic(
        g,
        x,
        g.Where(from_start, g.Where(forwards, first, last), g.cast(begin, np.int64)),
        g.Where(
            mask(end_mask, endMasks),
            g.Where(forwards, last, g.constant(-LAST, np.int64)),
            g.cast(ends, np.int64),
        ),
        steps,
        squeeze_mask=single.const.tolist(),
    )


@layer(name="slice")
def slice_(
    g: Graph,
    x: Value,
    *,
    startIndex: int = 0,
    endIndex: int = 0,
    stride: int = 1,
    axis: str = "CHANNEL_AXIS",
) -> Value:
    at = x.rank - {"CHANNEL_AXIS": 3, "HEIGHT_AXIS": 2, "WIDTH_AXIS": 1}[axis]
    if at < 0:
        raise ModelFileError(f"{x!r} has {x.rank} dimensions and no {axis}; expected 3 or more")
    # An end of 0 means the end of the dimension (-1 is one element less): Apple's own validator
    # computes the size of the result that way.
    end = endIndex or LAST
    bounds = [np.array([number], np.int64) for number in (startIndex, end, at, stride)]
    return g.Slice(x, *bounds)


@layer()
def slidingWindows(g: Graph, x: Value, *, axis: int = 0, windowSize: int, step: int) -> Value:
    return sliding_windows(g, x, axis, windowSize, step)


@layer()
def sliceBySize(g: Graph, x: Value, begin: Value, *, size: int, axis: int = 0) -> Value:
    if not 1 <= size <= x.size(axis):
        raise ModelFileError(f"size is {size}; expected 1 to {x.size(axis)}")
    first = g.reshape(g.cast(begin, np.int64), [])
    return g.Gather(x, g.Add(arange(g, size), first), axis=axis)

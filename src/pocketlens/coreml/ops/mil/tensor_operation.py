"""Concatenation, splitting, padding, filling, sorting and more."""

from __future__ import annotations

import numpy as np

from pocketlens.coreml.graph import Graph, Ints, Value, Values
from pocketlens.coreml.ops.common import ordering, padding
from pocketlens.coreml.ops.common.filling import bounded_fill, bounded_tile
from pocketlens.coreml.ops.common.joining import concatenate
from pocketlens.coreml.ops.common.matrix import band
from pocketlens.coreml.ops.common.suppression import suppress
from pocketlens.coreml.ops.registry import IOS16, IOS17, mil
from pocketlens.errors import ModelFileError, UnsupportedParameter


@mil()
def identity(g: Graph, x: Value) -> Value:
    return g.Identity(x)


@mil()
def concat(g: Graph, values: Values, axis: int, interleave: bool = False) -> Value:
    return concatenate(g, values, axis, interleave=interleave)


@mil()
def stack(g: Graph, values: Values, axis: int) -> Value:
    at = np.array([axis], np.int64)
    return g.Concat(*(g.Unsqueeze(value, at) for value in values), axis=axis)


@mil()
def split(
    g: Graph,
    x: Value,
    axis: int,
    num_splits: int | None = None,
    split_sizes: Ints | None = None,
) -> tuple[Value, ...]:
    if split_sizes is None:
        if num_splits is None:
            raise ModelFileError(
                "it has neither 'num_splits' nor 'split_sizes'; expected one of them"
            )
        size = x.size(axis)
        if num_splits < 1 or size % num_splits:
            raise ModelFileError(f"{size} elements do not split into {num_splits} equal parts")
        split_sizes = (size // num_splits,) * num_splits
    sizes = np.array(split_sizes, np.int64)
    return tuple(g.op("Split", x, sizes, outputs=len(split_sizes), axis=axis))


@mil()
def flatten2d(g: Graph, x: Value, axis: int = 1) -> Value:
    return g.Flatten(x, axis=axis)


@mil()
def pad(g: Graph, x: Value, pad: Value, mode: str = "constant", constant_val: float = 0.0) -> Value:
    if pad.rank != 1 or pad.size(0) % 2 or pad.size(0) > 2 * x.rank:
        raise ModelFileError(f"'pad' is {pad!r}; x has {x.rank} dimensions")
    if pad.const is not None:
        amounts = [(int(before), int(after)) for before, after in pad.const.reshape(-1, 2)]
        return padding.pad(g, x, amounts, constant_val, padding.pad_mode(mode))
    if pad.size(0) < 2 * x.rank:
        raise ModelFileError(
            f"'pad' is computed while the model runs; expected {2 * x.rank} numbers, two for each "
            f"dimension of x; received {pad.size(0)}"
        )
    later = g.cast(g.reshape(pad, [x.rank, 2]), np.int64)
    return padding.pad_dynamic(g, x, later, constant_val, padding.pad_mode(mode))


@mil()
def tile(g: Graph, x: Value, reps: Value) -> Value:
    counts = reps.const
    if counts is not None and (counts.size != x.rank or (counts < 1).any()):
        raise ModelFileError(f"'reps' is {counts.tolist()}; expected {x.rank} positive numbers")
    return bounded_tile(g, x, reps)


@mil()
def shape(g: Graph, x: Value) -> Value:
    if x.shape is None or None in x.shape:
        return g.cast(g.Shape(x), np.int32)
    return g.constant(x.shape, np.int32)  # a constant, for ops that need one


@mil()
def fill(g: Graph, shape: Value, value: Value | None = None) -> Value:  # 0.0 by default
    content = g.constant(0.0, np.float32) if value is None else value
    return bounded_fill(g, content, shape)


@mil(since=IOS16)
def fill_like(g: Graph, ref_tensor: Value, value: Value | None = None) -> Value:  # 0.0 by default
    content = g.constant(0.0, np.float32) if value is None else value
    return g.Expand(content, g.Shape(ref_tensor))


@mil()
def range_1d(g: Graph, end: Value, start: Value, step: Value) -> Value:
    return ordering.range_1d(g, start, end, step)


@mil()
def cumsum(
    g: Graph, x: Value, axis: int = 0, exclusive: bool = False, reverse: bool = False
) -> Value:
    return g.CumSum(x, np.array(axis, np.int64), exclusive=int(exclusive), reverse=int(reverse))


@mil()
def band_part(g: Graph, x: Value, lower: int = -1, upper: int = -1) -> Value:
    return band(g, x, None if lower < 0 else lower, None if upper < 0 else upper)


@mil()
def one_hot(
    g: Graph,
    indices: Value,
    one_hot_vector_size: Value,
    axis: int = -1,
    on_value: Value | None = None,  # 1
    off_value: Value | None = None,  # 0
) -> Value:
    dtype = next((v.dtype for v in (on_value, off_value) if v is not None), np.dtype(np.int32))
    on = g.constant(1, dtype) if on_value is None else on_value
    off = g.constant(0, dtype) if off_value is None else off_value
    return ordering.one_hot(g, indices, one_hot_vector_size, axis, on, off)


@mil()
def non_zero(g: Graph, x: Value) -> Value:
    return g.cast(ordering.non_zero(g, x), np.int32)


@mil()
def argsort(g: Graph, x: Value, axis: int = -1, ascending: bool = False) -> Value:
    return g.cast(ordering.argsort(g, x, axis, ascending=ascending), np.int32)


@mil()
def topk(
    g: Graph, x: Value, k: int = 1, axis: int = -1, ascending: bool = False
) -> tuple[Value, ...]:
    values, indices = ordering.top_k(g, x, k, axis, ascending=ascending)
    return values, g.cast(indices, np.int32)


@mil(since=IOS16, name="topk")
def topk_ios16(
    g: Graph,
    x: Value,
    k: int = 1,
    axis: int = -1,
    ascending: bool = False,
    sort: bool = True,
    return_indices: bool = True,
) -> tuple[Value, ...]:
    return topk_ios17(g, x, k, axis, ascending, sort, return_indices)


@mil(since=IOS17, name="topk")
def topk_ios17(
    g: Graph,
    x: Value,
    k: int = 1,
    axis: int = -1,
    ascending: bool = False,
    sort: bool = True,  # noqa: ARG001 (if false, any order is allowed)
    return_indices: bool = True,
    output_indices_dtype: str = "int32",
) -> tuple[Value, ...]:
    types = {"int32": np.int32, "uint16": np.uint16}
    if output_indices_dtype not in types:
        raise UnsupportedParameter(
            f"'output_indices_dtype' is {output_indices_dtype!r}; expected one of {list(types)}"
        )
    values, indices = ordering.top_k(g, x, k, axis, ascending=ascending)
    return (values, g.cast(indices, types[output_indices_dtype])) if return_indices else (values,)


@mil()
def non_maximum_suppression(
    g: Graph,
    boxes: Value,  # [n, B, 4]
    scores: Value,  # [n, B, K]
    iou_threshold: Value,
    score_threshold: Value,
    max_boxes: Value,
    per_class_suppression: bool = False,
) -> tuple[Value, ...]:
    return suppress(
        g,
        boxes,
        scores,
        iou_threshold,
        score_threshold,
        max_boxes,
        per_class=per_class_suppression,
    )


@mil(since=IOS17, name="non_maximum_suppression")
def non_maximum_suppression_ios17(
    g: Graph,
    boxes: Value,  # [n, 4, B]
    scores: Value,  # [n, K, B]
    iou_threshold: Value,
    max_boxes: Value,
    per_class_suppression: bool = False,
) -> tuple[Value, ...]:
    left, of_left, indices, _ = suppress(
        g,
        g.transpose(boxes, [0, 2, 1]),
        g.transpose(scores, [0, 2, 1]),
        iou_threshold,
        None,
        max_boxes,
        per_class=per_class_suppression,
    )
    return g.transpose(left, [0, 2, 1]), g.transpose(of_left, [0, 2, 1]), indices

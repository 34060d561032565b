"""Non-maximum suppression of boxes."""

from __future__ import annotations

from typing import Any

import numpy as np

from pocketlens.coreml.graph import Graph, Value
from pocketlens.coreml.ops.common.filling import stop_if
from pocketlens.coreml.ops.common.indexing import gather_nd
from pocketlens.coreml.ops.common.ordering import arange
from pocketlens.errors import ModelFileError

__all__ = ["MAX_BOXES", "suppress"]

MAX_BOXES = 2**20
"""The largest number of boxes that can be selected."""

FLOAT = np.dtype(np.float32)


def suppress(
    g: Graph,
    boxes: Value,
    scores: Value,
    iou: Value,
    least: Value | None,
    most: Value,
    *,
    per_class: bool,
) -> tuple[Value, Value, Value, Value]:
    """Select boxes, sorted by descending score; equal scores keep their order.

    The score of a box is that of its best class. A box is dropped if its overlap (intersection over
    union) with a selected box of a better score is more than `iou`.

    Args:
        g: The graph.
        boxes: [B, N, 4]: x and y of the center, width, height.
        scores: [B, N, C].
        iou: The threshold of the overlap, one element, 0 or more.
        least: The threshold of the score, one element: boxes with a lower score are dropped. If all
            scores are lower, the best box is kept. None: no threshold.
        most: The number of boxes to select, one element, 1 to `MAX_BOXES`.
        per_class: Only boxes with the same best class can drop each other.

    Returns:
        Boxes [B, most, 4] and scores [B, most, C], padded with 0; indices [B, most] (int32), padded
        with -1; the number of selected boxes [B] (int32).
    """
    if boxes.rank != 3 or scores.rank != 3:
        raise ModelFileError(
            f"the boxes are {boxes!r} and the scores {scores!r}; expected 3 dimensions each"
        )
    for value in (iou, least, most):
        if value is not None and value.const is not None and value.const.size != 1:
            raise ModelFileError(f"a threshold is {value!r}; expected one number")
    if iou.const is not None and not iou.const.item() >= 0:
        raise ModelFileError(f"the overlap threshold is {iou.const.item():g}; expected >= 0")
    if most.const is not None and not 1 <= most.const.item() <= MAX_BOXES:
        raise ModelFileError(
            f"the number of boxes to select is {most.const.item():g}; expected 1 to {MAX_BOXES}"
        )
    wide = g.cast(scores, FLOAT)
    best = g.ReduceMax(wide, np.array([2], np.int64), keepdims=0)  # [B, N]
    limit = _single(g, most, np.int64)
    if limit.const is None:
        over = g.Greater(limit, g.constant(MAX_BOXES, np.int64))
        limit = g.Add(limit, stop_if(g, over, f"would compare more than {MAX_BOXES} boxes"))
    left = _left(g, g.cast(boxes, FLOAT), wide, best, iou, least, limit, per_class)
    lowest = g.like(-np.inf, best)
    # There may be fewer boxes than `most`; the padding makes up for the missing ones.
    order = g.Pad(g.Where(left, best, lowest), _behind(g, limit, 2), lowest)
    _, index = g.op("TopK", order, limit, outputs=2, axis=1)  # [B, most]
    count = g.ReduceSum(g.cast(left, np.int64), np.array([1], np.int64), keepdims=0)  # [B]
    count = g.Min(count, limit)
    places = g.Unsqueeze(arange(g, limit), np.array([0], np.int64))
    chosen = g.Less(places, g.Unsqueeze(count, np.array([1], np.int64)))  # [B, most]

    def selected(values: Value) -> Value:
        long = g.Pad(values, _behind(g, limit, 3))
        rows = gather_nd(g, long, g.Unsqueeze(index, np.array([-1], np.int64)), batch_dims=1)
        return g.Where(g.Unsqueeze(chosen, np.array([2], np.int64)), rows, g.like(0, rows))

    numbers = g.Where(chosen, index, g.constant(-1, np.int64))
    return (
        selected(boxes),
        selected(scores),
        g.cast(numbers, np.int32),
        g.cast(count, np.int32),
    )


def _left(
    g: Graph,
    boxes: Value,
    scores: Value,
    best: Value,
    iou: Value,
    least: Value | None,
    limit: Value,
    per_class: bool,
) -> Value:
    """Which boxes are selected, bool [B, N]."""
    rows = g.Unsqueeze(best, np.array([1], np.int64))  # [B, 1, N]
    if per_class:
        own = g.ArgMax(scores, axis=2, keepdims=0)  # [B, N]
        classes = arange(g, scores.size(2), dims_after=1)  # [C, 1]
        mine = g.Equal(g.Unsqueeze(own, np.array([1], np.int64)), classes)  # [B, C, N]
        rows = g.Where(mine, rows, g.like(-np.inf, rows))
    if least is not None:  # ONNX would also drop a score equal to the threshold
        enough = g.GreaterOrEqual(rows, _single(g, least, FLOAT))
        rows = g.Where(enough, rows, g.like(-np.inf, rows))
    overlap = g.Min(_single(g, iou, FLOAT), g.constant([1], FLOAT))  # ONNX's maximum is 1
    lowest = g.constant([np.finfo(FLOAT).min], FLOAT)  # drops scores of -infinity
    found = g.NonMaxSuppression(boxes, rows, limit, overlap, lowest, center_point_box=1)
    places = g.Gather(found, np.array([0, 2], np.int64), axis=1)  # [M, 2]: image, box
    none = g.Expand(g.constant(False), g.Shape(best))
    left = g.ScatterND(none, places, g.Expand(g.constant(True), g.Shape(places, end=1)))
    total = g.ReduceMax(g.cast(left, np.int32), np.array([1], np.int64))  # [B, 1]
    top = g.ArgMax(best, axis=1, keepdims=1)  # [B, 1]
    only = g.Equal(arange(g, best.size(1)), top)  # [B, N]
    return g.Or(left, g.And(only, g.Equal(total, g.constant(0, np.int32))))


def _single(g: Graph, value: Value, dtype: Any) -> Value:
    """A tensor with one element, reshaped to [1]."""
    if value.const is not None:
        return g.constant(value.const.reshape(1), dtype)
    return g.reshape(g.cast(value, dtype), [1])


def _behind(g: Graph, count: Value, rank: int) -> Value:
    """ONNX's padding amounts for `count` elements at the end of axis 1 of a tensor of `rank`."""
    before, after = np.zeros(rank + 1, np.int64), np.zeros(rank - 2, np.int64)
    if count.const is not None:
        return g.constant(np.concatenate([before, count.const, after]))
    return g.Concat(before, count, after, axis=0)

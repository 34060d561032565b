"""Crops of images, all resized to one size (regions of interest)."""

from __future__ import annotations

from typing import Any

import numpy as np

from pocketlens.coreml.graph import Array, Graph, Value
from pocketlens.coreml.ops.common.ordering import arange
from pocketlens.errors import ModelFileError, UnsupportedParameter

__all__ = ["ORDERS", "SAMPLINGS", "crop_resize", "split_regions"]

ORDERS = {
    "CORNERS_HEIGHT_FIRST": (0, 1),
    "CORNERS_WIDTH_FIRST": (1, 0),
    "CENTER_SIZE_HEIGHT_FIRST": (0, 1),
    "CENTER_SIZE_WIDTH_FIRST": (1, 0),
}
"""The positions of row and column in a box: first corner or center; +2: second corner or size."""

SAMPLINGS = (
    "STRICT_ALIGN_CORNERS",
    "ALIGN_CORNERS",
    "UNALIGN_CORNERS",
    "DEFAULT",
    "OFFSET_CORNERS",
)

TO_THE_ENDS = ("STRICT_ALIGN_CORNERS", "ALIGN_CORNERS")
"""Samplings that go from one end of a box to the other; the second end may come first."""

BEYOND = 2**40  # an index beyond every tensor


def crop_resize(
    g: Graph,
    x: Value,
    boxes: Value,
    images: Value | None,
    sides: tuple[int, int],
    *,
    order: str,
    normalized: bool,
    scale: float,
    sampling: str,
    pad_value: float,
) -> Value:
    """Crop boxes out of images and resize each to `sides`, with bilinear sampling.

    Args:
        g: The graph.
        x: The images, [B, C, H, W].
        boxes: [N, 4].
        images: The index of the image for each box, [N]; None: crop each box from all images.
        sides: Height and width of the result.
        order: One of `ORDERS`.
        normalized: Coordinates are relative: 0 is the center of the first element, 1 that of the
            last.
        scale: A factor for all coordinates.
        sampling: One of `SAMPLINGS`.
        pad_value: The value of points outside the image.

    Returns:
        [N, 1, C, height, width], or [N, B, C, height, width] for all images; the type of x.
    """
    if order not in ORDERS or sampling not in SAMPLINGS:
        raise UnsupportedParameter(
            f"the order of a box is {order!r} and the sampling {sampling!r}; "
            f"expected one of {list(ORDERS)} and of {list(SAMPLINGS)}"
        )
    if x.rank != 4 or boxes.rank != 2 or boxes.size(1) != 4:
        raise ModelFileError(f"boxes {boxes!r} of {x!r}; expected [N, 4] of [B, C, H, W]")
    height, width = x.size(2), x.size(3)
    if 0 in (height, width):
        raise ModelFileError(f"{x!r} has no elements to crop")
    if boxes.const is not None and sampling not in TO_THE_ENDS:
        _check_forwards(boxes.const, order, sampling)
    numbers = g.op("Split", g.cast(boxes, np.float32), np.ones(4, np.int64), outputs=4, axis=1)

    def points(which: int, size: int, count: int) -> Value:
        """[N, count]: the positions of the result's rows (or columns), in elements of x."""
        at = ORDERS[order][which]
        first, second = numbers[at], numbers[at + 2]
        factor = scale * (size - 1) if normalized else scale
        if factor != 1:
            first, second = (g.Mul(v, g.like(factor, v)) for v in (first, second))
        if order.startswith("CENTER"):
            half = g.Mul(second, g.like(0.5, second))
            first, second = g.Sub(first, half), g.Add(first, half)
        return _points(g, first, second, count, sampling)

    rows, columns = points(0, height, sides[0]), points(1, width, sides[1])
    every = _dimensions(g, rows, (1, 3, 4)), _dimensions(g, columns, (1, 2, 4))
    (top, under, lower), (left, right, after) = (
        _around(g, v, size) for v, size in zip(every, (height, width), strict=True)
    )
    flat = g.Flatten(g.Transpose(x, perm=[0, 2, 3, 1]), axis=3)  # [B H W, C]
    start = _starts(g, x, images, height * width)  # [N or 1, 1 or B, 1, 1]

    def taken(row: Value, column: Value) -> Value:
        """[N, 1 or B, height, width, C]."""
        place = g.Add(g.Mul(row, g.constant(width, np.int64)), column)
        index = g.Add(start, g.Squeeze(place, np.array([4], np.int64)))
        return g.cast(g.Gather(flat, index, axis=0), np.float32)

    def between(one: Value, other: Value, part: Value) -> Value:
        return g.Add(one, g.Mul(g.Sub(other, one), part))

    above = between(taken(top, left), taken(top, right), after)
    below = between(taken(under, left), taken(under, right), after)
    inside = g.And(_within(g, every[0], height), _within(g, every[1], width))
    y = g.Where(inside, between(above, below, lower), g.constant(pad_value, np.float32))
    return g.cast(g.Transpose(y, perm=[0, 1, 4, 2, 3]), x.dtype)


def split_regions(g: Graph, roi: Value) -> tuple[Value, Value | None]:
    """Split regions [N, 1, 4 or 5, 1, 1] into boxes [N, 4] and image indices [N].

    A region of 5 numbers starts with the image index; with 4 numbers the indices are None.
    """
    if roi.rank != 5 or roi.size(2) not in (4, 5):
        raise ModelFileError(f"the regions are {roi!r}; expected [N, 1, 4 or 5, 1, 1]")
    if roi.const is not None:
        numbers = roi.const.reshape(roi.const.shape[0], -1)
        image = None if numbers.shape[1] == 4 else g.constant(numbers[:, 0])
        return g.constant(numbers[:, -4:]), image
    rows = g.Squeeze(roi, np.array([1, 3, 4], np.int64))
    if roi.size(2) == 4:
        return rows, None
    image, boxes = g.op("Split", rows, np.array([1, 4], np.int64), outputs=2, axis=1)
    return boxes, g.Squeeze(image, np.array([1], np.int64))


def _check_forwards(boxes: Array, order: str, sampling: str) -> None:
    lengths = boxes[:, 2:].astype(np.float32)
    if not order.startswith("CENTER"):
        lengths = lengths - boxes[:, :2]
    if (lengths < 0).any():
        raise UnsupportedParameter(
            f"a box has its second corner before its first, which is not specified for {sampling}; "
            f"expected the first corner first, or one of {list(TO_THE_ENDS)}"
        )


def _dimensions(g: Graph, value: Value, new: tuple[int, ...]) -> Value:
    return g.Unsqueeze(value, np.array(new, np.int64))


def _points(g: Graph, first: Value, last: Value, count: int, sampling: str) -> Value:
    """`count` points of the interval from `first` to `last`, both [N, 1]; never outside it.

    If `last` is less than `first`, the points descend, mirrored.
    """
    places = np.arange(count, dtype=np.float32)
    if sampling == "ALIGN_CORNERS" and count == 1:
        y = g.Mul(g.Add(first, last), g.like(0.5, first))
    elif sampling in ("ALIGN_CORNERS", "STRICT_ALIGN_CORNERS"):
        part = places / max(count - 1, 1)
        y = g.Add(g.Mul(first, 1 - part), g.Mul(last, part))
    else:
        length = g.Sub(last, first)
        ahead = g.GreaterOrEqual(length, g.like(0, length))
        sign = g.Where(ahead, g.like(1, length), g.like(-1, length))
        whole, one = g.Abs(length), g.like(1, length)
        span = g.Max(whole, one) if sampling == "OFFSET_CORNERS" else g.Add(whole, one)
        inner = np.float32(0 if sampling == "DEFAULT" else 0.5)
        lead = g.like(-0.5 if sampling == "UNALIGN_CORNERS" else 0, length)
        offset = g.Mul(span, (places + inner) / np.float32(count))
        y = g.Add(first, g.Mul(sign, g.Add(offset, lead)))
    return g.Min(g.Max(y, g.Min(first, last)), g.Max(first, last))


def _around(g: Graph, points: Value, size: int) -> tuple[Value, Value, Value]:
    """The elements before and after each point, and its fractional position between the two."""
    kept = g.Clip(points, g.like(0, points), g.like(size - 1, points))
    floor = g.Floor(kept)
    before = g.cast(floor, np.int64)
    after = g.Min(g.Add(before, g.constant(1, np.int64)), g.constant(size - 1, np.int64))
    return before, after, g.Sub(kept, floor)


def _within(g: Graph, points: Value, size: int) -> Value:
    enough = g.GreaterOrEqual(points, g.like(0, points))
    return g.And(enough, g.LessOrEqual(points, g.like(size - 1, points)))


def _starts(g: Graph, x: Value, images: Value | None, area: int) -> Value:
    """The offset of each image among the elements of all images."""
    step: Any = g.constant(area, np.int64)
    if images is None:
        batch = g.Squeeze(g.Slice(g.Shape(x), np.array([0]), np.array([1])))
        return g.Mul(g.reshape(arange(g, batch), [1, -1, 1, 1]), step)
    if images.rank != 1:
        raise ModelFileError(f"the image indices are {images!r}; expected one per box")
    number = g.cast(images, np.int64)
    # In ONNX a negative index counts from the end; the specification does not allow one.
    negative = g.Less(number, g.constant(0, np.int64))
    number = g.Where(negative, g.constant(BEYOND // max(area, 1), np.int64), number)
    return g.Mul(g.reshape(number, [-1, 1, 1, 1]), step)

"""Reshaping, transposing and slicing."""

from __future__ import annotations

import numpy as np

from pocketlens.coreml.graph import Array, Bools, Graph, Ints, Value, Values
from pocketlens.coreml.ops.common import padding, slicing
from pocketlens.coreml.ops.registry import IOS16, IOS17, IOS18, mil
from pocketlens.errors import ModelFileError, UnsupportedParameter


@mil()
def reshape(g: Graph, x: Value, shape: Value) -> Value:
    # If the ranks are equal, 0 keeps the size of x; -1 is the remaining size.
    shape = g.cast(shape, np.int64)
    if shape.const is None or None in (x.shape or (None,)):
        return g.Reshape(x, shape)
    sizes = shape.const.tolist()
    wanted = [
        x.size(i) if size == 0 and len(sizes) == x.rank else size for i, size in enumerate(sizes)
    ]
    return g.reshape(x, wanted)


@mil(since=IOS17, name="reshape")
def reshape_ios17(g: Graph, x: Value, shape: Value) -> Value:
    # 0 keeps the size of x, counted from the end (1 beyond its rank); -1 is the remaining size.
    shape = g.cast(shape, np.int64)
    count, rank = shape.size(0), x.rank
    if count == rank:
        return reshape(g, x, shape)
    if shape.const is not None and None not in (x.shape or (None,)):
        around = (*([1] * count), *x.sizes)
        pairs = zip(shape.const.tolist(), around[len(around) - count :], strict=True)
        return g.reshape(x, [size or old for size, old in pairs])
    kept = g.Shape(x, start=max(rank - count, 0))
    if count > rank:
        kept = g.Concat(np.ones(count - rank, np.int64), kept, axis=0)
    return g.Reshape(x, g.Where(g.Equal(shape, np.array(0, np.int64)), kept, shape))


@mil()
def transpose(g: Graph, x: Value, perm: Ints) -> Value:
    rank = x.rank
    order = [axis % rank if rank else axis for axis in perm]
    if sorted(order) != list(range(rank)):
        raise ModelFileError(f"'perm' is {list(perm)}; x has {rank} dimensions")
    return g.transpose(x, order)


@mil()
def expand_dims(g: Graph, x: Value, axes: Ints) -> Value:
    return g.Unsqueeze(x, np.array(axes, np.int64))


@mil()
def squeeze(g: Graph, x: Value, axes: Ints | None = None) -> Value:
    # As in PyTorch, an axis whose size is not 1 stays.
    if axes is None and None in (x.shape or ()):
        return g.Squeeze(x)
    sizes = x.shape or ()
    chosen = range(len(sizes)) if axes is None else sorted({axis % len(sizes) for axis in axes})
    drop = [axis for axis in chosen if sizes[axis] in (1, None)]
    return g.Squeeze(x, np.array(drop, np.int64)) if drop else g.Identity(x)


@mil()
def slice_by_index(
    g: Graph,
    x: Value,
    begin: Value,
    end: Value,
    stride: Value | None = None,
    begin_mask: Bools | None = None,
    end_mask: Bools | None = None,
    squeeze_mask: Bools | None = None,
) -> Value:
    masks = begin_mask, end_mask, squeeze_mask
    step = None if stride is None else stride.const
    if begin.const is None or end.const is None or (stride is not None and step is None):
        return slicing.slice_dynamic(g, x, begin, end, stride, *masks)
    bounds = begin.const.tolist(), end.const.tolist()
    return slicing.slice_by_index(g, x, *bounds, None if step is None else step.tolist(), *masks)


@mil()
def slice_by_size(g: Graph, x: Value, begin: Value, size: Value) -> Value:
    if begin.const is None or size.const is None or None in (x.shape or (None,)):
        return slicing.slice_by_size(g, x, begin, size)
    sizes, first, count = x.sizes, begin.const.tolist(), size.const.tolist()
    if not len(first) == len(count) == len(sizes):
        raise ModelFileError(
            f"'begin' has {len(first)} and 'size' {len(count)} numbers; "
            f"expected {len(sizes)}, one per dimension"
        )
    starts = [b % s if b < 0 else b for b, s in zip(first, sizes, strict=True)]
    ends = [
        total if some == -1 else start + some
        for start, some, total in zip(starts, count, sizes, strict=True)
    ]
    return slicing.slice_by_index(g, x, starts, ends)


@mil()
def reverse(g: Graph, x: Value, axes: Ints | None = None) -> Value:  # all axes by default
    return slicing.reverse(g, x, range(x.rank) if axes is None else axes)


@mil()
def depth_to_space(g: Graph, x: Value, block_size: int) -> Value:
    return g.DepthToSpace(x, blocksize=block_size, mode="DCR")


@mil()
def space_to_depth(g: Graph, x: Value, block_size: int) -> Value:
    return g.SpaceToDepth(x, blocksize=block_size)


@mil()
def pixel_shuffle(g: Graph, x: Value, upscale_factor: int) -> Value:
    return g.DepthToSpace(x, blocksize=upscale_factor, mode="CRD")


@mil()
def pixel_unshuffle(g: Graph, x: Value, downscale_factor: int) -> Value:
    n, c, h, w = x.sizes
    f = downscale_factor
    if f < 1 or h % f or w % f:
        raise ModelFileError(f"{h} × {w} is not divisible by 'downscale_factor' {f}")
    cells = g.reshape(x, [n, c, h // f, f, w // f, f])
    return g.reshape(g.transpose(cells, [0, 1, 3, 5, 2, 4]), [n, c * f * f, h // f, w // f])


@mil(since=IOS16, restrictions="fixed shapes only")
def reshape_like(
    g: Graph, x: Value, ref_tensors: Values, begins: Values, ends: Values, end_masks: Values
) -> Value:
    lists = [[_scalar(value) for value in values] for values in (begins, ends, end_masks)]
    if any(len(each) != len(ref_tensors) for each in lists):
        raise ModelFileError(
            f"it has {len(ref_tensors)} reference tensors; expected as many begins, ends and masks"
        )
    wanted: list[int] = []
    for reference, begin, end, to_the_end in zip(ref_tensors, *lists, strict=True):
        wanted += reference.sizes[begin : None if to_the_end else end]
    return g.reshape(x, wanted)


def _scalar(value: Value) -> int:
    if value.const is None or value.const.size != 1:
        raise UnsupportedParameter(f"{value!r} is not a constant; expected one number")
    return int(value.const.item())


@mil()
def sliding_windows(g: Graph, x: Value, axis: int, size: int, stride: int = 1) -> Value:
    return slicing.sliding_windows(g, x, axis, size, stride)


@mil()
def reverse_sequence(
    g: Graph, x: Value, lengths: Value, seq_axis: int = 0, batch_axis: int = 0
) -> Value:
    return slicing.reverse_sequence(g, x, lengths, seq_axis, batch_axis)


@mil()
def space_to_batch(g: Graph, x: Value, block_shape: Ints, paddings: Array) -> Value:
    rows, columns = _block(x, block_shape, paddings, "paddings")
    y = padding.pad(g, x, [(int(before), int(after)) for before, after in paddings])
    if any((size or 0) % by for size, by in zip((y.shape or ())[2:], block_shape, strict=True)):
        shown = " × ".join("?" if size is None else str(size) for size in (y.shape or ())[2:])
        raise ModelFileError(f"{shown} is not divisible by 'block_shape' {list(block_shape)}")
    n, c, h, w = _each_size(g, y)
    by_rows, by_columns = np.array([rows]), np.array([columns])
    h, w = g.Div(h, by_rows), g.Div(w, by_columns)
    cells = g.Reshape(y, g.Concat(n, c, h, by_rows, w, by_columns, axis=0))
    moved = g.transpose(cells, [3, 5, 0, 1, 2, 4])
    return g.Reshape(moved, g.Concat(g.Mul(n, by_rows * by_columns), c, h, w, axis=0))


@mil()
def batch_to_space(g: Graph, x: Value, block_shape: Ints, crops: Array) -> Value:
    rows, columns = _block(x, block_shape, crops, "crops")
    batch = (x.shape or ())[0] or 0
    if batch % (rows * columns):
        raise ModelFileError(f"a batch of {batch} is not divisible by 'block_shape' {block_shape}")
    n, c, h, w = _each_size(g, x)
    by_rows, by_columns = np.array([rows]), np.array([columns])
    n = g.Div(n, by_rows * by_columns)
    parts = g.Reshape(x, g.Concat(by_rows, by_columns, n, c, h, w, axis=0))
    cells = g.transpose(parts, [2, 3, 4, 0, 5, 1])
    whole = g.Reshape(cells, g.Concat(n, c, g.Mul(h, by_rows), g.Mul(w, by_columns), axis=0))
    (top, under), (left, after) = crops.tolist()
    to_the_end = [True, True, not under, not after]
    return slicing.slice_by_index(
        g, whole, [0, 0, top, left], [0, 0, -under, -after], end_mask=to_the_end
    )


def _each_size(g: Graph, x: Value) -> list[Value]:
    """The sizes of x, one tensor with one element each; constants if they are known."""
    return [g.Shape(x, start=axis, end=axis + 1) for axis in range(x.rank)]


def _block(x: Value, block_shape: Ints, edges: Array, name: str) -> tuple[int, int]:
    if x.rank != 4 or len(block_shape) != 2 or min(block_shape) < 1 or edges.shape != (2, 2):
        raise ModelFileError(
            f"'block_shape' is {list(block_shape)}, {name!r} is {edges.tolist()} and x {x!r}; "
            "expected two positive numbers, 2 × 2 numbers and 4 dimensions"
        )
    return block_shape[0], block_shape[1]


@mil(since=IOS18)
def slice_update(
    g: Graph,
    x: Value,
    update: Value,
    begin: Value,
    end: Value,
    stride: Value | None = None,
    begin_mask: Bools | None = None,
    end_mask: Bools | None = None,
    squeeze_mask: Bools | None = None,
) -> Value:
    none = (False,) * x.rank
    masks = [mask or none for mask in (begin_mask, end_mask, squeeze_mask)]
    steps = g.constant(np.ones(x.rank, np.int32)) if stride is None else stride
    given = [each.const for each in (begin, end, steps)]
    if any(each is None for each in given) or None in (x.shape or (None,)):
        return slicing.slice_update_dynamic(g, x, update, begin, stride, masks[0], masks[2])
    bounds = _bounds(x.sizes, [each.tolist() for each in given if each is not None], masks)
    wanted = [len(range(*each)) for each in bounds]
    if min(wanted) < 1 or tuple(
        size for size, single in zip(wanted, masks[2], strict=True) if not single
    ) != (update.sizes):
        raise ModelFileError(f"the slice has the sizes {wanted}; expected those of {update!r}")
    if any(step != 1 for _, _, step in bounds):
        return slicing.slice_update_dynamic(g, x, update, begin, stride, masks[0], masks[2])
    starts, ends, _ = zip(*bounds, strict=True)
    return slicing.slice_update(g, x, g.reshape(update, wanted), starts, ends)


def _bounds(
    sizes: Ints, given: list[list[int]], masks: list[tuple[bool, ...]]
) -> list[tuple[int, int, int]]:
    """The arguments of `range` for a slice along each dimension."""
    if any(len(each) != len(sizes) for each in (*given, *masks)) or 0 in given[2]:
        raise ModelFileError(
            f"the bounds, strides and masks need {len(sizes)} numbers, one per dimension, "
            "and no stride of 0"
        )
    bounds = []
    for size, first, last, step, from_start, to_end, single in zip(
        sizes, *given, *masks, strict=True
    ):
        part = slice(None if from_start else first, None if to_end else last, step)
        if single:
            part = slice(first % size, first % size + 1)
        bounds.append(part.indices(size))
    return bounds

"""Reshaping, transposing and slicing."""

from __future__ import annotations

import numpy as np

from pocketlens.coreml.graph import Bools, Graph, Ints, Value
from pocketlens.coreml.lower import slicing
from pocketlens.coreml.table import mil, unsupported
from pocketlens.errors import ModelFileError

unsupported(
    "mil",
    "not lowered yet",
    *("batch_to_space", "reshape_like", "reverse_sequence", "slice_update"),
    *("sliding_windows", "space_to_batch"),
)


@mil(restrictions="a constant shape only")
def reshape(g: Graph, x: Value, shape: Ints) -> Value:
    # A 0 keeps the size of x where the ranks agree; -1 is what is left.
    wanted = [
        x.size(i) if size == 0 and len(shape) == x.rank else size for i, size in enumerate(shape)
    ]
    return g.reshape(x, wanted)


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
    # As in PyTorch, an axis that is not of size 1 stays.
    sizes = x.sizes
    chosen = range(len(sizes)) if axes is None else sorted({axis % len(sizes) for axis in axes})
    drop = [axis for axis in chosen if sizes[axis] == 1]
    return g.Squeeze(x, np.array(drop, np.int64)) if drop else g.Identity(x)


@mil(restrictions="constant bounds only")
def slice_by_index(
    g: Graph,
    x: Value,
    begin: Ints,
    end: Ints,
    stride: Ints | None = None,
    begin_mask: Bools | None = None,
    end_mask: Bools | None = None,
    squeeze_mask: Bools | None = None,
) -> Value:
    return slicing.slice_by_index(g, x, begin, end, stride, begin_mask, end_mask, squeeze_mask)


@mil(restrictions="constant bounds only")
def slice_by_size(g: Graph, x: Value, begin: Ints, size: Ints) -> Value:
    sizes = x.sizes
    if not len(begin) == len(size) == len(sizes):
        raise ModelFileError(f"'begin' and 'size' have not {len(sizes)} numbers, one a dimension")
    starts = [b % s if b < 0 else b for b, s in zip(begin, sizes, strict=True)]
    ends = [
        total if count == -1 else start + count
        for start, count, total in zip(starts, size, sizes, strict=True)
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

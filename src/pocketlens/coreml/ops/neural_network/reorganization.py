"""Reshaping, transposing, concatenation, splitting, cropping and padding."""

from __future__ import annotations

import math

import numpy as np

from pocketlens.coreml.graph import Bools, Graph, Ints, Message, Value
from pocketlens.coreml.ops.common import padding as pads
from pocketlens.coreml.ops.common.batch import over_batch
from pocketlens.coreml.ops.common.filling import bounded_tile
from pocketlens.coreml.ops.common.joining import concatenate
from pocketlens.coreml.ops.common.slicing import reverse as reversed_along
from pocketlens.coreml.ops.common.slicing import (
    reverse_sequence,
    slice_by_index,
)
from pocketlens.coreml.ops.common.weights import weight_array
from pocketlens.coreml.ops.neural_network.convolution import border
from pocketlens.coreml.ops.registry import layer
from pocketlens.errors import ModelFileError


@layer()
def flatten(g: Graph, x: Value, *, mode: str = "CHANNEL_FIRST") -> Value:
    def formula(v: Value) -> Value:
        if mode == "CHANNEL_LAST":
            v = g.transpose(v, [0, 2, 3, 1])
        return g.reshape(v, [v.sizes[0], math.prod(v.sizes[1:]), 1, 1])

    return over_batch(g, x, formula)


@layer()
def flattenTo2D(g: Graph, x: Value, *, axis: int = 0) -> Value:
    return g.Flatten(x, axis=axis)


@layer()
def reshape(
    g: Graph, x: Value, *, targetShape: Ints, mode: str = "CHANNEL_FIRST"
) -> Value:  # x [Seq, 1, C, H, W]
    sizes = x.sizes
    if len(sizes) != 5 or len(targetShape) not in (3, 4):
        raise ModelFileError(
            f"x is {x!r} and targetShape {list(targetShape)}; "
            "expected 5 dimensions of x, and 3 or 4 numbers"
        )
    sequence = sizes[0] if len(targetShape) == 3 else targetShape[0]
    c, h, w = targetShape[-3:]
    if mode == "CHANNEL_FIRST":
        return g.reshape(x, [sequence, sizes[1], c, h, w])
    last = g.reshape(g.transpose(x, [0, 1, 3, 4, 2]), [sequence, sizes[1], h, w, c])
    return g.transpose(last, [0, 1, 4, 2, 3])


@layer()
def reshapeStatic(g: Graph, x: Value, *, targetShape: Ints) -> Value:
    return g.reshape(x, targetShape)


@layer()
def rankPreservingReshape(g: Graph, x: Value, *, targetShape: Ints) -> Value:
    if len(targetShape) != x.rank:
        raise ModelFileError(f"targetShape is {list(targetShape)}; x has {x.rank} dimensions")
    return g.reshape(x, [size or x.size(i) for i, size in enumerate(targetShape)])


@layer()
def permute(g: Graph, x: Value, *, axis: Ints = (0, 1, 2, 3)) -> Value:  # x [Seq, B, C, H, W]
    if x.rank != 5 or sorted(axis) != [0, 1, 2, 3]:
        raise ModelFileError(
            f"axis is {list(axis)} for {x!r}; expected a permutation of 0 to 3 and 5 dimensions"
        )
    places = (0, 2, 3, 4)  # dimension 1, the batch, stays in place
    order = [places[each] for each in axis]
    return g.transpose(x, [order[0], 1, *order[1:]])


@layer()
def transpose(g: Graph, x: Value, *, axes: Ints) -> Value:
    if sorted(axes) != list(range(x.rank)):
        raise ModelFileError(f"axes is {list(axes)}; x has {x.rank} dimensions")
    return g.transpose(x, axes)


@layer()
def squeeze(g: Graph, x: Value, *, axes: Ints = (), squeezeAll: bool = False) -> Value:
    rank = x.rank
    if squeezeAll and None in (x.shape or ()):
        return g.Squeeze(x)
    if squeezeAll:
        drop = [i for i, size in enumerate(x.sizes) if size == 1]
    else:
        drop = sorted({axis % rank for axis in axes})
    if any((x.shape or ())[i] not in (None, 1) for i in drop):
        raise ModelFileError(f"axes {list(axes)} of {x!r} do not all have size 1")
    if len(drop) == rank:
        return g.reshape(x, [1])  # there is no rank 0
    return g.Squeeze(x, np.array(drop, np.int64)) if drop else g.Identity(x)


@layer()
def expandDims(g: Graph, x: Value, *, axes: Ints) -> Value:
    return g.Unsqueeze(x, np.array(axes, np.int64))


@layer()
def concat(g: Graph, *xs: Value, sequenceConcat: bool = False) -> Value:
    return concatenate(g, xs, xs[0].rank - (5 if sequenceConcat else 3))


@layer()
def concatND(g: Graph, *xs: Value, axis: int = 0, interleave: bool = False) -> Value:
    # A single number that coremltools expands has one dimension too many: as there is no rank 0, it
    # already had one.
    rank = min(x.rank for x in xs)
    xs = tuple(g.reshape(x, [1] * rank) if x.shape == (1,) * x.rank else x for x in xs)
    return concatenate(g, xs, axis, interleave=interleave)


@layer()
def stack(g: Graph, *xs: Value, axis: int = 0) -> Value:
    at = np.array([axis], np.int64)
    return g.Concat(*(g.Unsqueeze(x, at) for x in xs), axis=axis)


@layer()
def split(g: Graph, x: Value, *, nOutputs: int) -> list[Value]:
    return _split(g, x, x.rank - 3, _even(x.size(-3), nOutputs))


@layer()
def splitND(
    g: Graph, x: Value, *, axis: int = 0, numSplits: int = 0, splitSizes: Ints = ()
) -> list[Value]:
    if splitSizes:
        return _split(g, x, axis, splitSizes)
    size = x.size(axis)
    if not 1 <= numSplits <= size:
        raise ModelFileError(f"{size} elements do not split into {numSplits} parts")
    # The first parts get one of the remaining elements each, as coremltools' tests expect.
    least, over = divmod(size, numSplits)
    return _split(g, x, axis, tuple(least + (i < over) for i in range(numSplits)))


def _even(size: int, parts: int) -> Ints:
    if not 1 <= parts <= size or size % parts:
        raise ModelFileError(f"{size} elements do not split into {parts} equal parts")
    return (size // parts,) * parts


def _split(g: Graph, x: Value, axis: int, sizes: Ints) -> list[Value]:
    return g.op("Split", x, np.array(sizes, np.int64), outputs=len(sizes), axis=axis)


@layer()
def crop(
    g: Graph,
    x: Value,
    reference: Value | None = None,
    *,
    cropAmounts: Message | None = None,
    offset: Ints = (),
) -> Value:
    height, width = x.size(-2), x.size(-1)
    if reference is not None:
        top, left = offset or (0, 0)
        bottom, right = top + reference.size(-2), left + reference.size(-1)
    else:
        (top, under), (left, after) = border(cropAmounts)
        bottom, right = height - under, width - after
    if not (0 <= top < bottom <= height and 0 <= left < right <= width):
        raise ModelFileError(
            f"the crop keeps rows {top} to {bottom} and columns {left} to {right}; "
            f"expected a part of {height} × {width}"
        )
    lead = x.rank - 2
    begin, end = [0] * lead + [top, left], [*([2**31 - 1] * lead), bottom, right]
    return slice_by_index(g, x, begin, end)


@layer()
def padding(
    g: Graph,
    x: Value,
    *,
    constant: Message | None = None,
    reflection: Message | None = None,
    replication: Message | None = None,
    paddingAmounts: Message | None = None,
) -> Value:
    amounts = border(paddingAmounts)
    if reflection is not None:
        return pads.pad(g, x, amounts, mode="reflect")
    if replication is not None:
        return pads.pad(g, x, amounts, mode="edge")
    return pads.pad(g, x, amounts, constant.value if constant is not None else 0.0)


@layer()
def constantPad(
    g: Graph,
    x: Value,
    amounts: Value | None = None,  # instead of padAmounts
    *,
    value: float = 0.0,
    padAmounts: Ints = (),
    padToGivenOutputSizeMode: bool = False,
) -> Value:
    count = len(padAmounts) if amounts is None else amounts.sizes
    if count not in (2 * x.rank, (2 * x.rank,)):
        raise ModelFileError(f"there are {count} padding amounts; expected {2 * x.rank}")
    if amounts is None:
        pairs = g.constant(np.reshape(padAmounts, (-1, 2)), np.int64)
    else:
        pairs = g.cast(g.reshape(amounts, [x.rank, 2]), np.int64)
    if padToGivenOutputSizeMode:
        # A positive amount is the wanted size; it says whether to pad before or after.
        nothing = np.array(0, np.int64)
        lacking = g.Max(g.Sub(pairs, g.Unsqueeze(g.Shape(x), np.array([1]))), nothing)
        pairs = g.Where(g.Greater(pairs, nothing), lacking, nothing)
    if pairs.const is None:
        return pads.pad_dynamic(g, x, pairs, value)
    return pads.pad(g, x, [(int(before), int(after)) for before, after in pairs.const], value)


@layer()
def reorganizeData(g: Graph, x: Value, *, mode: str = "SPACE_TO_DEPTH", blockSize: int) -> Value:
    def formula(v: Value) -> Value:
        if mode == "SPACE_TO_DEPTH":
            return g.SpaceToDepth(v, blocksize=blockSize)
        order = "DCR" if mode == "DEPTH_TO_SPACE" else "CRD"
        return g.DepthToSpace(v, blocksize=blockSize, mode=order)

    return over_batch(g, x, formula)


@layer()
def loadConstant(g: Graph, *, shape: Ints, data: Message) -> Value:
    return g.constant(weight_array(data, shape, "data").reshape(1, 1, *shape))


@layer()
def loadConstantND(g: Graph, *, shape: Ints, data: Message) -> Value:
    return g.constant(weight_array(data, shape, "data"))


@layer()
def copy(g: Graph, x: Value) -> Value:
    return g.Identity(x)


@layer()
def tile(g: Graph, x: Value, counts: Value | None = None, *, reps: Ints = ()) -> Value:
    given = len(reps) if counts is None else counts.size(0)
    if not 1 <= given <= x.rank or any(count < 1 for count in reps):
        raise ModelFileError(
            f"there are {given} repetitions {list(reps)}; expected 1 to {x.rank} positive numbers"
        )
    ones = np.ones(x.rank - given, np.int64)
    if counts is None:
        return g.Tile(x, np.array([*ones, *reps], np.int64))
    return bounded_tile(g, x, g.Concat(g.constant(ones), g.cast(counts, np.int64), axis=0))


MAX_REPETITIONS = 2**31 - 1


@layer()
def sequenceRepeat(g: Graph, x: Value, *, nRepetitions: int = 1) -> Value:
    # coremltools' builder says "repetitions of the input blob along the sequence axis": the whole
    # sequence, then the whole sequence again.
    if x.rank < 5 or nRepetitions > MAX_REPETITIONS:
        raise ModelFileError(
            f"x is {x!r} and nRepetitions {nRepetitions}; expected at least 5 dimensions and "
            f"at most {MAX_REPETITIONS} repetitions"
        )
    counts = np.ones(x.rank, np.int64)
    counts[-5] = nRepetitions
    return g.Tile(x, counts)


@layer()
def reverse(g: Graph, x: Value, *, reverseDim: Bools) -> Value:
    if len(reverseDim) != x.rank:
        raise ModelFileError(f"reverseDim has {len(reverseDim)} values; x has {x.rank} dimensions")
    return reversed_along(g, x, [axis for axis, flip in enumerate(reverseDim) if flip])


@layer()
def reverseSeq(
    g: Graph, x: Value, lengths: Value, *, batchAxis: int = 0, sequenceAxis: int = 0
) -> Value:
    return reverse_sequence(g, x, lengths, sequenceAxis, batchAxis)


@layer()
def broadcastToLike(g: Graph, x: Value, reference: Value) -> Value:
    return g.Expand(x, g.Shape(reference))


@layer()
def broadcastToStatic(g: Graph, x: Value, *, targetShape: Ints) -> Value:
    return g.Expand(x, np.array(targetShape, np.int64))


@layer()
def broadcastToDynamic(g: Graph, x: Value, shape: Value) -> Value:
    return g.Expand(x, g.cast(shape, np.int64))


@layer()
def reshapeLike(g: Graph, x: Value, reference: Value) -> Value:
    return g.reshape(x, reference.sizes)


@layer()
def reshapeDynamic(g: Graph, x: Value, shape: Value) -> Value:
    return g.Reshape(x, g.cast(shape, np.int64))

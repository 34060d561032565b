"""Lowerings of ops that change the shape or the order of a tensor."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from pocketlens.conversion.from_onnx.lowerings.arithmetic import spread
from pocketlens.conversion.from_onnx.lowerings.layers import crop_or_pad
from pocketlens.conversion.from_onnx.lowerings.registry import (
    Var,
    constant,
    dtype_of,
    full_axes,
    ints,
    is_bool,
    is_float,
    lowers,
    mb,
    number,
    sizes,
)
from pocketlens.errors import ConversionError


@lowers("Reshape")
def reshape(x: Var, shape: Var, *, allowzero: int = 0) -> Var:
    wanted, own = ints(shape, "shape") or [], sizes(x)
    if not allowzero:
        wanted = [own[at] if side == 0 else side for at, side in enumerate(wanted)]
    if -1 in wanted:
        rest = math.prod(side for side in wanted if side != -1)
        wanted[wanted.index(-1)] = math.prod(own) // max(1, rest)
    return reshaped(x, wanted)


def reshaped(x: Var, shape: Sequence[int]) -> Var:
    """A tensor in another shape, without dimensions too."""
    if not shape:
        return mb.squeeze(x=mb.reshape(x=x, shape=[1])) if sizes(x) else mb.identity(x=x)
    if not sizes(x):
        x = mb.expand_dims(x=x, axes=[0])
    return mb.reshape(x=x, shape=list(shape))


@lowers("Flatten")
def flatten(x: Var, *, axis: int = 1) -> Var:
    own = sizes(x)
    axis = axis + len(own) if axis < 0 else axis
    return reshaped(x, [math.prod(own[:axis]), math.prod(own[axis:])])


@lowers("Squeeze")
def squeeze(x: Var, axes: Var = None) -> Var:
    own = sizes(x)
    gone = ints(axes, "axes")
    at = (
        [i for i, side in enumerate(own) if side == 1]
        if gone is None
        else full_axes(gone, len(own))
    )
    return reshaped(x, [side for i, side in enumerate(own) if i not in at])


@lowers("Unsqueeze")
def unsqueeze(x: Var, axes: Var) -> Var:
    own, new = sizes(x), ints(axes, "axes") or []
    at = full_axes(new, len(own) + len(new))
    rest = iter(own)
    return reshaped(x, [1 if i in at else next(rest) for i in range(len(own) + len(new))])


@lowers("Transpose")
def transpose(x: Var, *, perm: Sequence[int] | None = None) -> Var:
    order = list(range(len(sizes(x))))[::-1] if perm is None else list(perm)
    return mb.transpose(x=x, perm=order) if len(order) > 1 else mb.identity(x=x)


@lowers("Concat")
def concat(*values: Var, axis: int) -> Var:
    given = [each for each in values if 0 not in sizes(each)]
    return mb.concat(values=given, axis=axis) if len(given) > 1 else mb.identity(x=given[0])


@lowers("Split")
def split(x: Var, parts: Var = None, *, axis: int = 0, outputs: int) -> tuple[Var, ...]:
    side = sizes(x)[axis]
    wanted = ints(parts, "split")
    if wanted is None:
        each = -(-side // outputs)
        wanted = [min(each, side - at * each) for at in range(outputs)]
    if min(wanted) < 1:
        raise ConversionError(
            f"a part of the split {wanted} is empty; Core ML has no empty tensors"
        )
    if len(wanted) == 1:
        return (mb.identity(x=x),)
    made: tuple[Var, ...] = mb.split(x=x, split_sizes=wanted, axis=axis)
    return made


@lowers("Expand")
def expand(x: Var, shape: Var) -> Var:
    wanted = np.broadcast_shapes(tuple(sizes(x)), tuple(ints(shape, "shape") or []))
    y = spread(x, wanted)
    return mb.identity(x=y) if y is x else y


@lowers("Tile")
def tile(x: Var, repeats: Var) -> Var:
    reps = ints(repeats, "repeats") or []
    if is_bool(x):
        return mb.cast(x=mb.tile(x=mb.cast(x=x, dtype="int32"), reps=reps), dtype="bool")
    return mb.tile(x=x, reps=reps) if reps else mb.identity(x=x)


@lowers("Pad")
def pad(x: Var, pads: Var, value: Var = None, axes: Var = None, *, mode: str = "constant") -> Var:
    own = sizes(x)
    given = ints(pads, "pads") or []
    at = full_axes(ints(axes, "axes"), len(own))
    before, after = [0] * len(own), [0] * len(own)
    for index, axis in enumerate(at):
        before[axis], after[axis] = given[index], given[index + len(at)]
    if mode == "constant":
        fill = constant(value, "constant_value")
        amount = 0.0 if fill is None else float(fill.reshape(-1)[0])
        if is_float(x):
            return _named(crop_or_pad(x, before, after, amount), x)
        kind = "bool" if is_bool(x) else "int32"
        y = crop_or_pad(mb.cast(x=x, dtype="fp32"), before, after, amount)
        return mb.cast(x=y, dtype=kind)
    for axis, (low, high) in enumerate(zip(before, after, strict=True)):
        if not low and not high:
            continue
        places = np.arange(-low, own[axis] + high)
        side = own[axis]
        if mode == "edge":
            places = places.clip(0, side - 1)
        elif mode == "wrap":
            places = places % side
        elif mode == "reflect":
            places = places % max(1, 2 * side - 2)
            places = np.minimum(places, np.abs(2 * side - 2 - places))
        else:
            raise ConversionError(f"the mode {mode!r} is unknown; expected one of ONNX")
        x = mb.gather(x=x, indices=places.astype(np.int32), axis=axis)
    return mb.identity(x=x)


def _named(y: Var, x: Var) -> Var:
    return mb.identity(x=y) if y is x else y


@lowers("DepthToSpace")
def depth_to_space(x: Var, *, blocksize: int, mode: str = "DCR") -> Var:
    n, c, h, w = sizes(x)
    b, inner = blocksize, c // blocksize**2
    if mode == "DCR" and is_float(x):
        return mb.depth_to_space(x=x, block_size=b)
    shape, order = ([b, b, inner, h, w], [2, 3, 0, 4, 1])
    if mode == "CRD":
        shape, order = [inner, b, b, h, w], [0, 3, 1, 4, 2]
    # One image after another, so that no tensor has more than five dimensions.
    parts = [
        mb.reshape(
            x=mb.transpose(x=mb.reshape(x=part, shape=shape), perm=order),
            shape=[1, inner, h * b, w * b],
        )
        for part in ([x] if n == 1 else mb.split(x=x, num_splits=n, axis=0))
    ]
    return parts[0] if n == 1 else mb.concat(values=parts, axis=0)


@lowers("SpaceToDepth")
def space_to_depth(x: Var, *, blocksize: int, mode: str = "DCR") -> Var:
    if mode != "DCR":
        raise ConversionError(f"Core ML has no space-to-depth in the mode {mode!r}")
    y = mb.space_to_depth(x=x if is_float(x) else mb.cast(x=x, dtype="fp32"), block_size=blocksize)
    return y if is_float(x) else mb.cast(x=y, dtype="int32")


@lowers("Slice")
def slice_(x: Var, starts: Var, ends: Var, axes: Var = None, steps: Var = None) -> Var:
    own = sizes(x)
    first, last = ints(starts, "starts") or [], ints(ends, "ends") or []
    at = full_axes(ints(axes, "axes") or list(range(len(first))), len(own))
    by = ints(steps, "steps") or [1] * len(first)
    begin, end, stride = [0] * len(own), list(own), [1] * len(own)
    mask = [True] * len(own)
    for low, high, axis, step in zip(first, last, at, by, strict=True):
        places = range(own[axis])[low:high:step]
        if not len(places):
            raise ConversionError("its result is empty; Core ML has no empty tensors")
        begin[axis], stride[axis] = places[0], step
        beyond = places[-1] + (1 if step > 0 else -1)
        end[axis], mask[axis] = max(0, beyond), beyond < 0
    return mb.slice_by_index(
        x=x,
        begin=begin,
        end=end,
        stride=stride,
        end_mask=[mask[axis] and stride[axis] < 0 for axis in range(len(own))],
    )


@lowers("Trilu")
def triangle(x: Var, k: Var = None, *, upper: int = 1) -> Var:
    own = sizes(x)
    offset = (ints(k, "k") or [0])[0]
    ones = np.ones(own[-2:], bool)
    kept = np.triu(ones, offset) if upper else np.tril(ones, offset)
    zeros = np.zeros(own, dtype_of(x))
    if is_bool(x):
        return mb.logical_and(x=x, y=np.broadcast_to(kept, own))
    return mb.select(cond=np.broadcast_to(kept, own).copy(), a=x, b=zeros)


@lowers("ReverseSequence")
def reverse_sequence(x: Var, lengths: Var, *, batch_axis: int = 1, time_axis: int = 0) -> Var:
    return mb.reverse_sequence(x=x, lengths=lengths, seq_axis=time_axis, batch_axis=batch_axis)


@lowers("Compress")
def compress(x: Var, condition: Var, *, axis: int | None = None) -> Var:
    chosen = constant(condition, "condition")
    assert chosen is not None
    if axis is None:
        x, axis = reshaped(x, [-1]), 0
    return mb.gather(x=x, indices=np.flatnonzero(chosen).astype(np.int32), axis=axis)


@lowers("OneHot")
def one_hot(places: Var, depth: Var, values: Var, *, axis: int = -1) -> Var:
    count = (ints(depth, "depth") or [0])[0]
    if is_float(places):
        places = mb.cast(x=places, dtype="int32")
    rank = len(sizes(places)) + 1
    at = axis % rank
    negative = mb.less(x=places, y=np.int32(0))
    shifted = mb.add(x=places, y=np.int32(count))
    places = mb.expand_dims(x=mb.select(cond=negative, a=shifted, b=places), axes=[at])
    shape = [1] * rank
    shape[at] = count
    hit = mb.equal(x=places, y=np.arange(count, dtype=np.int32).reshape(shape))
    kind = "fp32" if is_float(values) else "int32"
    parts = [mb.gather(x=values, indices=np.int32(i), axis=0) for i in range(2)]
    hits = mb.cast(x=hit, dtype=kind)
    return mb.add(x=parts[0], y=mb.mul(x=hits, y=mb.sub(x=parts[1], y=parts[0])))


@lowers("Einsum")
def einsum(*values: Var, equation: str) -> Var:
    """Of one or two tensors: sums, transpositions and one matrix product."""
    text = equation.replace(" ", "")
    left, arrow, right = text.partition("->")
    terms = left.split(",")
    if "." in text or len(terms) > 2 or any(len(set(term)) < len(term) for term in terms):
        raise ConversionError(
            f"the equation {equation!r} has an ellipsis, repeated letters or three tensors; "
            "write it with MatMul and Transpose"
        )
    letters = "".join(terms)
    if not arrow:
        right = "".join(sorted(each for each in set(letters) if letters.count(each) == 1))
    lengths = {
        letter: side
        for term, each in zip(terms, values, strict=True)
        for letter, side in zip(term, sizes(each), strict=True)
    }
    parts = []
    for index, (term, each) in enumerate(zip(terms, values, strict=True)):
        others = right + "".join(t for i, t in enumerate(terms) if i != index)
        summed = [at for at, letter in enumerate(term) if letter not in others]
        y = mb.reduce_sum(x=each, axes=summed, keep_dims=False) if summed else each
        parts.append(("".join(letter for letter in term if letter in others), y))
    if len(parts) == 1:
        return _permuted(*parts[0], right)
    (a, x), (b, y) = parts
    batch = [each for each in a if each in b and each in right]
    inner = [each for each in a if each in b and each not in right]
    rows = [each for each in a if each not in b]
    columns = [each for each in b if each not in a]

    def grouped(term: str, value: Var, *groups: list[str]) -> Var:
        value = _permuted(term, value, "".join(letter for group in groups for letter in group))
        return reshaped(value, [math.prod(lengths[letter] for letter in group) for group in groups])

    product = mb.matmul(x=grouped(a, x, batch, rows, inner), y=grouped(b, y, batch, inner, columns))
    made = batch + rows + columns
    return _permuted("".join(made), reshaped(product, [lengths[each] for each in made]), right)


def _permuted(have: str, x: Var, want: str) -> Var:
    if have == want:
        return mb.identity(x=x)
    return mb.transpose(x=x, perm=[have.index(letter) for letter in want])


@lowers("Range")
def range_(start: Var, limit: Var, delta: Var) -> Var:
    return mb.range_1d(start=start, end=limit, step=delta)


@lowers("Gather")
def gather(x: Var, indices: Var, *, axis: int = 0) -> Var:
    at = _counted(indices, sizes(x)[axis])
    if is_bool(x):
        return mb.cast(
            x=mb.gather(x=mb.cast(x=x, dtype="int32"), indices=at, axis=axis), dtype="bool"
        )
    return mb.gather(x=x, indices=at, axis=axis)


@lowers("GatherElements")
def gather_elements(x: Var, indices: Var, *, axis: int = 0) -> Var:
    return mb.gather_along_axis(x=x, indices=_counted(indices, sizes(x)[axis]), axis=axis)


def _counted(indices: Var, side: int) -> Var:
    """Indices counted from the front."""
    if indices.val is not None:
        known = np.asarray(indices.val)
        return np.where(known < 0, known + side, known).astype(np.int32)
    below = mb.less(x=indices, y=np.int32(0))
    return mb.select(cond=below, a=mb.add(x=indices, y=np.int32(side)), b=indices)


@lowers("GatherND")
def gather_nd(x: Var, indices: Var, *, batch_dims: int = 0) -> Var:
    if batch_dims:
        return mb.gather_nd(x=x, indices=indices, batch_dims=batch_dims)
    return mb.gather_nd(x=x, indices=indices)


_MODES = {"none": "update", "add": "add", "mul": "mul", "max": "max", "min": "min"}


@lowers("ScatterND")
def scatter_nd(x: Var, indices: Var, updates: Var, *, reduction: str = "none") -> Var:
    return mb.scatter_nd(data=x, indices=indices, updates=updates, mode=_MODES[reduction])


@lowers("ScatterElements", "Scatter")
def scatter_elements(
    x: Var, indices: Var, updates: Var, *, axis: int = 0, reduction: str = "none"
) -> Var:
    return mb.scatter_along_axis(
        data=x,
        indices=_counted(indices, sizes(x)[axis]),
        updates=updates,
        axis=axis,
        mode=_MODES[reduction],
    )


@lowers("MatMul")
def matmul(x: Var, y: Var) -> Var:
    if 1 in (len(sizes(x)), len(sizes(y))):  # a vector: a row before, a column after
        row, column = len(sizes(x)) == 1, len(sizes(y)) == 1
        left = mb.expand_dims(x=x, axes=[0]) if row else x
        right = mb.expand_dims(x=y, axes=[1]) if column else y
        product = matmul(left, right)
        kept = sizes(product)[:-2]
        kept += [] if row else [sizes(product)[-2]]
        kept += [] if column else [sizes(product)[-1]]
        return reshaped(product, kept)
    if is_float(x):
        return mb.matmul(x=x, y=y)
    parts = [mb.cast(x=each, dtype="fp32") for each in (x, y)]
    return mb.cast(x=mb.matmul(x=parts[0], y=parts[1]), dtype="int32")


@lowers("Gemm")
def gemm(
    a: Var,
    b: Var,
    c: Var = None,
    *,
    alpha: float = 1.0,
    beta: float = 1.0,
    transA: int = 0,  # noqa: N803 - ONNX's name
    transB: int = 0,  # noqa: N803
) -> Var:
    weight, bias = b.val, None if c is None else c.val
    plain = alpha == 1 and beta == 1 and not transA and weight is not None
    outputs = None if weight is None else weight.shape[0 if transB else 1]
    if plain and c is not None and bias is not None and np.size(bias) in (1, outputs):
        matrix = weight if transB else weight.T
        flat = np.resize(np.reshape(bias, -1), matrix.shape[0]).astype(matrix.dtype)
        if np.ndim(bias) < 2 or np.shape(bias)[0] == 1:
            return mb.linear(x=a, weight=np.ascontiguousarray(matrix), bias=flat)
    y = mb.matmul(x=a, y=b, transpose_x=bool(transA), transpose_y=bool(transB))
    if alpha != 1:
        y = mb.mul(x=y, y=number(y, alpha))
    if c is None:
        return y
    return mb.add(x=y, y=c if beta == 1 else mb.mul(x=c, y=number(c, beta)))

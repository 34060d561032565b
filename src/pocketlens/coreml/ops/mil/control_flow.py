"""Branches, loops and lists.

A list is one tensor with the elements along the first axis. It can grow if its length is not known
before the model runs; if the file fixes the length, an index out of range stops the run.
"""

from __future__ import annotations

import numpy as np

from pocketlens.coreml.file.budget import memory_left
from pocketlens.coreml.graph import MAX_TENSOR_BYTES, Graph, Value, Values
from pocketlens.coreml.ops.common import control, indexing
from pocketlens.coreml.ops.common.control import Block
from pocketlens.coreml.ops.common.filling import bounded_fill
from pocketlens.coreml.ops.mil.elementwise_unary import TYPES
from pocketlens.coreml.ops.registry import mil
from pocketlens.errors import ModelFileError, UnsupportedParameter


@mil()
def select(g: Graph, cond: Value, a: Value, b: Value) -> Value:
    return g.Where(cond, a, b)


@mil()
def cond(g: Graph, pred: Value, _true_fn: Block, _false_fn: Block) -> Values:
    return tuple(control.choose(g, pred, _true_fn, _false_fn))


@mil()
def while_loop(g: Graph, _cond: Block, _body: Block, loop_vars: Values) -> Values:
    return tuple(control.repeat(g, _cond, _body, *loop_vars))


@mil()
def make_list(
    g: Graph,
    elem_shape: Values,
    init_length: Value | None = None,  # 1
    dynamic_length: bool = True,
    dtype: str = "fp32",
) -> Value:
    if dtype not in TYPES:
        raise UnsupportedParameter(f"'dtype' is {dtype!r}; expected one of {', '.join(TYPES)}")
    sizes = [_size(value) for value in elem_shape]
    # An unknown size is 0 until the first element is written.
    known = np.array([size or 0 for size in sizes], np.int64)
    zero = g.constant(0, TYPES[dtype])
    if init_length is None:
        init_length = g.constant(1, np.int32)
    if init_length.dtype.kind not in "iu" or init_length.shape not in ((), (1,)):
        raise ModelFileError(f"'init_length' is {init_length!r}; expected an integer")
    length = g.reshape(g.cast(init_length, np.int64), [1])
    made = bounded_fill(g, zero, g.Concat(length, known, axis=0))
    fixed = None if init_length.const is None else int(init_length.const.item())
    made.shape = (None if dynamic_length else fixed, *sizes)
    return made


def _size(value: Value) -> int | None:
    """A size of an element; None if the file has a symbol for a size known only at run time."""
    if value.const is None or value.const.size != 1:
        raise UnsupportedParameter(f"'elem_shape' has {value!r}; expected a constant number")
    size = value.const.item()
    if isinstance(size, str):
        return None
    if size < 0:
        raise ModelFileError(f"'elem_shape' has the size {size}; expected 0 or more")
    return int(size)


@mil()
def list_length(g: Graph, ls: Value) -> Value:
    return g.cast(g.reshape(g.Shape(ls, start=0, end=1), []), np.int32)


@mil()
def list_read(g: Graph, ls: Value, index: Value) -> Value:
    return indexing.gather(g, ls, g.reshape(index, []), 0)


@mil()
def list_gather(g: Graph, ls: Value, indices: Value) -> Value:
    return indexing.gather(g, ls, indices, 0)


@mil()
def list_write(g: Graph, ls: Value, index: Value, value: Value) -> Value:
    first = np.array([0], np.int64)
    return list_scatter(g, ls, g.reshape(index, [1]), g.Unsqueeze(value, first))


@mil()
def list_scatter(g: Graph, ls: Value, indices: Value, value: Value) -> Value:
    if ls.rank != value.rank or any(
        None not in (one, other) and one != other
        for one, other in zip(ls.shape[1:], value.shape[1:], strict=True)  # type: ignore[index]
    ):
        raise ModelFileError(f"{value!r} does not fit the elements of the list {ls!r}")
    room = ls if None not in ls.shape else _room(g, ls, indices, value)  # type: ignore[operator]
    column = g.Unsqueeze(g.cast(indices, np.int64), np.array([1], np.int64))
    written = g.ScatterND(room, column, value)
    written.shape = (ls.shape[0], *value.shape[1:])  # type: ignore[index]
    return written


def _room(g: Graph, ls: Value, indices: Value, value: Value) -> Value:
    """The list, padded with zeros for the largest index and the size of the elements."""
    length = g.Shape(ls, start=0, end=1)
    one = np.array([1], np.int64)
    after = g.Add(g.cast(indices, np.int64), one)
    wanted = g.ReduceMax(g.Concat(length, after, axis=0), keepdims=1)
    sizes, given = g.Shape(ls, start=1), g.Shape(value, start=1)
    # Beyond this limit the list stays too short, and the index stops the run.
    bytes_each = g.Mul(g.ReduceProd(given), np.array(value.dtype.itemsize, np.int64))
    most = g.Div(np.array(memory_left(MAX_TENSOR_BYTES), np.int64), g.Max(bytes_each, one))
    wanted = g.Min(wanted, most)
    zero = np.array(0, np.int64)
    more = g.Concat(g.Sub(wanted, length), g.Where(g.Equal(sizes, zero), given, zero), axis=0)
    return g.Pad(ls, g.Concat(np.zeros(ls.rank, np.int64), more, axis=0))

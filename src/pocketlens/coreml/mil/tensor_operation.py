"""Joining, splitting, padding and the like."""

from __future__ import annotations

import math

import numpy as np

from pocketlens.coreml.graph import Graph, Ints, Value, Values
from pocketlens.coreml.lower import padding
from pocketlens.coreml.lower.joining import concatenate
from pocketlens.coreml.table import mil, unsupported
from pocketlens.errors import ModelFileError

unsupported(
    "mil",
    "not lowered yet",
    *("argsort", "band_part", "cumsum", "fill", "fill_like", "non_maximum_suppression"),
    *("non_zero", "one_hot", "range_1d", "shape", "topk"),
)


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
            raise ModelFileError("it has neither 'num_splits' nor 'split_sizes'")
        size = x.size(axis)
        if num_splits < 1 or size % num_splits:
            raise ModelFileError(f"{size} elements do not split into {num_splits} equal parts")
        split_sizes = (size // num_splits,) * num_splits
    sizes = np.array(split_sizes, np.int64)
    return tuple(g.op("Split", x, sizes, outputs=len(split_sizes), axis=axis))


@mil()
def flatten2d(g: Graph, x: Value, axis: int = 1) -> Value:
    sizes = x.sizes
    return g.reshape(x, [math.prod(sizes[:axis]), math.prod(sizes[axis:])])


@mil(restrictions="constant amounts only")
def pad(g: Graph, x: Value, pad: Ints, mode: str = "constant", constant_val: float = 0.0) -> Value:
    if len(pad) % 2 or len(pad) > 2 * x.rank:
        raise ModelFileError(f"'pad' has {len(pad)} numbers; x has {x.rank} dimensions")
    amounts = list(zip(pad[::2], pad[1::2], strict=True))
    return padding.pad(g, x, amounts, constant_val, padding.pad_value(mode))


@mil(restrictions="constant repetitions only")
def tile(g: Graph, x: Value, reps: Ints) -> Value:
    if len(reps) != x.rank or any(count < 1 for count in reps):
        raise ModelFileError(f"'reps' is {list(reps)}; expected {x.rank} positive numbers")
    return g.Tile(x, np.array(reps, np.int64))

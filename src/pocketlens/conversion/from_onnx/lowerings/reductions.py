"""Lowerings of reductions, sorting and selection."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from pocketlens.conversion.from_onnx.lowerings.registry import (
    LOWERINGS,
    Var,
    dtype_of,
    full_axes,
    ints,
    is_bool,
    lowers,
    mb,
    number,
    sizes,
)
from pocketlens.errors import ConversionError


def _log_sum_exp(x: Var, axes: list[int], keep_dims: bool) -> Var:
    most = mb.reduce_max(x=x, axes=axes, keep_dims=True)
    powers = mb.exp(x=mb.sub(x=x, y=most))
    total = mb.log(x=mb.reduce_sum(x=powers, axes=axes, keep_dims=keep_dims))
    if not keep_dims:
        most = mb.reduce_max(x=x, axes=axes, keep_dims=False)
    return mb.add(x=total, y=most)


_REDUCTIONS: dict[str, tuple[Any, Any]] = {
    # Op -> the reduction, and what it does to a single number.
    "ReduceL1": (mb.reduce_l1_norm, lambda x: mb.abs(x=x)),
    "ReduceL2": (mb.reduce_l2_norm, lambda x: mb.abs(x=x)),
    "ReduceLogSum": (
        lambda x, axes, keep_dims: mb.log(x=mb.reduce_sum(x=x, axes=axes, keep_dims=keep_dims)),
        lambda x: mb.log(x=x),
    ),
    "ReduceLogSumExp": (_log_sum_exp, lambda x: mb.identity(x=x)),
    "ReduceMax": (mb.reduce_max, lambda x: mb.identity(x=x)),
    "ReduceMean": (mb.reduce_mean, lambda x: mb.identity(x=x)),
    "ReduceMin": (mb.reduce_min, lambda x: mb.identity(x=x)),
    "ReduceProd": (mb.reduce_prod, lambda x: mb.identity(x=x)),
    "ReduceSum": (mb.reduce_sum, lambda x: mb.identity(x=x)),
    "ReduceSumSquare": (mb.reduce_sum_square, lambda x: mb.mul(x=x, y=x)),
}


def _lowering(op: str) -> Any:
    reduce, alone = _REDUCTIONS[op]

    def lower(
        x: Var,
        axes_input: Var = None,
        *,
        axes: Sequence[int] | None = None,
        keepdims: int = 1,
        noop_with_empty_axes: int = 0,
    ) -> Var:
        given = list(axes) if axes is not None else ints(axes_input, "axes")
        rank = len(sizes(x))
        if not rank or (not given and noop_with_empty_axes):
            return alone(x)
        over = full_axes(given or None, rank)
        if is_bool(x):
            counts = reduce(x=mb.cast(x=x, dtype="int32"), axes=over, keep_dims=bool(keepdims))
            return mb.cast(x=counts, dtype="bool")
        return reduce(x=x, axes=over, keep_dims=bool(keepdims))

    return lower


LOWERINGS.update({op: _lowering(op) for op in _REDUCTIONS})


@lowers("GlobalAveragePool")
def global_average_pool(x: Var) -> Var:
    return mb.reduce_mean(x=x, axes=list(range(2, len(sizes(x)))), keep_dims=True)


@lowers("GlobalMaxPool")
def global_max_pool(x: Var) -> Var:
    return mb.reduce_max(x=x, axes=list(range(2, len(sizes(x)))), keep_dims=True)


@lowers("ArgMax", "ArgMin")
def arg_max(
    x: Var, *, axis: int = 0, keepdims: int = 1, select_last_index: int = 0, op: str
) -> Var:
    find = mb.reduce_argmax if op == "ArgMax" else mb.reduce_argmin
    if not select_last_index:
        return find(x=x, axis=axis, keep_dims=bool(keepdims))
    back = find(x=mb.reverse(x=x, axes=[axis % len(sizes(x))]), axis=axis, keep_dims=bool(keepdims))
    return mb.sub(x=np.int32(sizes(x)[axis] - 1), y=back)


@lowers("TopK")
def top_k(x: Var, k: Var, *, axis: int = -1, largest: int = 1) -> tuple[Var, ...]:
    count = (ints(k, "K") or [1])[0]
    values, places = mb.topk(x=x, k=count, axis=axis, ascending=not largest)
    return values, places


@lowers("NonZero")
def non_zero(x: Var) -> Var:
    if is_bool(x):
        x = mb.cast(x=x, dtype="int32")
    return mb.transpose(x=mb.non_zero(x=x), perm=[1, 0])


@lowers("NegativeLogLikelihoodLoss")
def negative_log_likelihood(
    x: Var,
    target: Var,
    weight: Var = None,
    *,
    ignore_index: int | None = None,
    reduction: str = "mean",
) -> Var:
    shape = sizes(x)
    flat = mb.reshape(x=x, shape=[shape[0], shape[1], -1])
    labels = mb.reshape(x=target, shape=[shape[0], 1, -1])
    hit = mb.equal(x=labels, y=np.arange(shape[1], dtype=np.int32).reshape(1, -1, 1))
    if ignore_index is not None:
        kept = mb.not_equal(x=labels, y=np.int32(ignore_index))
        hit = mb.logical_and(x=hit, y=kept)
    share = mb.cast(x=hit, dtype="fp16" if dtype_of(x) == np.float16 else "fp32")
    if weight is not None:
        share = mb.mul(x=share, y=mb.reshape(x=weight, shape=[1, -1, 1]))
    loss = mb.mul(
        x=mb.reduce_sum(x=mb.mul(x=flat, y=share), axes=[1], keep_dims=False), y=number(x, -1)
    )
    if reduction == "none":
        return mb.reshape(x=loss, shape=[shape[0], *shape[2:]])
    total = mb.reduce_sum(x=loss, axes=[0, 1], keep_dims=False)
    if reduction == "sum":
        return total
    return mb.real_div(x=total, y=mb.reduce_sum(x=share, axes=[0, 1, 2], keep_dims=False))


@lowers("Softplus")
def softplus(x: Var) -> Var:
    return mb.softplus(x=x)


@lowers("Det")
def determinant(x: Var) -> Var:
    *batch, n, m = sizes(x)
    if (n, m) != (2, 2):
        raise ConversionError("Core ML has no determinant; only 2 × 2 matrices are converted")
    rows = math.prod(batch)
    flat = mb.reshape(x=x, shape=[rows, 4])
    a, b, c, d = (mb.slice_by_index(x=flat, begin=[0, i], end=[rows, i + 1]) for i in range(4))
    made = mb.sub(x=mb.mul(x=a, y=d), y=mb.mul(x=b, y=c))
    return mb.reshape(x=made, shape=batch) if batch else mb.squeeze(x=made)

"""Lowerings of arithmetic, comparisons and conversions."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import numpy as np

from pocketlens.conversion.from_onnx.lowerings.registry import (
    Var,
    constant,
    dtype_of,
    ints,
    is_bool,
    is_float,
    lowers,
    mb,
    number,
    sizes,
)
from pocketlens.errors import ConversionError


@lowers("Div")
def div(x: Var, y: Var) -> Var:
    if is_float(x):
        return mb.real_div(x=x, y=y)
    whole = mb.floor_div(x=mb.abs(x=x), y=mb.abs(x=y))
    return mb.mul(x=whole, y=mb.mul(x=mb.sign(x=x), y=mb.sign(x=y)))


@lowers("Mod")
def mod(x: Var, y: Var, *, fmod: int = 0) -> Var:
    if not fmod:
        return mb.mod(x=x, y=y)
    rest = mb.mod(x=mb.abs(x=x), y=mb.abs(x=y))
    return mb.mul(x=rest, y=mb.sign(x=x))


@lowers("Pow")
def power(x: Var, y: Var) -> Var:
    if dtype_of(x) == dtype_of(y):
        return mb.pow(x=x, y=y)
    wide = mb.pow(x=_float32(x), y=_float32(y))
    return wide if is_float(x) else mb.cast(x=mb.round(x=wide), dtype="int32")


@lowers("Reciprocal")
def reciprocal(x: Var) -> Var:
    # Core ML's `inverse` adds 1e-4 to the divisor.
    return mb.real_div(x=number(x, 1), y=x)


@lowers("Asinh")
def asinh(x: Var) -> Var:
    size = mb.abs(x=x)
    root = mb.sqrt(x=mb.add(x=mb.mul(x=x, y=x), y=number(x, 1)))
    return mb.mul(x=mb.sign(x=x), y=mb.log(x=mb.add(x=size, y=root)))


@lowers("Acosh")
def acosh(x: Var) -> Var:
    root = mb.sqrt(x=mb.sub(x=mb.mul(x=x, y=x), y=number(x, 1)))
    return mb.log(x=mb.add(x=x, y=root))


@lowers("Round")
def round_half_even(x: Var) -> Var:
    return mb.round(x=x) if is_float(x) else mb.identity(x=x)


@lowers("IsNaN")
def is_nan(x: Var) -> Var:
    return mb.not_equal(x=x, y=x)


@lowers("IsInf")
def is_inf(x: Var, *, detect_negative: int = 1, detect_positive: int = 1) -> Var:
    infinite = number(x, math.inf)
    if detect_negative and detect_positive:
        return mb.equal(x=mb.abs(x=x), y=infinite)
    if detect_positive or detect_negative:
        return mb.equal(x=x, y=infinite if detect_positive else -infinite)
    return np.zeros(sizes(x), bool)


@lowers("Clip")
def clip(x: Var, least: Var = None, most: Var = None) -> Var:
    low, high = (None if each is None else each.val for each in (least, most))
    if is_float(x) and (least is None or low is not None) and (most is None or high is not None):
        limits = np.finfo(dtype_of(x))
        given = (limits.min if low is None else low, limits.max if high is None else high)
        alpha, beta = (float(np.asarray(each).reshape(())) for each in given)
        if alpha <= beta:
            return mb.clip(x=x, alpha=number(x, alpha), beta=number(x, beta))
    x = x if least is None else mb.maximum(x=x, y=_scalar(least))
    x = x if most is None else mb.minimum(x=x, y=_scalar(most))
    return mb.identity(x=x)


def _scalar(value: Var) -> Var:
    return value if not sizes(value) else mb.squeeze(x=value)


@lowers("Min")
def minimum(*values: Var) -> Var:
    return _variadic(mb.minimum, *values)


@lowers("Max")
def maximum(*values: Var) -> Var:
    return _variadic(mb.maximum, *values)


@lowers("Sum")
def total(*values: Var) -> Var:
    return _variadic(mb.add, *values)


@lowers("Mean")
def mean(*values: Var) -> Var:
    return mb.mul(x=_variadic(mb.add, *values), y=number(values[0], 1 / len(values)))


def _variadic(make: Callable[..., Any], *values: Var) -> Var:
    return (
        mb.identity(x=values[0])
        if len(values) == 1
        else reduce(lambda x, y: make(x=x, y=y), values)
    )


@lowers("Equal")
def equal(x: Var, y: Var) -> Var:
    if is_bool(x):
        return mb.logical_not(x=mb.logical_xor(x=x, y=y))
    return mb.equal(x=x, y=y)


@lowers("Where")
def where(condition: Var, x: Var, y: Var) -> Var:
    # Core ML's `select` broadcasts scalars only.
    shape = np.broadcast_shapes(*(tuple(sizes(each)) for each in (condition, x, y)))
    return mb.select(cond=spread(condition, shape), a=spread(x, shape), b=spread(y, shape))


def spread(x: Var, shape: tuple[int, ...]) -> Var:
    """A tensor in a larger shape, its values repeated."""
    own = sizes(x)
    if tuple(own) == tuple(shape):
        return x
    own = [1] * (len(shape) - len(own)) + own
    if own != sizes(x):
        x = mb.reshape(x=x, shape=own)
    if own == list(shape):
        return x
    reps = [1 if side == wanted else wanted for side, wanted in zip(own, shape, strict=True)]
    if is_bool(x):
        return mb.cast(x=mb.tile(x=mb.cast(x=x, dtype="int32"), reps=reps), dtype="bool")
    return mb.tile(x=x, reps=reps)


_BITS = {2: (8, False), 3: (8, True), 4: (16, False), 5: (16, True)}
"""ONNX's number of a small integer type -> its bits, and whether it has negative numbers."""


@lowers("BitShift")
def bit_shift(x: Var, y: Var, *, direction: str, types: Sequence[int]) -> Var:
    by = ints(y, "Y") or []
    if min(by) < 0 or max(by) > 30:
        raise ConversionError(f"it shifts by {by[:4]} bits; Core ML has integers of 32 bits")
    factor = np.left_shift(np.int32(1), np.array(by, np.int32)).reshape(sizes(y))
    if direction == "RIGHT":
        return mb.floor_div(x=x, y=factor)
    shifted = mb.mul(x=x, y=factor)
    if types[0] not in _BITS:
        return shifted
    bits, signed = _BITS[types[0]]
    half = np.int32(2 ** (bits - 1) if signed else 0)
    rest = mb.mod(x=mb.add(x=shifted, y=half), y=np.int32(2**bits))
    return mb.sub(x=rest, y=half)


@lowers("BitwiseNot")
def bitwise_not(x: Var, *, types: Sequence[int]) -> Var:
    bits, signed = _BITS.get(types[0], (32, True))
    return mb.sub(x=np.int32(-1 if signed else 2**bits - 1), y=x)


@lowers("CumSum")
def cumulative_sum(x: Var, axis: Var, *, exclusive: int = 0, reverse: int = 0) -> Var:
    at = int(np.asarray(constant(axis, "axis")).reshape(()))
    return mb.cumsum(x=x, axis=at % len(sizes(x)), exclusive=bool(exclusive), reverse=bool(reverse))


_KINDS = {
    1: "fp32", 10: "fp16", 11: "fp32", 16: "fp32", 9: "bool",
    **dict.fromkeys((2, 3, 4, 5, 6, 7, 12, 13), "int32"),
}  # fmt: skip
"""ONNX's number of a type -> Core ML's name of the one that it computes with."""


@lowers("Cast")
def cast(x: Var, *, to: int) -> Var:
    if to not in _KINDS:
        raise ConversionError(f"Core ML has no numbers of the type {to} (to)")
    return mb.cast(x=x, dtype=_KINDS[to])


@lowers("CastLike")
def cast_like(x: Var, like: Var) -> Var:
    kind = {"float32": "fp32", "float16": "fp16", "bool": "bool"}.get(dtype_of(like).name, "int32")
    return mb.cast(x=x, dtype=kind)


def _float32(x: Var) -> Var:
    return x if dtype_of(x) == np.float32 else mb.cast(x=x, dtype="fp32")

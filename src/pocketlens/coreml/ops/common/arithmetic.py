"""Arithmetic that ONNX defines differently from Core ML."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pocketlens.coreml.graph import Graph, Value

__all__ = ["choose", "divide", "floor_divide", "keep_type", "modulo"]


def choose(g: Graph, condition: Value, x: Value, y: Value) -> Value:
    """`x` where `condition` is true, else `y`."""
    if x.dtype.kind in "biu" and x.dtype not in (np.int32, np.int64):
        # ONNX Runtime has no kernel for booleans and the narrow integers.
        chosen = g.Where(condition, g.cast(x, np.int32), g.cast(y, np.int32))
        return g.cast(chosen, x.dtype)
    return g.Where(condition, x, y)


def divide(g: Graph, x: Value, y: Value) -> Value:
    """`x / y` of integers, rounded toward zero."""
    # Exact in float64 for 32-bit integers, and a division by zero does not crash the process.
    quotient = g.Div(g.cast(x, np.float64), g.cast(y, np.float64))
    return g.cast(quotient, x.dtype)


def floor_divide(g: Graph, x: Value, y: Value) -> Value:
    """`x / y` rounded toward minus infinity; ONNX's integer division rounds toward zero."""
    if x.dtype.kind == "f":
        return g.in_float32(lambda a, b: g.Floor(g.Div(a, b)), x, y)
    quotient = g.Div(g.cast(x, np.float64), g.cast(y, np.float64))  # exact for 32-bit integers
    return g.cast(g.Floor(quotient), x.dtype)


def keep_type(g: Graph, function: Callable[..., Value], x: Value, *rest: Value | None) -> Value:
    """`function(x, *rest)` with the type of `x`; the others may have another type (iOS 17).

    Operands of different types are converted to float32 first.
    """
    if {each.dtype for each in rest if each is not None} <= {x.dtype}:
        return function(x, *rest)
    wide = [None if each is None else g.cast(each, np.float32) for each in (x, *rest)]
    return g.cast(function(*wide), x.dtype)


def modulo(g: Graph, x: Value, y: Value) -> Value:
    """The remainder of floating-point tensors, with the sign of `y`."""
    return g.Sub(x, g.Mul(g.Floor(g.Div(x, y)), y))

"""Arithmetic that ONNX defines differently from Core ML."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pocketlens.coreml.graph import Graph, Value

__all__ = ["divide", "floor_divide", "keep_type", "modulo"]


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

    Operands of different types are converted to float32 first; integers, which it may not hold, to
    float64.
    """
    types = {each.dtype for each in (x, *rest) if each is not None}
    if len(types) == 1:
        return function(x, *rest)
    wide = np.float32 if all(each.kind == "f" for each in types) else np.float64
    operands = [None if each is None else g.cast(each, wide) for each in (x, *rest)]
    return g.cast(function(*operands), x.dtype)


def modulo(g: Graph, x: Value, y: Value) -> Value:
    """The remainder of floating-point tensors, with the sign of `y`."""
    return g.Sub(x, g.Mul(g.Floor(g.Div(x, y)), y))

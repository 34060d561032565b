"""Activations that need more than one ONNX operator."""

from __future__ import annotations

from typing import Any

import numpy as np

from pocketlens.coreml.graph import Graph, Value
from pocketlens.errors import UnsupportedParameter

__all__ = ["along_channels", "gelu", "parametric_softplus"]


def gelu(g: Graph, x: Value, mode: str) -> Value:
    """`x Φ(x)`: EXACT, TANH_APPROXIMATION, or SIGMOID_APPROXIMATION `x σ(1.702 x)`."""
    if mode == "EXACT":
        return g.Gelu(x)
    if mode == "TANH_APPROXIMATION":
        return g.Gelu(x, approximate="tanh")
    if mode == "SIGMOID_APPROXIMATION":
        return g.in_float32(lambda v: g.Mul(v, g.Sigmoid(g.Mul(v, g.like(1.702, v)))), x)
    raise UnsupportedParameter(
        f"the mode is {mode!r}; expected EXACT, TANH_APPROXIMATION or SIGMOID_APPROXIMATION"
    )


def along_channels(g: Graph, values: Any, x: Value, axis: int = 1) -> Value:
    """One number per channel, in a shape that broadcasts with x, whose channels are on `axis`."""
    array = np.asarray(values).reshape(-1)
    shape = [1] * x.rank
    shape[axis] = array.size
    return g.constant(array.reshape(shape), x.dtype)


def parametric_softplus(g: Graph, x: Value, alpha: Value, beta: Value) -> Value:
    """`alpha * log(1 + exp(beta * x))`."""

    def formula(v: Value, a: Value, b: Value) -> Value:
        return g.Mul(a, g.Softplus(g.Mul(b, v)))

    return g.in_float32(formula, x, alpha, beta)

"""Lowerings of activations."""

from __future__ import annotations

import numpy as np

from pocketlens.conversion.from_onnx.lowerings.registry import (
    Var,
    constant,
    lowers,
    mb,
    number,
    sizes,
)
from pocketlens.errors import ConversionError


@lowers("LeakyRelu")
def leaky_relu(x: Var, *, alpha: float = 0.01) -> Var:
    return mb.leaky_relu(x=x, alpha=number(x, alpha))


@lowers("Elu")
def elu(x: Var, *, alpha: float = 1.0) -> Var:
    return mb.elu(x=x, alpha=number(x, alpha))


@lowers("Celu")
def celu(x: Var, *, alpha: float = 1.0) -> Var:
    inner = mb.sub(x=mb.exp(x=mb.mul(x=x, y=number(x, 1 / alpha))), y=number(x, 1))
    low = mb.minimum(x=mb.mul(x=inner, y=number(x, alpha)), y=number(x, 0))
    return mb.add(x=mb.relu(x=x), y=low)


@lowers("Selu")
def selu(x: Var, *, alpha: float = 1.6732632423543772, gamma: float = 1.0507009873554805) -> Var:
    return mb.mul(x=mb.elu(x=x, alpha=number(x, alpha)), y=number(x, gamma))


@lowers("Softsign")
def softsign(x: Var) -> Var:
    return mb.softsign(x=x)


@lowers("ThresholdedRelu")
def thresholded_relu(x: Var, *, alpha: float = 1.0) -> Var:
    # Core ML keeps alpha itself, ONNX only what is above it.
    return mb.select(cond=mb.greater(x=x, y=number(x, alpha)), a=x, b=_zeros(x))


@lowers("Shrink")
def shrink(x: Var, *, bias: float = 0.0, lambd: float = 0.5) -> Var:
    below = mb.select(
        cond=mb.less(x=x, y=number(x, -lambd)), a=mb.add(x=x, y=number(x, bias)), b=_zeros(x)
    )
    return mb.select(
        cond=mb.greater(x=x, y=number(x, lambd)), a=mb.sub(x=x, y=number(x, bias)), b=below
    )


@lowers("PRelu")
def prelu(x: Var, slope: Var) -> Var:
    low = mb.minimum(x=x, y=number(x, 0))
    return mb.add(x=mb.maximum(x=x, y=number(x, 0)), y=mb.mul(x=low, y=slope))


@lowers("Gelu")
def gelu(x: Var, *, approximate: str = "none") -> Var:
    return mb.gelu(x=x, mode="TANH_APPROXIMATION" if approximate == "tanh" else "EXACT")


@lowers("HardSigmoid")
def hard_sigmoid(x: Var, *, alpha: float = 0.2, beta: float = 0.5) -> Var:
    return mb.sigmoid_hard(x=x, alpha=number(x, alpha), beta=number(x, beta))


@lowers("HardSwish")
def hard_swish(x: Var) -> Var:
    return mb.mul(x=x, y=mb.sigmoid_hard(x=x, alpha=number(x, 1 / 6), beta=number(x, 0.5)))


@lowers("Softmax")
def softmax(x: Var, *, axis: int = -1) -> Var:
    return mb.softmax(x=x, axis=axis)


@lowers("LogSoftmax")
def log_softmax(x: Var, *, axis: int = -1) -> Var:
    # The logarithm of a softmax would lose small probabilities.
    less = mb.sub(x=x, y=mb.reduce_max(x=x, axes=[axis], keep_dims=True))
    total = mb.reduce_sum(x=mb.exp(x=less), axes=[axis], keep_dims=True)
    return mb.sub(x=less, y=mb.log(x=total))


@lowers("Hardmax")
def hardmax(x: Var, *, axis: int = -1) -> Var:
    rank, count = len(sizes(x)), sizes(x)[axis]
    at = mb.expand_dims(x=mb.reduce_argmax(x=x, axis=axis), axes=[axis % rank])
    shape = [1] * rank
    shape[axis] = count
    every = np.arange(count, dtype=np.int32).reshape(shape)
    return mb.select(
        cond=mb.equal(x=at, y=every), a=mb.add(x=_zeros(x), y=number(x, 1)), b=_zeros(x)
    )


@lowers("Dropout")
def dropout(x: Var, _: Var = None, training: Var = None) -> tuple[Var, Var]:
    """With its mask, which is true everywhere; without, the node is removed already."""
    if training is not None and np.any(constant(training, "training_mode")):
        raise ConversionError("it is in training mode; export the network for inference")
    return mb.identity(x=x), np.ones(sizes(x), bool)


def _zeros(x: Var) -> Var:
    return np.zeros(sizes(x), number(x, 0).dtype)

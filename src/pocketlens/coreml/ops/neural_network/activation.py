"""Activations. x has any shape unless noted otherwise; the result has the same shape."""

from __future__ import annotations

from collections.abc import Callable

from pocketlens.coreml.graph import Graph, Message, Value
from pocketlens.coreml.ops.common import activation as common
from pocketlens.coreml.ops.common.weights import weight_array
from pocketlens.coreml.ops.registry import layer
from pocketlens.errors import ModelFileError


def _per_channel(g: Graph, weights: Message, x: Value, name: str) -> Value:
    """One number, or one per channel (axis -3)."""
    single = max(len(weights.floatValue), len(weights.float16Value) // 2) == 1
    count = 1 if single else x.size(-3)
    return common.along_channels(g, weight_array(weights, (count,), name), x, x.rank - 3)


def _linear(g: Graph, x: Value, m: Message) -> Value:
    return g.Add(g.Mul(x, g.like(m.alpha, x)), g.like(m.beta, x))


def _thresholded_relu(g: Graph, x: Value, m: Message) -> Value:
    # ONNX's ThresholdedRelu excludes x = alpha, Core ML's includes it.
    return g.Where(g.GreaterOrEqual(x, g.like(m.alpha, x)), x, g.like(0.0, x))


def _scaled_tanh(g: Graph, x: Value, m: Message) -> Value:
    return g.Mul(g.Tanh(g.Mul(x, g.like(m.beta, x))), g.like(m.alpha, x))


def _parametric_softplus(g: Graph, x: Value, m: Message) -> Value:
    alpha, beta = (_per_channel(g, each, x, "alpha or beta") for each in (m.alpha, m.beta))
    return common.parametric_softplus(g, x, alpha, beta)


KINDS: dict[str, Callable[[Graph, Value, Message], Value]] = {
    "linear": _linear,
    "ReLU": lambda g, x, _: g.Relu(x),
    "leakyReLU": lambda g, x, m: g.LeakyRelu(x, alpha=m.alpha),
    "thresholdedReLU": _thresholded_relu,
    "PReLU": lambda g, x, m: g.PRelu(x, _per_channel(g, m.alpha, x, "alpha")),
    "tanh": lambda g, x, _: g.Tanh(x),
    "scaledTanh": _scaled_tanh,
    "sigmoid": lambda g, x, _: g.Sigmoid(x),
    "sigmoidHard": lambda g, x, m: g.HardSigmoid(x, alpha=m.alpha, beta=m.beta),
    "ELU": lambda g, x, m: g.Elu(x, alpha=m.alpha),
    "softsign": lambda g, x, _: g.Softsign(x),
    "softplus": lambda g, x, _: g.Softplus(x),
    "parametricSoftplus": _parametric_softplus,
}


@layer()
def activation(
    g: Graph,
    x: Value,
    *,
    linear: Message | None = None,
    ReLU: Message | None = None,
    leakyReLU: Message | None = None,
    thresholdedReLU: Message | None = None,
    PReLU: Message | None = None,
    tanh: Message | None = None,
    scaledTanh: Message | None = None,
    sigmoid: Message | None = None,
    sigmoidHard: Message | None = None,
    ELU: Message | None = None,
    softsign: Message | None = None,
    softplus: Message | None = None,
    parametricSoftplus: Message | None = None,
) -> Value:
    given = locals()
    chosen = [(kind, given[kind]) for kind in KINDS if given[kind] is not None]
    if len(chosen) != 1:
        raise ModelFileError(f"it sets {len(chosen)} functions; expected one")
    kind, message = chosen[0]
    return KINDS[kind](g, x, message)


@layer()
def clampedReLU(g: Graph, x: Value, *, alpha: float = 0.0, beta: float = 0.0) -> Value:
    return g.Min(g.LeakyRelu(x, alpha=alpha), g.like(beta, x))


@layer()
def gelu(g: Graph, x: Value, *, mode: str = "EXACT") -> Value:
    return common.gelu(g, x, mode)


@layer()
def softmax(g: Graph, x: Value) -> Value:
    if x.rank < 3:
        raise ModelFileError(f"{x!r} has {x.rank} dimensions; expected at least 3")
    return g.Softmax(x, axis=-1 if x.rank == 3 else -3)


@layer()
def softmaxND(g: Graph, x: Value, *, axis: int = 0) -> Value:
    return g.Softmax(x, axis=axis)

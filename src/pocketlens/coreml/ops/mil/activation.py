"""Activations. x has any shape unless noted otherwise; the result has the same shape."""

from __future__ import annotations

from pocketlens.coreml.graph import Array, Graph, Value
from pocketlens.coreml.ops.common import activation as common
from pocketlens.coreml.ops.registry import mil


@mil()
def relu(g: Graph, x: Value) -> Value:
    return g.Relu(x)


@mil()
def relu6(g: Graph, x: Value) -> Value:
    return g.Clip(x, g.like(0.0, x), g.like(6.0, x))


@mil()
def sigmoid(g: Graph, x: Value) -> Value:
    return g.Sigmoid(x)


@mil()
def silu(g: Graph, x: Value) -> Value:
    return g.in_float32(lambda v: g.Mul(v, g.Sigmoid(v)), x)


@mil()
def softplus(g: Graph, x: Value) -> Value:
    return g.Softplus(x)


@mil()
def softsign(g: Graph, x: Value) -> Value:
    return g.Softsign(x)


@mil()
def elu(g: Graph, x: Value, alpha: float) -> Value:
    return g.Elu(x, alpha=alpha)


@mil()
def leaky_relu(g: Graph, x: Value, alpha: float) -> Value:
    return g.LeakyRelu(x, alpha=alpha)


@mil()
def prelu(g: Graph, x: Value, alpha: Array) -> Value:  # x [B, C, *D], alpha [C]
    return g.PRelu(x, common.along_channels(g, alpha, x))


@mil()
def clamped_relu(g: Graph, x: Value, alpha: float, beta: float) -> Value:
    return g.Min(g.LeakyRelu(x, alpha=alpha), g.like(beta, x))


@mil()
def linear_activation(g: Graph, x: Value, alpha: float, beta: float) -> Value:
    return g.in_float32(lambda v: g.Add(g.Mul(v, g.like(alpha, v)), g.like(beta, v)), x)


@mil()
def scaled_tanh(g: Graph, x: Value, alpha: float, beta: float) -> Value:
    return g.in_float32(lambda v: g.Mul(g.Tanh(g.Mul(v, g.like(beta, v))), g.like(alpha, v)), x)


@mil()
def sigmoid_hard(g: Graph, x: Value, alpha: float, beta: float) -> Value:
    return g.HardSigmoid(x, alpha=alpha, beta=beta)


@mil()
def softplus_parametric(g: Graph, x: Value, alpha: Array, beta: Array) -> Value:  # x [B, C, *D]
    per_channel = (common.along_channels(g, each, x) for each in (alpha, beta))
    return common.parametric_softplus(g, x, *per_channel)


@mil()
def thresholded_relu(g: Graph, x: Value, alpha: float) -> Value:
    keep = g.GreaterOrEqual(x, g.like(alpha, x))  # ONNX's ThresholdedRelu excludes x = alpha
    return g.Where(keep, x, g.like(0.0, x))


@mil()
def gelu(g: Graph, x: Value, mode: str = "EXACT") -> Value:
    return common.gelu(g, x, mode)


@mil()
def softmax(g: Graph, x: Value, axis: int = -1) -> Value:
    return g.Softmax(x, axis=axis)

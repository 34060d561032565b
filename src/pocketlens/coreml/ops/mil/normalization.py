"""Normalization."""

from __future__ import annotations

from pocketlens.coreml.graph import Array, Graph, Ints, Value
from pocketlens.coreml.ops.common import normalization as common
from pocketlens.coreml.ops.registry import mil


@mil()
def batch_norm(
    g: Graph,
    x: Value,  # [n, C, *D]
    mean: Array,
    variance: Array,
    gamma: Array | None = None,
    beta: Array | None = None,
    epsilon: float = 1e-5,
) -> Value:
    return common.batch_norm(g, x, mean, variance, gamma, beta, epsilon)


@mil()
def instance_norm(
    g: Graph,
    x: Value,  # [n, C, *D]
    gamma: Array | None = None,
    beta: Array | None = None,
    epsilon: float = 1e-5,
) -> Value:
    return common.instance_norm(g, x, gamma, beta, epsilon)


@mil()
def layer_norm(
    g: Graph,
    x: Value,
    axes: Ints | None = None,  # all of them by default
    gamma: Array | None = None,  # the sizes of x along the axes
    beta: Array | None = None,
    epsilon: float = 1e-5,
) -> Value:
    return common.layer_norm(g, x, axes or tuple(range(x.rank)), gamma, beta, epsilon)


@mil()
def l2_norm(g: Graph, x: Value, epsilon: float = 1e-6) -> Value:  # x [*B, C, H, W]
    return common.l2_norm(g, x, (-3, -2, -1), epsilon)


@mil()
def local_response_norm(
    g: Graph,
    x: Value,  # [n, C, *D]
    size: int,
    alpha: float = 1e-4,
    beta: float = 0.75,
    k: float = 1.0,
) -> Value:
    return common.local_response_norm(g, x, size, alpha, beta, k)

"""Normalization. x is [*B, C, H, W]."""

from __future__ import annotations

import numpy as np

from pocketlens.coreml.graph import Graph, Ints, Message, Value
from pocketlens.coreml.ops.common import normalization as common
from pocketlens.coreml.ops.common.batch import over_batch
from pocketlens.coreml.ops.common.weights import weight_array
from pocketlens.coreml.ops.registry import layer
from pocketlens.errors import ModelFileError


@layer()
def batchnorm(
    g: Graph,
    x: Value,
    *,
    channels: int,
    computeMeanVar: bool = False,
    instanceNormalization: bool = False,
    epsilon: float = 1e-5,
    gamma: Message | None = None,
    beta: Message | None = None,
    mean: Message | None = None,
    variance: Message | None = None,
) -> Value:
    scale, offset = (
        None if each is None else weight_array(each, (channels,), name)
        for each, name in ((gamma, "gamma"), (beta, "beta"))
    )

    def formula(v: Value) -> Value:
        if not computeMeanVar:
            center = weight_array(mean, (channels,), "mean")
            spread = weight_array(variance, (channels,), "variance")
            return common.batch_norm(g, v, center, spread, scale, offset, epsilon)
        if instanceNormalization or (v.shape or ())[:1] == (1,):
            return common.instance_norm(g, v, scale, offset, epsilon)
        # Statistics per channel over the whole batch: make the batch one instance.
        whole = g.Unsqueeze(g.transpose(v, [1, 0, 2, 3]), np.array([0], np.int64))
        y = common.instance_norm(g, whole, scale, offset, epsilon)
        return g.transpose(g.Squeeze(y, np.array([0], np.int64)), [1, 0, 2, 3])

    return over_batch(g, x, formula)


@layer()
def mvn(
    g: Graph,
    x: Value,
    *,
    acrossChannels: bool = False,
    normalizeVariance: bool = False,
    epsilon: float = 1e-6,
) -> Value:
    axes = np.array([-3, -2, -1] if acrossChannels else [-2, -1], np.int64)
    centered = g.Sub(x, g.ReduceMean(x, axes))
    if not normalizeVariance:
        return centered
    variance = g.ReduceMean(g.Mul(centered, centered), axes)
    return g.Div(centered, g.Sqrt(g.Add(variance, g.like(epsilon, x))))


@layer()
def l2normalize(g: Graph, x: Value, *, epsilon: float = 1e-6) -> Value:
    return common.l2_norm(g, x, (-3, -2, -1), epsilon)


@layer()
def lrn(
    g: Graph, x: Value, *, alpha: float = 0.0, beta: float = 0.0, localSize: int, k: float = 1.0
) -> Value:
    return over_batch(g, x, lambda v: common.local_response_norm(g, v, localSize, alpha, beta, k))


@layer()
def layerNormalization(
    g: Graph,
    x: Value,
    *,
    normalizedShape: Ints,
    eps: float = 0.0,
    gamma: Message | None = None,
    beta: Message | None = None,
) -> Value:
    count = len(normalizedShape)
    if x.sizes[-count:] != normalizedShape:
        raise ModelFileError(
            f"its input has the shape {list(x.sizes)}; "
            f"expected it to end in {list(normalizedShape)}"
        )
    scale, offset = (
        None if each is None else weight_array(each, normalizedShape, name)
        for each, name in ((gamma, "gamma"), (beta, "beta"))
    )
    return common.layer_norm(g, x, range(-count, 0), scale, offset, eps)

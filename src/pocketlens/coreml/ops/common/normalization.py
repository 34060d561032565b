"""Normalization. Statistics are computed in float32: a sum of squares easily exceeds float16."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketlens.coreml.graph import Graph, Value
from pocketlens.errors import ModelFileError

__all__ = ["batch_norm", "instance_norm", "l2_norm", "layer_norm", "local_response_norm"]

Numbers = NDArray[Any] | None


def _per_channel(x: Value, values: Numbers, default: float, name: str) -> NDArray[Any]:
    channels = x.size(1)
    array = np.full(channels, default) if values is None else values.reshape(-1)
    if array.size != channels:
        raise ModelFileError(f"{name} has {array.size} numbers; x has {channels} channels")
    return array.astype(x.dtype)


def batch_norm(
    g: Graph,
    x: Value,
    mean: NDArray[Any],
    variance: NDArray[Any],
    gamma: Numbers,
    beta: Numbers,
    epsilon: float,
) -> Value:
    """`gamma (x - mean) / √(variance + epsilon) + beta` per channel; x [n, C, *D]."""
    return g.BatchNormalization(
        x,
        _per_channel(x, gamma, 1.0, "gamma"),
        _per_channel(x, beta, 0.0, "beta"),
        _per_channel(x, mean, 0.0, "mean"),
        _per_channel(x, variance, 1.0, "variance"),
        epsilon=epsilon,
    )


def instance_norm(g: Graph, x: Value, gamma: Numbers, beta: Numbers, epsilon: float) -> Value:
    """Mean 0 and variance 1 per channel and sample, then gamma and beta; x [n, C, *D]."""
    return g.InstanceNormalization(
        x,
        _per_channel(x, gamma, 1.0, "gamma"),
        _per_channel(x, beta, 0.0, "beta"),
        epsilon=epsilon,
    )


def layer_norm(
    g: Graph, x: Value, axes: Sequence[int], gamma: Numbers, beta: Numbers, epsilon: float
) -> Value:
    """Mean 0 and variance 1 over `axes`, then gamma and beta, whose shape is that of the axes."""
    rank = x.rank
    over = sorted({axis % rank for axis in axes if -rank <= axis < rank})
    if len(over) != len(axes):
        raise ModelFileError(f"'axes' is {list(axes)}; x has {rank} dimensions")
    sizes = [x.size(axis) if axis in over else 1 for axis in range(rank)]

    def formula(v: Value) -> Value:
        dims = np.array(over, np.int64)
        centered = g.Sub(v, g.ReduceMean(v, dims))
        variance = g.ReduceMean(g.Mul(centered, centered), dims)
        y = g.Div(centered, g.Sqrt(g.Add(variance, g.like(epsilon, v))))
        if gamma is not None:
            y = g.Mul(y, _shaped(g, gamma, sizes, v))
        return y if beta is None else g.Add(y, _shaped(g, beta, sizes, v))

    return g.in_float32(formula, x)


def _shaped(g: Graph, values: NDArray[Any], sizes: list[int], like: Value) -> Value:
    if values.size != int(np.prod(sizes)):
        raise ModelFileError(f"there are {values.size} numbers for axes of sizes {sizes}")
    return g.constant(values.reshape(sizes), like.dtype)


def l2_norm(g: Graph, x: Value, axes: Sequence[int], epsilon: float) -> Value:
    """`x / √(Σ x² + epsilon)`, summed over `axes`."""

    def formula(v: Value) -> Value:
        total = g.ReduceSumSquare(v, np.array(axes, np.int64))
        return g.Div(v, g.Sqrt(g.Add(total, g.like(epsilon, v))))

    return g.in_float32(formula, x)


def local_response_norm(
    g: Graph, x: Value, size: int, alpha: float, beta: float, k: float, axis: int = 1
) -> Value:
    """`x / (k + alpha/size Σ x²)^beta`, summed over `size` channels around each one."""

    def formula(v: Value) -> Value:
        # ONNX Runtime's LRN works for rank 4 only; an average over the channels works for all.
        sizes = v.sizes
        lead, channels = int(np.prod(sizes[:axis])), sizes[axis]
        rows = g.reshape(g.Mul(v, v), [lead, 1, channels, int(np.prod(sizes[axis + 1 :]))])
        before = (size - 1) // 2
        mean = g.AveragePool(
            rows,
            kernel_shape=[size, 1],
            pads=[before, 0, size - 1 - before, 0],
            count_include_pad=1,
        )
        scale = g.Add(g.Mul(g.reshape(mean, sizes), g.like(alpha, v)), g.like(k, v))
        return g.Div(v, g.Pow(scale, g.like(beta, v)))

    return g.in_float32(formula, x)

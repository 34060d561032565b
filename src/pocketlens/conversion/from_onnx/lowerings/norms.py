"""Lowerings of normalizations."""

from __future__ import annotations

import numpy as np

from pocketlens.conversion.from_onnx.lowerings.registry import (
    Var,
    dtype_of,
    lowers,
    mb,
    number,
    sizes,
)
from pocketlens.errors import ConversionError


@lowers("BatchNormalization")
def batch_normalization(
    x: Var,
    scale: Var,
    bias: Var,
    mean: Var,
    variance: Var,
    *,
    epsilon: float = 1e-5,
    training_mode: int = 0,
) -> Var:
    if training_mode:
        raise ConversionError("it is in training mode; export the network for inference")
    rank = len(sizes(x))
    known = all(each.val is not None for each in (scale, bias, mean, variance))
    if known and rank in (3, 4, 5):
        return mb.batch_norm(
            x=x, mean=mean, variance=variance, gamma=scale, beta=bias, epsilon=number(x, epsilon)
        )
    factor = mb.mul(x=mb.rsqrt(x=variance, epsilon=number(x, epsilon)), y=scale)
    offset = mb.sub(x=bias, y=mb.mul(x=mean, y=factor))
    return mb.add(x=mb.mul(x=x, y=_channels(factor, rank)), y=_channels(offset, rank))


def _channels(x: Var, rank: int) -> Var:
    """A value for each channel, in a shape that broadcasts."""
    return mb.reshape(x=x, shape=[1, -1, *[1] * (rank - 2)])


@lowers("InstanceNormalization")
def instance_normalization(x: Var, scale: Var, bias: Var, *, epsilon: float = 1e-5) -> Var:
    rank = len(sizes(x))
    if scale.val is not None and bias.val is not None and rank in (3, 4):
        return mb.instance_norm(x=x, gamma=scale, beta=bias, epsilon=number(x, epsilon))
    y, _, _ = _standardized(x, list(range(2, rank)), epsilon)
    return mb.add(x=mb.mul(x=y, y=_channels(scale, rank)), y=_channels(bias, rank))


@lowers("LayerNormalization")
def layer_normalization(
    x: Var,
    scale: Var,
    bias: Var = None,
    *,
    axis: int = -1,
    epsilon: float = 1e-5,
) -> tuple[Var, ...]:
    rank = len(sizes(x))
    axes = list(range(axis % rank, rank))
    inner = [sizes(x)[at] for at in axes]
    known = all(
        each is None or (each.val is not None and sizes(each) == inner) for each in (scale, bias)
    )
    if known:
        given = {"gamma": scale} if bias is None else {"gamma": scale, "beta": bias}
        y = mb.layer_norm(x=x, axes=axes, epsilon=number(x, epsilon), **given)
        _, mean, inverse = _standardized(x, axes, epsilon)
        return y, mean, inverse
    y, mean, inverse = _standardized(x, axes, epsilon)
    y = mb.mul(x=y, y=scale)
    return y if bias is None else mb.add(x=y, y=bias), mean, inverse


def _standardized(x: Var, axes: list[int], epsilon: float) -> tuple[Var, Var, Var]:
    """A tensor with the mean 0 and the variance 1, its mean and its inverse deviation."""
    mean = mb.reduce_mean(x=x, axes=axes, keep_dims=True)
    off = mb.sub(x=x, y=mean)
    variance = mb.reduce_mean(x=mb.mul(x=off, y=off), axes=axes, keep_dims=True)
    inverse = mb.rsqrt(x=variance, epsilon=number(x, epsilon))
    return mb.mul(x=off, y=inverse), mean, inverse


@lowers("GroupNormalization")
def group_normalization(
    x: Var,
    scale: Var,
    bias: Var,
    *,
    num_groups: int,
    epsilon: float = 1e-5,
) -> Var:
    shape = sizes(x)
    rank, channels = len(shape), shape[1]
    y, _, _ = _standardized(mb.reshape(x=x, shape=[shape[0], num_groups, -1]), [2], epsilon)
    y = mb.reshape(x=y, shape=shape)
    if sizes(scale) != [channels]:  # before version 21, a value for each group
        scale, bias = (_repeated(each, channels // num_groups) for each in (scale, bias))
    return mb.add(x=mb.mul(x=y, y=_channels(scale, rank)), y=_channels(bias, rank))


def _repeated(x: Var, times: int) -> Var:
    if x.val is not None:
        return mb.const(val=np.repeat(x.val, times))
    return mb.reshape(x=mb.tile(x=mb.reshape(x=x, shape=[-1, 1]), reps=[1, times]), shape=[-1])


@lowers("LRN")
def local_response_normalization(
    x: Var, *, size: int, alpha: float = 1e-4, beta: float = 0.75, bias: float = 1.0
) -> Var:
    # The sum over neighboring channels, as a product with a band matrix.
    shape = sizes(x)
    channels = np.arange(shape[1])
    away = channels[None] - channels[:, None]
    band = (away >= -((size - 1) // 2)) & (away <= size - 1 - (size - 1) // 2)
    squares = mb.reshape(x=mb.mul(x=x, y=x), shape=[shape[0], shape[1], -1])
    sums = mb.matmul(x=band.astype(dtype_of(x)), y=squares)
    scaled = mb.mul(x=mb.reshape(x=sums, shape=shape), y=number(x, alpha / size))
    return mb.real_div(x=x, y=mb.pow(x=mb.add(x=scaled, y=number(x, bias)), y=number(x, beta)))


@lowers("LpNormalization")
def lp_normalization(x: Var, *, axis: int = -1, p: int = 2) -> Var:
    norm = mb.reduce_l1_norm if p == 1 else mb.reduce_l2_norm
    length = norm(x=x, axes=[axis], keep_dims=True)
    zero = mb.equal(x=length, y=number(x, 0))
    safe = mb.add(x=length, y=mb.cast(x=zero, dtype=_name(x)))
    return mb.real_div(x=x, y=safe)


def _name(x: Var) -> str:
    return "fp16" if dtype_of(x) == np.float16 else "fp32"

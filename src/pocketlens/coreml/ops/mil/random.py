"""Random numbers: the specification's distributions, but not the numbers that a device draws."""

from __future__ import annotations

import numpy as np

from pocketlens.coreml.graph import Array, Graph, Value
from pocketlens.coreml.ops.common import random as common
from pocketlens.coreml.ops.registry import mil
from pocketlens.errors import ModelFileError, UnsupportedParameter

NOTE = "same distribution as on a device, but different numbers"


def _number(value: Array | None, default: float) -> Array:
    """A scalar; its type is the type of the result."""
    number = np.asarray(default, np.float32) if value is None else value
    if number.size != 1 or number.dtype.kind != "f":
        raise ModelFileError(f"a parameter is {number!r}; expected a floating-point number")
    return number


def _pair(first: Array | None, second: Array | None, defaults: tuple[float, float]) -> list[Array]:
    """Two scalars of the same type; a default gets the type of the other."""
    pair = [_number(each, d) for each, d in zip((first, second), defaults, strict=True)]
    given = next((each.dtype for each in (first, second) if each is not None), np.float32)
    pair = [
        number.astype(given) if each is None else number
        for number, each in zip(pair, (first, second), strict=True)
    ]
    if pair[0].dtype != pair[1].dtype:
        raise ModelFileError(
            f"its parameters are {pair[0].dtype} and {pair[1].dtype}; expected the same type"
        )
    return pair


@mil(restrictions=NOTE)
def random_bernoulli(
    g: Graph,
    shape: Value,
    prob: Array | None = None,  # 0.5
    seed: int = -1,
) -> Value:
    p = _number(prob, 0.5)
    return common.bernoulli(g, shape, p.item(), seed, p.dtype)


@mil(restrictions=NOTE)
def random_categorical(
    g: Graph,
    x: Value,  # [*D, K]
    mode: str = "logits",
    size: int = 1,
    seed: int = -1,
) -> Value:
    if mode not in ("logits", "probs"):
        raise UnsupportedParameter(f"'mode' is {mode!r}; expected logits or probs")
    return common.categorical(g, x, size, seed, logits=mode == "logits")


@mil(restrictions=NOTE)
def random_normal(
    g: Graph,
    shape: Value,
    mean: Array | None = None,  # 0
    stddev: Array | None = None,  # 1
    seed: int = -1,
) -> Value:
    center, deviation = _pair(mean, stddev, (0, 1))
    return common.normal(g, shape, center.item(), deviation.item(), seed, center.dtype)


@mil(restrictions=NOTE)
def random_uniform(
    g: Graph,
    shape: Value,
    low: Array | None = None,  # 0
    high: Array | None = None,  # 1
    seed: int = -1,
) -> Value:
    least, limit = _pair(low, high, (0, 1))
    return common.uniform(g, shape, least.item(), limit.item(), seed, least.dtype)

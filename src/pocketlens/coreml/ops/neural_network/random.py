"""Random numbers: the specification's distributions, but not the numbers that a device draws."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pocketlens.coreml.graph import Graph, Ints, Value
from pocketlens.coreml.ops.common import random as common
from pocketlens.coreml.ops.registry import layer
from pocketlens.errors import ModelFileError, UnsupportedParameter

NOTE = "same distribution as on a device, but different numbers"
FLOAT = np.float32
MAX_SIZE = 2**31 - 1

# Takes a shape, returns numbers with that shape.
Draw = Callable[[Value], Value]


def _like(g: Graph, x: Value, draw: Draw) -> Value:
    fixed = x.shape is not None and None not in x.shape
    return draw(g.constant(x.sizes, np.int64) if fixed else g.Shape(x))


def _static(g: Graph, shape: Ints, draw: Draw) -> Value:
    if any(size > MAX_SIZE for size in shape):
        raise ModelFileError(f"outputShape is {list(shape)}; expected at most {MAX_SIZE} each")
    return draw(g.constant(shape, np.int64))


def _normal(g: Graph, mean: float, deviation: float, seed: int) -> Draw:
    return lambda shape: common.normal(g, shape, mean, deviation, seed, FLOAT)


def _uniform(g: Graph, low: float, high: float, seed: int) -> Draw:
    return lambda shape: common.uniform(g, shape, low, high, seed, FLOAT)


def _bernoulli(g: Graph, prob: float, seed: int) -> Draw:
    return lambda shape: common.bernoulli(g, shape, prob, seed, FLOAT)


@layer(restrictions=NOTE)
def randomNormalLike(
    g: Graph, x: Value, *, seed: int = 0, mean: float = 0.0, stdDev: float = 0.0
) -> Value:
    return _like(g, x, _normal(g, mean, stdDev, seed))


@layer(restrictions=NOTE)
def randomNormalStatic(
    g: Graph, *, seed: int = 0, mean: float = 0.0, stdDev: float = 0.0, outputShape: Ints
) -> Value:
    return _static(g, outputShape, _normal(g, mean, stdDev, seed))


@layer(restrictions=NOTE)
def randomNormalDynamic(
    g: Graph, shape: Value, *, seed: int = 0, mean: float = 0.0, stdDev: float = 0.0
) -> Value:
    return _normal(g, mean, stdDev, seed)(shape)


@layer(restrictions=NOTE)
def randomUniformLike(
    g: Graph, x: Value, *, seed: int = 0, minVal: float = 0.0, maxVal: float = 0.0
) -> Value:
    return _like(g, x, _uniform(g, minVal, maxVal, seed))


@layer(restrictions=NOTE)
def randomUniformStatic(
    g: Graph, *, seed: int = 0, minVal: float = 0.0, maxVal: float = 0.0, outputShape: Ints
) -> Value:
    return _static(g, outputShape, _uniform(g, minVal, maxVal, seed))


@layer(restrictions=NOTE)
def randomUniformDynamic(
    g: Graph, shape: Value, *, seed: int = 0, minVal: float = 0.0, maxVal: float = 0.0
) -> Value:
    return _uniform(g, minVal, maxVal, seed)(shape)


@layer(restrictions=NOTE)
def randomBernoulliLike(g: Graph, x: Value, *, seed: int = 0, prob: float = 0.0) -> Value:
    return _like(g, x, _bernoulli(g, prob, seed))


@layer(restrictions=NOTE)
def randomBernoulliStatic(
    g: Graph, *, seed: int = 0, prob: float = 0.0, outputShape: Ints
) -> Value:
    return _static(g, outputShape, _bernoulli(g, prob, seed))


@layer(restrictions=NOTE)
def randomBernoulliDynamic(g: Graph, shape: Value, *, seed: int = 0, prob: float = 0.0) -> Value:
    return _bernoulli(g, prob, seed)(shape)


@layer(restrictions=f"{NOTE}; eps: only the default, 1e-10, which has no measurable effect")
def categoricalDistribution(
    g: Graph,
    x: Value,  # [*D, K]
    *,
    seed: int = 0,
    numSamples: int,
    isLogits: bool = False,
    eps: float = 0.0,  # 0 or a missing field means 1e-10
    temperature: float = 0.0,  # 0 or a missing field means 1
) -> Value:
    if eps and not np.isclose(eps, 1e-10, rtol=1e-3, atol=0):
        raise UnsupportedParameter(
            f"eps is {eps:g}, and the specification does not define its effect; expected 1e-10"
        )
    return common.categorical(
        g, x, numSamples, seed, logits=isLogits, temperature=temperature or 1.0
    )

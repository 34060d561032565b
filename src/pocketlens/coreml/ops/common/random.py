"""Random numbers: the distribution is the specification's, the generator is ONNX Runtime's.

With a seed of 0 or more, a model produces the same sequence each time it is loaded; each run
continues the sequence. With a negative seed, the sequence differs in each process.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pocketlens.coreml.graph import Graph, Value
from pocketlens.coreml.ops.common.filling import bounded_fill
from pocketlens.errors import ModelFileError

__all__ = ["bernoulli", "categorical", "normal", "uniform"]

INT32 = 6  # ONNX's number of the type


def _attribute(seed: int) -> float | None:
    """ONNX's seed: a float32, in which 24 bits are exact.

    With a small seed, the first number of ONNX Runtime's generator is close to 0; the
    multiplication spreads the seeds.
    """
    if seed < 0:
        return None
    return float(((seed + 1) * 0x9E3779B1 % 2**32) >> 8)


def uniform(g: Graph, shape: Value, low: float, high: float, seed: int, dtype: Any) -> Value:
    """Uniform in [low, high); `low` if both are equal."""
    if not low <= high:
        raise ModelFileError(f"the range is {low:g} to {high:g}; expected low <= high")
    below = np.nextafter(np.asarray(high, dtype), np.asarray(low, dtype))
    unit = g.RandomUniformLike(
        bounded_fill(g, g.constant(0, np.float32), shape), seed=_attribute(seed)
    )
    spread = g.Add(g.Mul(unit, g.like(high - low, unit)), g.like(low, unit))
    # The sum may be rounded to `high`, especially in float16.
    return g.Min(g.cast(spread, dtype), g.constant(below, dtype))


def normal(g: Graph, shape: Value, mean: float, deviation: float, seed: int, dtype: Any) -> Value:
    """Normal with this mean and standard deviation."""
    if not deviation >= 0:
        raise ModelFileError(f"the standard deviation is {deviation:g}; expected 0 or more")
    unit = g.RandomNormalLike(
        bounded_fill(g, g.constant(0, np.float32), shape), seed=_attribute(seed)
    )
    return g.cast(g.Add(g.Mul(unit, g.like(deviation, unit)), g.like(mean, unit)), dtype)


def bernoulli(g: Graph, shape: Value, probability: float, seed: int, dtype: Any) -> Value:
    """1 with this probability, else 0."""
    if not 0 <= probability <= 1:
        raise ModelFileError(f"the probability is {probability:g}; expected 0 to 1")
    unit = g.RandomUniformLike(
        bounded_fill(g, g.constant(0, np.float32), shape), seed=_attribute(seed)
    )
    return g.cast(g.Less(unit, g.like(probability, unit)), dtype)


def categorical(
    g: Graph, x: Value, count: int, seed: int, *, logits: bool, temperature: float = 1.0
) -> Value:
    """Draw `count` indices per row, with the row's probabilities. x [*D, K] -> [*D, count].

    Args:
        g: The graph.
        x: Probabilities or logits.
        count: The number of samples, 1 or more.
        seed: See the module.
        logits: The rows are log-probabilities up to a constant, not probabilities.
        temperature: The log-probabilities are divided by it; more than 0.
    """
    if count < 1:
        raise ModelFileError(f"the number of samples is {count}; expected 1 or more")
    if not temperature > 0:
        raise ModelFileError(f"the temperature is {temperature:g}; expected more than 0")
    lead = x.sizes[:-1]
    rows = g.reshape(g.cast(x, np.float32), [-1, x.size(-1)])
    scores = rows if logits else g.Log(rows)
    if temperature != 1:
        scores = g.Div(scores, g.like(temperature, scores))
    drawn = g.Multinomial(scores, sample_size=count, seed=_attribute(seed), dtype=INT32)
    return g.cast(g.reshape(drawn, [*lead, count]), x.dtype)

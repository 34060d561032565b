"""Random numbers. Their distribution is the specification's; the stream itself is ONNX Runtime's.

With a seed of 0 or more, a model gives the same stream each time that it is loaded, and goes on
along it from run to run. With a negative one, the stream is another in each process.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pocketlens.coreml.graph import Graph, Value
from pocketlens.coreml.ops.common.filling import filled
from pocketlens.errors import ModelFileError

__all__ = ["bernoulli", "categorical", "normal", "uniform"]

INT32 = 6  # ONNX's number for it


def _attribute(seed: int) -> float | None:
    """ONNX's seed: a float32, of which 24 bits are exact.

    ONNX Runtime's generator starts close to 0 from a small seed; the product spreads seeds out.
    """
    if seed < 0:
        return None
    return float(((seed + 1) * 0x9E3779B1 % 2**32) >> 8)


def uniform(g: Graph, shape: Value, low: float, high: float, seed: int, dtype: Any) -> Value:
    """From `low` on, below `high`; `low` itself where the two are equal."""
    if not low <= high:
        raise ModelFileError(f"random numbers from {low:g} to {high:g}; expected them ascending")
    below = np.nextafter(np.asarray(high, dtype), np.asarray(low, dtype))
    unit = g.RandomUniformLike(filled(g, g.constant(0, np.float32), shape), seed=_attribute(seed))
    spread = g.Add(g.Mul(unit, g.like(high - low, unit)), g.like(low, unit))
    # The sum may be rounded to `high`, above all in float16.
    return g.Min(g.cast(spread, dtype), g.constant(below, dtype))


def normal(g: Graph, shape: Value, mean: float, deviation: float, seed: int, dtype: Any) -> Value:
    """Of this mean and standard deviation."""
    if not deviation >= 0:
        raise ModelFileError(f"the standard deviation is {deviation:g}; expected 0 or more")
    unit = g.RandomNormalLike(filled(g, g.constant(0, np.float32), shape), seed=_attribute(seed))
    return g.cast(g.Add(g.Mul(unit, g.like(deviation, unit)), g.like(mean, unit)), dtype)


def bernoulli(g: Graph, shape: Value, probability: float, seed: int, dtype: Any) -> Value:
    """1 with this probability, else 0."""
    if not 0 <= probability <= 1:
        raise ModelFileError(f"the probability is {probability:g}; expected 0 to 1")
    unit = g.RandomUniformLike(filled(g, g.constant(0, np.float32), shape), seed=_attribute(seed))
    return g.cast(g.Less(unit, g.like(probability, unit)), dtype)


def categorical(
    g: Graph, x: Value, count: int, seed: int, *, logits: bool, temperature: float = 1.0
) -> Value:
    """`count` indices for each row along the last dimension of x, as often as the row says.

    Args:
        logits: The rows hold log-probabilities up to a constant, not probabilities.
        temperature: What log-probabilities are divided by.
    """
    if count < 1:
        raise ModelFileError(f"{count} samples are to be drawn; expected 1 or more")
    if not temperature > 0:
        raise ModelFileError(f"the temperature is {temperature:g}; expected more than 0")
    lead = x.sizes[:-1]
    rows = g.reshape(g.cast(x, np.float32), [-1, x.size(-1)])
    scores = rows if logits else g.Log(rows)
    if temperature != 1:
        scores = g.Div(scores, g.like(temperature, scores))
    drawn = g.Multinomial(scores, sample_size=count, seed=_attribute(seed), dtype=INT32)
    return g.cast(g.reshape(drawn, [*lead, count]), x.dtype)

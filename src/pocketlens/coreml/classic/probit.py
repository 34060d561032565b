# ruff: noqa: N802, N803 (kinds and fields are named as the specification names them)
"""The Bayesian probit regressor: Gaussian weights of discrete features, added up."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from pocketlens.coreml.classic.links import probit
from pocketlens.coreml.classic.step import Features, Step, declared, predicted
from pocketlens.coreml.file.features import Interface
from pocketlens.coreml.graph import Message
from pocketlens.coreml.ops.registry import classic
from pocketlens.errors import FeatureError, ModelFileError, UnsupportedParameter


@classic(
    restrictions="the probability is the specification's Φ(mean / β) with β = 1: the file holds no "
    "β; the sampled probability, a random number, is refused; a feature value without a weight "
    "is an error"
)
def bayesianProbitRegressor(
    model: Interface,
    *,
    numberOfFeatures: int,
    bias: Message,
    features: tuple[Message, ...] = (),
    regressionInputFeatureName: str,
    optimismInputFeatureName: str = "",
    samplingScaleInputFeatureName: str = "",
    samplingTruncationInputFeatureName: str = "",
    meanOutputFeatureName: str = "",
    varianceOutputFeatureName: str = "",
    pessimisticProbabilityOutputFeatureName: str = "",
    sampledProbabilityOutputFeatureName: str = "",
) -> Step:
    output = predicted(model, "double")
    if any(f.name == sampledProbabilityOutputFeatureName for f in model.outputs):
        raise UnsupportedParameter(
            f"the output '{sampledProbabilityOutputFeatureName}' is a random number, whose "
            "generator only Apple's systems have"
        )
    taken = declared(model.inputs, regressionInputFeatureName, "regression input", "array")
    for name in (
        optimismInputFeatureName,
        samplingScaleInputFeatureName,
        samplingTruncationInputFeatureName,
    ):
        if name and any(feature.name == name for feature in model.inputs):
            declared(model.inputs, name, "optional input", "double")
    weights = _weights(features, numberOfFeatures)
    base = (bias.mean, _variance(bias.precision))
    names = {
        "probability": output.name,
        "mean": meanOutputFeatureName,
        "variance": varianceOutputFeatureName,
        "pessimistic": pessimisticProbabilityOutputFeatureName,
    }
    names = {what: name for what, name in names.items() if name}

    def run(given: Features) -> dict[str, object]:
        if taken.name not in given:
            raise FeatureError(f"the input '{taken.name}' is left out; this model needs it")
        mean, variance = base
        for feature, value in _pairs(np.asarray(given[taken.name]), numberOfFeatures):
            found = weights.get((feature, value))
            if found is None:
                raise FeatureError(
                    f"the input '{taken.name}' gives feature {feature} the value {value}, "
                    "for which the model has no weight"
                )
            mean, variance = mean + found[0], variance + found[1]
        optimism = given.get(optimismInputFeatureName, 0.0)
        shifted = mean + optimism * math.sqrt(variance)
        answers = {
            "probability": probit(np.array([mean])),
            "mean": mean,
            "variance": variance,
            "pessimistic": probit(np.array([shifted])),
        }
        return {name: answers[what] for what, name in names.items()}

    return Step(run, tuple(names.values()))


def _weights(
    features: tuple[Message, ...], count: int
) -> dict[tuple[int, int], tuple[float, float]]:
    """Mean and variance of the weight of each (feature, value)."""
    weights: dict[tuple[int, int], tuple[float, float]] = {}
    for feature in features:
        number = feature.featureId
        if number >= count:
            raise ModelFileError(f"it has weights for feature {number}; it has {count} features")
        for each in feature.weights:
            key = (number, each.featureValue)
            if key in weights:
                raise ModelFileError(f"feature {number} has two weights for the value {key[1]}")
            weight = each.featureWeight
            weights[key] = (weight.mean, _variance(weight.precision))
    return weights


def _variance(precision: float) -> float:
    if not (precision > 0 and math.isfinite(precision)):
        raise ModelFileError(f"a weight has the precision {precision}; expected one above 0")
    return 1 / precision


def _pairs(x: np.ndarray, count: int) -> Sequence[tuple[int, int]]:
    """(feature, value) of an input [features] or [any, 2]."""
    if not np.array_equal(x, x.astype(np.int64)):
        raise FeatureError("the regression input holds numbers that are not whole")
    if x.ndim == 2 and x.shape[1] == 2:
        return [(feature, value) for feature, value in x.astype(np.int64).tolist()]
    if x.ndim == 1 and x.size == count:
        return list(enumerate(x.astype(np.int64).tolist()))
    raise FeatureError(
        f"the regression input has the shape {' × '.join(map(str, x.shape))}; "
        f"expected {count} values, or rows of a feature and its value"
    )

"""The Bayesian probit regressor: the sum of Gaussian weights of discrete features."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from pocketlens.coreml.classic.links import probit
from pocketlens.coreml.classic.step import (
    Features,
    Step,
    as_optional,
    find_feature,
    predicted_output,
)
from pocketlens.coreml.file.features import Interface
from pocketlens.coreml.graph import Message
from pocketlens.coreml.ops.registry import classic
from pocketlens.errors import FeatureError, ModelFileError, UnsupportedParameter


@classic(restrictions="without the output for the sampled probability, a random number")
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
    output = predicted_output(model, "double")
    if any(f.name == sampledProbabilityOutputFeatureName for f in model.outputs):
        raise UnsupportedParameter(
            f"the output '{sampledProbabilityOutputFeatureName}' is a random number; only Apple's "
            "systems have its generator"
        )
    source = find_feature(model.inputs, regressionInputFeatureName, "regression input", "array")
    optional = [
        find_feature(model.inputs, name, "optional input", "double")
        for name in (
            optimismInputFeatureName,
            samplingScaleInputFeatureName,
            samplingTruncationInputFeatureName,
        )
        if name and any(feature.name == name for feature in model.inputs)
    ]
    weights = _weights(features, numberOfFeatures)
    base = (bias.mean, _variance(bias.precision))
    names = {
        "probability": output.name,
        "mean": meanOutputFeatureName,
        "variance": varianceOutputFeatureName,
        "pessimistic": pessimisticProbabilityOutputFeatureName,
    }
    names = {what: name for what, name in names.items() if name}

    def run(inputs: Features) -> dict[str, object]:
        if source.name not in inputs:
            raise FeatureError(f"the input '{source.name}' is missing; this model needs it")
        mean, variance = base
        for feature, value in _pairs(np.asarray(inputs[source.name]), numberOfFeatures):
            found = weights.get((feature, value))
            if found is None:
                raise FeatureError(
                    f"the input '{source.name}' has the value {value} for feature {feature}; "
                    "the model has no weight for it"
                )
            mean, variance = mean + found[0], variance + found[1]
        optimism = inputs.get(optimismInputFeatureName, 0.0)
        shifted = mean + optimism * math.sqrt(variance)
        results = {
            "probability": probit(np.array([mean])),
            "mean": mean,
            "variance": variance,
            "pessimistic": probit(np.array([shifted])),
        }
        return {name: results[what] for what, name in names.items()}

    return Step(run, tuple(names.values()), optional_inputs=as_optional(optional))


def _weights(
    features: tuple[Message, ...], count: int
) -> dict[tuple[int, int], tuple[float, float]]:
    """The mean and variance of the weight of each (feature, value)."""
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
        raise ModelFileError(f"a weight has the precision {precision}; expected more than 0")
    return 1 / precision


def _pairs(x: np.ndarray, count: int) -> Sequence[tuple[int, int]]:
    """The pairs (feature, value) of an input of shape [features] or [any, 2]."""
    if not np.array_equal(x, x.astype(np.int64)):
        raise FeatureError("the regression input has fractions; expected integers")
    if x.ndim == 2 and x.shape[1] == 2:
        return [(feature, value) for feature, value in x.astype(np.int64).tolist()]
    if x.ndim == 1 and x.size == count:
        return list(enumerate(x.astype(np.int64).tolist()))
    raise FeatureError(
        f"the regression input has the shape {' × '.join(map(str, x.shape))}; "
        f"expected {count} values, or rows of a feature and its value"
    )

"""The Bayesian probit regressor: sums of means and variances."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from pocketlens.coreml import CoreMLModel
from pocketlens.errors import FeatureError, ModelFileError, UnsupportedParameter

Open = Callable[[Any], CoreMLModel]

# (mean, precision) of the bias and of each (feature, value).
BIAS = (0.25, 4.0)
WEIGHTS = {(0, 3): (0.5, 2.0), (0, 7): (-1.0, 1.0), (1, 0): (0.75, 8.0), (1, 1): (2.0, 0.5)}


def phi(x: float) -> float:
    return (1 + math.erf(x / math.sqrt(2))) / 2


def probit(spec_of: Callable[..., Any], shape: Any, *outputs: str, optimism: bool = False) -> Any:
    inputs = {"x": ("int32", *shape)} | ({"o": "double?"} if optimism else {})
    spec = spec_of("bayesianProbitRegressor", inputs, dict.fromkeys(("p", *outputs), "double"), "p")
    message = spec.bayesianProbitRegressor
    message.numberOfFeatures = 2
    message.bias.mean, message.bias.precision = BIAS
    for feature in (0, 1):
        made = message.features.add(featureId=feature)
        for (number, value), (mean, precision) in WEIGHTS.items():
            if number == feature:
                weight = made.weights.add(featureValue=value).featureWeight
                weight.mean, weight.precision = mean, precision
    message.regressionInputFeatureName = "x"
    message.optimismInputFeatureName = "o"
    message.meanOutputFeatureName = "mean"
    message.varianceOutputFeatureName = "variance"
    message.pessimisticProbabilityOutputFeatureName = "shifted"
    message.sampledProbabilityOutputFeatureName = "sampled"
    return spec


def test_the_optimism_is_optional_even_if_declared_as_required(
    spec_of: Callable[..., Any], open_spec: Open
) -> None:
    spec = probit(spec_of, (2,), "shifted", optimism=True)
    spec.description.input[1].type.isOptional = False
    model = open_spec(spec)
    assert model.run({"x": [7, 1]}) == model.run({"x": [7, 1], "o": None})
    assert model.run({"x": [7, 1]}) == model.run({"x": [7, 1], "o": 0.0})


@pytest.mark.parametrize(("shape", "x"), [((2,), [7, 1]), ((2, 2), [[1, 1], [0, 7]])])
def test_sums(shape: Any, x: Any, spec_of: Callable[..., Any], open_spec: Open) -> None:
    spec = probit(spec_of, shape, "mean", "variance", "shifted", optimism=True)
    model = open_spec(spec)
    mean = 0.25 - 1.0 + 2.0
    variance = 1 / 4 + 1 / 1 + 1 / 0.5
    expected = {"p": phi(mean), "mean": mean, "variance": variance, "shifted": phi(mean)}
    assert model.run({"x": x}) == pytest.approx(expected, rel=1e-14)
    expected["shifted"] = phi(mean - 0.5 * math.sqrt(variance))
    assert model.run({"x": x, "o": -0.5}) == pytest.approx(expected, rel=1e-14)


def test_value_without_a_weight(spec_of: Callable[..., Any], open_spec: Open) -> None:
    model = open_spec(probit(spec_of, (2,)))
    with pytest.raises(FeatureError, match="has the value 5 for feature 1; the model has no weig"):
        model.run({"x": [3, 5]})


def test_shape(spec_of: Callable[..., Any], open_spec: Open) -> None:
    model = open_spec(probit(spec_of, (3,)))
    with pytest.raises(FeatureError, match="has the shape 3; expected 2 values, or rows of"):
        model.run({"x": [3, 5, 1]})


def test_random_output(spec_of: Callable[..., Any], open_spec: Open) -> None:
    with pytest.raises(UnsupportedParameter, match="the output 'sampled' is a random number"):
        open_spec(probit(spec_of, (2,), "sampled"))


@pytest.mark.parametrize(
    ("damage", "error"),
    [
        ("precision", "a weight has the precision 0.0; expected more than 0"),
        ("feature", "it has weights for feature 1; it has 1 features"),
        ("twice", "feature 0 has two weights for the value 3"),
        ("input", "its regression input should be 'z'; the description has: x"),
    ],
)
def test_invalid_files(
    damage: str, error: str, spec_of: Callable[..., Any], open_spec: Open
) -> None:
    spec = probit(spec_of, (2,))
    message = spec.bayesianProbitRegressor
    match damage:
        case "precision":
            message.features[0].weights[0].featureWeight.precision = 0
        case "feature":
            message.numberOfFeatures = 1
        case "twice":
            message.features[0].weights.add().CopyFrom(message.features[0].weights[0])
        case "input":
            message.regressionInputFeatureName = "z"
    with pytest.raises(ModelFileError) as caught:
        open_spec(spec)
    assert error in str(caught.value)

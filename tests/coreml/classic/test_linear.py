"""Generalized linear models, compared with their formulas."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pocketlens.coreml import CoreMLModel
from pocketlens.errors import ModelFileError

WEIGHTS = [[0.5, -1.0, 2.0], [1.5, 0.25, -0.75], [-0.5, 0.5, 0.5]]
OFFSET = [0.1, -0.2, 0.3]
X = np.array([1.0, 2.0, -0.5])
Z = np.array(WEIGHTS) @ X + OFFSET

Open = Callable[[Any], CoreMLModel]


def sigma(z: Any) -> Any:
    return 1 / (1 + np.exp(-z))


def phi(z: float) -> float:
    return (1 + math.erf(z / math.sqrt(2))) / 2


def fill(message: Any, rows: int) -> None:
    for weights, offset in zip(WEIGHTS[:rows], OFFSET[:rows], strict=True):
        message.weights.add().value.extend(weights)
        message.offset.append(offset)


@pytest.mark.parametrize(
    ("transform", "link"), [(0, lambda z: z), (1, sigma), (2, np.vectorize(phi))]
)
def test_regressor(transform: int, link: Any, spec_of: Callable[..., Any], open_spec: Open) -> None:
    spec = spec_of("glmRegressor", {"a": "double", "b": (2,)}, {"y": "double"}, "y")
    fill(spec.glmRegressor, 1)
    spec.glmRegressor.postEvaluationTransform = transform
    model = open_spec(spec)
    assert model.run({"a": X[0], "b": X[1:]})["y"] == pytest.approx(float(link(Z[0])), rel=1e-14)
    assert type(model.run({"a": 1, "b": [2, -0.5]})["y"]) is float


def test_regressor_of_several_numbers(spec_of: Callable[..., Any], open_spec: Open) -> None:
    spec = spec_of("glmRegressor", {"x": (3,)}, {"y": (3,)}, "y")
    fill(spec.glmRegressor, 3)
    np.testing.assert_allclose(open_spec(spec).run({"x": X})["y"], Z, rtol=1e-14)


# (class encoding, link, classes, probabilities). Encoding 0 has a reference class, 1 is one versus
# rest; two classes have one row of weights in both.
ENCODINGS = [
    (0, 0, 2, [1 - sigma(Z[0]), sigma(Z[0])]),
    (1, 0, 2, [1 - sigma(Z[0]), sigma(Z[0])]),
    (0, 1, 2, [1 - phi(Z[0]), phi(Z[0])]),
    (1, 1, 2, [1 - phi(Z[0]), phi(Z[0])]),
    (0, 0, 4, np.exp([0, *Z]) / np.exp([0, *Z]).sum()),
    (1, 0, 3, sigma(Z) / sigma(Z).sum()),
]


@pytest.mark.parametrize(("encoding", "link", "classes", "expected"), ENCODINGS)
@pytest.mark.parametrize("numbered", [True, False])
def test_classifier(
    encoding: int,
    link: int,
    classes: int,
    expected: Any,
    numbered: bool,
    spec_of: Callable[..., Any],
    open_spec: Open,
) -> None:
    key = "int64" if numbered else "string"
    labels = [10, -20, 30, 40][:classes] if numbered else list("wxyz"[:classes])
    outputs = {"c": key, "p": f"dictionary {key}"}
    spec = spec_of("glmClassifier", {"x": (3,)}, outputs, "c", "p")
    message = spec.glmClassifier
    fill(message, {2: 1, 3: 3, 4: 3}[classes])
    message.classEncoding, message.postEvaluationTransform = encoding, link
    getattr(message, f"{key}ClassLabels").vector.extend(labels)
    answer = open_spec(spec).run({"x": X})
    assert list(answer["p"]) == labels
    np.testing.assert_allclose(list(answer["p"].values()), expected, rtol=1e-12)
    assert answer["c"] == labels[int(np.argmax(expected))]


def test_probabilities_too_small_for_a_double(spec_of: Callable[..., Any], open_spec: Open) -> None:
    """All three are e^-800 or less, but divided by their sum they are not small."""
    outputs = {"c": "string", "p": "dictionary string"}
    spec = spec_of("glmClassifier", {"x": "double"}, outputs, "c", "p")
    message = spec.glmClassifier
    for offset in (-800.0, -800.0 + math.log(3), -900.0):
        message.weights.add().value.append(1.0)
        message.offset.append(offset)
    message.classEncoding = 1
    message.stringClassLabels.vector.extend("abc")
    answer = open_spec(spec).run({"x": 0})
    assert answer["c"] == "b"
    np.testing.assert_allclose(list(answer["p"].values()), [0.25, 0.75, 0], atol=1e-12)


def test_without_probabilities(spec_of: Callable[..., Any], open_spec: Open) -> None:
    spec = spec_of("glmClassifier", {"x": (3,)}, {"c": "string"}, "c")
    fill(spec.glmClassifier, 1)
    spec.glmClassifier.stringClassLabels.vector.extend(["no", "yes"])
    assert open_spec(spec).run({"x": X}) == {"c": "no"}
    assert open_spec(spec).run({"x": -X}) == {"c": "yes"}


@pytest.mark.parametrize(
    ("damage", "error"),
    [
        ("rows", "it has 3 rows of weights for 3 classes (ReferenceClass); expected 2"),
        ("offsets", "it has 3 rows of weights and 4 offsets"),
        ("ragged", "its rows of weights are empty or of different lengths"),
        ("width", "its inputs have 3 numbers; the model needs 4"),
        ("probit", "it has 3 classes; Probit needs 2"),
        ("labels", "it has no class labels; a classifier needs them"),
        ("twice", "a class is listed twice"),
        ("weights", "it has no 'weights', which this model needs"),
        ("link", "postEvaluationTransform is number 7; expected a known one"),
        ("label", "its prediction 'c' is declared as double; expected string"),
        ("keys", "the output 'p' has int64 keys; its classes are string"),
        ("name", "its prediction should be 'q'; the description has: c, p"),
    ],
)
def test_invalid_files(
    damage: str, error: str, spec_of: Callable[..., Any], open_spec: Open
) -> None:
    outputs = {
        "c": "double" if damage == "label" else "string",
        "p": "dictionary int64" if damage == "keys" else "dictionary string",
    }
    label = "q" if damage == "name" else "c"
    spec = spec_of("glmClassifier", {"x": (3,)}, outputs, label, "p")
    message = spec.glmClassifier
    fill(message, 0 if damage == "weights" else 3)
    message.classEncoding = 0 if damage == "rows" else 1
    if damage != "labels":
        message.stringClassLabels.vector.extend("aab" if damage == "twice" else "abc")
    if damage == "offsets":
        message.offset.append(1.0)
    if damage == "ragged":
        message.weights[1].value.append(1.0)
    if damage == "width":
        for row in message.weights:
            row.value.append(1.0)
    if damage in ("probit", "link"):
        message.postEvaluationTransform = 1 if damage == "probit" else 7
    with pytest.raises(ModelFileError) as caught:
        open_spec(spec)
    assert f"the model (glmClassifier): {error}" in str(caught.value)

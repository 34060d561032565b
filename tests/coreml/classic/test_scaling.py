"""Scaling models: one row per case, expected values from the specification."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pocketlens.coreml import CoreMLModel
from pocketlens.errors import FeatureError, ModelFileError

Make = Callable[..., CoreMLModel]


# (kind, fields, input's type, output's type, value of the input (None: omitted), expected)
ROWS: list[tuple[str, dict[str, Any], Any, Any, Any, Any]] = [
    # f(x) = scale · (x + shift); one number is used for a whole array; int64 in, double out
    ("scaler", {"shiftValue": [1.0], "scaleValue": [2.0]}, "double", "double", 3.5, 9.0),
    ("scaler", {"shiftValue": [1.0], "scaleValue": [2.0]}, (3,), (3,), [0, 1, -1], [2.0, 4, 0]),
    ("scaler", {"shiftValue": [1.0, 2.0], "scaleValue": [2.0, 0.5]}, (2,), (2,), [1, 2], [4.0, 2]),
    ("scaler", {"scaleValue": [-1.0, 3.0]}, (2,), (2,), [1, 2], [-1.0, 6]),
    ("scaler", {"shiftValue": [0.5]}, "int64", "double", 3, 3.5),
    ("scaler", {"scaleValue": [4.0]}, "int64", "int64", 3, 12),
    ("scaler", {}, "double", "double", 3.25, 3.25),
    # x divided by its largest value, by the sum of its absolute values, by its Euclidean norm
    ("normalizer", {"normType": 0}, (3,), (3,), [1, -8, 4], [0.25, -2.0, 1]),
    ("normalizer", {"normType": 1}, (3,), (3,), [1, -3, 4], [0.125, -0.375, 0.5]),
    ("normalizer", {"normType": 2}, (2,), (2,), [3, -4], [0.6, -0.8]),
    ("normalizer", {"normType": 2}, (2,), (2,), [0, 0], [0.0, 0]),
    # the value at an index, counted from 0
    ("arrayFeatureExtractor", {"extractIndex": [2]}, (4,), "double", [1, 2, 3, 4], 3.0),
    ("arrayFeatureExtractor", {"extractIndex": [0]}, ("int32", 4), "int64", [7, 2, 3, 4], 7),
    ("arrayFeatureExtractor", {"extractIndex": [3, 0, 3]}, (4,), (3,), [1, 2, 3, 4], [4.0, 1, 4]),
    # the confidences, and 1 for each class
    (
        "classConfidenceThresholding",
        {},
        (3,),
        (2, 3),
        [0.1, 0.7, 0.2],
        [[0.1, 0.7, 0.2], [1, 1, 1]],
    ),
    ("identity", {}, "string", "string", "the same", "the same"),
    ("identity", {}, "sequence int64", "sequence int64", [3, 1], [3, 1]),
    ("identity", {}, "int64", "int64", 2**60 + 1, 2**60 + 1),
]


@pytest.mark.parametrize(
    ("kind", "fields", "source", "output", "value", "expected"),
    ROWS,
    ids=[f"{row[0]}-{number}" for number, row in enumerate(ROWS)],
)
def test_result(
    kind: str,
    fields: dict[str, Any],
    source: Any,
    output: Any,
    value: Any,
    expected: Any,
    feature_model: Make,
    check_result: Callable[..., None],
) -> None:
    check_result(feature_model(kind, fields, source, output), value, output, expected)


def test_identity_of_several(feature_model: Make, spec_of: Any) -> None:
    with pytest.raises(ModelFileError, match="is no input of type int64 for its output 'y'"):
        feature_model("identity", {}, {"a": "int64", "b": "double"}, "int64")


@pytest.mark.parametrize(
    ("kind", "fields", "source", "output", "value", "error"),
    [
        (
            "scaler",
            {"scaleValue": [0.5]},
            "int64",
            "int64",
            3,
            "is an integer (int64); the model computes 1.5",
        ),
        ("scaler", {}, "double?", "double", None, "'x' (double) is missing; this model needs it"),
        ("identity", {}, "double?", "double", None, "'x' is missing; this model needs it"),
    ],
)
def test_invalid_inputs(
    kind: str,
    fields: dict[str, Any],
    source: Any,
    output: Any,
    value: Any,
    error: str,
    feature_model: Make,
) -> None:
    model = feature_model(kind, fields, source, output)
    with pytest.raises(FeatureError) as caught:
        model.run({} if value is None else {"x": value})
    assert error in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "fields", "source", "output", "error"),
    [
        (
            "scaler",
            {"scaleValue": [1.0, 2.0]},
            (3,),
            (3,),
            "2 numbers in scaleValue; expected 0, 1",
        ),
        (
            "scaler",
            {},
            "string",
            "double",
            "its input 'x' is declared as string; expected int64 or",
        ),
        ("normalizer", {"normType": 9}, (2,), (2,), "normType is number 9; expected a known one"),
        ("normalizer", {}, {"a": (2,), "b": (2,)}, (2,), "it has 2 inputs (a, b); expected one"),
        (
            "arrayFeatureExtractor",
            {"extractIndex": [4]},
            (4,),
            "double",
            "it extracts number 4, cou",
        ),
        (
            "arrayFeatureExtractor",
            {"extractIndex": [2**63]},
            (4,),
            "double",
            "it extracts number 9",
        ),
        (
            "arrayFeatureExtractor",
            {"extractIndex": [1, 2]},
            (4,),
            "double",
            "it extracts 2 numbers",
        ),
        ("arrayFeatureExtractor", {}, (4,), "double", "it has no 'extractIndex', which this model"),
    ],
)
def test_invalid_files(
    kind: str,
    fields: dict[str, Any],
    source: Any,
    output: Any,
    error: str,
    feature_model: Make,
) -> None:
    with pytest.raises(ModelFileError) as caught:
        feature_model(kind, fields, source, output)
    assert f"the model ({kind}): " in str(caught.value)
    assert error in str(caught.value)

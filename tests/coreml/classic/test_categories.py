"""Category models: one row per case, expected values from the specification."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pocketlens.coreml import CoreMLModel
from pocketlens.errors import FeatureError, ModelFileError

Open = Callable[[Any], CoreMLModel]
NAN = math.nan
Make = Callable[..., CoreMLModel]


# (kind, fields, input's type, output's type, value of the input (None: omitted), expected)
ROWS: list[tuple[str, dict[str, Any], Any, Any, Any, Any]] = [
    # 1 at the index of the category
    ("oneHotEncoder", {"stringCategories": ["a", "b", "c"]}, "string", (3,), "b", [0.0, 1, 0]),
    ("oneHotEncoder", {"int64Categories": [7, -2]}, "int64", (2,), -2, [0.0, 1]),
    (
        "oneHotEncoder",
        {"int64Categories": [7, -2], "outputSparse": True},
        "int64",
        "dictionary int64",
        -2,
        {1: 1.0},
    ),
    (
        "oneHotEncoder",
        {"stringCategories": ["a", "b"], "handleUnknown": 1},
        "string",
        (2,),
        "z",
        [0.0, 0],
    ),
    (
        "oneHotEncoder",
        {"stringCategories": ["a"], "handleUnknown": 1, "outputSparse": True},
        "string",
        "dictionary int64",
        "z",
        {},
    ),
    # the specification's own example; then unknown keys, as in coremltools' tests
    (
        "dictVectorizer",
        {"stringToIndex": ["a", "c", "b", "z"]},
        "dictionary string",
        (4,),
        {"a": 4, "c": 8},
        [4.0, 8, 0, 0],
    ),
    (
        "dictVectorizer",
        {"stringToIndex": ["camelot", "spamalot"]},
        "dictionary string",
        (2,),
        {"nothing": 21},
        [0.0, 0],
    ),
    (
        "dictVectorizer",
        {"int64ToIndex": [30, 10]},
        "dictionary int64",
        "dictionary int64",
        {10: 2.5},
        {1: 2.5},
    ),
    # string keys are declared: coremltools' converter does so for a DictVectorizer of integers
    (
        "dictVectorizer",
        {"int64ToIndex": [30, 10]},
        "dictionary string",
        "dictionary int64",
        {10: 2.5, 7: 1},
        {1: 2.5},
    ),
    # a map from strings or from numbers, for one value or for a sequence
    ("categoricalMapping", {"stringToInt64Map": {"a": 5}}, "string", "int64", "a", 5),
    ("categoricalMapping", {"int64ToStringMap": {3: "c"}}, "int64", "string", 3, "c"),
    (
        "categoricalMapping",
        {"stringToInt64Map": {"a": 5}, "int64Value": 0},
        "string",
        "int64",
        "b",
        0,
    ),
    (
        "categoricalMapping",
        {"int64ToStringMap": {3: "c"}, "strValue": ""},
        "int64",
        "string",
        4,
        "",
    ),
    (
        "categoricalMapping",
        {"int64ToStringMap": {3: "c", 4: "d"}, "strValue": "?"},
        "sequence int64",
        "sequence string",
        [4, 9, 3],
        ["d", "?", "c"],
    ),
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


def test_vectorizer(feature_model: Make) -> None:
    """Columns are in the order of the list; a dictionary sets single entries of its column."""
    columns = [("c", 4), ("a", 1), ("b", 2), ("a", 1), ("d", 1)]
    features = {"a": "double", "b": (2,), "c": "dictionary int64", "d": "int64?"}
    model = feature_model("featureVectorizer", {"inputList": columns}, features, (9,))
    inputs = {"a": 5, "b": [6, 7], "c": {3: 2.5, 0: -1}, "d": 4}
    np.testing.assert_array_equal(model.run(inputs)["y"], [-1, 0, 0, 2.5, 5, 6, 7, 5, 4])
    del inputs["d"]
    np.testing.assert_array_equal(model.run(inputs)["y"], [-1, 0, 0, 2.5, 5, 6, 7, 5, NAN])
    inputs["c"] = {4: 1}
    with pytest.raises(FeatureError, match="a dictionary has the key 4; expected 0 to 3"):
        model.run(inputs)


def test_the_builders_of_coremltools(open_spec: Open) -> None:
    from coremltools.models import datatypes
    from coremltools.models.array_feature_extractor import create_array_feature_extractor
    from coremltools.models.feature_vectorizer import create_feature_vectorizer

    features = [("a", datatypes.Array(2)), ("b", datatypes.Int64()), ("c", datatypes.Double())]
    spec, dimensions = create_feature_vectorizer(features, "out")
    assert dimensions == 4
    answer = open_spec(spec).run({"a": [1, 2], "b": 3, "c": 4.5})["out"]
    np.testing.assert_array_equal(answer, [1, 2, 3, 4.5])
    spec = create_array_feature_extractor([("x", datatypes.Array(3))], "y", 1)
    assert open_spec(spec).run({"x": [3, 4, 5]}) == {"y": 4.0}


@pytest.mark.parametrize(
    ("kind", "fields", "source", "output", "value", "error"),
    [
        (
            "oneHotEncoder",
            {"stringCategories": ["a"]},
            "string",
            (1,),
            "b",
            "'x' is 'b', which the model does not know; it has no default for unknown values",
        ),
        ("categoricalMapping", {"stringToInt64Map": {}}, "string", "int64", "b", "'x' is 'b', whi"),
        (
            "dictVectorizer",
            {"stringToIndex": ["a"]},
            "dictionary string?",
            (1,),
            None,
            "the input 'x' (dictionary) is missing; this model needs it",
        ),
        (
            "dictVectorizer",
            {"stringToIndex": ["a"]},
            "dictionary string",
            (1,),
            {1: 2},
            "the input 'x' has the key 1; the model's keys are strings",
        ),
        (
            "dictVectorizer",
            {"int64ToIndex": [1]},
            "dictionary string",
            (1,),
            {"1": 2},
            "the input 'x' has the key '1'; the model's keys are integers",
        ),
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
            "oneHotEncoder",
            {"stringCategories": ["a", "a"]},
            "string",
            (2,),
            "its categories are not unique",
        ),
        ("oneHotEncoder", {}, "int64", (2,), "its categories are missing"),
        (
            "oneHotEncoder",
            {"int64Categories": [1]},
            "string",
            (1,),
            "is declared as string; expecte",
        ),
        (
            "dictVectorizer",
            {"stringToIndex": ["a"]},
            "dictionary int64",
            (1,),
            "its input has int64 keys; the model's keys are string",
        ),
        (
            "categoricalMapping",
            {},
            "string",
            "int64",
            "it has no mapping, neither from strings nor",
        ),
        (
            "categoricalMapping",
            {"stringToInt64Map": {"a": 1}, "strValue": "x"},
            "string",
            "int64",
            "its default for unknown values does not have the type that it maps to",
        ),
        (
            "featureVectorizer",
            {"inputList": [("x", 2**40)]},
            (2,),
            (2,),
            "(array) has 1099511627776 dimensions; expected 1 to 16777216",
        ),
        (
            "featureVectorizer",
            {"inputList": [("x", 2)]},
            (2,),
            (3,),
            "its columns have 2 numbers together; its output is declared as 3",
        ),
        ("featureVectorizer", {"inputList": [("z", 2)]}, (2,), (2,), "its column should be 'z'"),
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

"""Feature engineering: one row a case, with what Core ML's specification says comes out."""

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


def set_fields(message: Any, fields: dict[str, Any]) -> None:
    """A list goes into a repeated field or a vector's message, a dictionary into a map's."""
    for name, value in fields.items():
        field = getattr(message, name)
        if isinstance(value, dict):
            field.SetInParent()
            field.map.update(value)
        elif isinstance(value, list) and hasattr(field, "vector"):
            field.SetInParent()
            field.vector.extend(value)
        elif isinstance(value, list) and name == "inputList":
            for column, size in value:
                field.add(inputColumn=column, inputDimensions=size)
        elif isinstance(value, list):
            field.extend(value)
        else:
            setattr(message, name, value)


@pytest.fixture
def feature_model(spec_of: Callable[..., Any], open_spec: Open) -> Callable[..., CoreMLModel]:
    def make(kind: str, fields: dict[str, Any], taken: Any, output: Any) -> CoreMLModel:
        inputs = taken if isinstance(taken, dict) else {"x": taken}
        spec = spec_of(kind, inputs, {"y": output})
        set_fields(getattr(spec, kind), fields)
        return open_spec(spec)

    return make


# (kind, fields, input's type, output's type, given, expected)
ROWS: list[tuple[str, dict[str, Any], Any, Any, Any, Any]] = [
    # f(x) = scale · (x + shift); one number serves a whole array; int64 in, double out
    ("scaler", {"shiftValue": [1.0], "scaleValue": [2.0]}, "double", "double", 3.5, 9.0),
    ("scaler", {"shiftValue": [1.0], "scaleValue": [2.0]}, (3,), (3,), [0, 1, -1], [2.0, 4, 0]),
    ("scaler", {"shiftValue": [1.0, 2.0], "scaleValue": [2.0, 0.5]}, (2,), (2,), [1, 2], [4.0, 2]),
    ("scaler", {"scaleValue": [-1.0, 3.0]}, (2,), (2,), [1, 2], [-1.0, 6]),
    ("scaler", {"shiftValue": [0.5]}, "int64", "double", 3, 3.5),
    ("scaler", {"scaleValue": [4.0]}, "int64", "int64", 3, 12),
    ("scaler", {}, "double", "double", 3.25, 3.25),
    # x over its greatest value, the sum of its absolute values, its length
    ("normalizer", {"normType": 0}, (3,), (3,), [1, -8, 4], [0.25, -2.0, 1]),
    ("normalizer", {"normType": 1}, (3,), (3,), [1, -3, 4], [0.125, -0.375, 0.5]),
    ("normalizer", {"normType": 2}, (2,), (2,), [3, -4], [0.6, -0.8]),
    ("normalizer", {"normType": 2}, (2,), (2,), [0, 0], [0.0, 0]),
    # the value at an index, counted from 0
    ("arrayFeatureExtractor", {"extractIndex": [2]}, (4,), "double", [1, 2, 3, 4], 3.0),
    ("arrayFeatureExtractor", {"extractIndex": [0]}, ("int32", 4), "int64", [7, 2, 3, 4], 7),
    ("arrayFeatureExtractor", {"extractIndex": [3, 0, 3]}, (4,), (3,), [1, 2, 3, 4], [4.0, 1, 4]),
    # one entry of one
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
    # the specification's own example; then keys that are unknown, as coremltools' tests want it
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
    # declared as coremltools' converter declares a DictVectorizer that has learned whole numbers
    (
        "dictVectorizer",
        {"int64ToIndex": [30, 10]},
        "dictionary string",
        "dictionary int64",
        {10: 2.5, 7: 1},
        {1: 2.5},
    ),
    # a map either way, of one or of a sequence
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
    # what is missing
    ("imputer", {"imputedDoubleValue": 2.5}, "double?", "double", None, 2.5),
    ("imputer", {"imputedDoubleValue": 2.5}, "double?", "double", NAN, 2.5),
    ("imputer", {"imputedDoubleValue": 2.5}, "double?", "double", 1.0, 1.0),
    (
        "imputer",
        {"imputedDoubleValue": 2.5, "replaceDoubleValue": 0.0},
        "double",
        "double",
        0.0,
        2.5,
    ),
    (
        "imputer",
        {"imputedDoubleValue": 2.5, "replaceDoubleValue": NAN},
        (3,),
        (3,),
        [1, NAN, 0],
        [1.0, 2.5, 0],
    ),
    (
        "imputer",
        {"imputedDoubleArray": [7.0, 8.0, 9.0], "replaceDoubleValue": -999.0},
        (3,),
        (3,),
        [-999, 1, -999],
        [7.0, 1, 9],
    ),
    ("imputer", {"imputedDoubleArray": [7.0, 8.0]}, ("float64?", 2), (2,), None, [7.0, 8]),
    (
        "imputer",
        {"imputedInt64Array": [7, 8], "replaceInt64Value": 0},
        ("int32", 2),
        ("int32", 2),
        [0, 3],
        [7, 3],
    ),
    ("imputer", {"imputedInt64Value": 2**53 + 1}, "int64?", "int64", None, 2**53 + 1),
    (
        "imputer",
        {"imputedInt64Value": 4, "replaceInt64Value": -1},
        "int64",
        "int64",
        -1,
        4,
    ),
    (
        "imputer",
        {"imputedStringValue": "none", "replaceStringValue": ""},
        "string",
        "string",
        "",
        "none",
    ),
    ("imputer", {"imputedStringValue": "none"}, "string?", "string", "", ""),
    ("imputer", {"imputedStringValue": "none"}, "string?", "string", None, "none"),
    (
        "imputer",
        {"imputedStringDictionary": {"a": 1.0}},
        "dictionary string?",
        "dictionary string",
        None,
        {"a": 1.0},
    ),
    (
        "imputer",
        {"imputedInt64Dictionary": {3: 1.0}},
        "dictionary int64?",
        "dictionary int64",
        {4: 2},
        {4: 2.0},
    ),
    # the confidences, and 1 for each class
    (
        "classConfidenceThresholding",
        {},
        (3,),
        (2, 3),
        [0.1, 0.7, 0.2],
        [[0.1, 0.7, 0.2], [1, 1, 1]],
    ),
    ("identity", {}, "string", "string", "as it is", "as it is"),
    ("identity", {}, "sequence int64", "sequence int64", [3, 1], [3, 1]),
    ("identity", {}, "int64", "int64", 2**60 + 1, 2**60 + 1),
]


@pytest.mark.parametrize(
    ("kind", "fields", "taken", "output", "given", "expected"),
    ROWS,
    ids=[f"{row[0]}-{number}" for number, row in enumerate(ROWS)],
)
def test_answer(
    kind: str,
    fields: dict[str, Any],
    taken: Any,
    output: Any,
    given: Any,
    expected: Any,
    feature_model: Callable[..., CoreMLModel],
) -> None:
    model = feature_model(kind, fields, taken, output)
    answer = model.run({} if given is None else {"x": given})["y"]
    if isinstance(output, str):
        assert answer == expected
        assert type(answer) is type(expected)
    else:
        np.testing.assert_allclose(answer, expected, rtol=1e-15)
        assert answer.dtype == ("int32" if "int32" in output else "float64")
        assert answer.shape == np.shape(expected)


def test_vectorizer(feature_model: Callable[..., CoreMLModel]) -> None:
    """Columns come in the order of the list, a dictionary as the entries that it has."""
    columns = [("c", 4), ("a", 1), ("b", 2), ("a", 1), ("d", 1)]
    taken = {"a": "double", "b": (2,), "c": "dictionary int64", "d": "int64?"}
    model = feature_model("featureVectorizer", {"inputList": columns}, taken, (9,))
    given = {"a": 5, "b": [6, 7], "c": {3: 2.5, 0: -1}, "d": 4}
    np.testing.assert_array_equal(model.run(given)["y"], [-1, 0, 0, 2.5, 5, 6, 7, 5, 4])
    del given["d"]
    np.testing.assert_array_equal(model.run(given)["y"], [-1, 0, 0, 2.5, 5, 6, 7, 5, NAN])
    given["c"] = {4: 1}
    with pytest.raises(FeatureError, match="a dictionary has the key 4; expected 0 to 3"):
        model.run(given)


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


def test_identity_of_several(feature_model: Callable[..., CoreMLModel], spec_of: Any) -> None:
    with pytest.raises(ModelFileError, match="no input of type int64 belongs to its output 'y'"):
        feature_model("identity", {}, {"a": "int64", "b": "double"}, "int64")


@pytest.mark.parametrize(
    ("kind", "fields", "taken", "output", "given", "words"),
    [
        ("scaler", {"scaleValue": [0.5]}, "int64", "int64", 3, "whole number (int64); the model g"),
        (
            "oneHotEncoder",
            {"stringCategories": ["a"]},
            "string",
            (1,),
            "b",
            "'x' is 'b', which the",
        ),
        ("categoricalMapping", {"stringToInt64Map": {}}, "string", "int64", "b", "'x' is 'b', whi"),
        ("scaler", {}, "double?", "double", None, "'x' (double) is left out; this model needs it"),
        ("dictVectorizer", {"stringToIndex": ["a"]}, "dictionary string?", (1,), None, "left out"),
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
            "the input 'x' has the key '1'; the model's keys are whole numbers",
        ),
        ("identity", {}, "double?", "double", None, "'x' is left out; this model needs it"),
    ],
)
def test_what_cannot_be_answered(
    kind: str,
    fields: dict[str, Any],
    taken: Any,
    output: Any,
    given: Any,
    words: str,
    feature_model: Callable[..., CoreMLModel],
) -> None:
    model = feature_model(kind, fields, taken, output)
    with pytest.raises(FeatureError) as caught:
        model.run({} if given is None else {"x": given})
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "fields", "taken", "output", "words"),
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
        (
            "oneHotEncoder",
            {"stringCategories": ["a", "a"]},
            "string",
            (2,),
            "categories are listed t",
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
            "its input has int64 k",
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
            "not of the type that it maps to",
        ),
        ("imputer", {}, "double", "double", "it has no value to fill in"),
        (
            "imputer",
            {"imputedDoubleValue": 1.0, "replaceStringValue": ""},
            "double",
            "double",
            "it sets replaceStringValue, which its imputed value cannot be",
        ),
        (
            "imputer",
            {"imputedDoubleArray": [1.0]},
            (2,),
            (2,),
            "it fills in 1 numbers; its input ha",
        ),
        (
            "imputer",
            {"imputedStringValue": "x"},
            "double",
            "double",
            "declared as double; expected st",
        ),
        (
            "featureVectorizer",
            {"inputList": [("x", 2**40)]},
            (2,),
            (2,),
            "(array) has 1099511627776 d",
        ),
        (
            "featureVectorizer",
            {"inputList": [("x", 2)]},
            (2,),
            (3,),
            "its columns hold 2 numbers toge",
        ),
        ("featureVectorizer", {"inputList": [("z", 2)]}, (2,), (2,), "its column should be 'z'"),
    ],
)
def test_faults(
    kind: str,
    fields: dict[str, Any],
    taken: Any,
    output: Any,
    words: str,
    feature_model: Callable[..., CoreMLModel],
) -> None:
    with pytest.raises(ModelFileError) as caught:
        feature_model(kind, fields, taken, output)
    assert f"the model ({kind}): " in str(caught.value)
    assert words in str(caught.value)

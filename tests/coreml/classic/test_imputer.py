"""The imputer: one row per case, expected values from the specification."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from pocketlens.coreml import CoreMLModel
from pocketlens.errors import ModelFileError

NAN = math.nan
Make = Callable[..., CoreMLModel]


# (kind, fields, input's type, output's type, value of the input (None: omitted), expected)
ROWS: list[tuple[str, dict[str, Any], Any, Any, Any, Any]] = [
    # missing values: omitted, NaN, or equal to the value to replace
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


@pytest.mark.parametrize(
    ("kind", "fields", "source", "output", "error"),
    [
        ("imputer", {}, "double", "double", "it has no replacement for missing values"),
        (
            "imputer",
            {"imputedDoubleValue": 1.0, "replaceStringValue": ""},
            "double",
            "double",
            "it sets replaceStringValue, which has a different type from its imputed value",
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

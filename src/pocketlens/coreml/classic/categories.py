# ruff: noqa: N802, N803 (kinds and fields are named as the specification names them)
"""Words, numbers and dictionaries made into one another, and gathered into arrays."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from pocketlens.coreml.classic.step import MAX_ITEMS, Features, Step, declared, only
from pocketlens.coreml.file.features import Feature, Interface
from pocketlens.coreml.graph import Message
from pocketlens.coreml.ops.registry import classic
from pocketlens.errors import FeatureError, ModelFileError


@classic()
def oneHotEncoder(
    model: Interface,
    *,
    stringCategories: Message | None = None,
    int64Categories: Message | None = None,
    outputSparse: bool = False,
    handleUnknown: str = "ErrorOnUnknown",
) -> Step:
    strings = stringCategories is not None
    taken = only(model.inputs, "input", "string" if strings else "int64")
    output = only(model.outputs, "output", "dictionary" if outputSparse else "array")
    places = _places(stringCategories if strings else int64Categories, "categories")
    if outputSparse:
        _check_keys(output)

    def run(given: Features) -> dict[str, Any]:
        value = _given(given, taken)
        if value not in places and handleUnknown != "IgnoreUnknown":
            raise _unknown(taken, value)
        found = {places[value]: 1.0} if value in places else {}
        return {output.name: found if outputSparse else _dense(found, len(places))}

    return Step(run, (output.name,))


@classic(
    restrictions="keys that the model does not know are left out, as coremltools' tests expect"
)
def dictVectorizer(
    model: Interface,
    *,
    stringToIndex: Message | None = None,
    int64ToIndex: Message | None = None,
) -> Step:
    taken = only(model.inputs, "input", "dictionary")
    output = only(model.outputs, "output", "array", "dictionary")
    strings = stringToIndex is not None
    # coremltools' converter declares string keys, whatever the model's own are.
    if strings and taken.dtype != "string":
        raise ModelFileError(f"its input has {taken.dtype} keys; its own are string")
    places = _places(stringToIndex if strings else int64ToIndex, "keys")
    if output.kind == "dictionary":
        _check_keys(output)

    def run(given: Features) -> dict[str, Any]:
        pairs = _given(given, taken).items()
        for key, _ in pairs:
            if isinstance(key, str) != strings:
                raise FeatureError(
                    f"the input '{taken.name}' has the key {key!r}; "
                    f"the model's keys are {'strings' if strings else 'whole numbers'}"
                )
        found = {places[key]: value for key, value in pairs if key in places}
        sparse = output.kind == "dictionary"
        return {output.name: found if sparse else _dense(found, len(places))}

    return Step(run, (output.name,))


@classic(restrictions="a number that is left out is NaN")
def featureVectorizer(model: Interface, *, inputList: tuple[Message, ...]) -> Step:
    output = only(model.outputs, "output", "array")
    columns: list[tuple[Feature, int]] = []
    for column in inputList:
        name, size = column.inputColumn, int(column.inputDimensions)
        taken = declared(model.inputs, name, "column", "int64", "double", "array", "dictionary")
        if taken.kind == "dictionary":
            _check_keys(taken)
        if not 1 <= size <= MAX_ITEMS or (taken.kind in ("int64", "double") and size != 1):
            raise ModelFileError(f"its column '{name}' ({taken.kind}) has {size} dimensions")
        columns.append((taken, size))
    total = sum(size for _, size in columns)
    fixed = output.shape and not output.shapes and not output.ranges
    if total > MAX_ITEMS or (fixed and total != math.prod(output.shape)):
        raise ModelFileError(
            f"its columns hold {total} numbers together; "
            f"its output is declared as {output.expected()}"
        )

    def run(given: Features) -> dict[str, Any]:
        return {output.name: np.concatenate([_column(given, *column) for column in columns])}

    return Step(run, (output.name,))


def _column(given: Features, feature: Feature, size: int) -> np.ndarray:
    if feature.name not in given and feature.kind in ("int64", "double"):
        return np.array([np.nan])
    value = _given(given, feature)
    if feature.kind == "dictionary":
        return _dense(value, size)
    row = np.asarray(value, np.float64).reshape(-1)
    if row.size != size:
        raise FeatureError(
            f"the input '{feature.name}' holds {row.size} numbers; the model needs {size}"
        )
    return row


@classic()
def categoricalMapping(
    model: Interface,
    *,
    stringToInt64Map: Message | None = None,
    int64ToStringMap: Message | None = None,
    strValue: str | None = None,
    int64Value: int | None = None,
) -> Step:
    strings = stringToInt64Map is not None
    mapping = stringToInt64Map if strings else int64ToStringMap
    if mapping is None:
        raise ModelFileError("it has no mapping, neither from strings nor from numbers")
    if (strValue if strings else int64Value) is not None:
        raise ModelFileError("its value for what is unknown is not of the type that it maps to")
    unknown: Any = int64Value if strings else strValue
    of, to = ("string", "int64") if strings else ("int64", "string")
    taken = only(model.inputs, "input", of, "sequence")
    output = only(model.outputs, "output", to if taken.kind == of else "sequence")
    if taken.kind == "sequence" and (taken.dtype, output.dtype) != (of, to):
        raise ModelFileError(
            f"it maps {of} to {to}; its sequences hold {taken.dtype} and {output.dtype}"
        )
    table: dict[Any, Any] = dict(mapping.map)

    def one(value: Any) -> Any:
        if value not in table and unknown is None:
            raise _unknown(taken, value)
        return table.get(value, unknown)

    def run(given: Features) -> dict[str, Any]:
        value = _given(given, taken)
        several = taken.kind == "sequence"
        return {output.name: [one(each) for each in value] if several else one(value)}

    return Step(run, (output.name,))


def _given(given: Features, feature: Feature) -> Any:
    if feature.name not in given:
        raise FeatureError(
            f"the input '{feature.name}' ({feature.kind}) is left out; this model needs it"
        )
    return given[feature.name]


def _places(vector: Message | None, what: str) -> dict[Any, int]:
    names = [] if vector is None else list(vector.vector)
    if not names or len(set(names)) != len(names):
        raise ModelFileError(f"its {what} are {'listed twice' if names else 'missing'}")
    return {name: place for place, name in enumerate(names)}


def _dense(values: dict[int, float], size: int) -> np.ndarray:
    row = np.zeros(size)
    for place, value in values.items():
        if not 0 <= place < size:
            raise FeatureError(f"a dictionary has the key {place}; expected 0 to {size - 1}")
        row[place] = value
    return row


def _check_keys(feature: Feature) -> None:
    if feature.dtype != "int64":
        raise ModelFileError(
            f"the feature '{feature.name}' has {feature.dtype} keys; expected int64, its indices"
        )


def _unknown(feature: Feature, value: Any) -> FeatureError:
    return FeatureError(
        f"the input '{feature.name}' is {value!r}, which the model does not know, "
        "and it has no answer for what it does not know"
    )

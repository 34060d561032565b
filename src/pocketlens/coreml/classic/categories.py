"""Categories: encodes strings, numbers and dictionaries, and collects them into arrays."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from pocketlens.coreml.classic.reading import listed, mapped
from pocketlens.coreml.classic.step import (
    MAX_ITEMS,
    NUMBERS,
    Features,
    Step,
    find_feature,
    single_feature,
)
from pocketlens.coreml.file.budget import charge
from pocketlens.coreml.file.features import Feature, Interface, KeyType
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
    source = single_feature(model.inputs, "input", "string" if strings else "int64")
    output = single_feature(model.outputs, "output", "dictionary" if outputSparse else "array")
    positions = _positions(stringCategories if strings else int64Categories, "categories")
    if outputSparse:
        _check_keys(output)

    def run(inputs: Features) -> dict[str, Any]:
        value = _required(inputs, source)
        if value not in positions and handleUnknown != "IgnoreUnknown":
            raise _unknown(source, value)
        found = {positions[value]: 1.0} if value in positions else {}
        return {output.name: found if outputSparse else _dense(found, len(positions))}

    return Step(run, (output.name,))


@classic()
def dictVectorizer(
    model: Interface,
    *,
    stringToIndex: Message | None = None,
    int64ToIndex: Message | None = None,
) -> Step:
    source = single_feature(model.inputs, "input", "dictionary")
    output = single_feature(model.outputs, "output", "array", "dictionary")
    strings = stringToIndex is not None
    # coremltools' converter always declares string keys, so int64 keys may be declared as string.
    if strings and source.dtype != "string":
        raise ModelFileError(f"its input has {source.dtype} keys; the model's keys are string")
    positions = _positions(stringToIndex if strings else int64ToIndex, "keys")
    if output.kind == "dictionary":
        _check_keys(output)

    def run(inputs: Features) -> dict[str, Any]:
        pairs = _required(inputs, source).items()
        for key, _ in pairs:
            if isinstance(key, str) != strings:
                raise FeatureError(
                    f"the input '{source.name}' has the key {key!r}; "
                    f"the model's keys are {'strings' if strings else 'integers'}"
                )
        found = {positions[key]: value for key, value in pairs if key in positions}
        sparse = output.kind == "dictionary"
        return {output.name: found if sparse else _dense(found, len(positions))}

    return Step(run, (output.name,))


@classic()
def featureVectorizer(model: Interface, *, inputList: tuple[Message, ...]) -> Step:
    output = single_feature(model.outputs, "output", "array")
    columns: list[tuple[Feature, int]] = []
    for column in inputList:
        name, size = column.inputColumn, int(column.inputDimensions)
        source = find_feature(model.inputs, name, "column", *NUMBERS, "dictionary")
        if source.kind == "dictionary":
            _check_keys(source)
        if not 1 <= size <= MAX_ITEMS or (source.kind in ("int64", "double") and size != 1):
            expected = "1" if source.kind in ("int64", "double") else f"1 to {MAX_ITEMS}"
            raise ModelFileError(
                f"its column '{name}' ({source.kind}) has {size} dimensions; expected {expected}"
            )
        columns.append((source, size))
    total = sum(size for _, size in columns)
    charge(2 * 8 * total, "the columns of a run")
    fixed = output.shape and not output.shapes and not output.ranges
    if total > MAX_ITEMS or (fixed and total != math.prod(output.shape)):
        raise ModelFileError(
            f"its columns have {total} numbers together; "
            f"its output is declared as {output.expected()}"
        )

    def run(inputs: Features) -> dict[str, Any]:
        return {output.name: np.concatenate([_column(inputs, *column) for column in columns])}

    return Step(run, (output.name,))


def _column(inputs: Features, feature: Feature, size: int) -> np.ndarray:
    if feature.name not in inputs and feature.kind in ("int64", "double"):
        return np.array([np.nan])
    value = _required(inputs, feature)
    if feature.kind == "dictionary":
        return _dense(value, size)
    row = np.asarray(value, np.float64).reshape(-1)
    if row.size != size:
        raise FeatureError(
            f"the input '{feature.name}' has {row.size} numbers; the model needs {size}"
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
        raise ModelFileError(
            "its default for unknown values does not have the type that it maps to"
        )
    unknown: Any = int64Value if strings else strValue
    of: KeyType = "string" if strings else "int64"
    to: KeyType = "int64" if strings else "string"
    source = single_feature(model.inputs, "input", of, "sequence")
    output = single_feature(model.outputs, "output", to if source.kind == of else "sequence")
    if source.kind == "sequence" and (source.dtype, output.dtype) != (of, to):
        raise ModelFileError(
            f"it maps {of} to {to}; its sequences are of {source.dtype} and {output.dtype}"
        )
    table = mapped(mapping.map, "its mapping")

    def one(value: Any) -> Any:
        if value not in table and unknown is None:
            raise _unknown(source, value)
        return table.get(value, unknown)

    def run(inputs: Features) -> dict[str, Any]:
        value = _required(inputs, source)
        several = source.kind == "sequence"
        return {output.name: [one(each) for each in value] if several else one(value)}

    return Step(run, (output.name,))


def _required(inputs: Features, feature: Feature) -> Any:
    if feature.name not in inputs:
        raise FeatureError(
            f"the input '{feature.name}' ({feature.kind}) is missing; this model needs it"
        )
    return inputs[feature.name]


def _positions(vector: Message | None, what: str) -> dict[Any, int]:
    """The position of each name in a list of categories or keys."""
    names = [] if vector is None else listed(vector.vector, f"its {what}")
    if not names or len(set(names)) != len(names):
        raise ModelFileError(f"its {what} are {'not unique' if names else 'missing'}")
    return {name: position for position, name in enumerate(names)}


def _dense(values: dict[int, float], size: int) -> np.ndarray:
    row = np.zeros(size)
    for position, value in values.items():
        if not 0 <= position < size:
            raise FeatureError(f"a dictionary has the key {position}; expected 0 to {size - 1}")
        row[position] = value
    return row


def _check_keys(feature: Feature) -> None:
    if feature.dtype != "int64":
        raise ModelFileError(
            f"the feature '{feature.name}' has {feature.dtype} keys; expected int64 keys (indices)"
        )


def _unknown(feature: Feature, value: Any) -> FeatureError:
    return FeatureError(
        f"the input '{feature.name}' is {value!r}, which the model does not know; "
        "it has no default for unknown values"
    )

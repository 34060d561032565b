"""The imputer: replaces missing values."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketlens.coreml.classic.reading import doubles, listed, mapped
from pocketlens.coreml.classic.step import Features, Step, single_feature
from pocketlens.coreml.file.features import FeatureKind, Interface, KeyType
from pocketlens.coreml.graph import Message
from pocketlens.coreml.ops.registry import classic
from pocketlens.errors import FeatureError, ModelFileError

REPLACEMENTS = "its replacements"

# For each kind of imputed value: the kinds of input it is for, and the field that says which value
# is replaced.
ALLOWED: dict[str, tuple[tuple[FeatureKind, ...], str]] = {
    "double": (("double", "array"), "replaceDoubleValue"),
    "int64": (("int64",), "replaceInt64Value"),
    "string": (("string",), "replaceStringValue"),
    "doubles": (("array",), "replaceDoubleValue"),
    "int64s": (("array",), "replaceInt64Value"),
    "dictionary": (("dictionary",), ""),
}


@classic()
def imputer(
    model: Interface,
    *,
    imputedDoubleValue: float | None = None,
    imputedInt64Value: int | None = None,
    imputedStringValue: str | None = None,
    imputedDoubleArray: Message | None = None,
    imputedInt64Array: Message | None = None,
    imputedStringDictionary: Message | None = None,
    imputedInt64Dictionary: Message | None = None,
    replaceDoubleValue: float | None = None,
    replaceInt64Value: int | None = None,
    replaceStringValue: str | None = None,
) -> Step:
    table = imputedStringDictionary or imputedInt64Dictionary
    values: dict[str, Any] = {
        "double": imputedDoubleValue,
        "int64": imputedInt64Value,
        "string": imputedStringValue,
        "doubles": None
        if imputedDoubleArray is None
        else doubles(imputedDoubleArray.vector, REPLACEMENTS),
        "int64s": None
        if imputedInt64Array is None
        else listed(imputedInt64Array.vector, REPLACEMENTS),
        "dictionary": None if table is None else mapped(table.map, REPLACEMENTS),
    }
    kind = next((each for each, value in values.items() if value is not None), "")
    if not kind:
        raise ModelFileError("it has no replacement for missing values")
    imputed = values[kind]
    replaced = {
        "replaceDoubleValue": replaceDoubleValue,
        "replaceInt64Value": replaceInt64Value,
        "replaceStringValue": replaceStringValue,
    }
    replaced = {name: value for name, value in replaced.items() if value is not None}
    kinds, replaces = ALLOWED[kind]
    source = single_feature(model.inputs, "input", *kinds)
    output = single_feature(model.outputs, "output", source.kind)
    if set(replaced) - {replaces}:
        raise ModelFileError(
            f"it sets {next(iter(replaced))}, which has a different type from its imputed value"
        )
    keys: KeyType = "int64" if imputedInt64Dictionary is not None else "string"
    if kind == "dictionary" and (source.dtype, output.dtype) != (keys, keys):
        raise ModelFileError(
            f"it fills in a dictionary with {keys} keys; its features have {source.dtype} and "
            f"{output.dtype} keys"
        )
    if kind in ("doubles", "int64s") and source.shape and math.prod(source.shape) != len(imputed):
        raise ModelFileError(
            f"it fills in {len(imputed)} numbers; its input has {math.prod(source.shape)}"
        )
    target: Any = next(iter(replaced.values()), math.nan)

    def run(inputs: Features) -> dict[str, Any]:
        value = inputs.get(source.name)
        if source.kind == "array":
            return {output.name: _fill(value, imputed, target, source.shape)}
        missing = value is None or (source.kind != "dictionary" and _equal(value, target))
        return {output.name: imputed if missing else value}

    return Step(run, (output.name,))


def _equal(value: Any, target: Any) -> bool:
    """Whether two values are equal; NaN equals NaN."""
    return bool(value == target or (value != value and target != target))


def _fill(
    value: NDArray[Any] | None, imputed: Any, target: float, shape: tuple[int, ...]
) -> NDArray[Any]:
    if value is None:
        if not shape:
            raise FeatureError("the input is missing; expected an array, because its size may vary")
        return np.broadcast_to(np.asarray(imputed), shape)
    x = np.asarray(value)
    fill = np.asarray(imputed)
    if fill.ndim and fill.size != x.size:
        raise FeatureError(f"the input has {x.size} numbers; the model fills in {fill.size}")
    missing = np.isnan(x) if math.isnan(target) else x == target
    return np.where(missing, fill.reshape(x.shape) if fill.ndim else fill, x)

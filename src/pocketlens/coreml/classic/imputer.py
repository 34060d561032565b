# ruff: noqa: N803 (kinds and fields are named as the specification names them)
"""The imputer: a value for what is missing."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketlens.coreml.classic.step import Features, Step, only
from pocketlens.coreml.file.features import Interface
from pocketlens.coreml.graph import Message
from pocketlens.coreml.ops.registry import classic
from pocketlens.errors import FeatureError, ModelFileError

# For each kind of imputed value: the inputs that it serves, and what it may replace.
SERVES = {
    "double": (("double", "array"), "replaceDoubleValue"),
    "int64": (("int64",), "replaceInt64Value"),
    "string": (("string",), "replaceStringValue"),
    "doubles": (("array",), "replaceDoubleValue"),
    "int64s": (("array",), "replaceInt64Value"),
    "dictionary": (("dictionary",), ""),
}


@classic(
    restrictions="missing is what is left out, what equals the replaced value and, where the file "
    "gives none to replace, NaN; a dictionary is filled in as a whole, when it is left out"
)
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
        "doubles": None if imputedDoubleArray is None else list(imputedDoubleArray.vector),
        "int64s": None if imputedInt64Array is None else list(imputedInt64Array.vector),
        "dictionary": None if table is None else dict(table.map),
    }
    kind = next((each for each, value in values.items() if value is not None), "")
    if not kind:
        raise ModelFileError("it has no value to fill in")
    imputed = values[kind]
    replaced = {
        "replaceDoubleValue": replaceDoubleValue,
        "replaceInt64Value": replaceInt64Value,
        "replaceStringValue": replaceStringValue,
    }
    replaced = {name: value for name, value in replaced.items() if value is not None}
    kinds, replaces = SERVES[kind]
    taken = only(model.inputs, "input", *kinds)
    output = only(model.outputs, "output", taken.kind)
    if set(replaced) - {replaces}:
        raise ModelFileError(f"it sets {next(iter(replaced))}, which its imputed value cannot be")
    keys = "int64" if imputedInt64Dictionary is not None else "string"
    if kind == "dictionary" and (taken.dtype, output.dtype) != (keys, keys):
        raise ModelFileError(f"it fills in a dictionary with {keys} keys; the features' differ")
    if kind in ("doubles", "int64s") and taken.shape and math.prod(taken.shape) != len(imputed):
        raise ModelFileError(
            f"it fills in {len(imputed)} numbers; its input has {math.prod(taken.shape)}"
        )
    target: Any = next(iter(replaced.values()), math.nan)

    def run(given: Features) -> dict[str, Any]:
        value = given.get(taken.name)
        if taken.kind == "array":
            return {output.name: _filled(value, imputed, target, taken.shape)}
        missing = value is None or (taken.kind != "dictionary" and _is(value, target))
        return {output.name: imputed if missing else value}

    return Step(run, (output.name,))


def _is(value: Any, target: Any) -> bool:
    """Whether two values are the same; NaN is the same as NaN."""
    return bool(value == target or (value != value and target != target))


def _filled(
    value: NDArray[Any] | None, imputed: Any, target: float, shape: tuple[int, ...]
) -> NDArray[Any]:
    if value is None:
        if not shape:
            raise FeatureError(
                "the input is left out; expected an array, for its size is not fixed"
            )
        return np.broadcast_to(np.asarray(imputed), shape)
    x = np.asarray(value)
    fill = np.asarray(imputed)
    if fill.ndim and fill.size != x.size:
        raise FeatureError(f"the input holds {x.size} numbers; the model fills in {fill.size}")
    missing = np.isnan(x) if math.isnan(target) else x == target
    return np.where(missing, fill.reshape(x.shape) if fill.ndim else fill, x)

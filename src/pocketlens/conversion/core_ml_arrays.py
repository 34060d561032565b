"""A Core ML file as a model from arrays to arrays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketlens.coreml import CoreMLModel, Feature
from pocketlens.errors import FeatureError
from pocketlens.evaluation.arrays import ArrayInput, ArrayModel, Arrays

__all__ = ["CoreMLArrays"]

_SCALARS = {"double": "float64", "int64": "int64", "string": "str"}


class CoreMLArrays(ArrayModel):
    """Runs a Core ML file on arrays, several rows one after another if the file takes one.

    Args:
        model: The loaded file.
        rows: Whether the first dimension of every input counts rows, see `ArrayModel`. If a file
            takes one row at a time, each row is a run.

    Raises:
        FeatureError: An input is not an array, a number, a text or an image of whole pixels.
    """

    def __init__(self, model: CoreMLModel, *, rows: bool = False) -> None:
        self.model = model
        self.rows = rows
        interface = model.interface
        self.inputs = tuple(_input(model, each) for each in interface.inputs)
        self.outputs = tuple(each.name for each in interface.outputs)
        self.labels = model.labels
        self.label = interface.label if model.labels else ""
        self.probabilities = interface.probabilities

    def run(self, arrays: Arrays) -> dict[str, NDArray[Any]]:
        """The outputs by name; probabilities `(N, K)` in the order of `labels`."""
        features = self.model.interface.inputs
        if all(_fits(feature, arrays[feature.name]) for feature in features):
            return self._output(self.model.run(dict(arrays)))
        count = len(next(iter(arrays.values())))
        runs = [
            self._output(
                self.model.run(
                    {each.name: _row(each, arrays[each.name], number) for each in features}
                )
            )
            for number in range(count)
        ]
        return {name: np.concatenate([run[name] for run in runs]) for name in self.outputs}

    def features(self, arrays: Arrays) -> dict[str, Any]:
        """What `CoreMLModel.run` takes, of arrays for one run; of several rows, the first one."""
        declared = self.model.interface.inputs
        if all(_fits(feature, arrays[feature.name]) for feature in declared):
            return dict(arrays)
        return {each.name: _row(each, arrays[each.name], 0) for each in declared}

    def _output(self, results: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
        found = {}
        for name in self.outputs:
            value = results[name]
            if isinstance(value, dict):
                labels = self.labels or tuple(value)
                value = np.array([[value[each] for each in labels]])
            found[name] = np.atleast_1d(np.asarray(value))
        return found


def _input(model: CoreMLModel, feature: Feature) -> ArrayInput:
    if feature.kind in _SCALARS:
        return ArrayInput(feature.name, (None, 1), _SCALARS[feature.kind])
    image = feature.kind == "image" and feature.color in ("gray", "rgb", "bgr")
    if feature.kind != "array" and not image:
        raise FeatureError(
            f"{model.path}: the input {feature.name!r} is of the kind {feature.kind}; expected an "
            "array, a number, a text or an image of 8 bits"
        )
    shape: tuple[Any, ...] = feature.shape
    if feature.shapes:
        shape = tuple(
            sizes[0] if len(sizes) == 1 else sizes
            for sizes in (tuple(dict.fromkeys(each)) for each in zip(*feature.shapes, strict=True))
        )
    elif feature.ranges:
        shape = tuple(low if low == high else None for low, high in feature.ranges)
    if image:
        return ArrayInput(feature.name, (1, *shape, feature.channels), "uint8")
    return ArrayInput(feature.name, shape, feature.dtype or "float32")


def _fits(feature: Feature, array: NDArray[Any]) -> bool:
    return feature.kind == "array" and feature.allows(array.shape)


def _row(feature: Feature, array: NDArray[Any], number: int) -> Any:
    if feature.kind == "image":
        return array[number]
    row = array[number : number + 1]
    if feature.kind in _SCALARS:
        return row.reshape(()).item() if row.size == 1 else row
    if not feature.allows(row.shape) and feature.allows(row.shape[1:]):
        return row[0]
    return row

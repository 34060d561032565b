"""Networks of the older array mapping, whose arrays may come with two dimensions more in front.

Such a network sees every array as [Seq, Batch, C, H, W]. Its file declares [C, H, W] or [C] alone;
whoever runs it may give Seq and Batch as well, such as the words of a sentence
(`RANK5_ARRAY_MAPPING` in the specification's NeuralNetwork.proto).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketlens.coreml.file.description import declared_classes
from pocketlens.coreml.file.errors import one_line_errors
from pocketlens.coreml.file.features import Feature, Interface
from pocketlens.coreml.file.package import ModelFile
from pocketlens.coreml.ops.network import moves_steps, outer_sizes
from pocketlens.coreml.runtime.inputs import default_input
from pocketlens.coreml.runtime.model import CoreMLModel
from pocketlens.coreml.runtime.recent import RecentModels
from pocketlens.errors import FeatureError, ModelFileError

__all__ = ["SequenceModel"]


class SequenceModel(CoreMLModel):
    """A network that takes arrays as they are declared, or with Seq and Batch in front.

    `run` takes [Seq, Batch, C] where [C] is declared, and [Seq, Batch, C, H, W] in any case. An
    output that has as many numbers as the file declares has the declared shape; else it is
    [Seq, Batch, C, H, W].
    """

    def __init__(
        self, file: ModelFile, interface: Interface, make: Callable[[Interface], CoreMLModel]
    ) -> None:
        """`make` translates the network for an interface, whose arrays may have five dimensions.

        Raises:
            UnsupportedModelError, ModelFileError: The declared shapes do not run. A network that
                moves Seq elsewhere may fit one length only, so there `run` raises instead.
        """
        self._make = make
        self._models = RecentModels()
        self._declared: CoreMLModel | ModelFileError
        try:
            self._declared = make(interface)
            classes = self._declared.labels
        except ModelFileError as error:
            if not moves_steps(file):
                raise
            self._declared = error
            classes = declared_classes(file, interface)
        super().__init__(file, interface, classes)

    def run(
        self, inputs: Mapping[str, Any], *, state: Any = None, intermediate: bool = False
    ) -> dict[str, Any]:
        self._check_given(inputs)
        arrays = {each.name: each for each in self.interface.inputs if each.kind == "array"}
        given = {}
        for name in arrays.keys() & inputs:
            array = _with_steps(inputs[name], arrays[name])
            if array is not None:
                given[name] = array
        if given:
            batch = max(array.shape[1] for array in given.values())
            for name in arrays.keys() - given:  # such as the state that a sequence begins with
                given[name] = _alike(inputs.get(name), arrays[name], batch)
        model = self._model(given) if given else self._one_step()
        results = model.run({**inputs, **given}, state=state, intermediate=intermediate)
        for feature in self.interface.outputs:
            if feature.kind == "array":
                array = results[feature.name]
                results[feature.name] = array.reshape(outer_sizes(array.shape, feature))
        return results

    def _onnx(self) -> bytes:
        return self._one_step()._onnx()

    @one_line_errors()
    def _one_step(self) -> CoreMLModel:
        if isinstance(self._declared, ModelFileError):
            raise FeatureError(
                f"{self.path} does not run on the declared shapes, without Seq and Batch in front; "
                f"expected arrays of Seq × Batch × C × H × W. The reason: {self._declared}"
            ) from self._declared
        return self._declared

    @one_line_errors()
    def _model(self, given: Mapping[str, NDArray[Any]]) -> CoreMLModel:
        """The network for arrays of such shapes, their number of steps left open."""
        key = tuple(
            (name, given[name].shape[0] > 1, given[name].shape[1:]) for name in sorted(given)
        )

        def make() -> CoreMLModel:
            features = tuple(
                _open(feature, given[feature.name].shape) if feature.name in given else feature
                for feature in self.interface.inputs
            )
            return self._make(replace(self.interface, inputs=features))

        return self._models.get(key, make)


def _with_steps(given: Any, feature: Feature) -> NDArray[Any] | None:
    """An array given with Seq and Batch, as [Seq, Batch, C, H, W]; None for any other."""
    try:
        array = np.asarray(given)
    except ValueError:  # ragged lists; the model for the declared shapes says so
        return None
    rank = len(feature.shape)
    if array.ndim not in (rank + 2, 5):
        return None
    steps, batch, *inner = array.shape
    if not (steps and batch and feature.allows(tuple(inner[:rank])) and set(inner[rank:]) <= {1}):
        raise FeatureError(
            f"the input '{feature.name}' has the shape {feature.expected()}, with Seq × Batch × "
            f"before it or not; received: {' × '.join(map(str, array.shape))}"
        )
    return array.reshape(steps, batch, *inner, *[1] * (3 - len(inner)))


def _alike(given: Any, feature: Feature, batch: int) -> NDArray[Any]:
    """An array given as it is declared, or left out, as the one step of a batch."""
    array = np.asarray(default_input(feature) if given is None else given)
    if not feature.allows(array.shape):
        raise FeatureError(
            f"the input '{feature.name}' has the shape {feature.expected()}; "
            f"received: {' × '.join(map(str, array.shape)) or 'a single number'}"
        )
    inner = (*array.shape, *[1] * (3 - array.ndim))
    return np.broadcast_to(array.reshape(inner), (1, batch, *inner))


def _open(feature: Feature, shape: tuple[int, ...]) -> Feature:
    """The feature with five dimensions, as many steps as one likes if there are several."""
    steps = (1, None if shape[0] > 1 else 1)
    ranges = (steps, *((size, size) for size in shape[1:]))
    return replace(feature, shape=shape, shapes=(), ranges=ranges)

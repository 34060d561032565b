"""Neural networks with the older array mapping, which accept whole sequences and batches.

Such a network sees every array as [Seq, Batch, C, H, W]. Its file declares only [C, H, W] or [C],
but the caller may also pass Seq and Batch, for example for the words of a sentence
(`RANK5_ARRAY_MAPPING` in the specification's NeuralNetwork.proto).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketlens.coreml.file.errors import one_line_errors
from pocketlens.coreml.file.features import Feature, Interface
from pocketlens.coreml.file.inspection import declared_classes
from pocketlens.coreml.file.package import ModelFile
from pocketlens.coreml.ops.network import moves_steps, outer_sizes
from pocketlens.coreml.runtime.cache import ModelCache
from pocketlens.coreml.runtime.inputs import default_input
from pocketlens.coreml.runtime.model import CoreMLModel
from pocketlens.errors import FeatureError, ModelFileError
from pocketlens.heads import Ending

__all__ = ["SequenceModel"]


class SequenceModel(CoreMLModel):
    """A network that accepts arrays as declared, or with Seq and Batch in front.

    If the file declares [C], `run` also accepts [Seq, Batch, C]; it always accepts
    [Seq, Batch, C, H, W]. An output with as many elements as the file declares has the declared
    shape, any other output is [Seq, Batch, C, H, W].
    """

    def __init__(
        self, file: ModelFile, interface: Interface, make: Callable[[Interface], CoreMLModel]
    ) -> None:
        """Translate the network for its declared shapes.

        Args:
            file: The model file.
            interface: The declared features.
            make: Translates the network for an interface, whose arrays may have five dimensions.

        Raises:
            UnsupportedModelError, ModelFileError: The network does not run with the declared
                shapes. If it moves the Seq axis, it may need sequences of one certain length; then
                `run` raises the error instead.
        """
        self._make = make
        self._models = ModelCache()
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

    def _run_once(
        self, inputs: Mapping[str, Any], *, state: Any, intermediate: bool
    ) -> dict[str, Any]:
        inputs = self._given(inputs)
        features = {each.name: each for each in self.interface.inputs if each.kind == "array"}
        sequences = {}
        for name in features.keys() & inputs:
            array = _with_steps(inputs[name], features[name])
            if array is not None:
                sequences[name] = array
        if sequences:
            batch = max(array.shape[1] for array in sequences.values())
            for name in features.keys() - sequences:  # such as the initial state of a sequence
                sequences[name] = _as_one_step(inputs.get(name), features[name], batch)
        model = self._model(sequences) if sequences else self.one_step()
        results = model.run({**inputs, **sequences}, state=state, intermediate=intermediate)
        for feature in self.interface.outputs:
            if feature.kind == "array":
                array = results[feature.name]
                results[feature.name] = array.reshape(outer_sizes(array.shape, feature))
        return results

    def _ending(self, output: str) -> Ending:
        return self.one_step()._ending(output)

    def _onnx(self) -> bytes:
        return self.one_step()._onnx()

    @one_line_errors()
    def one_step(self) -> CoreMLModel:
        """The network for arrays of the declared shapes, without Seq and Batch."""
        if isinstance(self._declared, ModelFileError):
            raise FeatureError(
                f"{self.path} does not run with the declared shapes, without Seq and Batch in "
                "front; "
                f"expected arrays of Seq × Batch × C × H × W. The reason: {self._declared}"
            ) from self._declared
        return self._declared

    @one_line_errors()
    def _model(self, arrays: Mapping[str, NDArray[Any]]) -> CoreMLModel:
        """The network for arrays of these shapes, with any number of steps."""
        key = tuple(
            (name, arrays[name].shape[0] > 1, arrays[name].shape[1:]) for name in sorted(arrays)
        )

        def make() -> CoreMLModel:
            features = tuple(
                _any_steps(feature, arrays[feature.name].shape)
                if feature.name in arrays
                else feature
                for feature in self.interface.inputs
            )
            return self._make(replace(self.interface, inputs=features))

        return self._models.get(key, make)


def _with_steps(given: Any, feature: Feature) -> NDArray[Any] | None:
    """An array that has Seq and Batch in front, as [Seq, Batch, C, H, W]; None for any other."""
    try:
        array = np.asarray(given)
    except ValueError:  # ragged lists: the model for the declared shapes raises the error
        return None
    rank = len(feature.shape)
    if array.ndim not in (rank + 2, 5):
        return None
    steps, batch, *inner = array.shape
    if not (steps and batch and feature.allows(tuple(inner[:rank])) and set(inner[rank:]) <= {1}):
        raise FeatureError(
            f"the input '{feature.name}' has the shape {feature.expected()}, with or without "
            f"Seq × Batch in front; received: {' × '.join(map(str, array.shape))}"
        )
    return array.reshape(steps, batch, *inner, *[1] * (3 - len(inner)))


def _as_one_step(given: Any, feature: Feature, batch: int) -> NDArray[Any]:
    """An array in its declared shape (or left out), repeated for a batch: [1, batch, C, H, W]."""
    array = np.asarray(default_input(feature) if given is None else given)
    if not feature.allows(array.shape):
        raise FeatureError(
            f"the input '{feature.name}' has the shape {feature.expected()}; "
            f"received: {' × '.join(map(str, array.shape)) or 'a single number'}"
        )
    inner = (*array.shape, *[1] * (3 - array.ndim))
    return np.broadcast_to(array.reshape(inner), (1, batch, *inner))


def _any_steps(feature: Feature, shape: tuple[int, ...]) -> Feature:
    """The feature with five dimensions: any number of steps if `shape` has more than one."""
    steps = (1, None if shape[0] > 1 else 1)
    ranges = (steps, *((size, size) for size in shape[1:]))
    return replace(feature, shape=shape, shapes=(), ranges=ranges)

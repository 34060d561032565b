"""Models with flexible input shapes that need a graph for each shape.

Most ops can be translated without knowing every size of their inputs, and then one ONNX graph
works for all shapes. A few ops need a size, such as global pooling. A model with such an op is
translated when a shape is used for the first time, with all sizes known; Core ML does the same.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketlens.coreml.file.errors import one_line_errors
from pocketlens.coreml.file.features import Feature, Interface
from pocketlens.coreml.file.inspection import declared_classes
from pocketlens.coreml.file.package import ModelFile
from pocketlens.coreml.graph import Graph, Value
from pocketlens.coreml.runtime.cache import ModelCache
from pocketlens.coreml.runtime.model import CoreMLModel, Picture
from pocketlens.errors import FeatureError, ModelFileError, UnsupportedModelError
from pocketlens.heads import Ending
from pocketlens.image import open_image

__all__ = ["FlexibleModel", "is_flexible"]

Shapes = tuple[tuple[int, ...], ...]
"""A shape for each input."""


def is_flexible(interface: Interface) -> bool:
    """Whether any input may have more than one shape."""
    return any(each.shapes or each.ranges for each in interface.inputs)


class FlexibleModel(CoreMLModel):
    """An ML Program or a neural network that is translated separately for each input shape."""

    def __init__(
        self, file: ModelFile, interface: Interface, make: Callable[[Interface], CoreMLModel]
    ) -> None:
        """Translate the model for its default shapes.

        Default shapes that do not fit the model are an error only when they are run: converters
        write the smallest shape of a range as the default, whether the model can run it or not.

        Args:
            file: The model file.
            interface: The declared features.
            make: Translates the model for an interface in which every shape is fixed.

        Raises:
            UnsupportedModelError: The model does not run with its default shapes either.
        """
        self._make = make
        self._models = ModelCache()
        self._features = interface.inputs
        self._declared = interface
        self._default: CoreMLModel | ModelFileError
        try:
            self._default = self._model(tuple(each.shape for each in interface.inputs))
            classes = self._default.labels
        except ModelFileError as error:
            self._default = error
            classes = declared_classes(file, interface)
        super().__init__(file, interface, classes)

    def _run_once(
        self, inputs: Mapping[str, Any], *, state: Any, intermediate: bool
    ) -> dict[str, Any]:
        return self.model_for(inputs).run(inputs, state=state, intermediate=intermediate)

    def model_for(self, inputs: Mapping[str, Any]) -> CoreMLModel:
        """The model for the shapes of these inputs."""
        inputs = self._given(inputs)
        return self._model(
            tuple(
                _shape(inputs[each.name], each) if each.name in inputs else each.shape
                for each in self._features
            )
        )

    def _probabilities_in_graph(self) -> tuple[Graph, Value] | None:
        return self._default_model()._probabilities_in_graph()

    def _ending(self, output: str) -> Ending:
        return self._default_model()._ending(output)

    def _has_probabilities(self) -> bool:
        return self._default_model()._has_probabilities()

    def _probabilities(self, images: NDArray[np.uint8], picture: Picture) -> NDArray[np.float32]:
        return self._default_model()._probabilities(images, picture)

    def _onnx(self) -> bytes:
        raise UnsupportedModelError(
            f"{self.path} has flexible input shapes, but an op needs fixed sizes to be translated; "
            "only a model of fixed shapes can be written as an ONNX file"
        )

    def _default_model(self) -> CoreMLModel:
        if isinstance(self._default, ModelFileError):
            raise self._default
        return self._default

    @one_line_errors()
    def _model(self, shapes: Shapes) -> CoreMLModel:
        def make() -> CoreMLModel:
            fixed = tuple(
                replace(feature, shape=shape, shapes=(), ranges=())
                if feature.kind in ("image", "array")
                else feature
                for feature, shape in zip(self._features, shapes, strict=True)
            )
            return self._make(replace(self._declared, inputs=fixed))

        return self._models.get(shapes, make)


def _shape(value: Any, feature: Feature) -> tuple[int, ...]:
    """The shape of an input value.

    Raises:
        FeatureError: The feature does not allow this shape.
    """
    if feature.kind not in ("image", "array"):
        return feature.shape
    if isinstance(value, (str, os.PathLike)):
        value = open_image(value)
    if hasattr(value, "height") and hasattr(value, "width"):
        shape: tuple[int, ...] = (value.height, value.width)
    else:
        try:
            shape = np.shape(value)
        except ValueError as error:
            raise FeatureError(f"the input '{feature.name}' is not an array: {error}") from error
        if feature.kind == "image":
            shape = shape[:2]
    if not feature.allows(shape):
        raise FeatureError(
            f"the input '{feature.name}' has the shape {feature.expected()}; "
            f"received: {' × '.join(map(str, shape)) or 'a single number'}"
        )
    return shape

"""A graph whose inputs may have several shapes, made anew for each shape that it is given.

Most ops are translated without knowing every size of their inputs, and one ONNX graph then serves
all shapes. A few need a size, such as that of a pooling over everything. A model with one of these
is translated when a shape first comes, with all sizes known, as Core ML itself does.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketlens.coreml.file.description import declared_classes
from pocketlens.coreml.file.errors import one_line_errors
from pocketlens.coreml.file.features import Feature, Interface
from pocketlens.coreml.file.package import ModelFile
from pocketlens.coreml.runtime.model import CoreMLModel
from pocketlens.coreml.runtime.recent import RecentModels
from pocketlens.errors import FeatureError, ModelFileError, UnsupportedModelError
from pocketlens.image import open_image

__all__ = ["FlexibleModel", "is_flexible"]

Shapes = tuple[tuple[int, ...], ...]


def is_flexible(interface: Interface) -> bool:
    """Whether some input may have more than one shape."""
    return any(each.shapes or each.ranges for each in interface.inputs)


class FlexibleModel(CoreMLModel):
    """An ML Program or a neural network that is translated for each shape of its inputs."""

    def __init__(
        self, file: ModelFile, interface: Interface, make: Callable[[Interface], CoreMLModel]
    ) -> None:
        """`make` translates the model for an interface of which every shape is fixed.

        Default shapes that do not fit the model are no fault before they are run: converters write
        the smallest that a range allows.

        Raises:
            UnsupportedModelError: The default shapes do not run here either.
        """
        self._make = make
        self._models = RecentModels()
        self._features = interface.inputs
        self._whole = interface
        self._default: CoreMLModel | ModelFileError
        try:
            self._default = self._model(tuple(each.shape for each in interface.inputs))
            classes = self._default.labels
        except ModelFileError as error:
            self._default = error
            classes = declared_classes(file, interface)
        super().__init__(file, interface, classes)

    def run(
        self, inputs: Mapping[str, Any], *, state: Any = None, intermediate: bool = False
    ) -> dict[str, Any]:
        self._check_given(inputs)
        shapes = tuple(
            _shape(inputs[each.name], each) if each.name in inputs else each.shape
            for each in self._features
        )
        return self._model(shapes).run(inputs, state=state, intermediate=intermediate)

    def _gives_probabilities(self) -> bool:
        return self._of_default_shapes()._gives_probabilities()

    def _probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        return self._of_default_shapes()._probabilities(images)

    def _onnx(self) -> bytes:
        raise UnsupportedModelError(
            f"{self.path} needs the sizes of its inputs to be translated, which it leaves open; "
            "only a model of fixed shapes can be written as an ONNX file"
        )

    def _of_default_shapes(self) -> CoreMLModel:
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
            return self._make(replace(self._whole, inputs=fixed))

        return self._models.get(shapes, make)


def _shape(given: Any, feature: Feature) -> tuple[int, ...]:
    """The shape of an input, one that the feature allows."""
    if feature.kind not in ("image", "array"):
        return feature.shape
    if isinstance(given, (str, os.PathLike)):
        given = open_image(given)
    if hasattr(given, "height") and hasattr(given, "width"):
        shape: tuple[int, ...] = (given.height, given.width)
    else:
        try:
            shape = np.shape(given)
        except ValueError as error:
            raise FeatureError(f"the input '{feature.name}' is no array: {error}") from error
        if feature.kind == "image":
            shape = shape[:2]
    if not feature.allows(shape):
        raise FeatureError(
            f"the input '{feature.name}' has the shape {feature.expected()}; "
            f"received: {' × '.join(map(str, shape)) or 'a single number'}"
        )
    return shape

"""A Keras 3 model as a source of a Core ML file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketlens.conversion.from_keras import KerasPredictor, image_shape, load_keras
from pocketlens.conversion.keras_arrays import KerasArrays, image_network
from pocketlens.conversion.keras_input import assumed_input, own_scaling, scaling_warning
from pocketlens.conversion.required import reject_own, required, required_spec, sized, takes_image
from pocketlens.conversion.source_kinds import SourceOptions
from pocketlens.conversion.torch_images import TorchImages
from pocketlens.conversion.torch_source import TorchSource

__all__ = ["KerasSource", "open_keras", "open_predictor", "source_of"]


class KerasSource(TorchSource):
    """A classifier whose probabilities Keras computes; PyTorch's export of it is converted."""

    def __init__(self, predictor: KerasPredictor, sizes: Sequence[tuple[int, int]] = ()) -> None:
        super().__init__(
            predictor.network(),
            predictor.head,
            predictor.classes,
            predictor.input_spec,
            sizes=sizes,
        )
        self.predictor = predictor
        if own := own_scaling(predictor.model):
            self.notes = (f"the model scales pixels itself, in the layer {own.layer}",)
        if warning := scaling_warning(predictor.model, predictor.input_spec):
            self.warnings = (warning,)

    def probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Probabilities `(N, K)` as Keras computes them."""
        if self.input_spec.shape != self.predictor.input_spec.shape:
            return super().probabilities(images)
        return self.predictor.with_input(
            color=self.input_spec.color, scale=self.input_spec.scale, bias=self.input_spec.bias
        ).probabilities(images)


class KerasImages(TorchImages):
    """A Keras model from an image to any outputs, which have the names that they have in Keras."""

    def __init__(self, model: Any, options: SourceOptions, what: str) -> None:
        spec = required_spec(options, what)
        super().__init__(image_network(model, spec), options, what)
        if own := own_scaling(model):
            self.notes = (f"the model scales pixels itself, in the layer {own.layer}",)
        if warning := scaling_warning(model, spec):
            self.warnings = (warning,)


def open_predictor(model: KerasPredictor, options: SourceOptions) -> KerasSource:
    """A KerasPredictor as a source."""
    reject_own(options, "a KerasPredictor")
    return KerasSource(model)


def open_keras(
    model: Path | Any, options: SourceOptions
) -> KerasSource | KerasArrays | KerasImages:
    """A `.keras` file or a model in memory as a source; see `open_source`."""
    network = load_keras(model) if isinstance(model, Path) else model
    what = str(model) if isinstance(model, Path) else "a Keras model"
    return source_of(network, options, what)


def source_of(
    network: Any, options: SourceOptions, what: str
) -> KerasSource | KerasArrays | KerasImages:
    """A Keras model in memory as a source.

    With labels and an image as its input, it classifies images. Without labels, the input is an
    image if `takes` says so.

    Args:
        network: The model.
        options: What is said about it.
        what: How it is called in messages.
    """
    shaped = options.inputs is None and _has_image_shape(network)
    if not takes_image(options, shaped, what):
        return KerasArrays(network, options)
    if options.input_spec is None and options.assume:
        height, width, channels = image_shape(network)
        height, width = sized(options, height, width, what)
        spec = assumed_input(network, height, width, channels, **options.values)
        options = replace(options, input_spec=spec)
    if options.labels is None:
        return KerasImages(network, options, what)
    labels, spec = required(options, what)
    predictor = KerasPredictor(network, labels, spec, head=options.head)
    return KerasSource(predictor, options.sizes)


def _has_image_shape(network: Any) -> bool:
    """Whether a model has one input in the shape of an image; a flat vector is none."""
    inputs: list[Any] = list(getattr(network, "inputs", None) or [])
    sides: list[int | None] = list(inputs[0].shape)[1:] if len(inputs) == 1 else []
    return len(sides) == 2 or (len(sides) == 3 and bool({sides[0], sides[-1]} & {1, 3}))

"""ONNX networks as sources of Core ML files, through the package onnx2coreml."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from pocketlens.conversion.from_onnx.differences import first_difference, first_overflow
from pocketlens.conversion.from_onnx.endings import ending_of
from pocketlens.conversion.from_onnx.fixing import fix_shapes
from pocketlens.conversion.from_onnx.image import (
    FEATURES,
    Layout,
    image_shape,
    layout_of,
    with_pixels,
)
from pocketlens.conversion.from_onnx.preparing import Prepared, identifier, prepare
from pocketlens.conversion.from_onnx.program import known_ops, to_core_ml
from pocketlens.conversion.from_onnx.reading import read_onnx
from pocketlens.conversion.from_onnx.running import Runner
from pocketlens.conversion.metadata import IMAGE_FEATURE
from pocketlens.conversion.package import Format
from pocketlens.conversion.probes import noise_images
from pocketlens.conversion.required import required, sized
from pocketlens.conversion.source_kinds import ArraySource, ImageSource, Precision, SourceOptions
from pocketlens.coreml import CoreMLModel
from pocketlens.coreml.file.budget import Budget
from pocketlens.errors import ConversionError, OptionError, printable
from pocketlens.evaluation.arrays import ArrayInput, Arrays
from pocketlens.heads import Head, find_head, probabilities_of
from pocketlens.image import InputSpec

__all__ = ["OnnxArrays", "OnnxClassifier", "open_onnx"]


def open_onnx(model: Path, options: SourceOptions) -> OnnxArrays | OnnxClassifier:
    """An ONNX file as a source; with labels or an InputSpec, it classifies images.

    `options.inputs` may give the shapes of its inputs: `{"input": (1, 3, 224, 224)}`.

    Raises:
        ConversionError: The file is damaged or unsafe, or has something that Core ML cannot
            express; the message names the nodes.
        OptionError: The shape of an input is not fixed, or an option does not fit.
        MissingExtraError: onnx2coreml is not installed.
    """
    known = known_ops()  # fails early without the package
    budget = Budget()
    network = read_onnx(model, budget)
    shapes = options.inputs or {}
    if not isinstance(shapes, Mapping):
        raise OptionError(
            "inputs of an ONNX file must be shapes by name, such as "
            f"{{'input': (1, 3, 224, 224)}}; received: {shapes!r}"
        )
    # The names may be those in the Core ML file, such as `input_1` for `input.1`.
    known_names = {identifier(each.name): each.name for each in network.graph.input}
    shapes = {
        known_names.get(identifier(name), name): getattr(shape, "shape", shape)
        for name, shape in shapes.items()
    }
    classifies = options.labels is not None or options.input_spec is not None
    if classifies:
        return _classifier(model, network, shapes, options, budget, known)
    if options.values or options.head is not None or options.sizes:
        raise OptionError(
            f"{model} has arrays as inputs; for an image classifier, add --labels FILE (one per "
            "line) or --labels a,b,c"
        )
    notes = fix_shapes(network, shapes)
    return OnnxArrays(model, network, tuple(notes), prepare(network, budget, keep=known))


class OnnxArrays(ArraySource):
    """An ONNX network from arrays to arrays; ONNX Runtime computes its outputs."""

    def __init__(
        self, path: Path, network: Any, notes: tuple[str, ...], prepared: Prepared
    ) -> None:
        self.path = path
        self.prepared = prepared
        self.runner = Runner(network, path)
        self.notes = notes
        self.inputs = tuple(
            ArrayInput(
                each.name,
                tuple(dim.dim_value for dim in each.type.tensor_type.shape.dim),
                _name(each.type.tensor_type.elem_type),
            )
            for each in prepared.model.graph.input
        )
        self.outputs = tuple(prepared.outputs[name] for name in self.runner.outputs)

    def run(self, arrays: Arrays) -> dict[str, NDArray[Any]]:
        """The outputs by their names in the Core ML file."""
        return self._named(self.runner, arrays)

    def _named(self, runner: Runner, arrays: Arrays) -> dict[str, NDArray[Any]]:
        results = runner.run(self._given(arrays))
        return {
            self.prepared.outputs[name]: np.atleast_1d(value) for name, value in results.items()
        }

    def _given(self, arrays: Arrays) -> dict[str, NDArray[Any]]:
        return {name: arrays[there] for name, there in self.prepared.inputs.items()}

    def to_core_ml(
        self,
        *,
        format: Format,  # noqa: A002 - the word of the command line
        precision: Precision,
        folder: Path,
    ) -> tuple[Any, Path | None]:
        """See `program.to_core_ml`."""
        return to_core_ml(self.prepared, format=format, half=precision == "float16", folder=folder)

    def moved(self, arrays: Arrays, seed: int) -> dict[str, NDArray[Any]]:
        """The outputs with each weight changed by a rounding error."""
        return self._named(self.runner.disturbed(seed), arrays)

    def first_difference(self, model: CoreMLModel, arrays: Arrays) -> str:
        """The first node whose result differs, and its op."""
        return first_difference(
            self.runner, self._given(arrays), model, arrays, self.prepared.tensors
        )


class OnnxClassifier(ImageSource):
    """An ONNX network that classifies images; ONNX Runtime computes its probabilities."""

    def __init__(
        self,
        path: Path,
        network: Any,
        layout: Layout,
        head: Head,
        options: SourceOptions,
        budget: Budget,
    ) -> None:
        labels, spec = required(options, str(path))
        super().__init__(labels, spec, head)
        self.path = path
        self.network = network
        self.layout = layout
        self.runner = Runner(network, path)
        self._budget = budget
        self._prepared: Prepared | None = None

    def with_input(self, *, labels: Any = None, **values: Any) -> Self:
        """A copy that shares the network; see `Predictor.with_input`."""
        other = super().with_input(labels=labels, **values)
        other._prepared = None
        return other

    @property
    def prepared(self) -> Prepared:
        """The network from pixels to probabilities, ready for conversion."""
        if self._prepared is None:
            whole = with_pixels(self.network, self.layout, self.input_spec, self.head)
            used = self._budget.used
            self._prepared = prepare(whole, self._budget, keep=known_ops(), names=FEATURES)
            self._budget.used = used
        return self._prepared

    def probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Probabilities `(N, K)` of images `(N, H, W, C)` uint8 that fit the InputSpec."""
        return self._probabilities(self.runner, images)

    def _probabilities(self, runner: Runner, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        if not len(images):
            return np.empty((0, len(self.classes)), np.float32)
        scores = _scores(runner, self.layout, self.input_spec, images)
        return probabilities_of(scores, self.head)

    def to_core_ml(
        self,
        *,
        format: Format,  # noqa: A002 - the word of the command line
        precision: Precision,
        folder: Path,
    ) -> tuple[Any, Path | None]:
        """See `program.to_core_ml`."""
        return to_core_ml(
            self.prepared,
            format=format,
            half=precision == "float16",
            folder=folder,
            labels=self.classes,
            image=IMAGE_FEATURE,
            color=self.input_spec.color,
        )

    def moved(self, images: NDArray[np.uint8], seed: int) -> NDArray[np.float32]:
        """The probabilities with each weight changed by a rounding error."""
        return self._probabilities(self.runner.disturbed(seed), images)

    def first_difference(
        self,
        model: CoreMLModel,
        image: NDArray[np.uint8],
        probabilities: NDArray[np.float32],  # noqa: ARG002 - the nodes are compared
    ) -> str:
        """The first node whose result differs, and its op."""
        given = _given(self.runner, self.layout, self.input_spec, image[None])[0]
        return first_difference(self.runner, given, model, _feature(image), self.prepared.tensors)

    def first_overflow(self, model: CoreMLModel, image: NDArray[np.uint8]) -> str:
        """The node after which a value is not finite."""
        return first_overflow(self.runner, model, _feature(image), self.prepared.tensors)


def _classifier(
    path: Path,
    network: Any,
    shapes: Mapping[str, Any],
    options: SourceOptions,
    budget: Budget,
    known: frozenset[str],
) -> OnnxClassifier:
    weights = {each.name for each in network.graph.initializer}
    inputs = [each for each in network.graph.input if each.name not in weights]
    if len(inputs) != 1 or len(network.graph.output) != 1:
        raise ConversionError(
            f"{path} has {len(inputs)} inputs and {len(network.graph.output)} outputs; expected an "
            "image as input and one score per class as output; without --labels, it becomes a "
            "model from arrays to arrays"
        )
    (entry,) = inputs
    if options.input_spec is None and options.labels is not None and options.assume:
        height, width, channels = image_shape(entry)
        height, width = sized(options, height, width, str(path))
        spec = InputSpec(height, width, "gray" if channels == 1 else "rgb")
        spec = spec.with_values(**options.values)
        assumed = [
            name for name in ("color", "scale", "bias")
            if name not in options.values and not (name == "color" and channels == 1)
        ]  # fmt: skip
        options = replace(options, input_spec=replace(spec, assumed=tuple(assumed)))
    labels, spec = required(options, str(path))
    layout, shape = layout_of(entry, spec)
    fix_shapes(network, {entry.name: shapes.get(entry.name, shape)})
    used = budget.used
    prepare(network, budget, keep=known)  # checks the sizes before anything runs
    budget.used = used
    scores = _scores(Runner(network, path), layout, spec, noise_images(spec))
    name = network.graph.output[0].name
    head = find_head(scores, ending_of(network, name), labels, f"'{printable(name)}'", options.head)
    return OnnxClassifier(path, network, layout, head, options, budget)


def _given(
    runner: Runner, layout: Layout, spec: InputSpec, images: NDArray[np.uint8]
) -> list[dict[str, NDArray[Any]]]:
    """The input for each image."""
    planes = spec.network_input(images)
    if layout == "channels-last":
        planes = planes.transpose(0, 2, 3, 1)
    return [{runner.inputs[0].name: each[None]} for each in planes]


def _scores(
    runner: Runner, layout: Layout, spec: InputSpec, images: NDArray[np.uint8]
) -> NDArray[np.float32]:
    results = [runner.run(each)[runner.outputs[0]] for each in _given(runner, layout, spec, images)]
    rows = [each[None] if each.ndim < 2 else each for each in results]  # without a batch
    scores: NDArray[np.float32] = np.concatenate(rows).astype(np.float32)
    if scores.ndim > 2 and all(side == 1 for side in scores.shape[2:]):
        scores = scores.reshape(scores.shape[:2])
    return scores


def _feature(image: NDArray[np.uint8]) -> dict[str, Any]:
    from PIL import Image

    return {IMAGE_FEATURE: Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)}


def _name(code: int) -> str:
    import onnx

    return str(onnx.helper.tensor_dtype_to_np_dtype(code).name)

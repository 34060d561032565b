"""Opened ONNX networks: classifiers of images, and models from arrays or an image to arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from pocketlens.conversion.from_onnx.differences import first_difference, first_overflow
from pocketlens.conversion.from_onnx.endings import ending_of
from pocketlens.conversion.from_onnx.image import (
    FEATURES,
    IMAGE,
    PROBABILITIES,
    Picture,
    with_ends,
)
from pocketlens.conversion.from_onnx.preparing import Prepared, prepare
from pocketlens.conversion.from_onnx.program import to_core_ml
from pocketlens.conversion.from_onnx.running import Runner
from pocketlens.conversion.metadata import IMAGE_FEATURE, LABEL_FEATURE, PROBABILITIES_FEATURE
from pocketlens.conversion.package import Format
from pocketlens.conversion.probes import noise_images
from pocketlens.conversion.source_kinds import ArraySource, ImageSource, Precision, SourceOptions
from pocketlens.coreml import CoreMLModel
from pocketlens.coreml.file.budget import Budget
from pocketlens.errors import ConversionError, printable
from pocketlens.evaluation.arrays import ArrayInput, Arrays
from pocketlens.heads import Head, Meaning, find_head, probabilities_of

__all__ = ["Network", "OnnxArrays", "OnnxClassifier"]


class Network(NamedTuple):
    """A network with fixed shapes.

    Args:
        path: Its file.
        model: The `ModelProto`.
        budget: How much memory it may need; what is charged is that of the file.
        known: The ops that have a lowering.
    """

    path: Path
    model: Any
    budget: Budget
    known: frozenset[str]

    def prepared(self, picture: Picture | None, head: Head | None) -> Prepared:
        """The network with other ends, see `with_ends`, ready for conversion."""
        whole = with_ends(self.model, picture, head)
        used = {IMAGE: picture is not None, PROBABILITIES: head is not None}
        names = {name: feature for name, feature in FEATURES.items() if used[name]}
        return prepare(whole, copy(self.budget), keep=self.known, names=names)

    def head(
        self, runner: Runner, given: Sequence[Arrays], labels: Sequence[str], said: Meaning | None
    ) -> Head:
        """What the only output is.

        Raises:
            ConversionError: There are several, or it does not have one score for each label.
        """
        outputs = self.model.graph.output
        if len(outputs) != 1:
            raise ConversionError(
                f"{self.path} has {len(outputs)} outputs; expected one score per class as output; "
                "without --labels, it becomes a model with these outputs"
            )
        if (count := len(_scores(runner, given[:1]))) != 1:
            raise ConversionError(
                f"{self.path} takes {count} rows at once; a classifier of Core ML takes one; "
                "export the network with a batch of 1, or of any size"
            )
        name = outputs[0].name
        ending = ending_of(self.model, name)
        return find_head(_scores(runner, given), ending, labels, f"'{printable(name)}'", said)


class OnnxArrays(ArraySource):
    """An ONNX network whose outputs ONNX Runtime computes.

    Args:
        network: The network.
        options: What is said about it. With labels, its only output are the scores of the classes.
        notes: What was assumed.
        picture: Its only input as an image; None if its inputs are arrays.
    """

    def __init__(
        self,
        network: Network,
        options: SourceOptions,
        notes: tuple[str, ...],
        picture: Picture | None = None,
    ) -> None:
        self.notes = notes
        self.picture = picture
        plain = network.prepared(None, None)  # checks the sizes before anything runs
        self.runner = Runner(network.model, network.path)
        self.inputs = tuple(
            ArrayInput(
                each.name,
                tuple(dim.dim_value for dim in each.type.tensor_type.shape.dim),
                _name(each.type.tensor_type.elem_type),
            )
            for each in plain.model.graph.input
        )
        if picture is not None:
            self.take_images(picture.spec)
        self.prepared = plain
        self.head: Head | None = None
        if options.labels is not None:
            given = [self._given(arrays) for _, arrays in self.probes()]
            self.head = network.head(self.runner, given, options.labels, options.head)
            self.labels = options.labels
            self.label, self.probabilities = LABEL_FEATURE, PROBABILITIES_FEATURE
        if picture is not None or self.head is not None:
            self.prepared = network.prepared(picture, self.head)
        self.outputs = (
            (LABEL_FEATURE, PROBABILITIES_FEATURE)
            if self.head is not None
            else tuple(self.prepared.outputs[name] for name in self.runner.outputs)
        )

    def run(self, arrays: Arrays) -> dict[str, NDArray[Any]]:
        """The outputs by their names in the Core ML file."""
        return self._named(self.runner, arrays)

    def _named(self, runner: Runner, arrays: Arrays) -> dict[str, NDArray[Any]]:
        if self.head is not None:
            scores = _scores(runner, [self._given(arrays)])
            probabilities = probabilities_of(scores, self.head)
            labels = np.array(self.labels, dtype=object)[probabilities.argmax(1)]
            return {self.label: labels, self.probabilities: probabilities}
        results = runner.run(self._given(arrays))
        return {
            self.prepared.outputs[name]: np.atleast_1d(value) for name, value in results.items()
        }

    def _given(self, arrays: Arrays) -> dict[str, NDArray[Any]]:
        if self.picture is not None:
            return _of_image(self.runner, self.picture, arrays[IMAGE_FEATURE])[0]
        return {name: arrays[there] for name, there in self.prepared.inputs.items()}

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
            precision=precision,
            folder=folder,
            labels=tuple(map(str, self.labels)),
            color=None if self.picture is None else self.picture.spec.color,
        )

    def moved(self, arrays: Arrays, seed: int) -> dict[str, NDArray[Any]]:
        """The outputs with each weight changed by a rounding error."""
        return self._named(self.runner.disturbed(seed), arrays)

    def first_difference(self, model: CoreMLModel, arrays: Arrays) -> str:
        """The first node whose result differs, and its op."""
        features, names = self.features(arrays), self.prepared.tensors
        return first_difference(self.runner, self._given(arrays), model, features, names)


class OnnxClassifier(ImageSource):
    """An ONNX network that classifies images; ONNX Runtime computes its probabilities.

    Args:
        network: The network.
        labels: The class names.
        picture: Its input.
        said: What is said about its outputs.
    """

    def __init__(
        self, network: Network, labels: Sequence[str], picture: Picture, said: Meaning | None
    ) -> None:
        self.network = network
        self.layout = picture.layout
        self.runner = Runner(network.model, network.path)
        given = _of_image(self.runner, picture, noise_images(picture.spec))
        head = network.head(self.runner, given, labels, said)
        super().__init__(labels, picture.spec, head)
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
            self._prepared = self.network.prepared(self._picture, self.head)
        return self._prepared

    @property
    def _picture(self) -> Picture:
        return Picture(self.layout, self.input_spec)

    def probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Probabilities `(N, K)` of images `(N, H, W, C)` uint8 that fit the InputSpec."""
        return self._probabilities(self.runner, images)

    def _probabilities(self, runner: Runner, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        if not len(images):
            return np.empty((0, len(self.classes)), np.float32)
        scores = _scores(runner, _of_image(runner, self._picture, images))
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
            precision=precision,
            folder=folder,
            labels=self.classes,
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
        (given,) = _of_image(self.runner, self._picture, image[None])
        features, names = {IMAGE_FEATURE: image}, self.prepared.tensors
        return first_difference(self.runner, given, model, features, names)

    def first_overflow(self, model: CoreMLModel, image: NDArray[np.uint8]) -> str:
        """The node after which a value is not finite."""
        return first_overflow(self.runner, model, {IMAGE_FEATURE: image}, self.prepared.tensors)


def _of_image(
    runner: Runner, picture: Picture, images: NDArray[np.uint8]
) -> list[dict[str, NDArray[Any]]]:
    """The inputs for each image."""
    return [{runner.inputs[0].name: each} for each in picture.arrays(images)]


def _scores(runner: Runner, given: Sequence[Mapping[str, NDArray[Any]]]) -> NDArray[np.float32]:
    """The only output for each of several inputs, `(N, K)`."""
    results = [runner.run(each)[runner.outputs[0]] for each in given]
    rows = [each[None] if each.ndim < 2 else each for each in results]  # without a batch
    scores: NDArray[np.float32] = np.concatenate(rows).astype(np.float32)
    if scores.ndim > 2 and all(side == 1 for side in scores.shape[2:]):
        scores = scores.reshape(scores.shape[:2])
    return scores


def _name(code: int) -> str:
    import onnx

    return str(onnx.helper.tensor_dtype_to_np_dtype(code).name)

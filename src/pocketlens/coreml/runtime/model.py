"""`CoreMLModel`: the base class of every Core ML model that runs here.

A subclass runs the model: as an ONNX graph (`runtime.graph_model.GraphModel`, with `flexible` and
`sequences` around it for inputs of several shapes), as a NumPy step
(`classic.model.ClassicModel`), or as several models one after another
(`classic.pipeline.PipelineModel`). A subclass defines `run`; it may replace `_probabilities` by a
faster way and `_onnx` if it can be exported.
"""

from __future__ import annotations

import copy
import os
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pocketlens.coreml.file.features import Interface, declared_thresholds
from pocketlens.coreml.file.input_spec import declared_input_spec
from pocketlens.coreml.file.inspection import inspect_file
from pocketlens.coreml.file.kinds import KINDS
from pocketlens.coreml.file.package import ModelFile
from pocketlens.coreml.file.time_limit import time_limited
from pocketlens.coreml.runtime.array_images import array_image
from pocketlens.coreml.runtime.inputs import Planes
from pocketlens.coreml.runtime.scores import Scores, array_scores
from pocketlens.coreml.runtime.state import State
from pocketlens.errors import FeatureError, OptionError, UnsupportedModelError, did_you_mean
from pocketlens.files import aside
from pocketlens.heads import Ending, check_meaning
from pocketlens.image import InputSpec
from pocketlens.prediction import Predictor, Thresholds, other_input, renamed

if TYPE_CHECKING:
    from pocketlens.coreml.graph import Graph, Value

__all__ = ["CoreMLModel", "Picture"]

Picture: TypeAlias = "Callable[[NDArray[np.uint8]], NDArray[Any] | Planes]"
"""Turns an image `(H, W, C)` into the value of the model's input."""


class CoreMLModel(Predictor):
    """A loaded Core ML model. `load` creates it.

    `run` works as in Core ML: features in, features out, by name and type. `predict` and
    `probabilities` classify images, like those of a Recognizer.

        model = load("Digits.mlpackage")
        model.run({"image": "seven.png"})["classLabel"]     # "7"
        model.predict("seven.jpg").confidence               # 0.998

    Attributes:
        path: The file; for a pipeline's stage, the file and the stage's name.
        kind: The kind of model in words, such as `ML Program` or `tree ensemble (classifier)`.
        interface: The inputs, outputs and states that the file declares.
        labels: A classifier's labels as the file has them, str or int; else empty.
    """

    def __init__(
        self, file: ModelFile, interface: Interface, classes: tuple[str | int, ...] = ()
    ) -> None:
        self.path: Path = file.path
        self.kind: str = KINDS[file.spec.WhichOneof("Type")]
        if interface.states and file.spec.WhichOneof("Type") != "mlProgram":
            raise UnsupportedModelError(
                f"{file.path} ({self.kind}) has the state {interface.states[0].name!r}; "
                "only an ML Program can have states here"
            )
        self.interface: Interface = interface
        self.labels: tuple[str | int, ...] = classes
        self._file = file
        self._classes = tuple(str(name) for name in classes)
        self._spec = self._declared_spec = declared_input_spec(file, interface)
        self._thresholds = declared_thresholds(file)
        self._scores: Scores | None = None

    def __repr__(self) -> str:
        return f"<CoreMLModel {self.path} ({self.kind})>"

    @property
    def classes(self) -> tuple[str, ...]:
        """The class names in the order of the probabilities; empty if this is not a classifier.

        If the file's labels are numbers (int64), the names are their decimal digits.
        """
        return self._classes

    @property
    def input_spec(self) -> InputSpec:
        """How images are prepared: from the file's metadata, else from its image input.

        Raises:
            FeatureError: The model's inputs are not exactly one image.
        """
        if self._spec is None:
            taken = ", ".join(f"{f.name} ({f.kind})" for f in self.interface.inputs)
            told = "; if the array is an image, say how pixels become its numbers: --scale 1/255, "
            told += "in Python with_input(scale=1 / 255)"
            raise FeatureError(
                f"{self.path} takes {taken}, not one image; call run() with its inputs by name"
                f"{told if array_image(self.interface.inputs) else ''}"
            )
        return self._spec

    @property
    def thresholds(self) -> Thresholds:
        """The confidence a label needs to be shown: from the file, else the defaults."""
        return self._thresholds

    @property
    def score_output(self) -> str:
        """The output with one number per class, if `with_input` named the classes; else empty."""
        return self._scores.name if self._scores else ""

    @property
    def head(self) -> str:
        """What the numbers of `score_output` are: `logits` or `probabilities`, or for two classes
        a single `logit` or `probability`; else empty."""
        return self._scores.head if self._scores else ""

    def with_input(
        self, *, labels: Sequence[str] | None = None, head: str | None = None, **values: Any
    ) -> CoreMLModel:
        """A copy that shares the graph; see `Predictor.with_input`.

        `predict` and `probabilities` change: pixels are converted so that the file's own scale,
        bias and color order give the numbers that `values` ask for. `run` and the file do not
        change, and so neither does what an iPhone computes: convert the model again for that.

        A model whose only input is an array in the shape of an image becomes an image classifier
        if `scale` is among `values`; so does a model without classes, one of whose outputs is an
        array with one number per class, if `labels` names them. The numbers are probabilities if
        the model ends with a softmax, and logits if it ends with a layer without an activation;
        where neither is clear, `head` has to say it: `logits` or `probabilities`.
        """
        other, array = copy.copy(self), array_image(self.interface.inputs)
        if self._spec is None and array is not None and "scale" in values:
            other._spec = array.input_spec()
        other._spec = other_input(other.input_spec, values)
        said = check_meaning(head)
        if self.classes or labels is None:
            if said is not None:
                raise OptionError(
                    f"head is for a model without class names, together with labels; "
                    f"{self.path} has {'its own' if self.classes else 'none, and no labels'}"
                )
            other._classes = renamed(self.classes, labels)
        else:
            names = tuple([labels] if isinstance(labels, str) else labels)
            other._classes = renamed(names, names)
            other._scores = array_scores(
                str(self.path), other.outputs_for, other.input_spec, names, self._ending, said
            )
        inside = self._declared_spec
        if inside is not None and 0 in inside.scale and other._spec.scale != inside.scale:
            raise OptionError(
                f"{self.path} multiplies its pixels by 0, which no other scale can undo; "
                "convert the model again with the right scale"
            )
        return other

    def probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The class probabilities, `(N, K)` float32, in the order of `classes`.

        Args:
            images: `(N, H, W, C)` uint8, gray or RGB, of the size in `input_spec`.

        Raises:
            FeatureError: The model is not an image classifier, or the images have another shape.
        """
        spec = self.input_spec
        if not self._scores and not self._has_probabilities():
            told = "; if an output has one number per class, name the classes: --labels a,b,c, "
            told += "in Python with_input(labels=[...])"
            arrays = any(feature.kind == "array" for feature in self.interface.outputs)
            raise FeatureError(
                f"{self.path} is not a classifier: it has no classes; call run() for its outputs"
                f"{told if arrays and not self.classes else ''}"
            )
        if images.ndim != 4 or images.shape[1:] != spec.shape or images.dtype != np.uint8:
            raise FeatureError(
                f"{self.path} takes images of shape (N, {spec.height}, {spec.width}, "
                f"{spec.channels}) uint8; received: {images.shape} {images.dtype}"
            )
        if self._scores:
            return self._scores.probabilities(images, self.outputs_for)
        return self._probabilities(images, self._picture)

    def _probabilities_in_graph(self) -> tuple[Graph, Value] | None:
        """The ONNX graph of an image classifier, and its probabilities there.

        None for a model that does not run as one graph, or has no probabilities.
        """
        return None

    def outputs_for(self, image: NDArray[np.uint8]) -> dict[str, Any]:
        """What `run` returns for a prepared image `(H, W, C)`, read as `with_input` says."""
        return self.run(self.features_for(image))

    def features_for(self, image: NDArray[np.uint8]) -> dict[str, Any]:
        """What `run` takes for a prepared image `(H, W, C)`, read as `with_input` says."""
        return {self.interface.inputs[0].name: self._picture(image)}

    def _picture(self, image: NDArray[np.uint8]) -> NDArray[Any] | Planes:
        """An image `(H, W, C)` as `run` takes it: unchanged, unless `with_input` changed it."""
        wanted, inside = self.input_spec, self._declared_spec
        if inside is None:
            array = array_image(self.interface.inputs)
            assert array is not None  # only such a model gets an InputSpec
            return array.arranged(wanted.network_input(image[None]))
        same = ("color", "scale", "bias")
        if all(getattr(wanted, name) == getattr(inside, name) for name in same):
            return image
        values = wanted.network_input(image[None])
        scale, bias = (np.array(each)[:, None, None] for each in (inside.scale, inside.bias))
        return Planes(((values - bias) / scale).astype(np.float32))

    def run(
        self, inputs: Mapping[str, Any], *, state: Any = None, intermediate: bool = False
    ) -> dict[str, Any]:
        """Run the model once.

        Args:
            inputs: The value of each input, by name. Inputs that the file declares as optional may
                be left out or be None. The value depends on the input's type:

                - image: a path, a Pillow image, or an array `(H, W)`, `(H, W, 1)` or `(H, W, 3)`
                  uint8, of exactly the declared size; colors are converted
                - multi-array: an array of the declared shape, or anything NumPy converts to one
                - string; integer (int64); number (double)
                - dictionary of numbers with string or int64 keys
                - sequence of strings or int64
            state: A state from `make_state`, which the run reads and updates; None for a model
                without states.
            intermediate: Also return the values computed in between, by their Core ML names: every
                tensor of a graph, every feature of a pipeline.

        Returns:
            The outputs by name: a class label as str or int, probabilities as a dictionary, an
            image as a Pillow image, a number as int or float, a sequence as a list, anything else
            as an array of the declared type.

        Raises:
            FeatureError: An input is missing, unknown, or has the wrong size or type; or the state
                is missing or belongs to another model; or the run takes longer than the
                `time_limit` of `load`.
            ImageError: An image cannot be read.
        """
        with time_limited(self.path, self._file.time_limit):
            return self._run_once(inputs, state=state, intermediate=intermediate)

    @abstractmethod
    def _run_once(
        self, inputs: Mapping[str, Any], *, state: Any, intermediate: bool
    ) -> dict[str, Any]:
        """`run` without the time limit."""

    def make_state(self) -> State:
        """Create a state for a model that keeps values between predictions, all zeros.

        Raises:
            UnsupportedModelError: This model has no state.
        """
        if not self.interface.states:
            raise UnsupportedModelError(f"{self.path} keeps no state between predictions")
        return State(self._file, self.interface.states)

    def inspect(self) -> dict[str, Any]:
        """Describe the file with plain values that can be written as JSON; see `inspect`."""
        return inspect_file(self._file)

    def to_onnx(self, path: str | os.PathLike[str], *, force: bool = False) -> Path:
        """Export the model to an ONNX file. Pixels are 0-255, as in Core ML.

        Each state is an input with its own name and an output named `NAME/new`. A model with loops
        has the further output `steps_left`: if it is negative, a loop was stopped before its end or
        a branch was taken that cannot run, and the other outputs are invalid.

        If the model quantizes its activations, run it with the ONNX Runtime session option
        `session.disable_quant_qdq=1`, as this package does. Without it, ONNX Runtime rounds float
        weights to 8 bits.

        Returns:
            The path.

        Raises:
            UnsupportedModelError: The model is neither an ML Program nor a neural network, or it
                has flexible shapes and an op that needs fixed ones.
            OutputExistsError: The file exists and `force` is False.
            OutputError: The file cannot be written.
        """
        content = self._onnx()
        with aside(path, force=force) as new:
            new.write_bytes(content)
        return Path(path)

    def _onnx(self) -> bytes:
        raise UnsupportedModelError(
            f"{self.path} ({self.kind}) runs here without ONNX; "
            "only an ML Program or a neural network can be written as an ONNX file"
        )

    def _ending(self, output: str) -> Ending:  # noqa: ARG002 - subclasses use it
        """How the model computes an output, as far as that can be read."""
        return "unknown"

    def _has_probabilities(self) -> bool:
        return bool(self.labels and self.interface.probabilities)

    def _probabilities(self, images: NDArray[np.uint8], picture: Picture) -> NDArray[np.float32]:
        """`probabilities` for images whose shape has been checked; `picture` prepares each."""
        (image,) = self.interface.inputs
        result = np.empty((len(images), len(self.labels)), np.float32)
        for row, each in enumerate(images):
            scores = self.run({image.name: picture(each)})[self.interface.probabilities]
            result[row] = [scores[name] for name in self.labels]
        return result

    def _given(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """The inputs without optional ones that are None, which are left out.

        Raises:
            FeatureError: An input is not declared, or a required one is missing.
        """
        names = dict.fromkeys(feature.name for feature in self.interface.inputs)
        for name in inputs:
            if name not in names:
                raise FeatureError(
                    f"{self.path} has no input {name!r}; {did_you_mean(str(name), names)}"
                )
        for feature in self.interface.inputs:
            if feature.name not in inputs and not feature.optional:
                raise FeatureError(
                    f"{self.path} needs the input '{feature.name}' ({feature.kind}); "
                    f"received: {', '.join(map(str, inputs)) or 'nothing'}"
                )
        optional = {feature.name for feature in self.interface.inputs if feature.optional}
        return {k: v for k, v in inputs.items() if v is not None or k not in optional}

    def _check_stateless(self, state: Any) -> None:
        if state is not None:
            raise FeatureError(f"{self.path} keeps no state; expected state=None")

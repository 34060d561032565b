"""`CoreMLModel`: what every Core ML file that runs here has in common.

What happens inside is a matter of its kind: an ONNX graph (`session.GraphModel`), a NumPy step
(`classic.model.ClassicModel`), or several models in a row (`classic.pipeline.PipelineModel`).
"""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketlens.coreml.file.description import describe_file
from pocketlens.coreml.file.features import Interface, declared_input_spec, declared_thresholds
from pocketlens.coreml.file.kinds import KINDS
from pocketlens.coreml.file.package import ModelFile
from pocketlens.coreml.runtime.state import State
from pocketlens.errors import FeatureError, UnsupportedModelError, did_you_mean
from pocketlens.files import aside
from pocketlens.image import InputSpec
from pocketlens.prediction import Predictor, Thresholds

__all__ = ["CoreMLModel"]


class CoreMLModel(Predictor):
    """A Core ML file that runs here. Made by `load`.

    `run` is Core ML's own view: features in, features out, by name and type. `predict` and
    `probabilities` are the classifier's view.

    Attributes:
        path: The file; of a pipeline's stage, the file and the stage's name.
        kind: The kind of model in words, such as `ML Program` or `tree ensemble (classifier)`.
        interface: The features that it takes and gives, as its description declares them.
        labels: A classifier's labels as the file has them, str or int; else empty.
    """

    def __init__(
        self, file: ModelFile, interface: Interface, classes: tuple[str | int, ...] = ()
    ) -> None:
        self.path: Path = file.path
        self.kind: str = KINDS[file.spec.WhichOneof("Type")]
        if interface.states and file.spec.WhichOneof("Type") != "mlProgram":
            raise UnsupportedModelError(
                f"{file.path} ({self.kind}) keeps {interface.states[0].name!r} between "
                "predictions, as only an ML Program can here"
            )
        self.interface: Interface = interface
        self.labels: tuple[str | int, ...] = classes
        self._file = file
        self._classes = tuple(str(name) for name in classes)
        self._spec = declared_input_spec(file, interface)
        self._thresholds = declared_thresholds(file)

    def __repr__(self) -> str:
        return f"<CoreMLModel {self.path} ({self.kind})>"

    @property
    def classes(self) -> tuple[str, ...]:
        """The class names in the order of the probabilities; empty if this is no classifier.

        Classes that the file numbers (int64) are named by their decimal digits.
        """
        return self._classes

    @property
    def input_spec(self) -> InputSpec:
        """How a picture is made ready: from the file's metadata, else from its image input.

        Raises:
            FeatureError: The model does not take exactly one image.
        """
        if self._spec is None:
            taken = ", ".join(f"{f.name} ({f.kind})" for f in self.interface.inputs)
            raise FeatureError(
                f"{self.path} takes {taken}, not one image; call run() with its inputs by name"
            )
        return self._spec

    @property
    def thresholds(self) -> Thresholds:
        """How sure it must be for its label to be shown: from the file, else the usual ones."""
        return self._thresholds

    def probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Probabilities `(N, K)` float32, in the order of `classes`.

        Args:
            images: `(N, H, W, C)` uint8 in picture order (gray or RGB), fitting `input_spec`.

        Raises:
            FeatureError: Not a classifier of one image, or images of another shape.
        """
        spec = self.input_spec
        if not self._gives_probabilities():
            raise FeatureError(
                f"{self.path} is not a classifier: it has no classes; call run() for its outputs"
            )
        if images.ndim != 4 or images.shape[1:] != spec.shape or images.dtype != np.uint8:
            raise FeatureError(
                f"{self.path} takes images of shape (N, {spec.height}, {spec.width}, "
                f"{spec.channels}) uint8; received: {images.shape} {images.dtype}"
            )
        return self._probabilities(images)

    @abstractmethod
    def run(
        self, inputs: Mapping[str, Any], *, state: Any = None, intermediate: bool = False
    ) -> dict[str, Any]:
        """Run the model once, as Core ML would.

        Args:
            inputs: One entry per input; those that the file calls optional may be left out.
                An image: a path, a Pillow image or an array `(H, W)`, `(H, W, 1)` or `(H, W, 3)`
                uint8 of exactly the declared size; its colors are converted. A multi-array:
                anything NumPy makes an array of the declared shape from. A string, a whole number
                (int64), a number (double), a dictionary of numbers with string or int64 keys, a
                sequence of strings or int64.
            state: A state made by `make_state`, which the run reads and changes; a model that keeps
                nothing between predictions takes none.
            intermediate: Give what is computed on the way, by its Core ML name, too: every tensor
                of a graph, every feature of a pipeline.

        Returns:
            The outputs by name: a class label as str or int, probabilities as a dictionary, an
            image as a Pillow image, a number as int or float, a sequence as a list, anything else
            as an array of the declared type.

        Raises:
            FeatureError: An input missing, unknown, or of another size or type than declared.
            ImageError: A picture that cannot be read.
        """

    def make_state(self) -> State:
        """A new state, all zeros, for a model that keeps one between predictions.

        Raises:
            UnsupportedModelError: This model keeps none.
        """
        if not self.interface.states:
            raise UnsupportedModelError(f"{self.path} keeps no state between predictions")
        return State(self._file, self.interface.states)

    def describe(self) -> dict[str, Any]:
        """Everything that the file says of itself, ready for JSON; see `describe`."""
        return describe_file(self._file)

    def to_onnx(self, path: str | os.PathLike[str], *, force: bool = False) -> Path:
        """Write the model as an ONNX file; pixels go in as 0-255, as they do in Core ML.

        What the model keeps between predictions goes in under its name and comes out as `NAME/new`.
        A model with loops also gives `steps_left`: where it is negative, a loop was stopped before
        its end, or a branch was taken that cannot run, and the outputs mean nothing.

        Where a model quantizes its activations, give ONNX Runtime `session.disable_quant_qdq=1`, as
        is done here: it would round the float weights between them to 8 bits.

        Raises:
            UnsupportedModelError: It is neither an ML Program nor a neural network.
            OutputExistsError: The file is there already and `force` is not given.
            OutputError: It cannot be written.
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

    def _gives_probabilities(self) -> bool:
        return bool(self.labels and self.interface.probabilities)

    def _probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The probabilities of images whose shape has been checked."""
        (image,) = self.interface.inputs
        result = np.empty((len(images), len(self.labels)), np.float32)
        for row, picture in enumerate(images):
            scores = self.run({image.name: picture})[self.interface.probabilities]
            result[row] = [scores[name] for name in self.labels]
        return result

    def _check_given(self, inputs: Mapping[str, Any]) -> None:
        """Every input that is given is declared, and every one that must be given is."""
        names = [feature.name for feature in self.interface.inputs]
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

    def _check_stateless(self, state: Any) -> None:
        if state is not None:
            raise FeatureError(f"{self.path} keeps no state; expected state=None")

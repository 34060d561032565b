"""What can be converted, opened: an image classifier, or a model from arrays to arrays.

`sources` opens a file or an object as one of these. `convert` and `verify` use nothing else of it.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pocketlens.conversion.array_probes import Probe, probe_arrays
from pocketlens.conversion.metadata import ModelMetadata, describe, describe_arrays
from pocketlens.conversion.package import Format
from pocketlens.coreml import CoreMLModel
from pocketlens.evaluation.arrays import ArrayModel, Arrays
from pocketlens.heads import Head, Meaning
from pocketlens.image import InputSpec
from pocketlens.prediction import Predictor, Thresholds, other_input, renamed

__all__ = ["ArraySource", "ImageSource", "Precision", "SourceOptions"]

Precision: TypeAlias = Literal["float16", "float32"]


@dataclass(frozen=True)
class SourceOptions:
    """What is said about a source, in Python or on the command line.

    Args:
        labels: The class names in the order of the outputs.
        input_spec: How an image becomes the input, all of it.
        values: The fields of the InputSpec that are said, if not all of them.
        assume: Whether the other fields may be read from the model, or assumed. If not, an image
            classifier needs an `input_spec`.
        sizes: The sizes of the image, (height, width), the first one the usual one.
        head: What the outputs are, if the model does not show it.
        inputs: Of a model in memory that takes arrays, what its inputs are. Of an ONNX file, a
            shape for each input whose sizes are not fixed, by its name.
    """

    labels: tuple[str, ...] | None = None
    input_spec: InputSpec | None = None
    values: Mapping[str, Any] = field(default_factory=dict)
    assume: bool = False
    sizes: tuple[tuple[int, int], ...] = ()
    head: Meaning | None = None
    inputs: Any = None


class _Source(ABC):
    """What image classifiers and models from arrays to arrays have in common.

    Attributes:
        halves: Whether the precision float16 changes the file.
        warnings: What to warn of when it is converted.
    """

    halves: bool = True
    warnings: tuple[str, ...] = ()

    @abstractmethod
    def to_core_ml(
        self,
        *,
        format: Format,  # noqa: A002 - the word of the command line
        precision: Precision,
        folder: Path,
    ) -> tuple[Any, Path | None]:
        """The `Model` message, and the path of its weights file; None if it has none.

        Args:
            format: `mlpackage` or `mlmodel`.
            precision: Of the arithmetic (`mlpackage`) or of the weights (`mlmodel`).
            folder: An empty folder for the weights file.

        Raises:
            ConversionError: It cannot be converted.
        """

    @abstractmethod
    def describe(self, spec: Any, metadata: ModelMetadata) -> None:
        """Write the texts for a reader into the `Model` message."""


class ImageSource(Predictor, _Source):
    """An image classifier; `probabilities` are computed by the source itself.

    Its Core ML model has the image `image` as input, and the outputs `classLabel` and
    `classLabel_probs`.

    Attributes:
        head: What its outputs are.
        notes: What the model shows about its input, for the user to read.
        sizes: All sizes that the image may have, (height, width), if there are several.
    """

    head: Head
    sizes: tuple[tuple[int, int], ...] = ()
    notes: tuple[str, ...] = ()

    def __init__(
        self,
        labels: Sequence[str],
        input_spec: InputSpec,
        head: Head,
        thresholds: Thresholds | None = None,
    ) -> None:
        self._classes = tuple(labels)
        self._input_spec = input_spec
        self._thresholds = thresholds
        self.head = head

    @property
    def classes(self) -> tuple[str, ...]:
        """The class names, in the order of the probabilities."""
        return self._classes

    @property
    def input_spec(self) -> InputSpec:
        """How an image is cropped, resized and scaled for this model."""
        return self._input_spec

    @property
    def thresholds(self) -> Thresholds:
        """When its label is shown."""
        return self._thresholds or Thresholds()

    def with_input(self, *, labels: Sequence[str] | None = None, **values: Any) -> Self:
        """A copy that shares the model; see `Predictor.with_input`."""
        other = copy.copy(self)
        other._input_spec = other_input(self.input_spec, values)
        other._classes = renamed(self.classes, labels)
        return other

    def of_size(self, size: tuple[int, int]) -> ImageSource:  # noqa: ARG002
        """The same model for images of another of its `sizes`, (height, width)."""
        return self

    def describe(self, spec: Any, metadata: ModelMetadata) -> None:
        """Write metadata, feature descriptions, InputSpec and thresholds to a model."""
        describe(spec, metadata, self.classes, self.input_spec, self._thresholds)

    def moved(self, images: NDArray[np.uint8], seed: int) -> NDArray[np.float32]:  # noqa: ARG002
        """The probabilities if each number is changed by a rounding error.

        A model that rounds, sorts or divides by almost nothing amplifies these. Without an answer,
        none are excused.
        """
        return self.probabilities(images)

    def first_difference(
        self,
        model: CoreMLModel,  # noqa: ARG002 - subclasses use them
        image: NDArray[np.uint8],  # noqa: ARG002
        probabilities: NDArray[np.float32],  # noqa: ARG002
    ) -> str:
        """The first op whose result differs for an image, as a sentence.

        Args:
            model: The Core ML file, in float32.
            image: `(H, W, C)` uint8.
            probabilities: What the source computes for it, `(K,)`.
        """
        return "no single op could be identified"

    def first_overflow(self, model: CoreMLModel, image: NDArray[np.uint8]) -> str:  # noqa: ARG002
        """Where a value that is not finite appears first, as the end of a sentence."""
        return ""


class ArraySource(ArrayModel, _Source):
    """A model from arrays to arrays; `run` computes its outputs by the source itself.

    Its Core ML model has inputs and outputs of the same names; a classifier has its `label` and, as
    a dictionary, its `probabilities` among the outputs.

    Attributes:
        tolerance: The largest difference in float32, as a share of the largest number.
    """

    tolerance: float = 1e-4

    def describe(self, spec: Any, metadata: ModelMetadata) -> None:
        """Write metadata and feature descriptions to a model."""
        describe_arrays(spec, metadata, self)

    def probes(self) -> list[Probe]:
        """Inputs with which the file is compared before it is written, each with its name.

        Those that the source itself cannot process are left out.
        """
        return probe_arrays(self.inputs)

    def moved(self, arrays: Arrays, seed: int) -> dict[str, NDArray[Any]]:  # noqa: ARG002
        """The outputs if each number is changed by a rounding error.

        Without an answer, no difference is excused.
        """
        return self.run(arrays)

    def first_difference(self, model: CoreMLModel, arrays: Arrays) -> str:  # noqa: ARG002
        """The first op, layer or tree whose result differs, as a sentence; "" if not known."""
        return ""

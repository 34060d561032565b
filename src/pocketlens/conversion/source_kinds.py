"""What can be converted, opened: an image classifier, or a model from arrays to arrays.

`sources` opens a file or an object as one of these. `convert` and `verify` use nothing else of it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketlens.conversion.array_probes import Probe, probe_arrays
from pocketlens.conversion.metadata import (
    IMAGE_FEATURE,
    ModelMetadata,
    describe,
    describe_arrays,
)
from pocketlens.conversion.package import Format
from pocketlens.conversion.precision.mixed import Precision
from pocketlens.conversion.probes import probe_images
from pocketlens.coreml import CoreMLModel
from pocketlens.errors import OptionError, did_you_mean
from pocketlens.evaluation.arrays import ArrayInput, ArrayModel, Arrays
from pocketlens.heads import Head, Meaning
from pocketlens.image import InputSpec
from pocketlens.prediction import PlainPredictor, Thresholds

__all__ = ["TAKES", "ArraySource", "ImageSource", "Precision", "SourceOptions"]

TAKES = ("image", "array", "columns")
"""What an input may be said to be."""


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
            shape for each input whose sizes are not fixed, by its name. Or what `takes` is.
        takes: What the only input is: `image` or `array`; of a table, `array` or `columns`. None:
            an image if there are labels and it has the shape of one.

    Raises:
        OptionError: `inputs` is an unknown text.
    """

    labels: tuple[str, ...] | None = None
    input_spec: InputSpec | None = None
    values: Mapping[str, Any] = field(default_factory=dict)
    assume: bool = False
    sizes: tuple[tuple[int, int], ...] = ()
    head: Meaning | None = None
    inputs: Any = None
    takes: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.inputs, str):
            return
        if self.inputs not in TAKES:
            raise OptionError(
                f"inputs {self.inputs!r} is not known; {did_you_mean(self.inputs, TAKES)}"
            )
        object.__setattr__(self, "takes", self.inputs)
        object.__setattr__(self, "inputs", None)


class _Source(ABC):
    """What image classifiers and models from arrays to arrays have in common.

    Attributes:
        halves: Whether the precision float16 changes the file.
        warnings: What to warn of when it is converted.
        notes: What the model shows about its input, or what was assumed, for the user to read.
    """

    halves: bool = True
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

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

    def place(self, op: str) -> str:  # noqa: ARG002 - subclasses use it
        """The layer and line that an op of the Core ML file comes from, as the end of a sentence.

        "" if they are not known.
        """
        return ""

    @abstractmethod
    def describe(self, spec: Any, metadata: ModelMetadata) -> None:
        """Write the texts for a reader into the `Model` message."""


class ImageSource(PlainPredictor, _Source):
    """An image classifier; `probabilities` are computed by the source itself.

    Its Core ML model has the image `image` as input, and the outputs `classLabel` and
    `classLabel_probs`.

    Attributes:
        head: What its outputs are.
        sizes: All sizes that the image may have, (height, width), if there are several.
    """

    head: Head
    sizes: tuple[tuple[int, int], ...] = ()

    def __init__(
        self,
        labels: Sequence[str],
        input_spec: InputSpec,
        head: Head,
        thresholds: Thresholds | None = None,
    ) -> None:
        super().__init__(labels, input_spec, thresholds)
        self.head = head

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
    a dictionary, its `probabilities` among the outputs. Its only input may be an image: then it is
    `image`, here an array `(1, H, W, C)` uint8 of pixels.

    Attributes:
        tolerance: The largest difference in float32, as a share of the largest number.
        input_spec: How an image becomes the only input; None if the inputs are arrays.
        sizes: All sizes that the image may have, (height, width), if there are several.
    """

    tolerance: float = 1e-4
    input_spec: InputSpec | None = None
    sizes: tuple[tuple[int, int], ...] = ()

    def take_images(self, input_spec: InputSpec, sizes: Sequence[tuple[int, int]] = ()) -> None:
        """Make an image the only input."""
        self.input_spec, self.sizes = input_spec, tuple(sizes)
        height, width = zip(*sizes, strict=True) if sizes else input_spec.shape[:2]
        shape = (1, height, width, input_spec.channels)
        self.inputs = (ArrayInput(IMAGE_FEATURE, shape, "uint8"),)

    def features(self, arrays: Arrays) -> dict[str, Any]:
        """The arrays of one run, as inputs of the Core ML file."""
        if self.input_spec is None:
            return dict(arrays)
        return {IMAGE_FEATURE: arrays[IMAGE_FEATURE][0]}

    def describe(self, spec: Any, metadata: ModelMetadata) -> None:
        """Write metadata and feature descriptions to a model."""
        describe_arrays(spec, metadata, self, self.input_spec)

    def probes(self) -> list[Probe]:
        """Inputs with which the file is compared before it is written, each with its name.

        Those that the source itself cannot process are left out.
        """
        if self.input_spec is None:
            return probe_arrays(self.inputs)
        return [
            (name, {IMAGE_FEATURE: image[None]})
            for height, width in self.sizes or [self.input_spec.shape[:2]]
            for image, name in zip(
                *probe_images(replace(self.input_spec, height=height, width=width)), strict=True
            )
        ]

    def moved(self, arrays: Arrays, seed: int) -> dict[str, NDArray[Any]]:  # noqa: ARG002
        """The outputs if each number is changed by a rounding error.

        Without an answer, no difference is excused.
        """
        return self.run(arrays)

    def first_difference(self, model: CoreMLModel, arrays: Arrays) -> str:  # noqa: ARG002
        """The first op, layer or tree whose result differs, as a sentence; "" if not known."""
        return ""

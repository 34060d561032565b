"""`Prediction` and `Predictor`: what every recognizer answers, and how it is asked.

A trained `Recognizer` and a Core ML file (`CoreMLModel`) are both a `Predictor`, so whatever
evaluates, compares, previews or serves takes either.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from pocketlens.errors import OptionError
from pocketlens.image import ImageSource, InputSpec, prepare

__all__ = [
    "NOTHING",
    "THRESHOLDS_KEY",
    "ImageSources",
    "Prediction",
    "Predictor",
    "Thresholds",
    "by_name",
]

NOTHING = "nothing"
"""The label of the background class: nothing to recognize is in view."""

THRESHOLDS_KEY = "org.pocketlens.thresholds"
"""The user-metadata key under which `Thresholds.to_json()` travels inside a Core ML file."""

ImageSources: TypeAlias = Sequence[ImageSource] | NDArray[np.uint8]

Name = TypeVar("Name")


@dataclass(frozen=True)
class Prediction:
    """What a recognizer says of one image.

    Args:
        label: The class with the highest probability.
        confidence: That probability, in [0, 1].
        probabilities: The probability of every class, in the order of the model's classes; of
            several with one name, that of the likeliest.
    """

    label: str
    confidence: float
    probabilities: dict[str, float]

    @classmethod
    def from_array(cls, classes: Sequence[str], probabilities: NDArray[np.float32]) -> Prediction:
        """From the probabilities `(K,)` of `K` classes; the first of equals wins, as in Core ML."""
        best = int(np.argmax(probabilities))
        return cls(classes[best], float(probabilities[best]), by_name(classes, probabilities))

    def top(self, k: int = 5) -> list[tuple[str, float]]:
        """The `k` likeliest classes with their probabilities, likeliest first."""
        if k < 1:
            raise OptionError(f"top needs a count of at least 1; received: {k}")
        return sorted(self.probabilities.items(), key=lambda item: -item[1])[:k]


def by_name(classes: Sequence[Name], probabilities: NDArray[np.floating[Any]]) -> dict[Name, float]:
    """The probability of each class; of several with one name, that of the likeliest.

    So the label's is always the highest, as ImageNet's two classes "crane" have it.
    """
    listed = probabilities.tolist()
    values: dict[Name, float] = dict(zip(classes, listed, strict=True))
    if len(values) < len(classes):
        for name, probability in zip(classes, listed, strict=True):
            values[name] = max(values[name], probability)
    return values


@dataclass(frozen=True)
class Thresholds:
    """How sure a recognizer must be for a label to be shown, and to stay.

    Args:
        show: The confidence, in [0, 1], that a new label must reach.
        keep: The one below which a shown label goes; at most `show`.
        present: How probable it must be, for a new label, that there is something at all: one less
            the probability of `nothing`. Two classes that look alike share the confidence, but a
            wall is like neither.

    Raises:
        OptionError: Numbers out of that range or order.
    """

    show: float = 0.7
    keep: float = 0.5
    present: float = 0.5

    def __post_init__(self) -> None:
        for name in ("show", "keep", "present"):
            value = getattr(self, name)
            if type(value) not in (int, float) or not 0 <= value <= 1:
                raise OptionError(f"thresholds.{name} is a number from 0 to 1; received: {value!r}")
        if self.keep > self.show:
            raise OptionError(
                "thresholds.keep is at most thresholds.show; "
                f"received: {self.keep} over {self.show}"
            )

    def to_json(self) -> str:
        """One line of JSON: the form in which they travel inside a file."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Thresholds:
        """The inverse of `to_json`.

        Raises:
            OptionError: Text that is not the JSON of thresholds.
        """
        try:
            return cls(**json.loads(text))
        except (ValueError, TypeError, RecursionError) as error:
            raise OptionError(
                'thresholds are a JSON object {"show": ..., "keep": ..., "present": ...}; '
                f"received: {text[:80]!r}"
            ) from error


class Predictor(ABC):
    """Something that names what is in an image.

    A subclass gives `classes`, `input_spec` and `probabilities`; `predict` follows from them.
    """

    @property
    @abstractmethod
    def classes(self) -> tuple[str, ...]:
        """The class names, in the order of the probabilities."""

    @property
    @abstractmethod
    def input_spec(self) -> InputSpec:
        """How an image is cropped, resized and scaled for this predictor."""

    @property
    def thresholds(self) -> Thresholds:
        """How sure it must be for its label to be shown; the usual ones unless it has its own."""
        return Thresholds()

    @abstractmethod
    def probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Probabilities `(N, K)` of images `(N, H, W, C)` uint8 that already fit `input_spec`."""

    # A str is a sequence of str too, and an array may be one image or several: see `several`.
    @overload
    def predict(self, images: ImageSource) -> Prediction: ...  # type: ignore[overload-overlap]
    @overload
    def predict(self, images: ImageSources) -> list[Prediction]: ...
    def predict(self, images: ImageSource | ImageSources) -> Prediction | list[Prediction]:
        """Name one image, or each of several.

        Args:
            images: A path, a Pillow image or an array `(H, W)` / `(H, W, 1 or 3)` uint8 for one
                `Prediction`; a sequence of these or an array `(N, H, W, C)` for a list of them.
                Each is oriented, cropped and resized by `input_spec`.

        Raises:
            ImageError: A picture that cannot be read or is too large.
        """
        several = isinstance(images, (list, tuple)) or (
            isinstance(images, np.ndarray) and images.ndim == 4
        )
        sources: Sequence[ImageSource] = list(images) if several else [images]  # type: ignore[arg-type, list-item]
        if not sources:
            return []
        batch = np.stack([prepare(source, self.input_spec) for source in sources])
        answers = [Prediction.from_array(self.classes, row) for row in self.probabilities(batch)]
        return answers if several else answers[0]

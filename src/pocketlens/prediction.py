"""`Prediction` and `Predictor`: the result of a recognizer, and its interface.

A trained `Recognizer` and a Core ML file (`CoreMLModel`) are both a `Predictor`, so evaluation,
comparison, preview and serving work with either.
"""

from __future__ import annotations

import copy
import hashlib
import json
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self, TypeAlias, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from pocketlens.errors import OptionError, did_you_mean, printable
from pocketlens.image import ASSUMABLE, COLORS, ImageSource, InputSpec, prepare

__all__ = [
    "MARGIN",
    "NOTHING",
    "NOT_SURE",
    "THRESHOLDS_KEY",
    "ImageSources",
    "PlainPredictor",
    "Prediction",
    "Predictor",
    "Remembering",
    "Thresholds",
    "by_name",
    "class_name_errors",
    "other_input",
    "renamed",
]

NOTHING = "nothing"
"""The label of the background class: none of the classes is in view."""

NOT_SURE = "not sure"
"""Shown in place of a label if a class is the most probable one, but not probable enough."""

MARGIN = 0.2
"""By how much the most probable class must lead for its label to be shown."""

THRESHOLDS_KEY = "org.pocketlens.thresholds"
"""The key in a Core ML file's user metadata that holds `Thresholds.to_json()`."""

ImageSources: TypeAlias = Sequence[ImageSource] | NDArray[np.uint8]

Name = TypeVar("Name")


@dataclass(frozen=True)
class Prediction:
    """The result for one image.

    Args:
        label: The class with the highest probability.
        confidence: That probability, in [0, 1].
        probabilities: The probability of every class, in the order of the model's classes. If
            several classes have the same name, the highest of their probabilities.
        shown: Whether the app shows the label for this image alone: it is probable enough by the
            model's thresholds, leads clearly, and is not `nothing`.
    """

    label: str
    confidence: float
    probabilities: dict[str, float]
    shown: bool

    @classmethod
    def from_array(
        cls,
        classes: Sequence[str],
        probabilities: NDArray[np.float32],
        thresholds: Thresholds | None = None,
    ) -> Prediction:
        """From the probabilities `(K,)`. On a tie the first class wins, as in Core ML."""
        best = int(np.argmax(probabilities))
        limits, highest = thresholds or Thresholds(), float(probabilities[best])
        second = float(np.delete(probabilities, best).max(initial=0.0))
        nothing = [at for at, name in enumerate(classes) if name == NOTHING]
        shown = (
            best not in nothing
            and highest >= limits.show
            and highest - second >= MARGIN
            and 1 - sum(float(probabilities[at]) for at in nothing) >= limits.present
        )
        return cls(classes[best], highest, by_name(classes, probabilities), shown)

    @property
    def verdict(self) -> str:
        """What is shown: the label, `nothing`, or `not sure`."""
        if self.shown or self.label == NOTHING:
            return self.label
        return NOT_SURE

    def top(self, k: int = 5) -> list[tuple[str, float]]:
        """The `k` most probable classes with their probabilities, most probable first."""
        if k < 1:
            raise OptionError(f"k must be at least 1; received: {k}")
        return sorted(self.probabilities.items(), key=lambda item: -item[1])[:k]


def by_name(classes: Sequence[Name], probabilities: NDArray[np.floating[Any]]) -> dict[Name, float]:
    """The probability of each class name; the highest one where several classes share a name.

    So the label always has the highest probability. ImageNet, for example, has "crane" twice.
    """
    listed = probabilities.tolist()
    values: dict[Name, float] = dict(zip(classes, listed, strict=True))
    if len(values) < len(classes):
        for name, probability in zip(classes, listed, strict=True):
            values[name] = max(values[name], probability)
    return values


@dataclass(frozen=True)
class Thresholds:
    """How confident a recognizer must be before its label is shown, and for how long it stays.

    Args:
        show: Confidence, in [0, 1], from which a new label is shown.
        keep: Confidence below which a shown label is hidden again; at most `show`.
        present: Probability that something is in view (1 minus the probability of `nothing`) from
            which a new label is shown. Two similar classes share the confidence between them; a
            wall is similar to neither, and this threshold tells the two situations apart.

    Raises:
        OptionError: A value outside [0, 1], or `keep` above `show`.
    """

    show: float = 0.7
    keep: float = 0.5
    present: float = 0.5

    def __post_init__(self) -> None:
        for name in ("show", "keep", "present"):
            value = getattr(self, name)
            if type(value) not in (int, float) or not 0 <= value <= 1:
                raise OptionError(
                    f"thresholds.{name} must be a number from 0 to 1; received: {value!r}"
                )
        if self.keep > self.show:
            raise OptionError(
                "thresholds.keep must not be above thresholds.show; "
                f"received: keep {self.keep}, show {self.show}"
            )

    def to_json(self) -> str:
        """One line of JSON, as stored in a Core ML file."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Thresholds:
        """The inverse of `to_json`.

        Raises:
            OptionError: The text is not the JSON of thresholds.
        """
        try:
            return cls(**json.loads(text))
        except (ValueError, TypeError, RecursionError) as error:
            raise OptionError(
                'expected thresholds as JSON, {"show": ..., "keep": ..., "present": ...}; '
                f"received: {text[:80]!r}"
            ) from error


def other_input(spec: InputSpec, values: Mapping[str, Any]) -> InputSpec:
    """The InputSpec with other values, for the same network: size and channels stay.

    Raises:
        OptionError: An unknown field, a value out of range, or another number of channels.
    """
    for name in values:
        if name not in ASSUMABLE:
            raise OptionError(f"unknown field {name!r}; {did_you_mean(name, ASSUMABLE)}")
    if (color := values.get("color")) in COLORS and (color == "gray") != (spec.channels == 1):
        expected = "gray" if spec.channels == 1 else "rgb or bgr"
        raise OptionError(
            f"the model takes images of {spec.channels} channel(s), so its color is {expected}; "
            f"received: {color}"
        )
    return spec.with_values(**values)


def class_name_errors(names: Sequence[object]) -> list[str]:
    """What is wrong with class names, one message for each name; empty if all can be used.

    A name is a string that is not blank and has no control or invisible characters. Two names are
    different in Unicode's normal form C, with spaces counted once: other names look the same.

    Examples:
        >>> class_name_errors(["cat", " cat", ""])
        ["class name 2, ' cat', is the same as class name 1", 'class name 3 is empty']
    """
    errors = []
    first: dict[str, int] = {}
    for number, name in enumerate(names, start=1):
        what = f"class name {number}"
        if not isinstance(name, str):
            errors.append(f"{what} is {name!r:.80}, which is not a string")
            continue
        same = first.setdefault(" ".join(unicodedata.normalize("NFC", name).split()), number)
        if not name.strip():
            errors.append(f"{what} is empty")
        elif printable(name) != name:
            errors.append(f"{what}, '{printable(name)}', has control or invisible characters")
        elif same != number:
            errors.append(f"{what}, '{name}', is the same as class name {same}")
    return errors


def renamed(classes: Sequence[str], labels: Sequence[str] | None) -> tuple[str, ...]:
    """The labels, checked as new names for `classes`; the classes themselves for None.

    Raises:
        OptionError: Another number of labels, or one that `class_name_errors` refuses.
    """
    if labels is None:
        return tuple(classes)
    names = (labels,) if isinstance(labels, str) else tuple(labels)
    errors = class_name_errors(names)
    if len(names) != len(classes) or errors:
        raise OptionError(
            f"labels must be {len(classes)} different names, one for each class; "
            f"received {len(names)}: {', '.join(map(repr, names[:12]))}"
            + "".join(f"; {error}" for error in errors[:3])
        )
    return names


class Predictor(ABC):
    """An image classifier.

    A subclass implements `classes`, `input_spec` and `probabilities`; `predict` uses them.

    Attributes:
        adaptable: Whether `with_input` can change how pixels become numbers.
    """

    adaptable: bool = True

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
        """When its label is shown; the defaults of `Thresholds` unless the model has its own."""
        return Thresholds()

    @abstractmethod
    def probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Probabilities `(N, K)` of images `(N, H, W, C)` uint8 that match `input_spec`."""

    def with_input(self, *, labels: Sequence[str] | None = None, **values: Any) -> Self:
        """A copy that reads its images in another way, such as `with_input(color="bgr")`.

        Use it for a model whose file does not say how it reads images, or says it wrongly. The
        model itself is unchanged.

        Args:
            labels: Other names for the classes, in the order of the model's outputs.
            values: Fields of the InputSpec: `color`, `scale`, `bias`, `crop` or `ink`. They are
                then known, not assumed.

        Raises:
            OptionError: An unknown field, a value out of range, colors that the model does not
                take, or another number of labels than classes.
        """
        asked = ", ".join([*values, *(["labels"] if labels is not None else [])])
        raise OptionError(
            f"a {type(self).__name__} has no with_input, so its {asked or 'input'} cannot be "
            "changed; expected a Recognizer, a CoreMLModel or a KerasPredictor"
        )

    # A str is a sequence of str too, and an array may be one image or several: see `several`.
    @overload
    def predict(self, images: ImageSource) -> Prediction: ...  # type: ignore[overload-overlap]
    @overload
    def predict(self, images: ImageSources) -> list[Prediction]: ...
    def predict(self, images: ImageSource | ImageSources) -> Prediction | list[Prediction]:
        """Classify one image, or each of several.

        Args:
            images: A path, a Pillow image or an array `(H, W)` / `(H, W, 1 or 3)` uint8 for one
                `Prediction`; a sequence of these or an array `(N, H, W, C)` for a list of them.
                Each is oriented, cropped and resized as `input_spec` says.

        Raises:
            ImageError: An image cannot be read or is too large.
        """
        several = isinstance(images, (list, tuple)) or (
            isinstance(images, np.ndarray) and images.ndim == 4
        )
        sources: Sequence[ImageSource] = list(images) if several else [images]  # type: ignore[arg-type, list-item]
        if not sources:
            return []
        batch = np.stack([prepare(source, self.input_spec) for source in sources])
        answers = [
            Prediction.from_array(self.classes, row, self.thresholds)
            for row in self.probabilities(batch)
        ]
        return answers if several else answers[0]


class PlainPredictor(Predictor):
    """A predictor that has its classes, its InputSpec and its thresholds as attributes.

    Args:
        classes: The class names, in the order of the probabilities.
        input_spec: How an image becomes the input.
        thresholds: When a label is shown; None: nothing is said, and the defaults are used.
    """

    def __init__(
        self, classes: Sequence[str], input_spec: InputSpec, thresholds: Thresholds | None = None
    ) -> None:
        self._classes = tuple(classes)
        self._input_spec = input_spec
        self._thresholds = thresholds

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
        """How confident a prediction must be for its label to be shown."""
        return self._thresholds or Thresholds()

    @property
    def said_thresholds(self) -> Thresholds | None:
        """The same; None if nothing is said."""
        return self._thresholds

    def with_input(self, *, labels: Sequence[str] | None = None, **values: Any) -> Self:
        """A copy that shares the model; see `Predictor.with_input`."""
        other = copy.copy(self)
        other._input_spec = other_input(self.input_spec, values)
        other._classes = renamed(self.classes, labels)
        return other


class Remembering(Predictor):
    """Another predictor, which computes the probabilities of the same images only once."""

    def __init__(self, other: Predictor) -> None:
        self.other = other
        self.known: dict[bytes, NDArray[np.float32]] = {}

    @property
    def classes(self) -> tuple[str, ...]:
        return self.other.classes

    @property
    def input_spec(self) -> InputSpec:
        return self.other.input_spec

    @property
    def thresholds(self) -> Thresholds:
        return self.other.thresholds

    def probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        key = hashlib.blake2b(np.ascontiguousarray(images).data).digest()
        if key not in self.known:
            self.known[key] = self.other.probabilities(images)
        return self.known[key]

"""What the app knows of its model: `recognizer.json`, with classes, input and thresholds.

Each object is validated when it is created, and all problems are reported together.
"""

from __future__ import annotations

import json
import unicodedata
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from pocketlens.errors import AppError, OptionError
from pocketlens.image import InputSpec
from pocketlens.prediction import MARGIN, NOTHING, Thresholds

__all__ = [
    "MODEL_NAME",
    "Described",
    "Display",
    "RecognizerSpec",
]

MODEL_NAME = "Recognizer"
"""The model's file name in every app, so that no Swift file depends on a particular model."""


@dataclass(frozen=True)
class Display:
    """When the app shows a label. `show`, `keep`, `present` and `margin` are probabilities.

    Args:
        show: The smoothed probability that a new label must reach.
        keep: Below this smoothed probability, a shown label is hidden again.
        present: A new label is shown only if 1 - p(background) is at least this value.
        margin: The minimum difference between the two largest probabilities for a new label.
        hold: The number of consecutive frames in which a new label must meet all these conditions.
        smoothing: The weight of the newest frame in the exponential average, in (0, 1].

    Raises:
        OptionError: A value is out of range; the message lists all problems.
    """

    show: float = 0.7
    keep: float = 0.5
    present: float = 0.5
    margin: float = MARGIN
    hold: int = 3
    smoothing: float = 0.3

    def __post_init__(self) -> None:
        if problems := self.problems():
            raise OptionError("; ".join(problems))

    def problems(self) -> list[str]:
        """One message per value that is out of range; empty if all values are valid."""
        problems = [
            f"thresholds.{name} must be a number from 0 to 1; received: {value!r}"
            for name in ("show", "keep", "present", "margin", "smoothing")
            if type(value := getattr(self, name)) not in (int, float) or not 0 <= value <= 1
        ]
        if not problems and self.keep > self.show:
            problems.append(
                "thresholds.keep must not be larger than thresholds.show; "
                f"received: keep {self.keep}, show {self.show}"
            )
        if not problems and self.smoothing == 0:
            problems.append("thresholds.smoothing must be larger than 0; received: 0")
        if type(self.hold) is not int or self.hold < 1:
            problems.append(
                f"thresholds.hold must be an integer of at least 1; received: {self.hold!r}"
            )
        return problems


class Described(Protocol):
    """The attributes of a `Predictor` that describe it."""

    @property
    def classes(self) -> tuple[str, ...]: ...
    @property
    def input_spec(self) -> InputSpec: ...
    @property
    def thresholds(self) -> Thresholds: ...


@dataclass(frozen=True)
class RecognizerSpec:
    """The contents of `recognizer.json`, which describes the model to the app.

    Args:
        name: The app's name.
        classes: The class names, in the order of the probabilities.
        input: The model's input size and how a frame is cropped to it. Scale, bias and color order
            are applied inside the model file.
        background: The class for which the app shows no label, or None.
        thresholds: When a label is shown.

    Raises:
        AppError: No classes, a duplicate class, or a background that is not one of the classes.
    """

    name: str
    classes: tuple[str, ...]
    input: InputSpec
    background: str | None = None
    thresholds: Display = field(default_factory=Display)

    def __post_init__(self) -> None:
        if not self.classes:
            raise AppError(
                "the model has no classes; expected an image classifier with at least one class"
            )
        # Swift compares strings by canonical equivalence, so these would be equal dictionary keys.
        counts = Counter(unicodedata.normalize("NFC", name) for name in self.classes)
        if twice := [name for name, count in counts.items() if count > 1]:
            raise AppError(
                "class names must be unique after Unicode NFC normalization; "
                f"duplicates: {', '.join(twice[:5])}; rename one and convert the model again"
            )
        if self.background is not None and self.background not in self.classes:
            raise AppError(
                f"the background must be one of the classes; received: {self.background!r}"
            )

    @classmethod
    def of(cls, name: str, model: Described) -> RecognizerSpec:
        """Describe a model. The class `nothing`, if there is one, is the background."""
        background = NOTHING if NOTHING in model.classes else None
        shown = Display(**asdict(model.thresholds))
        return cls(name, tuple(model.classes), model.input_spec, background, shown)

    @classmethod
    def from_json(cls, text: str) -> RecognizerSpec:
        """Parse and validate the text of a `recognizer.json`; the inverse of `to_json`.

        Raises:
            AppError: Invalid JSON, or a missing or invalid value.
            OptionError: A threshold is out of range.
        """
        try:
            values = json.loads(text)
            if values["model"] != MODEL_NAME:
                raise AppError(f'"model" must be "{MODEL_NAME}"; received: {values["model"]!r}')
            classes, name = values["classes"], values["name"]
            if not isinstance(name, str) or not name:
                raise AppError(f'"name" must be a non-empty string; received: {name!r}')
            if not isinstance(classes, list) or not all(isinstance(c, str) for c in classes):
                raise AppError('"classes" must be a list of strings')
            spec = cls(
                name,
                tuple(classes),
                InputSpec.from_dict(values["input"]),
                values["background"],
                Display(**values["thresholds"]),
            )
            for part, complete in (("input", spec.input), ("thresholds", spec.thresholds)):
                # The app's decoder has a default for `ink` and does not read `assumed`; any other
                # missing key is an error.
                if missing := asdict(complete).keys() - values[part].keys() - {"ink", "assumed"}:
                    raise AppError(f'keys missing in "{part}": {", ".join(sorted(missing))}')
            return spec
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise AppError(f"invalid recognizer JSON: {error!r}") from error

    def to_json(self) -> str:
        """Indented JSON, one class per line, with non-ASCII characters as they are."""
        values: dict[str, Any] = {
            "name": self.name,
            "model": MODEL_NAME,
            "background": self.background,
            "thresholds": asdict(self.thresholds),
            "input": self.input.to_dict(),
            "classes": list(self.classes),
        }
        return json.dumps(values, indent=2, ensure_ascii=False) + "\n"

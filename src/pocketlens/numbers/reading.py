"""`read_number`: finds the digits of whole numbers in a photo and reads them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pocketlens.errors import OptionError
from pocketlens.image import ImageSource
from pocketlens.numbers.components import Box
from pocketlens.numbers.ink import ink_map
from pocketlens.numbers.photo import open_photo
from pocketlens.numbers.search import Search
from pocketlens.prediction import NOTHING, Prediction, Predictor

__all__ = ["UNSURE", "Digit", "Number", "check_digits", "read_number"]

UNSURE = "?"
"""Stands in a number's text for a digit that is not sure."""


@dataclass(frozen=True)
class Digit:
    """One digit of a number in a photo.

    Args:
        prediction: What the model says of it alone.
        box: Left, top, right and bottom in pixels of the upright photo.
    """

    prediction: Prediction
    box: tuple[int, int, int, int]

    @property
    def label(self) -> str:
        """The most probable digit, also if it is not sure."""
        return self.prediction.label

    @property
    def confidence(self) -> float:
        """Its probability, in [0, 1]."""
        return self.prediction.confidence

    @property
    def sure(self) -> bool:
        """Whether an app would show it."""
        return self.prediction.shown


@dataclass(frozen=True)
class Number:
    """The digits found in a photo.

    Args:
        lines: The digits of each line from left to right; the lines from top to bottom.
        light: Whether the ink is lighter than the paper.
    """

    lines: tuple[tuple[Digit, ...], ...]
    light: bool = False

    @property
    def digits(self) -> tuple[Digit, ...]:
        """The digits of all lines."""
        return tuple(digit for line in self.lines for digit in line)

    @property
    def text(self) -> str:
        """The number, a line for each line of the photo; `?` for a digit that is not sure."""
        return "\n".join(
            "".join(digit.label if digit.sure else UNSURE for digit in line) for line in self.lines
        )

    @property
    def sure(self) -> bool:
        """Whether there are digits, and all of them are sure."""
        return bool(self.lines) and all(digit.sure for digit in self.digits)


def check_digits(classes: Sequence[str]) -> None:
    """Check that a model can read numbers.

    Raises:
        OptionError: Its classes are not digits, or there are fewer than two.
    """
    others = [name for name in classes if name not in (*"0123456789", NOTHING)]
    if others or len(set(classes) - {NOTHING}) < 2:
        shown = ", ".join(map(repr, classes[:12])) + (", ..." if len(classes) > 12 else "")
        raise OptionError(
            "to read numbers, a model needs the classes 0 to 9, and may have 'nothing'; "
            f"received: {shown}"
        )


def read_number(model: Predictor, image: ImageSource) -> Number:
    """Find the digits of whole numbers in a photo, and read them from left to right.

    The ink may be dark or light. What the model takes for `nothing`, or is far smaller or fainter
    than the digits, is left out: specks, lines of the paper, edges of shadows. A digit that touches
    another one is cut off where the model is sure of both. Each line of the photo is a line of the
    result, from top to bottom. The digits may be tilted, but the photo must be upright.

    Args:
        model: A classifier of digits: its classes are some of `0` to `9`, and `nothing`.
        image: A path, a Pillow image, or an array `(H, W)`, `(H, W, 1)` or `(H, W, 3)` uint8.
            Photos with a longer side of more than 1600 pixels are reduced to that.

    Raises:
        OptionError: The model's classes are not digits.
        ImageError: The image cannot be read or is too large, or it has so many pieces of ink that
            they cannot be digits.

    Examples:
        >>> model = pocketlens.load("Digits.mlpackage")
        >>> pocketlens.read_number(model, "house.jpg").text
        '1729'
    """
    check_digits(model.classes)
    photo, scale = open_photo(image)
    gray = np.asarray(photo.convert("L"))
    ways = [Search(model, ink_map(gray, light=light)) for light in (False, True)]
    # Between dark strokes there is light paper, and the other way round: the model decides.
    light = bool(ways[1].evidence > ways[0].evidence)
    lines = ways[light].lines()
    return Number(
        tuple(
            tuple(Digit(prediction, _in_photo(box, scale)) for prediction, box in line)
            for line in lines
        ),
        light,
    )


def _in_photo(box: Box, scale: float) -> tuple[int, int, int, int]:
    left, top, right, bottom = (round(scale * side) for side in vars(box).values())
    return left, top, right, bottom

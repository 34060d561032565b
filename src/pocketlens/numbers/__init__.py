"""Whole numbers in photos: finds the digits, reads them with a model, and draws boxes."""

from __future__ import annotations

from pocketlens.numbers.drawing import draw_number
from pocketlens.numbers.photo import LONGEST
from pocketlens.numbers.reading import Digit, Number, check_digits, read_number

__all__ = ["LONGEST", "Digit", "Number", "check_digits", "draw_number", "read_number"]

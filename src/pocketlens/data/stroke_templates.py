"""Stroke templates: the pen's path for each digit in each handwriting style, as a table.

A stroke is a string of points as in SVG, `x,y x,y ...`, in percent of the digit's height: x to the
right, up to about 70; y down, up to 100. The pen follows a smooth curve through the points
(Catmull-Rom). A point given twice in a row is a corner. A stroke that ends at its first point is
closed. Strokes that share a point stay joined there.
"""

from __future__ import annotations

from dataclasses import dataclass

from pocketlens.data.stroke_templates_high import DIGITS_5_TO_9
from pocketlens.data.stroke_templates_low import DIGITS_0_TO_4

__all__ = ["TEMPLATES", "Point", "StrokeTemplate"]

Point = tuple[int, int]


@dataclass(frozen=True)
class StrokeTemplate:
    """One way to write a digit.

    Args:
        name: The handwriting style; unique among the templates of one digit.
        weight: How common the style is, relative to the other templates of the digit.
        strokes: The points of each stroke, in writing order.
    """

    name: str
    weight: float
    strokes: tuple[tuple[Point, ...], ...]


def _points(stroke: str) -> tuple[Point, ...]:
    pairs = (point.split(",") for point in stroke.split())
    return tuple((int(x), int(y)) for x, y in pairs)


TEMPLATES: dict[str, tuple[StrokeTemplate, ...]] = {
    digit: tuple(
        StrokeTemplate(name, weight, tuple(_points(stroke) for stroke in strokes))
        for name, weight, *strokes in rows
    )
    for digit, rows in (DIGITS_0_TO_4 | DIGITS_5_TO_9).items()
}
"""All templates of each digit."""
"""The old name, until the tests of the preview use the new one."""

"""How digits are written: the pen's path for every digit and every hand, as a table.

A stroke is written as SVG writes the points of a line: `x,y x,y ...`, in per cent of a digit's
height: x to the right, to about 70, and y down, to 100. The pen runs through the points in a smooth
curve (Catmull-Rom); a point given twice in a row is a corner, a stroke that ends where it began is
closed, and strokes that share a point are joined there. `weight` is how common a hand is among
those of its digit.
"""

from __future__ import annotations

from dataclasses import dataclass

from pocketlens.data.stroke_templates_high import HIGH
from pocketlens.data.stroke_templates_low import LOW

__all__ = ["HANDS", "Hand", "Point"]

Point = tuple[int, int]


@dataclass(frozen=True)
class Hand:
    """One way to write a digit.

    Args:
        name: What it is called, once among the hands of its digit.
        weight: How common it is, in proportion to the others of its digit.
        strokes: The points of each stroke, in the order of writing.
    """

    name: str
    weight: float
    strokes: tuple[tuple[Point, ...], ...]


def _points(stroke: str) -> tuple[Point, ...]:
    pairs = (point.split(",") for point in stroke.split())
    return tuple((int(x), int(y)) for x, y in pairs)


HANDS: dict[str, tuple[Hand, ...]] = {
    digit: tuple(
        Hand(name, weight, tuple(_points(stroke) for stroke in strokes))
        for name, weight, *strokes in rows
    )
    for digit, rows in (LOW | HIGH).items()
}
"""Every hand of every digit."""

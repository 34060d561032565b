"""Stroke templates: the pen's path for each digit in each handwriting style.

They are data: `templates/DIGIT.toml` lists the ways to write a digit, each with

- `name`: the style; unique among the templates of one digit.
- `strokes`: in writing order, each a string of points as in SVG, `x,y x,y ...`, in percent of the
  digit's height: x to the right, up to about 70; y down, up to 100. The pen follows a smooth curve
  through the points (Catmull-Rom). A point given twice in a row is a corner. A stroke that ends at
  its first point is closed. Strokes that share a point stay joined there.
- `vary`: what writers vary, each entry `POINTS: x,y x,y`. In each image the points move by one
  vector, drawn uniformly between the two; points are numbered from 0 in writing order, each
  distinct point once. `3*.5` moves point 3 half as far.
- `mnist`, `world`: how common the style is in the two populations, relative to the other templates
  of the digit. Without `world` it is at most 1, the same as in `mnist`; without `mnist` it is 0.
- `regions`: where schools teach the form or most people write it so; without it, everywhere.

Sources of the regions: "Regional handwriting variation" (Wikipedia); the models of schools:
Germany, "Grundschrift" (Grundschulverband) and "Vereinfachte Ausgangsschrift"; France, "Modèles
d'écriture scolaire" (Ministère de l'Éducation nationale); Switzerland, "Deutschschweizer
Basisschrift"; Russia, the copybooks ("propisi"); United States, "D'Nealian Handwriting" and
"Zaner-Bloser Handwriting"; Japan, the digits of primary-school arithmetic books. They say which
forms exist, not how common each one is: the weights of `world` are our estimate.

Where two readings collide, the forms keep apart. The flag of a 1 ends at least a fifth of the
height below its top, and falls at 40 degrees or more if it is longer than a third of it; the top
bar of a 7 falls or rises by less than a fifth; a cross bar makes any of them a 7. A 9 has a closed
or nearly closed ring above its leg, a 4 without an upper stem has none. A stem above the bow makes
a 6, not a 0. Forms of MNIST's writers that break these rules are not drawn for `world`.
`benchmarks/strokes_forms.py` lists the forms that a recognizer reads as another digit.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from importlib import resources
from typing import Any

from pocketlens.data.populations import MNIST, WORLD

__all__ = [
    "TEMPLATES",
    "Move",
    "Point",
    "StrokeTemplate",
    "parse_points",
    "read_entries",
]

Point = tuple[float, float]

MOVE = re.compile(r"([^:]+):\s*(-?\d+),(-?\d+)\s+(-?\d+),(-?\d+)")


@dataclass(frozen=True)
class Move:
    """How some points of a template move together.

    Args:
        shares: For each point that moves, its number and how far it moves: 1 is all the way.
        start: One end of the range of the movement, x and y.
        end: The other end.
    """

    shares: tuple[tuple[int, float], ...]
    start: Point
    end: Point

    @classmethod
    def parse(cls, text: str) -> Move:
        """A `vary` entry such as `0 1*.5: -20,0 20,0`."""
        found = MOVE.fullmatch(text)
        assert found, text
        parts = (word.partition("*") for word in found[1].split())
        a, b, c, d = (int(found[number]) for number in range(2, 6))
        return cls(
            tuple((int(point), float(share or 1)) for point, _, share in parts), (a, b), (c, d)
        )


@dataclass(frozen=True)
class StrokeTemplate:
    """One way to write a digit.

    Args:
        name: The handwriting style; unique among the templates of one digit.
        strokes: The points of each stroke, in writing order.
        moves: What varies from writer to writer, beyond what varies in every template.
        mnist: How common the style is among MNIST's writers, relative to the digit's other ones.
        world: How common it is in the world.
        regions: Where it is common; empty for everywhere.
        parts: The part that each stroke belongs to, counted from 0; empty for a single part. A part
            is there or missing as a whole, and is of its own size, turn and place.
        chances: How likely each part is to be there; empty if all of it always is.
        turn: Deviation of the rotation in degrees; None for that of the hand.
        mirrored: Whether half of the images are mirrored.
        middle: The middle of the box that the points are written in.
    """

    name: str
    strokes: tuple[tuple[Point, ...], ...]
    moves: tuple[Move, ...] = ()
    mnist: float = 0
    world: float = 1
    regions: tuple[str, ...] = ()
    parts: tuple[int, ...] = ()
    chances: tuple[float, ...] = ()
    turn: float | None = None
    mirrored: bool = False
    middle: Point = (35, 50)

    @classmethod
    def parse(cls, entry: dict[str, Any]) -> StrokeTemplate:
        """An entry of a TOML file."""
        mnist = entry.get("mnist", 0)
        return cls(
            entry["name"],
            tuple(parse_points(stroke) for stroke in entry["strokes"]),
            tuple(Move.parse(text) for text in entry.get("vary", ())),
            mnist,
            entry.get("world", min(mnist, 1)),
            tuple(entry.get("regions", ())),
        )

    def weight(self, population: str) -> float:
        """How common the style is in one of the populations; 0 if it is not written there."""
        if population == MNIST:
            return self.mnist
        if population != WORLD and self.regions and population not in self.regions:
            return 0
        return self.world


def parse_points(stroke: str) -> tuple[Point, ...]:
    """The points of `x,y x,y ...`."""
    pairs = (point.split(",") for point in stroke.split())
    return tuple((int(x), int(y)) for x, y in pairs)


def read_entries(name: str) -> list[dict[str, Any]]:
    """The templates in `templates/NAME.toml`."""
    file = resources.files("pocketlens") / "data" / "templates" / f"{name}.toml"
    entries: list[dict[str, Any]] = tomllib.loads(file.read_text("utf-8"))["templates"]
    return entries


TEMPLATES = {
    digit: tuple(StrokeTemplate.parse(entry) for entry in read_entries(digit))
    for digit in "0123456789"
}
"""All templates of each digit."""

"""Sketches: the ways to draw a thing, as data. A sketch of parts becomes a stroke template.

`templates/THING.toml` lists the ways, each with `name`, `strokes` and, optionally, `weight` (how
common it is, relative to the thing's other ones; 1 by default), `turn` (the deviation of the
rotation in degrees) and `mirror` (whether it is drawn as often the other way round). Each entry of
`strokes` is a part of the thing, in a box from 0,0 to 100,100, x to the right and y down: changes,
then shapes with `;` in between.

    40,10 30,50 30,50 60,50    a smooth curve; a point given twice is a corner, as for digits
    L 10,10 90,10 50,80        straight lines
    O 50,50 30,20              an ellipse: its middle and its radii
    O 50,50 30,20 180..360     an arc of it: 0 is right, 90 below, 180 left, 270 above
    B 50,50 30,20 5-8          a cloud of 5 to 8 bumps around an ellipse; also with an arc

    60%          the part is there in 60 % of the drawings
    |50          once more, mirrored at x = 50
    x2-5:60,0    2 to 5 times, evenly spaced, the last one moved by 60,0
    @6-9:50,50   6 to 9 times, turned around 50,50; with `:150`, the last one by 150 degrees

Shapes in one part stay together. Changes apply from left to right.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import numpy as np

from pocketlens.data.stroke_templates import Point, StrokeTemplate, parse_points, read_entries

__all__ = ["Part", "Sketch", "sketches_of", "things"]

Stroke = tuple[Point, ...]

Affine = tuple[float, float, float, float, float, float]
"""`a, b, c, d, e, f` moves a point to `a * x + b * y + c, d * x + e * y + f`."""

CHANGE = re.compile(
    r"(?P<chance>\d+)%|\|(?P<mirror>-?\d+)"
    r"|x(?P<least>\d+)(-(?P<most>\d+))?:(?P<by>-?\d+,-?\d+)"
    r"|@(?P<fewest>\d+)(-(?P<many>\d+))?:(?P<around>-?\d+,-?\d+)(:(?P<degrees>-?\d+))?"
)
ROUND = re.compile(
    r"(?P<kind>[OB]) (?P<middle>-?\d+,-?\d+) (?P<radii>\d+,\d+)"
    r"( (?P<least>\d+)-(?P<most>\d+))?( (?P<start>-?\d+)\.\.(?P<end>-?\d+))?"
)
OVERSHOOT = 20
"""Deviation of the angle, in degrees, by which a closed ellipse ends too early or too late."""


@dataclass(frozen=True)
class Part:
    """A part of a thing: shapes that are there together.

    Args:
        shapes: What is drawn, in the notation above.
        changes: How often and where, in the notation above.
        chance: How likely the part is to be there.
    """

    shapes: tuple[str, ...]
    changes: tuple[re.Match[str], ...] = ()
    chance: float = 1

    @classmethod
    def parse(cls, text: str) -> Part:
        """An entry of `strokes`."""
        words, changes, chance = text.split(), [], 1.0
        while found := CHANGE.fullmatch(words[0]):
            if found["chance"]:
                chance = int(found["chance"]) / 100
            else:
                changes.append(found)
            del words[0]
        return cls(tuple(s.strip() for s in " ".join(words).split(";")), tuple(changes), chance)

    def strokes(self, random: np.random.Generator) -> list[Stroke]:
        """The strokes of one drawing."""
        found = [_shape(shape, random) for shape in self.shapes]
        for change in self.changes:
            found = [
                tuple(_moved(point, copy) for point in stroke)
                for copy in _copies(change, random)
                for stroke in found
            ]
        return found


@dataclass(frozen=True)
class Sketch:
    """One way to draw a thing.

    Args:
        name: Unique among the ways of one thing.
        parts: The first one is always there.
        weight: How common the way is, relative to the thing's other ones.
        turn: Deviation of the rotation in degrees; None for that of the hand.
        mirrored: Whether it is drawn as often the other way round.
    """

    name: str
    parts: tuple[Part, ...]
    weight: float = 1
    turn: float | None = None
    mirrored: bool = False

    @classmethod
    def parse(cls, entry: dict[str, Any]) -> Sketch:
        """An entry of a TOML file."""
        parts = tuple(Part.parse(text) for text in entry["strokes"])
        weight, turn = entry.get("weight", 1), entry.get("turn")
        return cls(entry["name"], parts, weight, turn, entry.get("mirror", False))

    def template(self, random: np.random.Generator) -> StrokeTemplate:
        """A stroke template with the numbers of copies and bumps of one drawing."""
        strokes, owners = [], []
        for index, part in enumerate(self.parts):
            drawn = part.strokes(random)
            strokes += drawn
            owners += [index] * len(drawn)
        chances = tuple(part.chance for part in self.parts)
        return StrokeTemplate(
            self.name,
            tuple(strokes),
            parts=tuple(owners),
            chances=chances,
            turn=self.turn,
            mirrored=self.mirrored,
            middle=(50, 50),
        )


def _shape(text: str, random: np.random.Generator) -> Stroke:
    if found := ROUND.fullmatch(text):
        return _round(found, random)
    if text.startswith("L "):
        first, *inner, last = parse_points(text[2:])
        return (first, *(point for point in inner for _ in range(2)), last)
    return parse_points(text)


def _round(shape: re.Match[str], random: np.random.Generator) -> Stroke:
    """An ellipse, a cloud or an arc of one. A whole one starts anywhere and rarely ends there."""
    (x, y), (wide, high) = parse_points(f"{shape['middle']} {shape['radii']}")
    if shape["start"]:
        start, end = float(shape["start"]), float(shape["end"])
    else:
        start = float(random.uniform(0, 360))
        end = start + 360 + OVERSHOOT * float(random.standard_normal())
        if random.random() < 0.5:
            start, end = end, start

    def at(angle: float, size: float = 1) -> Point:
        a = math.radians(angle)
        return round(x + size * wide * math.cos(a), 2), round(y + size * high * math.sin(a), 2)

    if shape["kind"] == "O":
        count = max(3, round(abs(end - start) / (45 if max(wide, high) > 8 else 60))) + 1
        return tuple(at(angle) for angle in np.linspace(start, end, count).tolist())
    if not shape["start"]:
        end = start + math.copysign(360, end - start)
    count = int(random.integers(int(shape["least"]), int(shape["most"]), endpoint=True))
    corners = np.linspace(start, end, count + 1)
    points: list[Point] = []
    for a, b in zip(corners.tolist(), corners[1:].tolist(), strict=False):
        bump = [(0.9, 0.0), (1.2, 0.15), (1.38, 0.5), (1.2, 0.85), (0.9, 1.0)]
        points += [at(a + share * (b - a), 0.8 * size) for size, share in bump]
    return tuple(points)


def _copies(change: re.Match[str], random: np.random.Generator) -> list[Affine]:
    """Where a change puts the copies of a part."""
    if change["mirror"]:
        return [(1, 0, 0, 0, 1, 0), (-1, 0, 2 * int(change["mirror"]), 0, 1, 0)]
    if change["by"]:
        (right, down), count = parse_points(change["by"])[0], _count(change, random)
        shares = np.linspace(0, 1, count).tolist() if count > 1 else [0.5]
        return [(1, 0, share * right, 0, 1, share * down) for share in shares]
    (x, y), count = parse_points(change["around"])[0], _count(change, random)
    whole = change["degrees"] is None
    angles = np.linspace(0, 360 if whole else int(change["degrees"]), count, endpoint=not whole)
    turns = [(math.cos(angle), math.sin(angle)) for angle in np.radians(angles).tolist()]
    return [(c, -s, x - c * x + s * y, s, c, y - s * x - c * y) for c, s in turns]


def _moved(point: Point, by: Affine) -> Point:
    (x, y), (a, b, c, d, e, f) = point, by
    return round(a * x + b * y + c, 2), round(d * x + e * y + f, 2)


def _count(change: re.Match[str], random: np.random.Generator) -> int:
    least = int(change["least"] or change["fewest"])
    most = int(change["most"] or change["many"] or least)
    return int(random.integers(least, most, endpoint=True))


@cache
def things() -> tuple[str, ...]:
    """The things that can be drawn, in alphabetical order."""
    folder = resources.files("pocketlens") / "data" / "templates"
    names = (file.name.removesuffix(".toml") for file in folder.iterdir())
    return tuple(sorted(name.replace("_", " ") for name in names if not name.isdecimal()))


@cache
def sketches_of(thing: str) -> tuple[Sketch, ...]:
    """The ways to draw a thing."""
    return tuple(Sketch.parse(entry) for entry in read_entries(thing.replace(" ", "_")))

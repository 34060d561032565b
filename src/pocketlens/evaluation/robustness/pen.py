"""The pen: from a drawing's fields to ink on the frame."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from pocketlens.evaluation.robustness.distance_fields import FINE, REACH, Fields
from pocketlens.evaluation.robustness.drawing import (
    Array,
    Random,
    Region,
    chance,
    moved,
    sampled,
    slow_noise,
    span,
    usual,
    usual_log,
)
from pocketlens.evaluation.robustness.ranges import RANGES, SIDE
from pocketlens.evaluation.robustness.view import Box, View

__all__ = ["Pen", "choose_pen", "written"]


@dataclass(frozen=True)
class Pen:
    """A pen and the hand that holds it.

    Args:
        redrawn: The middle line is drawn with `radius`; else the drawing's outline, moved by it.
        radius: In units.
        pressure: Swing of the radius.
        opacity: Of the ink.
        fading: Swing of the opacity.
        broken: Small gaps.
        double: A second stroke, this many units away; 0: none.
        grain: How grainy the ink is, 0 to 1.
    """

    redrawn: bool
    radius: float
    pressure: float
    opacity: float
    fading: float
    broken: bool
    double: float
    grain: float

    @property
    def thickness(self) -> float:
        """About the radius of its strokes, in units."""
        return self.radius if self.redrawn else max(self.radius + 1.2, 0.8)


def choose_pen(random: Random, own: float, *, chalk: bool = False) -> Pen:
    """Draw a pen.

    Args:
        random: Draws it.
        own: Half the width of the drawing's own strokes, in units: what was written small with a
            fine pen would run full under a marker.
        chalk: Whether the ink is grainy; that of other pens sometimes is.
    """
    redrawn = chance(random, RANGES.redrawn)
    radius = min(usual_log(random, RANGES.radius), own + RANGES.thicker)
    double = usual(random, RANGES.double_shift) if chance(random, RANGES.double) else 0
    grainy = chalk or chance(random, RANGES.grain)
    return Pen(
        redrawn=redrawn,
        radius=radius if redrawn else usual(random, RANGES.outline),
        pressure=usual(random, RANGES.pressure),
        opacity=usual(random, RANGES.opacity),
        fading=usual(random, RANGES.fading),
        broken=chance(random, RANGES.broken) and not double,
        double=double,
        grain=span(random, (0.3, 1)) if grainy else 0,
    )


def written(
    fields: Fields, index: int, pen: Pen, view: View, random: Random
) -> tuple[Array, Region]:
    """How much ink the pixels have, 0 to 1, and which part of the frame these pixels are.

    Args:
        fields: Of several drawings.
        index: Which one is written.
        pen: What it is written with.
        view: Where it stands.
        random: Draws pressure, gaps and grain.
    """
    unit = view.unit
    region = _around(view.box, 3 + (RANGES.pressure[1] * abs(pen.radius) + pen.double) * unit)
    field = (fields.pen if pen.redrawn else fields.drawn)[index]
    distance = sampled(field, view.drawing, REACH, region)
    radius: Array | float = pen.radius
    if pen.redrawn:
        radius = max(radius, RANGES.least_stroke / 2 / unit)
        swing = np.clip(slow_noise(random, 6, region=region), -1.6, 1.6)
        radius = radius * (1 + pen.pressure * swing)
    ink = _coverage(distance, radius, unit)
    if pen.double:
        way = random.standard_normal(2)
        x, y = FINE * pen.double * way / np.hypot(*way)
        again = _coverage(sampled(field, view.drawing @ moved(x, y), REACH, region), radius, unit)
        ink = np.maximum(ink, span(random, (0.4, 0.9)) * again)
    if pen.broken:
        # Cuts about half a unit wide: where one slow noise changes its sign and another is high.
        across = np.abs(slow_noise(random, 4, region=region)) * (SIDE / 6)
        whole = np.clip(0.5 - 4 * slow_noise(random, 4, region=region), 0, 1)
        ink = ink * np.maximum(np.clip(across - unit / 4, 0, 1), whole)
    if pen.grain:
        grains = slow_noise(random, int(random.integers(50, 130)), region=region)
        ink = ink * np.clip(1 - pen.grain * (0.35 + 0.5 * grains), 0.25, 1)
    fading = np.clip(slow_noise(random, 5, region=region) / 2 + 0.5, 0, 1)
    return np.asarray(ink * (pen.opacity * (1 - pen.fading * fading)), np.float32), region


def _around(box: Box, margin: float) -> Region:
    """The pixels of a box and of a margin about it that are in the frame."""
    left, top = max(0, math.floor(box.left - margin)), max(0, math.floor(box.top - margin))
    right = min(SIDE, math.ceil(box.right + margin))
    bottom = min(SIDE, math.ceil(box.bottom + margin))
    return slice(top, max(top, bottom)), slice(left, max(left, right))


def _coverage(distance: Array, radius: Array | float, unit: float) -> Array:
    return np.clip((radius - distance) * unit + 0.5, 0, 1).astype(np.float32)

"""The pen: from a drawing's fields to ink on the frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pocketlens.suite.drawing import (
    Array,
    Homography,
    Random,
    chance,
    moved,
    sampled,
    slow_noise,
    span,
    span_log,
)
from pocketlens.suite.fields import FINE, REACH
from pocketlens.suite.ranges import RANGES, SIDE

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


def choose_pen(random: Random, *, chalk: bool = False) -> Pen:
    """Draw a pen; chalk is grainy, other pens sometimes are."""
    redrawn = chance(random, RANGES.redrawn)
    grainy = chalk or chance(random, RANGES.grain)
    return Pen(
        redrawn=redrawn,
        radius=span_log(random, RANGES.radius) if redrawn else span(random, RANGES.outline),
        pressure=span(random, RANGES.pressure),
        opacity=span(random, RANGES.opacity),
        fading=span(random, RANGES.fading),
        broken=chance(random, RANGES.broken),
        double=span(random, RANGES.double_shift) if chance(random, RANGES.double) else 0,
        grain=span(random, (0.3, 1)) if grainy else 0,
    )


def written(
    drawn: Array, middle: Array, pen: Pen, view: Homography, unit: float, random: Random
) -> Array:
    """How much ink each pixel has, 0 to 1.

    Args:
        drawn: `Fields.drawn` of one drawing.
        middle: `Fields.pen` of the same.
        pen: What it is written with.
        view: From samples to pixels.
        unit: Pixels of a unit.
        random: Draws pressure, gaps and grain.
    """
    field = middle if pen.redrawn else drawn
    distance = sampled(field, view, REACH)
    radius: Array | float = pen.radius
    if pen.redrawn:
        radius = max(radius, RANGES.least_stroke / 2 / unit)
        radius = radius * (1 + pen.pressure * np.clip(slow_noise(random, 6), -1.6, 1.6))
    ink = _coverage(distance, radius, unit)
    if pen.double:
        way = random.standard_normal(2)
        x, y = FINE * pen.double * way / np.hypot(*way)
        again = _coverage(sampled(field, view @ moved(x, y), REACH), radius, unit)
        ink = np.maximum(ink, span(random, (0.4, 0.9)) * again)
    if pen.broken:
        # Cuts about half a unit wide: where one slow noise changes its sign and another is high.
        across = np.abs(slow_noise(random, 4)) * (SIDE / 6)
        whole = np.clip(0.5 - 4 * slow_noise(random, 4), 0, 1)
        ink = ink * np.maximum(np.clip(across - unit / 4, 0, 1), whole)
    if pen.grain:
        grains = slow_noise(random, int(random.integers(50, 130)))
        ink = ink * np.clip(1 - pen.grain * (0.35 + 0.5 * grains), 0.25, 1)
    strength = pen.opacity * (1 - pen.fading * np.clip(slow_noise(random, 5) / 2 + 0.5, 0, 1))
    return np.asarray(ink * strength, np.float32)


def _coverage(distance: Array, radius: Array | float, unit: float) -> Array:
    return np.clip((radius - distance) * unit + 0.5, 0, 1).astype(np.float32)

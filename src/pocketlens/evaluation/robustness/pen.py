"""The pen: from a drawing's distance fields to ink in the frame."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from pocketlens.evaluation.robustness.distance_fields import FINE, REACH, DistanceFields
from pocketlens.evaluation.robustness.drawing import (
    Array,
    Random,
    Region,
    bernoulli,
    log_triangular,
    sampled,
    slow_noise,
    translation,
    triangular,
    uniform,
)
from pocketlens.evaluation.robustness.ranges import RANGES, SIDE
from pocketlens.evaluation.robustness.view import Box, View

__all__ = ["Pen", "choose_pen", "written"]


@dataclass(frozen=True)
class Pen:
    """A pen and how it is used.

    Args:
        redrawn: Whether the center line is redrawn with `radius`; else the drawing keeps its
            outline, moved outward by `radius`.
        radius: In units.
        pressure: Variation of the radius.
        opacity: Opacity of the ink.
        fading: Variation of the opacity.
        broken: Whether there are small gaps.
        double: Distance of a second stroke, in units; 0 for none.
        grain: Graininess of the ink, 0 to 1.
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
        """The approximate radius of its strokes, in units."""
        return self.radius if self.redrawn else max(self.radius + 1.2, 0.8)


def choose_pen(random: Random, own: float, *, chalk: bool = False) -> Pen:
    """Choose a random pen.

    Args:
        random: Source of randomness.
        own: Half the width of the drawing's original strokes, in units. It limits the pen, because
            small writing would be filled by a thick marker.
        chalk: Whether the ink is always grainy; for other pens it sometimes is.
    """
    redrawn = bernoulli(random, RANGES.redrawn)
    radius = min(log_triangular(random, RANGES.radius), own + RANGES.thicker)
    double = triangular(random, RANGES.double_shift) if bernoulli(random, RANGES.double) else 0
    grainy = chalk or bernoulli(random, RANGES.grain)
    return Pen(
        redrawn=redrawn,
        radius=radius if redrawn else triangular(random, RANGES.outline),
        pressure=triangular(random, RANGES.pressure),
        opacity=triangular(random, RANGES.opacity),
        fading=triangular(random, RANGES.fading),
        broken=bernoulli(random, RANGES.broken) and not double,
        double=double,
        grain=uniform(random, (0.3, 1)) if grainy else 0,
    )


def written(
    fields: DistanceFields, index: int, pen: Pen, view: View, random: Random
) -> tuple[Array, Region]:
    """Draw a drawing with a pen.

    Args:
        fields: Distance fields of several drawings.
        index: Index of the drawing.
        pen: The pen.
        view: Position of the drawing in the frame.
        random: Draws pressure, gaps and grain.

    Returns:
        The ink's coverage, 0 to 1, of a region of the frame, and that region.
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
        again = _coverage(
            sampled(field, view.drawing @ translation(x, y), REACH, region), radius, unit
        )
        ink = np.maximum(ink, uniform(random, (0.4, 0.9)) * again)
    if pen.broken:
        # Gaps about half a unit wide: where one slow noise changes its sign and another is high.
        across = np.abs(slow_noise(random, 4, region=region)) * (SIDE / 6)
        whole = np.clip(0.5 - 4 * slow_noise(random, 4, region=region), 0, 1)
        ink = ink * np.maximum(np.clip(across - unit / 4, 0, 1), whole)
    if pen.grain:
        grains = slow_noise(random, int(random.integers(50, 130)), region=region)
        ink = ink * np.clip(1 - pen.grain * (0.35 + 0.5 * grains), 0.25, 1)
    fading = np.clip(slow_noise(random, 5, region=region) / 2 + 0.5, 0, 1)
    return np.asarray(ink * (pen.opacity * (1 - pen.fading * fading)), np.float32), region


def _around(box: Box, margin: float) -> Region:
    """The pixels in the frame that belong to a box and a margin around it."""
    left, top = max(0, math.floor(box.left - margin)), max(0, math.floor(box.top - margin))
    right = min(SIDE, math.ceil(box.right + margin))
    bottom = min(SIDE, math.ceil(box.bottom + margin))
    return slice(top, max(top, bottom)), slice(left, max(left, right))


def _coverage(distance: Array, radius: Array | float, unit: float) -> Array:
    return np.clip((radius - distance) * unit + 0.5, 0, 1).astype(np.float32)

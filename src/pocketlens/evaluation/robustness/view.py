"""The position and perspective of a drawing and its sheet in the frame."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pocketlens.evaluation.robustness.distance_fields import FINE, GRID
from pocketlens.evaluation.robustness.drawing import (
    Homography,
    Random,
    map_points,
    rotation,
    scaling,
    translation,
    triangular,
    uniform,
)
from pocketlens.evaluation.robustness.ranges import RANGES, SIDE

__all__ = ["Box", "View", "box_of", "empty_view", "random_view"]


@dataclass(frozen=True)
class Box:
    """A bounding box in the frame, in pixels."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def width(self) -> float:
        """Width in pixels."""
        return self.right - self.left

    @property
    def height(self) -> float:
        """Height in pixels."""
        return self.bottom - self.top

    @property
    def corners(self) -> NDArray[np.float64]:
        """The corners (x, y), `(4, 2)`."""
        sides = (self.left, self.right), (self.top, self.bottom)
        return np.array([(x, y) for x in sides[0] for y in sides[1]])

    def gap(self, other: Box) -> float:
        """The larger of the horizontal and vertical distances of two boxes; negative on overlap."""
        across = max(other.left - self.right, self.left - other.right)
        down = max(other.top - self.bottom, self.top - other.bottom)
        return max(across, down)


@dataclass(frozen=True)
class View:
    """How the camera sees a drawing.

    Args:
        drawing: From the drawing's samples (see `distance_fields`) to pixels.
        sheet: From the sheet, in heights of the digit and along its lines, to pixels.
        unit: Size of a unit (1/20 of the digit's height) in pixels.
        box: Bounding box of the ink.
    """

    drawing: Homography
    sheet: Homography
    unit: float
    box: Box


def box_of(points: NDArray[np.float64]) -> Box:
    """The smallest box around points `(n, 2)`."""
    (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
    return Box(float(left), float(top), float(right), float(bottom))


def random_view(points: NDArray[np.float64], random: Random) -> View:
    """Draw a random view: rotated, sheared, in perspective, off center, but completely visible.

    Args:
        points: `(n, 2)` samples (x, y) with ink, at least one.
        random: Draws the view.
    """
    ink = box_of(points)
    middle = translation(-(ink.left + ink.right) / 2, -(ink.top + ink.bottom) / 2)
    slanted = np.array([[1, -triangular(random, RANGES.shear), 0], [0, 1, 0], [0, 0, 1]])
    turn = triangular(random, RANGES.turn)
    sheet = rotation(turn - triangular(random, RANGES.askew))
    drawn = rotation(turn) @ slanted @ scaling(triangular(random, RANGES.stretch), 1) @ middle
    height = triangular(random, RANGES.height)
    room = 1 - 2 * RANGES.margin
    upright = box_of(map_points(drawn, points))
    size = _fitting(upright, height, room)  # frames per sample
    tilt = triangular(random, RANGES.tilt)
    way = uniform(random, (0, 2 * math.pi))
    slant = np.array([[1, 0, 0], [0, 1, 0], [tilt * math.cos(way), tilt * math.sin(way), 1]])
    seen = slant @ scaling(size, size)
    tilted = box_of(map_points(seen @ drawn, points))
    again = _fitting(tilted, height, room)
    left = RANGES.margin + (room - again * tilted.width) * random.random()
    top = RANGES.margin + (room - again * tilted.height) * random.random()
    place = translation(left - again * tilted.left, top - again * tilted.top) @ scaling(
        again, again
    )
    frame = scaling(SIDE, SIDE) @ place @ seen
    drawing = frame @ drawn
    return View(
        drawing=drawing,
        sheet=frame @ sheet @ scaling(20 * FINE, 20 * FINE),
        unit=float(again * size * SIDE * FINE),
        box=box_of(map_points(drawing, points)),
    )


def empty_view(random: Random) -> View:
    """A random view of an empty sheet, as if it had a drawing that fills MNIST's box."""
    half = 10 * FINE
    corners = np.array([(x, y) for x in (-half, half) for y in (-half, half)]) + GRID / 2
    return random_view(corners, random)


def _fitting(box: Box, height: float, room: float) -> float:
    """The factor that scales a box to `height`, or to less if it would be too wide."""
    return min(height, room) / max(box.height, box.width * min(height, room) / room, 1e-6)

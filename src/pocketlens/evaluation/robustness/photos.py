"""`photograph`: drawings as a phone's camera sees them on paper and boards.

A slow and careful simulation, written apart from the augmentation that trains networks, so that a
score on it is not a network's own homework. Every frame has its own pen, sheet, light and camera,
drawn from `ranges`; the drawing always stays whole and inside.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pocketlens.data.dataset import Dataset
from pocketlens.errors import DataError
from pocketlens.evaluation.robustness.camera import take
from pocketlens.evaluation.robustness.distance_fields import GRID, REACH, Fields, ink_fields
from pocketlens.evaluation.robustness.drawing import (
    Array,
    Random,
    blend,
    chance,
    map_points,
    moved,
    sampled,
    scaled,
    span,
    usual,
)
from pocketlens.evaluation.robustness.pen import Pen, choose_pen, written
from pocketlens.evaluation.robustness.ranges import RANGES, SIDE, SURFACES, Surface
from pocketlens.evaluation.robustness.sheet import blank_sheet, faint_lines, ruled, sheet_edge
from pocketlens.evaluation.robustness.view import Box, View, box_of, stand

__all__ = [
    "check_drawings",
    "drawings",
    "inked",
    "photograph",
    "surface_of",
    "tones",
    "written_scene",
]

BATCH = 16
"""Drawings whose fields are made at once; a drawing's neighbors come from its batch."""

DARK = 64
"""The lightest that a drawing's ground may be."""


def photograph(dataset: Dataset, *, seed: int = 0) -> Dataset:
    """Photograph drawings: each on its own sheet, in its own light, once.

    Image i is on `surface_of(i)`. The same data set and seed give the same frames.

    Args:
        dataset: Light ink on black, as MNIST and `strokes`; square images of any size.
        seed: Draws the scenes.

    Returns:
        Square gray frames `(N, 160, 160, 1)` with the labels and classes of `dataset`.

    Raises:
        DataError: Images that are not square, not on black, or without ink.
    """
    check_drawings(dataset)
    frames = np.empty((len(dataset), SIDE, SIDE, 1), np.uint8)
    for start in range(0, len(dataset), BATCH):
        fields = ink_fields(drawings(dataset, slice(start, start + BATCH)))
        for index in range(len(fields.pen)):
            place = start + index
            random = np.random.default_rng([seed, 0, place])
            frames[place, ..., 0] = _photo(fields, index, surface_of(place), random)
    return replace(dataset, images=frames, name=f"photographs of {dataset.name}")


def surface_of(index: int) -> Surface:
    """What the drawing of image `index` is written on."""
    return SURFACES[index % len(SURFACES)]


def drawings(dataset: Dataset, place: slice) -> NDArray[np.uint8]:
    """Some of the images as gray `(n, H, W)`."""
    return dataset.images[place].max(axis=3)


def check_drawings(dataset: Dataset) -> None:
    """Raise DataError unless the images are square drawings, light ink on black."""
    _, height, width, _ = dataset.images.shape
    if height != width or height < 8:
        raise DataError(
            f"{dataset.name} has images of {width} × {height} pixels; expected square drawings of "
            "at least 8 × 8, light ink on black"
        )
    planes = dataset.images.max(axis=3)
    border = np.concatenate([planes[:, 0], planes[:, -1], planes[:, :, 0], planes[:, :, -1]], 1)
    ground = np.median(border, axis=1) if len(planes) else np.empty(0)
    most = planes.max(axis=(1, 2), initial=0)
    wrong = np.flatnonzero((ground > DARK) | (most < 2 * DARK))
    if len(wrong):
        first = int(wrong[0])
        raise DataError(
            f"{dataset.name}: image {first} is no drawing in light ink on black: its border is "
            f"{ground[first]:.0f} and its lightest pixel {most[first]} of 255; expected at most "
            f"{DARK} and at least {2 * DARK}"
        )


def tones(surface: Surface, random: Random) -> tuple[float, float]:
    """Reflectance of a sheet and of the ink on it, at least `RANGES.contrast` apart."""
    paper = usual(random, surface.paper)
    low, high = surface.ink
    if low > paper:
        return paper, span(random, (max(low, paper + RANGES.contrast), high))
    return paper, span(random, (low, max(low, min(high, paper - RANGES.contrast))))


def written_scene(
    fields: Fields, index: int, pen: Pen, view: View, surface: Surface, random: Random
) -> Array:
    """The reflectance of a sheet with one drawing on it, and with what else is in view.

    Args:
        fields: Of a batch of drawings; the others may be neighbors or show through.
        index: Which one is written.
        pen: What with.
        view: Where it stands.
        surface: What on.
        random: Draws tones, lines, neighbors and edges.
    """
    paper, ink = tones(surface, random)
    scene = blank_sheet(surface, paper, random)
    scene = ruled(scene, surface.ruling, view.sheet, random)
    if chance(random, RANGES.show_through):
        scene = _showing_through(scene, fields, index, view, random)
    if chance(random, RANGES.faint_lines):
        scene = faint_lines(scene, random)
    views = [(index, view)]
    if chance(random, RANGES.neighbor):
        views += _neighbor(fields, (index + 1) % len(fields.pen), pen, view, random)
    for which, where in views:
        coverage, region = written(fields, which, pen, where, random)
        scene[region] = blend(scene[region], ink, coverage)
    if chance(random, RANGES.edge):
        scene = sheet_edge(scene, view.box, random)
    return scene


def inked(fields: Fields, index: int, pen: Pen) -> NDArray[np.float64]:
    """The outermost samples (x, y) of each row that a pen leaves ink on, `(n, 2)`."""
    field = fields.pen[index] if pen.redrawn else fields.drawn[index]
    ink = field <= max(pen.radius, float(field.min()))  # a dot may be finer than a fine pen
    y = np.flatnonzero(ink.any(axis=1))
    left = ink[y].argmax(axis=1)
    right = GRID - 1 - ink[y, ::-1].argmax(axis=1)
    return np.stack([np.append(left, right), np.append(y, y)], axis=1) + 0.5


def _photo(fields: Fields, index: int, surface: Surface, random: Random) -> NDArray[np.uint8]:
    pen = choose_pen(random, float(fields.own[index]), chalk=surface.chalk)
    view = stand(inked(fields, index, pen), random)
    scene = written_scene(fields, index, pen, view, surface, random)
    return take(scene, random, sharpness=pen.thickness * view.unit)


def _neighbor(
    fields: Fields, other: int, pen: Pen, view: View, random: Random
) -> list[tuple[int, View]]:
    """Another drawing and where it stands, cut off by the frame's border; none without room."""
    points = inked(fields, other, pen)
    standing = box_of(map_points(view.drawing, points))
    depth = usual(random, RANGES.neighbor_depth) * SIDE
    along = span(random, (-0.3, 1.3)) * SIDE
    side = random.integers(4)
    x = (depth - standing.right, SIDE - depth - standing.left, *(2 * [along - standing.left]))
    y = (*(2 * [along - standing.top]), depth - standing.bottom, SIDE - depth - standing.top)
    drawing = moved(float(x[side]), float(y[side])) @ view.drawing
    place = box_of(map_points(drawing, points))
    if view.box.gap(place) < RANGES.gap * SIDE or not 0 < _share_seen(place) <= 0.5:
        return []
    return [(other, replace(view, drawing=drawing, box=place))]


def _share_seen(box: Box) -> float:
    across = min(box.right, SIDE) - max(box.left, 0)
    down = min(box.bottom, SIDE) - max(box.top, 0)
    return max(across, 0) * max(down, 0) / max(box.width * box.height, 1e-6)


def _showing_through(sheet: Array, fields: Fields, index: int, view: View, random: Random) -> Array:
    """The back's writing, mirrored and faint."""
    other = fields.pen[(index + 2) % len(fields.pen)]
    mirrored = moved(GRID / 2, GRID / 2) @ scaled(-1, 1) @ moved(-GRID / 2, -GRID / 2)
    x, y = random.normal(0, GRID / 3, 2)
    distance = sampled(other, view.drawing @ moved(x, y) @ mirrored, REACH)
    shape = np.clip((span(random, (0.6, 1.4)) - distance) * view.unit / 2 + 0.5, 0, 1)
    # Through paper it is darker; on a dark board it is what a wet sponge left.
    sign = 1 if sheet[0, 0] < 0.35 else -1
    return np.asarray(sheet * (1 + sign * usual(random, RANGES.faint) * shape))

"""`photograph`: simulated phone photos of drawings on paper and boards.

This is a slow and careful simulation. It is independent of the augmentation used for training, so
that networks are not tested on images like their training images. Each photo has its own pen,
sheet, light and camera settings, drawn from `ranges`; the complete drawing is always in the frame.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pocketlens.data.dataset import Dataset
from pocketlens.errors import DataError
from pocketlens.evaluation.robustness.camera import take
from pocketlens.evaluation.robustness.distance_fields import (
    GRID,
    REACH,
    DistanceFields,
    distance_fields,
)
from pocketlens.evaluation.robustness.drawing import (
    Array,
    Random,
    bernoulli,
    blend,
    map_points,
    sampled,
    scaling,
    translation,
    triangular,
    uniform,
)
from pocketlens.evaluation.robustness.pen import Pen, choose_pen, written
from pocketlens.evaluation.robustness.ranges import RANGES, SIDE, SURFACES, Surface
from pocketlens.evaluation.robustness.sheet import blank_sheet, faint_lines, ruled, sheet_edge
from pocketlens.evaluation.robustness.view import Box, View, box_of, random_view

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
"""Drawings whose distance fields are computed together; neighbors come from the same batch."""

DARK = 64
"""The highest gray value allowed for the background of a drawing."""


def photograph(dataset: Dataset, *, seed: int = 0) -> Dataset:
    """Simulate one photo of each drawing, each on its own sheet and in its own light.

    Image i is on `surface_of(i)`. The same data set and seed always produce the same photos.

    Args:
        dataset: Drawings in light ink on black, like MNIST and `strokes`; square, of any size.
        seed: Draws the scenes.

    Returns:
        Square gray images `(N, 160, 160, 1)` with the labels and classes of `dataset`.

    Raises:
        DataError: Images are not square, not on black, or have no ink.
    """
    check_drawings(dataset)
    frames = np.empty((len(dataset), SIDE, SIDE, 1), np.uint8)
    for start in range(0, len(dataset), BATCH):
        fields = distance_fields(drawings(dataset, slice(start, start + BATCH)))
        for index in range(len(fields.pen)):
            place = start + index
            random = np.random.default_rng([seed, 0, place])
            frames[place, ..., 0] = _photo(fields, index, surface_of(place), random)
    return replace(dataset, images=frames, name=f"photos of {dataset.name}")


def surface_of(index: int) -> Surface:
    """The surface that image `index` is written on."""
    return SURFACES[index % len(SURFACES)]


def drawings(dataset: Dataset, place: slice) -> NDArray[np.uint8]:
    """Some of the images as gray planes `(n, H, W)`."""
    planes: NDArray[np.uint8] = dataset.images[place].max(axis=3)
    return planes


def check_drawings(dataset: Dataset) -> None:
    """Check that the images are square drawings in light ink on black.

    Raises:
        DataError: They are not.
    """
    _, height, width, _ = dataset.images.shape
    if height != width or height < 8:
        raise DataError(
            f"{dataset.name} has images of {width} × {height} pixels; expected square drawings of "
            "at least 8 × 8 in light ink on black"
        )
    planes = dataset.images.max(axis=3)
    border = np.concatenate([planes[:, 0], planes[:, -1], planes[:, :, 0], planes[:, :, -1]], 1)
    ground = np.median(border, axis=1) if len(planes) else np.empty(0)
    most = planes.max(axis=(1, 2), initial=0)
    wrong = np.flatnonzero((ground > DARK) | (most < 2 * DARK))
    if len(wrong):
        first = int(wrong[0])
        raise DataError(
            f"{dataset.name}: image {first} is not a drawing in light ink on black: its border is "
            f"{ground[first]:.0f} (expected: at most {DARK}) and its lightest pixel is "
            f"{most[first]} (expected: at least {2 * DARK} of 255)"
        )


def tones(surface: Surface, random: Random) -> tuple[float, float]:
    """Reflectance of a sheet and of the ink on it, at least `RANGES.contrast` apart."""
    paper = triangular(random, surface.paper)
    low, high = surface.ink
    if low > paper:
        return paper, uniform(random, (max(low, paper + RANGES.contrast), high))
    return paper, uniform(random, (low, max(low, min(high, paper - RANGES.contrast))))


def written_scene(
    fields: DistanceFields, index: int, pen: Pen, view: View, surface: Surface, random: Random
) -> Array:
    """The reflectance of a sheet with one drawing and possibly other things in the frame.

    Args:
        fields: Distance fields of a batch of drawings; others of them may be neighbors or show
            through from the back.
        index: Index of the drawing.
        pen: The pen.
        view: Position of the drawing in the frame.
        surface: The surface.
        random: Draws tones, lines, neighbors and edges.
    """
    paper, ink = tones(surface, random)
    scene = blank_sheet(surface, paper, random)
    scene = ruled(scene, surface.ruling, view.sheet, random)
    if bernoulli(random, RANGES.show_through):
        scene = _showing_through(scene, fields, index, view, random)
    if bernoulli(random, RANGES.faint_lines):
        scene = faint_lines(scene, random)
    views = [(index, view)]
    if bernoulli(random, RANGES.neighbor):
        views += _neighbor(fields, (index + 1) % len(fields.pen), pen, view, random)
    for which, where in views:
        coverage, region = written(fields, which, pen, where, random)
        scene[region] = blend(scene[region], ink, coverage)
    if bernoulli(random, RANGES.edge):
        scene = sheet_edge(scene, view.box, random)
    return scene


def inked(fields: DistanceFields, index: int, pen: Pen) -> NDArray[np.float64]:
    """The leftmost and rightmost samples (x, y) of ink in each row, `(n, 2)`."""
    field = fields.pen[index] if pen.redrawn else fields.drawn[index]
    ink = field <= max(pen.radius, float(field.min()))  # a dot may be smaller than a thin pen
    y = np.flatnonzero(ink.any(axis=1))
    left = ink[y].argmax(axis=1)
    right = GRID - 1 - ink[y, ::-1].argmax(axis=1)
    return np.stack([np.append(left, right), np.append(y, y)], axis=1) + 0.5


def _photo(
    fields: DistanceFields, index: int, surface: Surface, random: Random
) -> NDArray[np.uint8]:
    pen = choose_pen(random, float(fields.own[index]), chalk=surface.chalk)
    view = random_view(inked(fields, index, pen), random)
    scene = written_scene(fields, index, pen, view, surface, random)
    return take(scene, random, sharpness=pen.thickness * view.unit)


def _neighbor(
    fields: DistanceFields, other: int, pen: Pen, view: View, random: Random
) -> list[tuple[int, View]]:
    """Another drawing and its view, cut off by the border; empty if there is no room for it."""
    points = inked(fields, other, pen)
    standing = box_of(map_points(view.drawing, points))
    depth = triangular(random, RANGES.neighbor_depth) * SIDE
    along = uniform(random, (-0.3, 1.3)) * SIDE
    side = random.integers(4)
    x = (depth - standing.right, SIDE - depth - standing.left, *(2 * [along - standing.left]))
    y = (*(2 * [along - standing.top]), depth - standing.bottom, SIDE - depth - standing.top)
    drawing = translation(float(x[side]), float(y[side])) @ view.drawing
    place = box_of(map_points(drawing, points))
    if view.box.gap(place) < RANGES.gap * SIDE or not 0 < _share_seen(place) <= 0.5:
        return []
    return [(other, replace(view, drawing=drawing, box=place))]


def _share_seen(box: Box) -> float:
    across = min(box.right, SIDE) - max(box.left, 0)
    down = min(box.bottom, SIDE) - max(box.top, 0)
    return max(across, 0) * max(down, 0) / max(box.width * box.height, 1e-6)


def _showing_through(
    sheet: Array, fields: DistanceFields, index: int, view: View, random: Random
) -> Array:
    """Add mirrored, faint writing that shows through from the back of the sheet."""
    other = fields.pen[(index + 2) % len(fields.pen)]
    mirrored = translation(GRID / 2, GRID / 2) @ scaling(-1, 1) @ translation(-GRID / 2, -GRID / 2)
    x, y = random.normal(0, GRID / 3, 2)
    distance = sampled(other, view.drawing @ translation(x, y) @ mirrored, REACH)
    shape = np.clip((uniform(random, (0.6, 1.4)) - distance) * view.unit / 2 + 0.5, 0, 1)
    # On paper, writing on the back is darker; on a dark board, wiped writing is lighter.
    sign = 1 if sheet[0, 0] < 0.35 else -1
    return np.asarray(sheet * (1 + sign * triangular(random, RANGES.faint) * shape))

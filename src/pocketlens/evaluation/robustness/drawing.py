"""What scenes are drawn with: the frame's coordinates, soft masks, noise, planes seen at a slant.

Planes are `(SIDE, SIDE)` float32. Homographies are 3 × 3 and act on columns (x, y, 1), x to the
right, y down; pixel k covers k to k + 1.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from pocketlens.evaluation.robustness.ranges import SIDE, Span

__all__ = [
    "WHOLE",
    "Array",
    "Homography",
    "X",
    "Y",
    "band",
    "blend",
    "blurred",
    "chance",
    "coordinates",
    "half_plane",
    "map_points",
    "moved",
    "sampled",
    "scaled",
    "slow_noise",
    "span",
    "span_log",
    "streaked",
    "turned",
    "usual",
    "usual_log",
]

Array = NDArray[np.float32]
Homography = NDArray[np.float64]
Random = np.random.Generator

Region = tuple[slice, slice]
"""Rows and columns of the frame."""

WHOLE: Region = (slice(0, SIDE), slice(0, SIDE))

Y, X = (grid.astype(np.float32) + np.float32(0.5) for grid in np.mgrid[:SIDE, :SIDE])


def span(random: Random, bounds: Span) -> float:
    """A number drawn evenly between the bounds."""
    low, high = bounds
    return low + (high - low) * random.random()


def span_log(random: Random, bounds: Span) -> float:
    """A number whose logarithm is drawn evenly between the bounds' logarithms."""
    low, high = bounds
    return low * (high / low) ** random.random()


def usual(random: Random, bounds: Span) -> float:
    """A number between the bounds, mostly an ordinary one.

    That is one near the middle, or near 0 of bounds that start at 0: the density is a triangle.
    """
    low, high = bounds
    one, other = random.random(2)
    return high * min(one, other) if low == 0 else low + (high - low) * (one + other) / 2


def usual_log(random: Random, bounds: Span) -> float:
    """A number whose logarithm is mostly near the middle of the bounds' logarithms."""
    low, high = bounds
    return low * (high / low) ** (random.random(2).sum() / 2)


def chance(random: Random, share: float) -> bool:
    """True in `share` of all calls."""
    return bool(random.random() < share)


def slow_noise(
    random: Random, cells: int, rows: int | None = None, region: Region = WHOLE
) -> Array:
    """Smooth noise of mean 0 and deviation about 1, with `cells` swings across the frame.

    Args:
        random: Where its values come from.
        cells: Grid points across; the noise is smooth between them.
        rows: Grid points down; default: as many as across.
        region: The part of the frame that is wanted.
    """
    grid = random.standard_normal((rows or cells, cells), np.float32)
    return np.asarray(_between(rows or cells)[region[0]] @ grid @ _between(cells)[region[1]].T)


@lru_cache(maxsize=256)
def _between(cells: int) -> Array:
    """The weights `(SIDE, cells)` that grid points have at each pixel: a cubic between them."""
    from PIL import Image

    points = Image.fromarray(np.eye(cells, dtype=np.float32))
    return np.asarray(points.resize((cells, SIDE), Image.Resampling.BICUBIC))


def blend(plane: Array, other: Array | float, share: Array | float) -> Array:
    """`plane` where `share` is 0, `other` where it is 1."""
    return plane + (other - plane) * share


def blurred(planes: Array, deviation: float, axes: tuple[int, int]) -> Array:
    """A Gaussian blur of `deviation` samples along both axes; the edges repeat themselves."""
    reach = max(1, math.ceil(2.2 * deviation))
    weights = np.exp(-(np.arange(reach + 1) ** 2) / (2 * deviation**2))
    weights = (weights / (weights[0] + 2 * weights[1:].sum())).astype(np.float32)
    for axis in axes:
        around = [(reach, reach) if a == axis else (0, 0) for a in range(planes.ndim)]
        wide = np.moveaxis(np.pad(planes, around, mode="edge"), axis, 0)
        length = planes.shape[axis]
        planes = weights[0] * planes
        inner = np.moveaxis(planes, axis, 0)
        for step, weight in enumerate(weights[1:], 1):
            before, after = wide[reach - step :][:length], wide[reach + step :][:length]
            inner += weight * (before + after)
    return planes


def streaked(planes: Array, length: float, angle: float, axes: tuple[int, int]) -> Array:
    """A motion blur: the mean of what passes by on a straight way.

    Args:
        planes: Any array.
        length: Of the way, in samples.
        angle: Its direction, radians from the second of the axes toward the first.
        axes: The axes down and across.
    """
    reach = math.ceil(length / 2)
    around = [(reach, reach) if axis in axes else (0, 0) for axis in range(planes.ndim)]
    wide = np.pad(planes, around, mode="edge")
    total = np.zeros_like(planes)
    # Half a sample a step at most, so that rounding to whole samples leaves no holes.
    ways = np.linspace(-length / 2, length / 2, 2 * math.ceil(length) + 1).tolist()
    for along in ways:
        place = [slice(None)] * planes.ndim
        for axis, part in zip(axes, (math.sin(angle), math.cos(angle)), strict=True):
            start = reach + round(along * part)
            place[axis] = slice(start, start + planes.shape[axis])
        total += wide[tuple(place)]
    return total / np.float32(len(ways))


def half_plane(angle: float, offset: float, soft: float) -> Array:
    """1 beyond a straight edge, 0 before it.

    Args:
        angle: Direction of the far side, radians from x toward y.
        offset: How far the edge is from the frame's origin that way, pixels.
        soft: Width of the transition in pixels, at least 1.
    """
    distance = math.cos(angle) * X + math.sin(angle) * Y - offset
    return np.clip(distance / max(soft, 1) + 0.5, 0, 1).astype(np.float32)


def band(distance: NDArray[np.floating], width: float) -> Array:
    """A line of `width` pixels where `distance` (pixels, either sign) is 0, its edges antialiased;
    thinner than a pixel, it is fainter."""
    shown = np.clip((max(width, 1) + 1) / 2 - np.abs(distance), 0, 1)
    return (shown * min(width, 1)).astype(np.float32)


def moved(x: float, y: float) -> Homography:
    """The shift by (x, y)."""
    return np.array([[1, 0, x], [0, 1, y], [0, 0, 1]])


def scaled(x: float, y: float) -> Homography:
    """x and y multiplied."""
    return np.diag([x, y, 1.0])


def turned(degrees: float) -> Homography:
    """The turn that takes x toward y: clockwise on the screen."""
    angle = math.radians(degrees)
    cos, sin = math.cos(angle), math.sin(angle)
    return np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])


def map_points(homography: Homography, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Points `(n, 2)` moved by a homography."""
    x, y, w = homography @ np.stack([points[:, 0], points[:, 1], np.ones(len(points))])
    return np.stack([x / w, y / w], axis=1)


def coordinates(homography: Homography) -> tuple[Array, Array]:
    """Where each pixel's middle lies on the plane that `homography` maps to the frame."""
    inverse = np.linalg.inv(homography).astype(np.float32)
    x, y, w = (row[0] * X + row[1] * Y + row[2] for row in inverse)
    return x / w, y / w


def sampled(
    field: NDArray[np.float32], homography: Homography, beyond: float, region: Region = WHOLE
) -> Array:
    """A field of samples as the frame sees it.

    Args:
        field: `(H, W)`.
        homography: From samples to pixels.
        beyond: The value outside the field.
        region: The part of the frame that is wanted.
    """
    from PIL import Image

    down, across = region
    inverse = np.linalg.inv(homography) @ moved(across.start, down.start)
    inverse = (inverse / inverse[2, 2]).ravel()[:8]
    plane = Image.fromarray(field)
    seen = plane.transform(
        (across.stop - across.start, down.stop - down.start),
        Image.Transform.PERSPECTIVE,
        tuple(inverse),
        Image.Resampling.BILINEAR,
        fillcolor=beyond,
    )
    return np.asarray(seen)

"""Tools for drawing scenes: random numbers, coordinates, masks, noise, perspective.

Planes are `(SIDE, SIDE)` float32. Homographies are 3 × 3 and act on columns (x, y, 1), x to the
right, y down; pixel k covers k to k + 1.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from pocketlens.evaluation.robustness.ranges import SIDE, Interval

__all__ = [
    "FULL_FRAME",
    "Array",
    "Homography",
    "X",
    "Y",
    "band",
    "bernoulli",
    "blend",
    "blurred",
    "coordinates",
    "half_plane",
    "log_triangular",
    "log_uniform",
    "map_points",
    "rotation",
    "sampled",
    "scaling",
    "slow_noise",
    "streaked",
    "translation",
    "triangular",
    "uniform",
]

Array = NDArray[np.float32]
Homography = NDArray[np.float64]
Random = np.random.Generator

Region = tuple[slice, slice]
"""Rows and columns of the frame."""

FULL_FRAME: Region = (slice(0, SIDE), slice(0, SIDE))

Y, X = (grid.astype(np.float32) + np.float32(0.5) for grid in np.mgrid[:SIDE, :SIDE])


def uniform(random: Random, bounds: Interval) -> float:
    """A random number from a uniform distribution between the bounds."""
    low, high = bounds
    return low + (high - low) * float(random.random())


def log_uniform(random: Random, bounds: Interval) -> float:
    """A random number whose logarithm is uniform between the logarithms of the bounds."""
    low, high = bounds
    value: float = low * (high / low) ** random.random()
    return value


def triangular(random: Random, bounds: Interval) -> float:
    """A random number from a triangular distribution between the bounds.

    Its peak is in the middle, or at 0 if the bounds start at 0.
    """
    low, high = bounds
    one, other = random.random(2)
    value: float = high * min(one, other) if low == 0 else low + (high - low) * (one + other) / 2
    return value


def log_triangular(random: Random, bounds: Interval) -> float:
    """A random number whose logarithm has a triangular distribution between those of the bounds."""
    low, high = bounds
    value: float = low * (high / low) ** (random.random(2).sum() / 2)
    return value


def bernoulli(random: Random, share: float) -> bool:
    """True with probability `share`."""
    return bool(random.random() < share)


def slow_noise(
    random: Random, cells: int, rows: int | None = None, region: Region = FULL_FRAME
) -> Array:
    """Smooth noise with mean 0 and deviation about 1.

    Args:
        random: Source of the values.
        cells: Number of random grid points across the frame; the noise is interpolated between
            them.
        rows: Number of grid points from top to bottom; default: `cells`.
        region: The part of the frame to return.
    """
    grid = random.standard_normal((rows or cells, cells), np.float32)
    return np.asarray(_between(rows or cells)[region[0]] @ grid @ _between(cells)[region[1]].T)


@lru_cache(maxsize=256)
def _between(cells: int) -> Array:
    """The weights `(SIDE, cells)` of the grid points for each pixel: cubic interpolation."""
    from PIL import Image

    points = Image.fromarray(np.eye(cells, dtype=np.float32))
    return np.asarray(points.resize((cells, SIDE), Image.Resampling.BICUBIC))


def blend(plane: Array, other: Array | float, share: Array | float) -> Array:
    """`plane` where `share` is 0, `other` where it is 1."""
    return plane + (other - plane) * share


def blurred(planes: Array, deviation: float, axes: tuple[int, int]) -> Array:
    """A Gaussian blur of `deviation` samples along both axes; values at the edges are repeated."""
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
    """Motion blur: the mean along a straight line.

    Args:
        planes: Any array.
        length: Length of the line, in samples.
        angle: Direction of the line, in radians from the second axis toward the first.
        axes: The vertical and the horizontal axis.
    """
    reach = math.ceil(length / 2)
    around = [(reach, reach) if axis in axes else (0, 0) for axis in range(planes.ndim)]
    wide = np.pad(planes, around, mode="edge")
    total = np.zeros_like(planes)
    # Steps of at most half a sample, so that rounding to whole samples leaves no gaps.
    ways = np.linspace(-length / 2, length / 2, 2 * math.ceil(length) + 1).tolist()
    for along in ways:
        place = [slice(None)] * planes.ndim
        for axis, part in zip(axes, (math.sin(angle), math.cos(angle)), strict=True):
            start = reach + round(along * part)
            place[axis] = slice(start, start + planes.shape[axis])
        total += wide[tuple(place)]
    return total / np.float32(len(ways))


def half_plane(angle: float, offset: float, soft: float) -> Array:
    """A mask that is 1 beyond a straight edge and 0 before it.

    Args:
        angle: Direction from 0 to 1 across the edge, in radians from x toward y.
        offset: Distance of the edge from the frame's origin in this direction, in pixels.
        soft: Width of the transition in pixels, at least 1.
    """
    distance = math.cos(angle) * X + math.sin(angle) * Y - offset
    mask: Array = np.clip(distance / max(soft, 1) + 0.5, 0, 1).astype(np.float32)
    return mask


def band(distance: NDArray[np.floating], width: float) -> Array:
    """An antialiased line of `width` pixels along which `distance` (signed, in pixels) is 0.

    A line thinner than a pixel is drawn fainter.
    """
    shown = np.clip((max(width, 1) + 1) / 2 - np.abs(distance), 0, 1)
    line: Array = (shown * min(width, 1)).astype(np.float32)
    return line


def translation(x: float, y: float) -> Homography:
    """A translation by (x, y)."""
    return np.array([[1, 0, x], [0, 1, y], [0, 0, 1]])


def scaling(x: float, y: float) -> Homography:
    """Scaling of x and of y."""
    return np.diag([x, y, 1.0])


def rotation(degrees: float) -> Homography:
    """A rotation from x toward y: clockwise on the screen."""
    angle = math.radians(degrees)
    cos, sin = math.cos(angle), math.sin(angle)
    return np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])


def map_points(homography: Homography, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Apply a homography to points `(n, 2)`."""
    x, y, w = homography @ np.stack([points[:, 0], points[:, 1], np.ones(len(points))])
    return np.stack([x / w, y / w], axis=1)


def coordinates(homography: Homography) -> tuple[Array, Array]:
    """The position of each pixel's center on the plane that `homography` maps to the frame."""
    inverse = np.linalg.inv(homography).astype(np.float32)
    x, y, w = (row[0] * X + row[1] * Y + row[2] for row in inverse)
    return x / w, y / w


def sampled(
    field: NDArray[np.float32], homography: Homography, beyond: float, region: Region = FULL_FRAME
) -> Array:
    """A field of samples, transformed to the frame.

    Args:
        field: `(H, W)`.
        homography: From samples to pixels.
        beyond: The value outside the field.
        region: The part of the frame to return.
    """
    from PIL import Image

    down, across = region
    inverse = np.linalg.inv(homography) @ translation(across.start, down.start)
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

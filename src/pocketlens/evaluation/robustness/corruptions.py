"""Fifteen corruptions at five strengths, after MNIST-C.

Source: N. Mu and J. Gilmer, "MNIST-C: A Robustness Benchmark for Computer Vision", 2019,
arXiv:1906.02337. The kinds of corruption are the same; code and strengths are our own, so results
cannot be compared with published ones. Each function takes images `(N, H, W, C)` float32 from 0 to
255, a value from `CORRUPTIONS` and a generator, and returns images of the same shape. Lengths are
in 1/28 of the image's height, so that larger images are corrupted in the same way.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from pocketlens.errors import OptionError, did_you_mean
from pocketlens.evaluation.robustness.drawing import (
    Array,
    Homography,
    Random,
    blurred,
    rotation,
    scaling,
    streaked,
    translation,
)
from pocketlens.evaluation.robustness.warp import warped

__all__ = ["CORRUPTIONS", "STRENGTHS", "Corruption", "corrupt"]

STRENGTHS = (1, 2, 3, 4, 5)

BATCH_PIXELS = 2_000_000
"""Approximate number of values that are corrupted at once: 8 MB as float32."""

Change: TypeAlias = Callable[[Array, float, Random], Array]


@dataclass(frozen=True)
class Corruption:
    """One kind of corruption.

    Args:
        change: The function that corrupts images.
        values: Its parameter for each strength from 1 to 5.
    """

    change: Change
    values: tuple[float, float, float, float, float]


def corrupt(
    images: NDArray[np.uint8], name: str, strength: int, *, seed: int = 0
) -> NDArray[np.uint8]:
    """Corrupt images in one way.

    Args:
        images: `(N, H, W, C)` uint8; not modified.
        name: A key of `CORRUPTIONS`.
        strength: From 1 to 5.
        seed: Draws directions, positions and noise, which are the same at all strengths.

    Returns:
        `(N, H, W, C)` uint8.

    Raises:
        OptionError: The corruption or strength is unknown.
    """
    if name not in CORRUPTIONS:
        raise OptionError(f"corruption {name!r} is not known; {did_you_mean(name, CORRUPTIONS)}")
    if strength not in STRENGTHS:
        raise OptionError(
            f"the strength of a corruption must be from 1 to 5; received: {strength!r}"
        )
    row = CORRUPTIONS[name]
    order = list(CORRUPTIONS).index(name)
    batch = max(1, BATCH_PIXELS // max(1, math.prod(images.shape[1:])))
    result = np.empty_like(images)
    for start in range(0, len(images), batch):
        random = np.random.default_rng([seed, 2, order, start])
        part = images[start : start + batch].astype(np.float32)
        changed = row.change(part, row.values[strength - 1], random)
        result[start : start + batch] = np.clip(np.rint(changed), 0, 255)
    return result


def _shot_noise(images: Array, darkness: float, random: Random) -> Array:
    """Photon noise: a white pixel has 255 / darkness photons on average."""
    grains = 255 / darkness
    counts: Array = random.poisson(images / 255 * grains).astype(np.float32)
    return counts * np.float32(255 / grains)


def _impulse_noise(images: Array, share: float, random: Random) -> Array:
    """A share of the pixels becomes black or white."""
    draw = random.random(images.shape[:3], np.float32)[..., None]
    hit = np.where(draw < share / 2, 0, 255).astype(np.float32)
    return np.asarray(np.where((draw < share / 2) | (draw > 1 - share / 2), hit, images))


def _glass_blur(images: Array, reach: float, random: Random) -> Array:
    """Each pixel shows a random one nearby, as behind frosted glass."""
    count, height, width, _ = images.shape
    reach *= _unit(images)
    down, across = (random.uniform(-1, 1, (count, height, width)) for _ in range(2))
    y = np.clip(np.rint(np.arange(height)[:, None] + reach * down), 0, height - 1).astype(int)
    x = np.clip(np.rint(np.arange(width) + reach * across), 0, width - 1).astype(int)
    moved_about = images[np.arange(count)[:, None, None], y, x]
    return blurred(moved_about, 0.5 * _unit(images), (1, 2))


def _motion_blur(images: Array, length: float, random: Random) -> Array:
    """The camera moves in a straight line during the exposure."""
    turns = random.integers(8, size=len(images))
    result = np.empty_like(images)
    for turn in range(8):
        chosen = np.flatnonzero(turns == turn)
        way = math.pi * turn / 8
        result[chosen] = streaked(images[chosen], length * _unit(images), way, (1, 2))
    return result


def _shear(images: Array, amount: float, random: Random) -> Array:
    """Sheared to the left or right."""
    signs = random.choice((-1, 1), len(images))
    return _moved(images, [np.array([[1, s * amount, 0], [0, 1, 0], [0, 0, 1]]) for s in signs])


def _scale(images: Array, size: float, random: Random) -> Array:  # noqa: ARG001
    """Smaller."""
    return _moved(images, [scaling(size, size)] * len(images))


def _rotate(images: Array, degrees: float, random: Random) -> Array:
    """Rotated to the left or right."""
    return _moved(images, [rotation(s * degrees) for s in random.choice((-1, 1), len(images))])


def _translate(images: Array, distance: float, random: Random) -> Array:
    """Shifted in a random direction."""
    ways = random.uniform(0, 2 * math.pi, len(images))
    far = distance / 28
    return _moved(images, [translation(far * math.cos(w), far * math.sin(w)) for w in ways])


def _brightness(images: Array, amount: float, random: Random) -> Array:  # noqa: ARG001
    """Brighter everywhere; light pixels become white."""
    return images + np.float32(255 * amount)


def _stripe(images: Array, breadth: float, random: Random) -> Array:
    """A vertical or horizontal band across the whole image is inverted."""
    breadth *= _unit(images)
    result = images.copy()
    draws = random.random((len(images), 2))
    for image, (stands, place) in zip(result, draws.tolist(), strict=True):
        plane = image.swapaxes(0, 1) if stands < 0.5 else image
        first = round((0.3 + 0.4 * place) * len(plane) - breadth / 2)
        band = plane[max(first, 0) : first + max(1, round(breadth))]
        np.subtract(255, band, out=band)
    return result


def _fog(images: Array, thickness: float, random: Random) -> Array:
    """Light gray fog of varying density."""
    count, height, width, _ = images.shape
    drifts = np.zeros((count, height, width, 1), np.float32)
    for cells, share in ((2, 0.5), (4, 0.3), (8, 0.2)):
        grid = random.random((count, cells + 1, cells + 1), np.float32)
        drifts[..., 0] += share * _spread(grid, height, width)
    veil = thickness * (0.4 + 1.2 * drifts)
    return np.asarray(images * np.maximum(1 - veil / 2, 0) + 255 * veil)


def _spatter(images: Array, share: float, random: Random) -> Array:
    """Drops on the lens: gray spots on a share of the image."""
    count, height, width, _ = images.shape
    noise = random.standard_normal((count, height, width, 1), np.float32)
    smooth = blurred(noise, 1.3 * _unit(images), (1, 2))
    level = np.quantile(smooth, 1 - share, axis=(1, 2, 3), keepdims=True)
    scale = smooth.std(axis=(1, 2, 3), keepdims=True)
    drops = np.clip((smooth - level) / (0.35 * scale), 0, 1).astype(np.float32)
    return np.asarray(images + drops * (200 - images))


def _dotted_line(images: Array, many: float, random: Random) -> Array:
    """Dotted white lines from side to side."""
    return _with_lines(images, round(many), random, dotted=True)


def _zigzag(images: Array, many: float, random: Random) -> Array:
    """White zigzag lines from side to side."""
    return _with_lines(images, round(many), random, dotted=False)


def _canny_edges(images: Array, share: float, random: Random) -> Array:  # noqa: ARG001
    """Only outlines; at lower strengths they are mixed with the image.

    Source: J. Canny, "A Computational Approach to Edge Detection", IEEE Transactions on Pattern
    Analysis and Machine Intelligence 8 (1986), 679-698.
    """
    gray = images.mean(axis=3)
    smooth = np.pad(blurred(gray, 0.8 * _unit(images), (1, 2)), ((0, 0), (1, 1), (1, 1)), "edge")
    x = smooth[:, 1:-1, 2:] - smooth[:, 1:-1, :-2]
    y = smooth[:, 2:, 1:-1] - smooth[:, :-2, 1:-1]
    steep = np.hypot(x, y)
    way = np.round(np.arctan2(y, x) / (math.pi / 4)).astype(int) % 4
    around = np.pad(steep, ((0, 0), (1, 1), (1, 1)))
    ridge = np.zeros(steep.shape, bool)
    height, width = steep.shape[1:]
    for turn, (down, right) in enumerate(((0, 1), (1, 1), (1, 0), (1, -1))):
        ahead = around[:, 1 + down :, 1 + right :][:, :height, :width]
        behind = around[:, 1 - down :, 1 - right :][:, :height, :width]
        ridge |= (way == turn) & (steep >= ahead) & (steep > behind)
    most = steep.max(axis=(1, 2), keepdims=True)
    edge, weak = ridge & (steep > 0.4 * most), ridge & (steep > 0.15 * most)
    while True:  # weak edges count if they touch strong ones; repeat until no more are added
        wide = np.pad(edge, ((0, 0), (1, 1), (1, 1)))
        near = np.zeros_like(edge)
        for down in range(3):
            for right in range(3):
                near |= wide[:, down : down + height, right : right + width]
        grown = edge | (near & weak)
        if (grown == edge).all():
            break
        edge = grown
    outlines = np.where(edge, 255, 0).astype(np.float32)[..., None]
    return images + np.float32(share) * (outlines - images)


CORRUPTIONS: dict[str, Corruption] = {
    "shot noise": Corruption(_shot_noise, (10, 25, 50, 90, 150)),
    "impulse noise": Corruption(_impulse_noise, (0.03, 0.07, 0.12, 0.2, 0.3)),
    "glass blur": Corruption(_glass_blur, (0.6, 1, 1.4, 1.9, 2.5)),
    "motion blur": Corruption(_motion_blur, (2, 3.5, 5, 7, 9)),
    "shear": Corruption(_shear, (0.15, 0.3, 0.45, 0.6, 0.75)),
    "scale": Corruption(_scale, (0.85, 0.72, 0.6, 0.5, 0.4)),
    "rotate": Corruption(_rotate, (10, 20, 30, 40, 50)),
    "brightness": Corruption(_brightness, (0.15, 0.3, 0.45, 0.6, 0.75)),
    "translate": Corruption(_translate, (1, 2, 3, 4.5, 6)),
    "stripe": Corruption(_stripe, (2, 4, 6, 8, 10)),
    "fog": Corruption(_fog, (0.15, 0.3, 0.45, 0.6, 0.75)),
    "spatter": Corruption(_spatter, (0.04, 0.08, 0.13, 0.19, 0.26)),
    "dotted line": Corruption(_dotted_line, (1, 2, 3, 4, 5)),
    "zigzag": Corruption(_zigzag, (1, 2, 3, 4, 5)),
    "canny edges": Corruption(_canny_edges, (0.35, 0.5, 0.65, 0.8, 1)),
}
"""All corruptions, in the order of the source's table."""


def _unit(images: Array) -> float:
    """1/28 of the height, in pixels."""
    height: int = images.shape[1]
    return height / 28


def _moved(images: Array, changes: list[Homography]) -> Array:
    return warped(images.astype(np.uint8), changes).astype(np.float32)


def _spread(grid: Array, height: int, width: int) -> Array:
    """Interpolate grids `(N, h, w)` linearly to `(N, height, width)`."""
    for axis, length in ((1, height), (2, width)):
        place = np.linspace(0, grid.shape[axis] - 1, length, dtype=np.float32)
        low = np.minimum(place.astype(int), grid.shape[axis] - 2)
        share = (place - low).reshape([-1 if a == axis else 1 for a in range(3)])
        before, after = grid.take(low, axis), grid.take(low + 1, axis)
        grid = before + (after - before) * share.astype(np.float32)
    return grid


def _with_lines(images: Array, many: int, random: Random, *, dotted: bool) -> Array:
    """Draw white lines; increasing `many` adds lines without moving the others."""
    from PIL import Image, ImageDraw

    _, height, width, _ = images.shape
    finer = 4
    thick = max(1, round((0.7 if dotted else 1.1) * finer * _unit(images)))
    result = images.copy()
    most = round(max(CORRUPTIONS["dotted line"].values + CORRUPTIONS["zigzag"].values))
    for image in result:
        board = Image.new("L", (finer * width, finer * height))
        pen = ImageDraw.Draw(board)
        for draw in random.random((most, 16))[:many]:
            steps = 12 if dotted else 4 + int(4 * draw[2])
            along = np.linspace(0, 1, steps + 1)
            across = draw[0] + (draw[1] - draw[0]) * along
            if not dotted:
                swing = 0.06 + 0.08 * draw[4]
                across += swing * np.where(np.arange(steps + 1) % 2, 1, -1)
            x, y = (along, across) if draw[3] < 0.5 else (across, along)
            points = np.stack([finer * width * x, finer * height * y], axis=1).tolist()
            if dotted:
                for left, top in points:
                    pen.ellipse((left - thick, top - thick, left + thick, top + thick), 255)
            else:
                pen.line([(left, top) for left, top in points], 255, thick)
        shown = np.asarray(board.reduce(finer), np.float32)[..., None]
        np.maximum(image, shown, out=image)
    return result

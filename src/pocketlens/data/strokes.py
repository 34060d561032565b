"""`strokes`: digits drawn by a simulated pen, in the form of MNIST. No file is needed.

A hand (see `hands`) gives the pen's path. Each image takes one and varies it as writers do: where
the points lie, how sharp the corners are, slant, width, turn, a smooth wobble, the pen's thickness
and pressure. The path is then fitted into MNIST's 20 × 20 box, inked from the distance of
every pixel to it, so that edges are antialiased, and moved to its centre of mass.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pocketlens.data.dataset import Dataset
from pocketlens.data.hands import HANDS, Hand
from pocketlens.errors import OptionError, did_you_mean

__all__ = ["COUNTS", "draw_strokes"]

COUNTS = {"train": 12_000, "test": 2_000}
"""How many images each split has by default."""

SIDE = 28
BOX = 20.0
"""Height or width, whichever is larger, of the ink in pixels."""

CENTRE = 14
"""The pixel in which the centre of mass lies, as in MNIST."""

MARGIN = 4
"""The furthest that an image is moved to its centre of mass: the box's distance to the edge."""

STEP = 2.5
"""Distance of the path's samples in the hands' per cent: half a pixel."""

EDGE = 1.2
"""Width of the soft edge of the ink in pixels."""

BATCH = 64
"""Images inked at once: their distances (200 kB) stay in a core's cache."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class PenPath:
    """A hand as linear maps from its distinct control points to the samples of its path.

    Args:
        points: `(P, 2)` the distinct control points; strokes that share one stay joined.
        sharp: `(S, P)` samples with the corners as they are.
        soft: `(S, P)` samples with the corners cut.
        along: `(S,)` where on the pen's way a sample lies, from 0 to 1.
    """

    points: Array
    sharp: Array
    soft: Array
    along: Array

    @classmethod
    def of(cls, hand: Hand) -> PenPath:
        """The maps of `hand`."""
        distinct = sorted({point for stroke in hand.strokes for point in stroke})
        points = np.array(distinct, float)
        order = {point: index for index, point in enumerate(distinct)}
        curves = [_curve([order[p] for p in stroke], points) for stroke in hand.strokes]
        sharp = np.concatenate(curves)
        soft = np.concatenate([_smooth(curve) for curve in curves])
        return cls(points, sharp, soft, np.linspace(0, 1, len(sharp)))


def _curve(stroke: list[int], points: Array) -> Array:
    """The samples `(S, P)` of one stroke: a uniform Catmull-Rom curve through its points."""
    closed = stroke[0] == stroke[-1]
    before = stroke[-2] if closed else stroke[0]
    after = stroke[1] if closed else stroke[-1]
    row = [before, *stroke, after]
    samples = []
    for a, b, c, d in zip(row, row[1:], row[2:], row[3:], strict=False):
        if b == c:
            continue  # a corner: the curve arrives at the point, and leaves it anew
        steps = math.ceil(math.dist(points[b], points[c]) / STEP)
        for t in np.arange(steps) / steps:
            weights = np.zeros(len(points))
            weights[a] += (-t + 2 * t**2 - t**3) / 2
            weights[b] += (2 - 5 * t**2 + 3 * t**3) / 2
            weights[c] += (t + 4 * t**2 - 3 * t**3) / 2
            weights[d] += (t**3 - t**2) / 2
            samples.append(weights)
    end = np.zeros(len(points))
    end[stroke[-1]] = 1
    return np.array([*samples, end])


def _smooth(curve: Array, reach: int = 5) -> Array:
    """`curve` averaged over `reach` samples on either side; its ends stay where they are."""
    padded = np.concatenate(
        [2 * curve[0] - curve[reach:0:-1], curve, 2 * curve[-1] - curve[-2 : -reach - 2 : -1]]
    )
    sums = np.cumsum(np.concatenate([np.zeros((1, curve.shape[1])), padded]), axis=0)
    width = 2 * reach + 1
    return (sums[width:] - sums[:-width]) / width


def draw_strokes(split: str = "train", *, seed: int = 0, count: int | None = None) -> Dataset:
    """Draw digits: every class equally often (to within one), in random order.

    Args:
        split: `train` or `test`, drawn independently of each other.
        seed: The same seed gives the same images.
        count: How many; default: 12,000 for `train`, 2,000 for `test`.

    Returns:
        Images `(count, 28, 28, 1)`, white ink on black, classes `0` to `9`.

    Raises:
        OptionError: An unknown split, or a count that is not positive.
    """
    if split not in COUNTS:
        raise OptionError(f"split {split!r} is not known; {did_you_mean(split, COUNTS)}")
    count = COUNTS[split] if count is None else count
    if count < 1:
        raise OptionError(f"a count of strokes is at least 1; received: {count}")
    random = np.random.default_rng([seed, list(COUNTS).index(split)])
    labels = random.permutation(np.arange(count) % len(HANDS))
    images = np.empty((count, SIDE, SIDE), np.uint8)
    for label, hands in enumerate(HANDS.values()):
        members = np.flatnonzero(labels == label)
        weights = np.array([hand.weight for hand in hands])
        chosen = random.choice(len(hands), size=len(members), p=weights / weights.sum())
        for index, hand in enumerate(hands):
            mine = members[chosen == index]
            images[mine] = _write(hand, len(mine), random)
    return Dataset(
        images[..., np.newaxis], labels.astype(np.int64), tuple(HANDS), f"strokes/{split}"
    )


def _write(hand: Hand, count: int, random: np.random.Generator) -> NDArray[np.uint8]:
    """`count` images `(count, 28, 28)` of one hand."""
    path = PenPath.of(hand)
    radius = np.clip(random.lognormal(math.log(1.25), 0.32, (count, 1)), 0.6, 3)
    # Pressure: a slow swing of the radius along the way.
    swing = random.uniform(0, 0.15, (count, 1))
    phase = random.uniform(0, 2 * np.pi, (count, 1))
    turns = random.uniform(0.5, 2, (count, 1))
    radii = radius * (1 + swing * np.sin(2 * np.pi * turns * path.along + phase))
    pen = _fit(_trace(path, count, random), radii.max(axis=1))
    images = np.empty((count, SIDE, SIDE), np.uint8)
    for start in range(0, count, BATCH):
        part = slice(start, start + BATCH)
        images[part] = _centre(_ink(pen[part], radii[part]))
    return images


def _trace(path: PenPath, count: int, random: np.random.Generator) -> Array:
    """The pen's samples `(count, S, 2)` in per cent of the height, about the middle."""
    untidiness = random.uniform(1, 6.5, (count, 1, 1))
    points = path.points + untidiness * random.normal(0, 1, (count, *path.points.shape))
    softness = random.uniform(0, 1, (count, 1, 1))
    # einsum, not a matrix product: its sums run in the same order on every machine.
    sharp = np.einsum("sp,npc->nsc", path.sharp, points)
    soft = np.einsum("sp,npc->nsc", path.soft, points)
    pen = sharp + softness * (soft - sharp) - (35, 50)
    # Wobble: each coordinate is pushed by a slow wave across the plane.
    for _ in range(2):
        wave = random.uniform(-0.008, 0.008, (count, 1, 2))
        phase = random.uniform(0, 2 * np.pi, (count, 1))
        push = random.normal(0, 5, (count, 1, 2))
        pen = pen + push * np.sin(2 * np.pi * (pen * wave).sum(2) + phase)[..., None]
    slant = np.clip(random.normal(0.18, 0.28, count), -0.6, 0.9)
    width = random.lognormal(0.12, 0.25, count)
    turn = random.normal(0, 0.09, count)
    x, y = pen[..., 0] * width[:, None], pen[..., 1]
    x = x - slant[:, None] * y
    cos, sin = np.cos(turn)[:, None], np.sin(turn)[:, None]
    return np.stack([cos * x - sin * y, sin * x + cos * y], axis=2)


def _fit(pen: Array, radius: Array) -> Array:
    """`pen` in pixels: drawn with at most `radius`, it fills MNIST's box in the image's middle."""
    low, high = pen.min(axis=1, keepdims=True), pen.max(axis=1, keepdims=True)
    scale = (BOX - EDGE / 2 - 2 * radius) / (high - low).max(axis=(1, 2))
    return (pen - (low + high) / 2) * scale[:, None, None] + (SIDE - 1) / 2


def _ink(pen: Array, radii: Array) -> NDArray[np.uint8]:
    """Ink `(N, 28, 28)` of the samples `pen` `(N, S, 2)` drawn with `radii` `(N, S)`, in pixels.

    The ink at a pixel follows from its distance to the nearest sample, in radii of that sample.
    """
    pixels = np.arange(SIDE)
    offset = ((pixels - pen[..., None]) / radii[..., None, None]).astype(np.float32)
    across, down = np.square(offset[:, :, 0]), np.square(offset[:, :, 1])
    nearest = np.full((len(pen), SIDE, SIDE), np.inf, np.float32)
    distance = np.empty_like(nearest)
    for sample in range(pen.shape[1]):
        np.add(down[:, sample, :, None], across[:, sample, None, :], out=distance)
        np.minimum(nearest, distance, out=nearest)
    inside = (1 - np.sqrt(nearest)) * radii.mean(axis=1, keepdims=True)[..., None]
    return np.rint(255 * np.clip(inside / EDGE + 0.5, 0, 1)).astype(np.uint8)


def _centre(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Move images `(N, 28, 28)` by whole pixels, as MNIST's were, to their centre of mass."""
    pixels = np.arange(SIDE)
    mass = images.sum(axis=(1, 2), dtype=np.int64)
    for axis in (1, 2):
        moment = (images.sum(axis=3 - axis, dtype=np.int64) * pixels).sum(axis=1)
        shift = np.clip(np.rint(moment / mass).astype(np.int64) - CENTRE, -MARGIN, MARGIN)
        rows = (pixels + shift[:, None]) % SIDE
        images = np.take_along_axis(images, np.expand_dims(rows, 3 - axis), axis)
    return images

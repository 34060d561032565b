"""The simulated pen: draws stroke templates as hands draw them, each image in its own way.

Each image varies its template the way people's drawings vary: what the template itself lets vary,
which parts are there, size, place and turn of each part, positions of the points, hooks at the ends
of strokes, sharpness of corners, proportions, slant, width, rotation, a smooth wobble, thickness
and pressure of the pen, gaps in the ink, missing ends. `Hand` says how much. The path is then
scaled to a box. The ink of a pixel depends on its distance to the path, so edges are antialiased.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pocketlens.data.stroke_templates import StrokeTemplate
from pocketlens.data.strokes_path import PenPath
from pocketlens.errors import OptionError

__all__ = ["SIDE", "Hand", "check_size", "draw"]

SIDE = 28
"""Height and width of MNIST's images; the lengths below are in pixels of such an image."""

STEP = 3.0
"""Distance between samples of the path, in percent of the template's height, in MNIST's box: half
a pixel."""

EDGE = 1.2
"""Width of the soft edge of the ink, in pixels of the output image."""

LIMITS = {"count": (1, 1_000_000), "side": (16, 128)}
"""The smallest and largest value allowed for each option."""

BATCH = 128
"""Images drawn at once. Their distances (200 kB) fit in the cache of a CPU core."""

# In the arrays below the last axis is the N images of a batch, so that loops over samples run over
# long rows; x and y are `(S, N)`, one row per sample. The amounts of variation were chosen by eye
# and, for digits, by the spread of thickness, slant and width in MNIST's training images.
Array = NDArray[np.float32]


@dataclass(frozen=True)
class Hand:
    """How much the people of a population differ; each pair is a mean and a deviation.

    Args:
        spread: Least and largest deviation of a template's points, in percent of the height.
        slant: Movement of x per y, upwards to the right.
        steepest: The limits of `slant`.
        width: Logarithm of the factor of the width.
        wobble: Deviation of the two slow waves that move all points, in percent of the height.
        middle: Deviation of the height of the middle, where the waist of an 8 is.
        turn: Deviation of the rotation, in radians, of templates that do not say it themselves.
        apart: Deviation of the place of each stroke, in percent of the height.
        parts: Deviations of each part's size (of the logarithm), turn (in radians) and place (in
            percent of the height).
        pen: Logarithm of the pen's radius: of its typical value, and its deviation.
        radii: Radius of the thinnest and of the thickest pen.
        rough: Deviation of the raggedness of the ink's edges, in pixels.
        cut: Shares of the images whose bottom or top is cut off.
        gaps: Share of the images with gaps in the ink.
        ends: Deviation of how much is missing at the start and at the end, as a share of the path.
        filling: Share of the images that are stretched until they (nearly) fill the box in both
            directions, as digits in the fields of a form and in many scanned sets are.
        box: Height or width of the ink, whichever is larger.
        margin: Distance from the box to the edge of the image.
        by_mass: Whether the center of mass is in the middle of the image, as in MNIST; else it is
            the middle of the box.
    """

    spread: tuple[float, float] = (1, 5.5)
    slant: tuple[float, float] = (0.16, 0.23)
    steepest: tuple[float, float] = (-0.5, 0.8)
    width: tuple[float, float] = (0.1, 0.22)
    wobble: float = 5
    middle: float = 6
    turn: float = 0.09
    apart: float = 4
    parts: tuple[float, float, float] = (0, 0, 0)
    pen: tuple[float, float] = (math.log(1.25), 0.28)
    radii: tuple[float, float] = (0.6, 3.0)
    rough: float = 0.2
    cut: tuple[float, float] = (0.07, 0.03)
    gaps: float = 0.03
    ends: float = 0.04
    filling: float = 0
    box: float = 20
    margin: int = 4
    by_mass: bool = True


MOST_FILLING = 2.6
"""The largest factor by which an image is stretched to fill the box: a bar stays narrow."""


def check_size(what: str, **values: object) -> None:
    """Check the options `count` and `side`; `what` is drawn, such as `strokes`.

    Raises:
        OptionError: One of them is out of range.
    """
    for name, value in values.items():
        low, high = LIMITS[name]
        if type(value) is not int or not low <= value <= high:
            raise OptionError(
                f"{name} of {what} must be an integer from {low} to {high:,}; received: {value!r}"
            )


def draw(
    template: StrokeTemplate,
    count: int,
    side: int,
    radius: tuple[float, float] | None,
    random: np.random.Generator,
    hand: Hand,
) -> NDArray[np.uint8]:
    """Draw `count` images `(count, side, side)` of one template, `BATCH` at a time.

    Args:
        template: What is drawn.
        count: The number of images.
        side: Height and width of an image in pixels, from 16 to 128.
        radius: Smallest and largest radius of the pen, in pixels of a 28 × 28 image; by default
            that of the hand.
        random: Draws everything that varies.
        hand: How much it varies.
    """
    path = PenPath.of(template, STEP * SIDE / side * Hand.box / hand.box)
    images = np.empty((count, side, side), np.uint8)
    for start in range(0, count, BATCH):
        part = images[start : start + BATCH]
        part[:] = _write(path, len(part), side, radius, random, hand)
    return images


def _write(
    path: PenPath,
    count: int,
    side: int,
    radius: tuple[float, float] | None,
    random: np.random.Generator,
    hand: Hand,
) -> NDArray[np.uint8]:
    """Draw `count` images `(count, side, side)` from one template."""
    x, y = _trace(path, random, count, hand)
    if hand.filling:
        x, y = _filling(x, y, random, hand.filling)
    down = _down(path, y, random, hand)
    # While the pen is up, its samples are set to the first point where it was down: no extra ink.
    first = (down.argmax(axis=0), np.arange(count))
    x, y = np.where(down, x, x[first]), np.where(down, y, y[first])
    if radius is None:
        typical, spread = hand.pen
        pen = np.clip(np.exp(typical + _normal(random, spread, count)), *hand.radii)
    else:
        pen = _uniform(random, *radius, count)
    pen *= np.float32(side / SIDE)
    # Pressure: the radius varies slowly along the path.
    swing, turns = _uniform(random, 0, 0.15, count), _uniform(random, 0.5, 2, count)
    phase = _uniform(random, 0, 1, count)
    radii = pen * (1 + swing * _wave(turns * path.along + phase))
    box = side - 2 * (hand.margin * side // SIDE)
    x, y = _fit(x, y, radii.max(axis=0), hand.box * side / SIDE)
    middle = np.float32((box - 1) / 2)
    ink = _ink(x + middle, y + middle, radii, pen, _rough(random, hand.rough, box, count))
    return _center(ink, side, by_mass=hand.by_mass)


def _rough(random: np.random.Generator, spread: float, box: int, count: int) -> Array:
    """How far the edge of the ink is off at each pixel, `(B, B, N)`: scanners make edges ragged."""
    if not spread:
        return np.zeros((box, box, count), np.float32)
    rough = np.abs(_normal(random, spread, count)) * _normal(random, 1, box, box, count)
    return np.clip(rough, -EDGE / 2, EDGE / 2)


def _trace(
    path: PenPath, random: np.random.Generator, count: int, hand: Hand
) -> tuple[Array, Array]:
    """Samples of the pen's path: x and y `(S, count)`, in percent of the height, centered on 0."""
    points, strokes = len(path.points), path.strokes
    # Some writers are tidier than others. Most hooks are small, a few are as long as a serif.
    spread = np.empty((path.sharp.shape[1], count), np.float32)
    spread[:points] = _uniform(random, *hand.spread, count)
    spread[points : points + 2 * strokes] = 0.4 * _uniform(random, 0, 5, count) ** 2
    spread[points + 2 * strokes :] = hand.apart
    spread *= path.loose
    softness = _uniform(random, 0, 1, count)
    moved = [_uniform(random, 0, 1, count) for _ in path.moves]
    placed = _placed(path, random, count, hand) if any(hand.parts) else path.points.T[..., None]
    axes: list[Array] = []
    for axis in range(2):
        vectors = spread * _normal(random, 1, *spread.shape)
        vectors[:points] += placed[axis]
        for (shares, start, end), place in zip(path.moves, moved, strict=True):
            vectors[:points] += shares * (start[axis] + (end[axis] - start[axis]) * place)
        axes.append(np.empty((len(path.sharp), count), np.float32))
        for rows, columns in path.blocks:
            # einsum, not a matrix product: it adds in the same order on every machine.
            own = vectors[columns]
            sharp = np.einsum("sp,pn->sn", path.sharp[rows, columns], own)
            soft = np.einsum("sp,pn->sn", path.soft[rows, columns], own)
            axes[-1][rows] = sharp + softness * soft
    x, y = axes
    for _ in range(2):  # wobble: a slow wave across the plane moves both coordinates
        along = x * _uniform(random, -0.008, 0.008, count)
        along += y * _uniform(random, -0.008, 0.008, count)
        push = _wave(along + _uniform(random, 0, 1, count))
        x = x + _normal(random, hand.wobble, count) * push
        y = y + _normal(random, hand.wobble, count) * push
    # Proportions: the middle is higher or lower, the foot wider or narrower, the stem bends.
    height: Array = np.clip(y / 50, -1, 1)
    arch: Array = 1 - height**2
    y = y + _normal(random, hand.middle, count) * arch
    x = x * (1 + np.clip(_normal(random, 0.15, count), -0.3, 0.3) * height)
    x = x + _normal(random, 4, count) * arch
    middle, spread_of_slant = hand.slant
    slant = np.clip(middle + _normal(random, spread_of_slant, count), *hand.steepest)
    wide, spread_of_width = hand.width
    x = x * np.exp(wide + _normal(random, spread_of_width, count)) - slant * y
    turn = _normal(random, hand.turn if path.turn is None else path.turn, count)
    cos, sin = np.cos(turn), np.sin(turn)
    x, y = cos * x - sin * y, sin * x + cos * y
    if path.mirrored:  # the other way round in half of the images
        x = x * np.where(random.random(count) < 0.5, -1, 1).astype(np.float32)
    return x, y


def _placed(path: PenPath, random: np.random.Generator, count: int, hand: Hand) -> Array:
    """The points `(2, P, count)`: each part of its own size and turn, and in its own place."""
    parts, (size, turn, place) = len(path.chances), hand.parts
    # A part whose points all belong to earlier parts moves with those.
    members = (path.part_of_point == np.arange(parts)[:, None]).astype(np.float32)  # (K, P)
    middles = members @ path.points / members.sum(1, keepdims=True).clip(min=1)
    scale = np.exp(_normal(random, size, parts, count))
    angle = _normal(random, turn, parts, count)
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    x, y = (path.points - middles[path.part_of_point]).T[..., None]
    cos, sin = cos[path.part_of_point], sin[path.part_of_point]
    moved = middles.T[..., None] + _normal(random, place, 2, parts, count)
    placed: Array = moved[:, path.part_of_point] + np.stack([cos * x - sin * y, sin * x + cos * y])
    return placed


def _filling(x: Array, y: Array, random: np.random.Generator, share: float) -> tuple[Array, Array]:
    """The path, stretched in a `share` of the images so that its box is square or nearly so."""
    count = y.shape[1]
    wide, high = (np.ptp(axis, axis=0).clip(min=1) for axis in (x, y))
    some = random.random(count) < share
    much = np.where(some, _uniform(random, 0.3, 1, count), np.float32(0))
    factor = np.exp(much * np.log(high / wide)).astype(np.float32)
    # Only ever larger: the other side fills the box already.
    return x * factor.clip(1, MOST_FILLING), y * (1 / factor).clip(1, MOST_FILLING)


def _down(path: PenPath, y: Array, random: np.random.Generator, hand: Hand) -> NDArray[np.bool_]:
    """Where the pen leaves ink, `(S, N)`: not at missing ends, in gaps or beyond the paper."""
    count = y.shape[1]
    # Half of the paths' ends are missing; of a digit, at most about a tenth of the path.
    down = (path.along >= _normal(random, hand.ends, count)) & (
        path.along <= 1 - _normal(random, hand.ends, count)
    )
    gap = np.where(random.random(count) < hand.gaps, _uniform(random, -0.2, 0.9, count), 2)
    beats, phase = _uniform(random, 2, 14, count), _uniform(random, 0, 1, count)
    down &= _wave(beats * path.along + phase) <= gap
    # Cut off by the field of the form, as in many of MNIST's images.
    low, high = y.min(axis=0), y.max(axis=0)
    kind = random.random(count)
    cut = (high - low) * _uniform(random, 0.03, 0.2, count)
    down &= (y <= high - cut) | (kind > hand.cut[0])
    down &= (y >= low + 0.6 * cut) | (kind < 1 - hand.cut[1])
    if min(path.chances) < 1:
        there = random.random((len(path.chances), count)) < path.chances[:, None]
        down &= there[path.part_of_sample]
    return down


def _fit(x: Array, y: Array, radius: Array, size: float) -> tuple[Array, Array]:
    """Scale the path to pixels, centered on 0, so that with a pen of `radius` it has `size`."""
    low, high = np.stack([x.min(axis=0), y.min(axis=0)]), np.stack([x.max(axis=0), y.max(axis=0)])
    # A small piece of ink, less than a fifth of a digit's height, is not enlarged to a full digit.
    extent = np.maximum((high - low).max(axis=0), 20)
    scale = (size - EDGE / 2 - 2 * radius) / extent
    middle = (low + high) / 2
    return (x - middle[0]) * scale, (y - middle[1]) * scale


def _ink(x: Array, y: Array, radii: Array, pen: Array, rough: Array) -> NDArray[np.uint8]:
    """Ink `(N, B, B)` of the path x, y `(S, N)` drawn with `radii` `(S, N)`, all in pixels.

    The ink of a pixel depends on its distance to the nearest sample, measured in radii of that
    sample and multiplied by the radius `pen` `(N,)`. `rough` `(B, B, N)`, at most half an edge,
    extends or reduces the ink at each pixel.
    """
    box, reach = len(rough), float(radii.max()) + EDGE
    pixels = np.arange(box, dtype=np.float32)[:, None]
    across = np.square((pixels - x[:, None]) / radii[:, None])  # (S, B, N)
    down = np.square((pixels - y[:, None]) / radii[:, None])
    nearest = np.full(rough.shape, box * box, np.float32)
    distance = np.empty_like(nearest)
    # A sample has no effect on pixels further away than `reach`.
    left, right = _bounds(x, reach, box)
    top, bottom = _bounds(y, reach, box)
    for sample, (a, b, c, d) in enumerate(zip(top, bottom, left, right, strict=True)):
        here = distance[: b - a, : d - c]
        np.add(down[sample, a:b, None], across[sample, None, c:d], out=here)
        np.minimum(nearest[a:b, c:d], here, out=nearest[a:b, c:d])
    inside = (1 - np.sqrt(nearest)) * pen + rough
    gray = np.rint(255 * np.clip(inside / EDGE + 0.5, 0, 1)).astype(np.uint8)
    return np.ascontiguousarray(np.moveaxis(gray, -1, 0))


def _bounds(x: Array, reach: float, box: int) -> tuple[list[int], list[int]]:
    """For each sample, over all images: the first pixel within `reach`, and the last plus one."""
    first = np.clip(np.floor(x.min(axis=1) - reach), 0, box).astype(int)
    last = np.clip(np.ceil(x.max(axis=1) + reach) + 1, 0, box).astype(int)
    return first.tolist(), last.tolist()


def _center(ink: NDArray[np.uint8], side: int, *, by_mass: bool) -> NDArray[np.uint8]:
    """Place boxes `(N, B, B)` in images `(N, side, side)`, the middle of the box or the center of
    mass on the middle pixel.

    Boxes are moved by whole pixels, as in MNIST.
    """
    box = ink.shape[1]
    margin = (side - box) // 2
    images = np.pad(ink, ((0, 0), (margin, margin), (margin, margin)))
    if not by_mass:
        return images
    mass = ink.sum(axis=(1, 2), dtype=np.int64)
    for axis in (1, 2):
        moment = (ink.sum(axis=3 - axis, dtype=np.int64) * np.arange(box)).sum(axis=1)
        shift = np.rint(moment / mass).astype(np.int64) + margin - side // 2
        rows = (np.arange(side) + np.clip(shift, -margin, margin)[:, None]) % side
        images = np.take_along_axis(images, np.expand_dims(rows, 3 - axis), axis)
    return images


def _normal(random: np.random.Generator, spread: float, *shape: int) -> Array:
    return np.float32(spread) * random.standard_normal(shape, dtype=np.float32)


def _uniform(random: np.random.Generator, low: float, high: float, *shape: int) -> Array:
    return np.float32(low) + np.float32(high - low) * random.random(shape, dtype=np.float32)


def _wave(turns: Array) -> Array:
    """The sine of an angle given in full turns."""
    wave: Array = np.sin(np.float32(2 * math.pi) * turns)
    return wave

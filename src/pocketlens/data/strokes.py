"""`strokes`: digits drawn by a simulated pen, in the form of MNIST. No file is needed.

A hand (see `hands`) gives the pen's path. Each image takes one and varies it as writers do: where
the points lie, hooks at the ends, how sharp the corners are, proportions, slant, width, turn, a
smooth wobble, the pen's thickness and pressure, ink that fails, ends left out. The path is then
fitted into MNIST's 20 × 20 box, inked from the distance of every pixel to it, so that edges are
antialiased, and moved to its center of mass.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from pocketlens.data.dataset import Dataset
from pocketlens.data.stroke_templates import HANDS
from pocketlens.data.strokes_path import PenPath
from pocketlens.errors import OptionError, did_you_mean

__all__ = ["COUNTS", "draw_strokes"]

COUNTS = {"train": 36_000, "test": 2_000}
"""How many images each split has by default."""

SIDE = 28
"""The side of MNIST's images in pixels; lengths below are in pixels of such an image."""

BOX = 20.0
"""Height or width, whichever is larger, of the ink."""

MARGIN = 4
"""The box's distance to the edge, and so the furthest that the box is moved."""

RADII = (0.6, 3.0)
"""The thinnest and the thickest pen."""

STEP = 3.0
"""Distance of the path's samples in the hands' per cent: half a pixel."""

EDGE = 1.2
"""Width of the soft edge of the ink in pixels of the image itself."""

LIMITS = {"count": (1, 1_000_000), "side": (16, 128)}
"""The least and the most that may be asked for."""

BATCH = 128
"""Images drawn at once: their distances (200 kB) stay in a core's cache."""

# Arrays below have the N images of a batch as their last axis, so that loops over samples run over
# long rows; x and y are `(S, N)`, a row a sample. How much writers vary was set by eye, and by the
# spread of thickness, slant and width over MNIST's training images.
Array = NDArray[np.float32]


def draw_strokes(
    split: str = "train",
    *,
    seed: int = 0,
    count: int | None = None,
    side: int = SIDE,
    radius: tuple[float, float] | None = None,
) -> Dataset:
    """Draw digits: every class equally often (to within one), in random order.

    Args:
        split: `train` or `test`, drawn independently of each other.
        seed: The same seed gives the same images.
        count: How many, up to 1,000,000; default: 36,000 for `train`, 2,000 for `test`.
        side: Height and width of an image in pixels, from 16 to 128. Every side has the same
            framing: the ink's box is 20/28 of it.
        radius: Least and greatest radius of the pen, in pixels of an image 28 pixels high, from
            0.2 to 4, all in between equally often; default: as MNIST's pens, about 1.25.

    Returns:
        Images `(count, side, side, 1)`, white ink on black, classes `0` to `9`.

    Raises:
        OptionError: An unknown split, or a count, side or radius out of range.
    """
    if split not in COUNTS:
        raise OptionError(f"split {split!r} is not known; {did_you_mean(split, COUNTS)}")
    count = COUNTS[split] if count is None else count
    for name, value in (("count", count), ("side", side)):
        low, high = LIMITS[name]
        if type(value) is not int or not low <= value <= high:
            raise OptionError(
                f"the {name} of strokes is a whole number from {low} to {high:,}; "
                f"received: {value!r}"
            )
    if radius is not None and not 0.2 <= radius[0] <= radius[1] <= 4:
        raise OptionError(
            "the radius of strokes is (least, greatest), from 0.2 to 4 pixels of 28; "
            f"received: {radius!r}"
        )
    random = np.random.default_rng([seed, list(COUNTS).index(split)])
    labels = random.permutation(np.arange(count) % len(HANDS))
    images = np.empty((count, side, side), np.uint8)
    for label, hands in enumerate(HANDS.values()):
        members = np.flatnonzero(labels == label)
        weights = np.array([hand.weight for hand in hands])
        chosen = random.choice(len(hands), size=len(members), p=weights / weights.sum())
        for index, hand in enumerate(hands):
            mine = members[chosen == index]
            if not len(mine):
                continue
            path = PenPath.of(hand, STEP * SIDE / side)
            for start in range(0, len(mine), BATCH):
                part = mine[start : start + BATCH]
                images[part] = _write(path, len(part), side, radius, random)
    return Dataset(
        images[..., np.newaxis], labels.astype(np.int64), tuple(HANDS), f"strokes/{split}"
    )


def _write(
    path: PenPath,
    count: int,
    side: int,
    radius: tuple[float, float] | None,
    random: np.random.Generator,
) -> NDArray[np.uint8]:
    """`count` images `(count, side, side)` of one hand."""
    x, y = _trace(path, random, count)
    down = _down(path, y, random)
    # A pen that is up stays where it was first put down, and so adds no ink.
    first = (down.argmax(axis=0), np.arange(count))
    x, y = np.where(down, x, x[first]), np.where(down, y, y[first])
    if radius is None:
        pen = np.clip(np.exp(math.log(1.25) + _normal(random, 0.28, count)), *RADII)
    else:
        pen = _uniform(random, *radius, count)
    pen *= np.float32(side / SIDE)
    # Pressure: a slow swing of the radius along the way.
    swing, turns = _uniform(random, 0, 0.15, count), _uniform(random, 0.5, 2, count)
    phase = _uniform(random, 0, 1, count)
    radii = pen * (1 + swing * _wave(turns * path.along + phase))
    box = side - 2 * (MARGIN * side // SIDE)
    x, y = _fit(x, y, radii.max(axis=0), BOX * side / SIDE)
    # Scanners leave edges ragged, some more than others.
    rough = np.abs(_normal(random, 0.2, count)) * _normal(random, 1, box, box, count)
    rough = np.clip(rough, -EDGE / 2, EDGE / 2)
    middle = np.float32((box - 1) / 2)
    return _center(_ink(x + middle, y + middle, radii, pen, rough), side)


def _trace(path: PenPath, random: np.random.Generator, count: int) -> tuple[Array, Array]:
    """The pen's samples, x and y `(S, count)`, in per cent of the height, about the middle."""
    points, strokes = len(path.points), path.strokes
    # Some writers are tidier than others; most hooks are slight, a few as long as a serif.
    spread = np.empty((path.sharp.shape[1], count), np.float32)
    spread[:points] = _uniform(random, 1, 5.5, count)
    spread[points : points + 2 * strokes] = 0.4 * _uniform(random, 0, 5, count) ** 2
    spread[points + 2 * strokes :] = 4
    softness = _uniform(random, 0, 1, count)
    axes = []
    for axis in range(2):
        vectors = spread * _normal(random, 1, *spread.shape)
        vectors[:points] += path.points[:, axis, None]
        # einsum, not a matrix product: its sums run in the same order on every machine.
        sharp = np.einsum("sp,pn->sn", path.sharp, vectors)
        axes.append(sharp + softness * np.einsum("sp,pn->sn", path.soft, vectors))
    x, y = axes
    for _ in range(2):  # wobble: both coordinates are pushed by a slow wave across the plane
        along = x * _uniform(random, -0.008, 0.008, count)
        along += y * _uniform(random, -0.008, 0.008, count)
        push = _wave(along + _uniform(random, 0, 1, count))
        x, y = x + _normal(random, 5, count) * push, y + _normal(random, 5, count) * push
    # Proportions: the waist lies higher or lower, the foot is wider or narrower, the stem bends.
    height = np.clip(y / 50, -1, 1)
    arch = 1 - height**2
    y = y + _normal(random, 6, count) * arch
    x = x * (1 + np.clip(_normal(random, 0.15, count), -0.3, 0.3) * height)
    x = x + _normal(random, 4, count) * arch
    slant = np.clip(0.16 + _normal(random, 0.23, count), -0.5, 0.8)
    x = x * np.exp(0.1 + _normal(random, 0.22, count)) - slant * y
    turn = _normal(random, 0.09, count)
    cos, sin = np.cos(turn), np.sin(turn)
    return cos * x - sin * y, sin * x + cos * y


def _down(path: PenPath, y: Array, random: np.random.Generator) -> NDArray[np.bool_]:
    """Where the pen leaves ink, `(S, N)`: not at ends left out, nor where ink or paper end."""
    count = y.shape[1]
    # Half of all ends are left out, at most about a tenth of the way.
    down = (path.along >= _normal(random, 0.04, count)) & (
        path.along <= 1 - _normal(random, 0.04, count)
    )
    # Ink that comes and goes, in 3 %.
    gap = np.where(random.random(count) < 0.03, _uniform(random, -0.2, 0.9, count), 2)
    beats, phase = _uniform(random, 2, 14, count), _uniform(random, 0, 1, count)
    down &= _wave(beats * path.along + phase) <= gap
    # Cut off by the field of the form, as many of MNIST's are: below in 7 %, above in 3 %.
    low, high = y.min(axis=0), y.max(axis=0)
    kind = random.random(count)
    cut = (high - low) * _uniform(random, 0.03, 0.2, count)
    down &= (y <= high - cut) | (kind > 0.07)
    down &= (y >= low + 0.6 * cut) | (kind < 0.97)
    return down


def _fit(x: Array, y: Array, radius: Array, size: float) -> tuple[Array, Array]:
    """The path in pixels about its middle: drawn with at most `radius`, it is of that `size`."""
    low, high = np.stack([x.min(axis=0), y.min(axis=0)]), np.stack([x.max(axis=0), y.max(axis=0)])
    # A scrap of ink, less than a fifth as high as a digit, is not blown up to one.
    extent = np.maximum((high - low).max(axis=0), 20)
    scale = (size - EDGE / 2 - 2 * radius) / extent
    middle = (low + high) / 2
    return (x - middle[0]) * scale, (y - middle[1]) * scale


def _ink(x: Array, y: Array, radii: Array, pen: Array, rough: Array) -> NDArray[np.uint8]:
    """Ink `(N, B, B)` of the samples x and y `(S, N)` drawn with `radii` `(S, N)`, in pixels.

    The ink at a pixel follows from its distance to the nearest sample, in radii of that sample,
    times the radius `pen` `(N,)`. By `rough` `(B, B, N)`, at most half an edge, it reaches further.
    """
    box, reach = len(rough), float(radii.max()) + EDGE
    pixels = np.arange(box, dtype=np.float32)[:, None]
    across = np.square((pixels - x[:, None]) / radii[:, None])  # (S, B, N)
    down = np.square((pixels - y[:, None]) / radii[:, None])
    nearest = np.full(rough.shape, box * box, np.float32)
    distance = np.empty_like(nearest)
    # A sample concerns no pixel further off than `reach`.
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
    """For each sample, in any image, its first pixel within `reach` and the one after its last."""
    first = np.clip(np.floor(x.min(axis=1) - reach), 0, box).astype(int)
    last = np.clip(np.ceil(x.max(axis=1) + reach) + 1, 0, box).astype(int)
    return first.tolist(), last.tolist()


def _center(ink: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Lay boxes `(N, B, B)` on paper `(N, side, side)`, their center of mass on its middle pixel.

    Boxes are moved by whole pixels, as MNIST's were.
    """
    box = ink.shape[1]
    margin = (side - box) // 2
    mass = ink.sum(axis=(1, 2), dtype=np.int64)
    images = np.pad(ink, ((0, 0), (margin, margin), (margin, margin)))
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
    """The sine of an angle in full turns."""
    return np.sin(np.float32(2 * math.pi) * turns)

"""`doodles`: everyday things drawn by a simulated pen, as in Google's Quick, Draw!. No files.

Each thing is drawn in several ways (see `sketches`), and `pen` varies each drawing the way that
people's doodles vary. The bitmaps have the format of Quick, Draw!: white lines on black, 28 × 28,
the drawing fills the image.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pocketlens.data.dataset import Dataset
from pocketlens.data.drawn_things import DOODLES, DrawnThings
from pocketlens.data.pen import SIDE, Hand, check_size, draw
from pocketlens.data.sketches import Sketch, sketches_of
from pocketlens.errors import OptionError, did_you_mean

__all__ = ["draw_doodles", "draw_sketch"]

SPLITS = ("train", "test")

TESTED = 20
"""One drawing for testing for so many to train on."""

TOGETHER = 32
"""Drawings with the same numbers of copies, such as wheels."""

HAND = Hand(
    spread=(0.8, 4.8),
    slant=(0, 0.1),
    steepest=(-0.4, 0.4),
    width=(0, 0.24),
    wobble=4,
    middle=3,
    turn=0.1,
    apart=2,
    parts=(0.16, 0.1, 2.6),
    pen=(-0.05, 0.3),
    radii=(0.45, 1.55),
    rough=0,
    cut=(0, 0),
    gaps=0,
    ends=0.01,
    filling=0.15,
    box=26,
    margin=1,
    by_mass=False,
)


def draw_doodles(
    split: str = "train",
    *,
    drawings: DrawnThings | None = None,
    seed: int = 0,
    count: int | None = None,
    side: int = SIDE,
) -> Dataset:
    """Draw things in random order; class sizes differ by at most one.

    Args:
        split: `train` or `test`; the two are drawn independently.
        drawings: The things, and how many of each; default: all, 1,000 of each.
        seed: The same seed always produces the same images.
        count: Number of images, up to 1,000,000; default: as `drawings` says for `train`, a
            twentieth of that for `test`.
        side: Height and width of an image in pixels, from 16 to 128.

    Returns:
        Images `(count, side, side, 1)`, white ink on black; the classes are the things.

    Raises:
        OptionError: The split is unknown, or the count or side is out of range.
    """
    if split not in SPLITS:
        raise OptionError(f"split {split!r} is not known; {did_you_mean(split, SPLITS)}")
    drawings = drawings or DrawnThings.parse(DOODLES)
    assert drawings is not None
    classes = drawings.things
    if count is None:
        each = drawings.count if split == "train" else max(1, drawings.count // TESTED)
        count = each * len(classes)
    check_size(DOODLES, count=count, side=side)
    random = np.random.default_rng([seed, SPLITS.index(split), *DOODLES.encode()])
    labels = random.permutation(np.arange(count) % len(classes))
    images = np.empty((count, side, side), np.uint8)
    for label, thing in enumerate(classes):
        members = np.flatnonzero(labels == label)
        sketches = sketches_of(thing)
        weights = np.array([sketch.weight for sketch in sketches])
        chosen = random.choice(len(sketches), size=len(members), p=weights / weights.sum())
        for index, sketch in enumerate(sketches):
            mine = members[chosen == index]
            images[mine] = _draw(sketch, len(mine), side, random)
    return Dataset(
        images[..., np.newaxis], labels.astype(np.int64), classes, f"{drawings.name}/{split}"
    )


def draw_sketch(
    sketch: Sketch, count: int, *, seed: int = 0, side: int = SIDE
) -> NDArray[np.uint8]:
    """Draw one way to draw a thing as people vary it: `(count, side, side, 1)`."""
    return _draw(sketch, count, side, np.random.default_rng(seed))[..., np.newaxis]


def _draw(sketch: Sketch, count: int, side: int, random: np.random.Generator) -> NDArray[np.uint8]:
    images = np.empty((count, side, side), np.uint8)
    for start in range(0, count, TOGETHER):
        part = images[start : start + TOGETHER]
        part[:] = draw(sketch.template(random), len(part), side, None, random, HAND)
    return images

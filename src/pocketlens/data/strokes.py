"""`strokes`: digits drawn by a simulated pen, in the format of MNIST. Needs no files.

The pen's path comes from a stroke template (see `stroke_templates`). Each image picks a template,
as often as a population of writers uses it, and `pen` varies it the way that population's
handwriting varies. Last, the image is moved so that its center of mass is in the middle.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from pocketlens.data.dataset import Dataset
from pocketlens.data.pen import SIDE, Hand, check_size, draw
from pocketlens.data.populations import MNIST, STROKES, WORLD, check_population
from pocketlens.data.stroke_templates import TEMPLATES, StrokeTemplate
from pocketlens.errors import OptionError, did_you_mean

__all__ = ["COUNTS", "draw_strokes", "draw_template"]

COUNTS = {"train": 36_000, "test": 2_000}
"""How many images each split has by default."""

MNIST_HAND = Hand()
WORLD_HAND = Hand(
    spread=(0.8, 4.2),
    slant=(0.14, 0.3),
    steepest=(-0.7, 0.7),
    width=(0.04, 0.28),
    wobble=4,
    middle=5,
    pen=(math.log(1.25), 0.32),
    radii=(0.5, 2.4),
    cut=(0.02, 0.01),
    gaps=0.01,
    filling=0.3,
)
"""The slant is at most 35 degrees."""


def draw_strokes(
    split: str = "train",
    *,
    population: str = MNIST,
    seed: int = 0,
    count: int | None = None,
    side: int = SIDE,
    radius: tuple[float, float] | None = None,
) -> Dataset:
    """Draw digits in random order; class sizes differ by at most one.

    Args:
        split: `train` or `test`; the two are drawn independently.
        population: Whose hands: `mnist`, `world`, or a region of it such as `western-europe`; see
            `populations.POPULATIONS`.
        seed: The same seed always produces the same images.
        count: Number of images, up to 1,000,000; default: 36,000 for `train`, 2,000 for `test`.
        side: Height and width of an image in pixels, from 16 to 128. The framing is the same for
            every size: the box around the ink is 20/28 of the side.
        radius: Smallest and largest radius of the pen, in pixels of a 28 × 28 image, from 0.2 to
            4, drawn uniformly in between; default: similar to MNIST, about 1.25.

    Returns:
        Images `(count, side, side, 1)`, white ink on black, classes `0` to `9`.

    Raises:
        OptionError: The split or population is unknown, or the count, side or radius is out of
            range.
    """
    if split not in COUNTS:
        raise OptionError(f"split {split!r} is not known; {did_you_mean(split, COUNTS)}")
    check_population(population)
    count = COUNTS[split] if count is None else count
    check_size("strokes", count=count, side=side)
    if radius is not None and not 0.2 <= radius[0] <= radius[1] <= 4:
        raise OptionError(
            "radius of strokes must be (smallest, largest), from 0.2 to 4 pixels of a 28 × 28 "
            "image; "
            f"received: {radius!r}"
        )
    own, hand = (population.encode(), WORLD_HAND) if population != MNIST else (b"", MNIST_HAND)
    random = np.random.default_rng([seed, list(COUNTS).index(split), *own])
    labels = random.permutation(np.arange(count) % len(TEMPLATES))
    images = np.empty((count, side, side), np.uint8)
    for label, every in enumerate(TEMPLATES.values()):
        members = np.flatnonzero(labels == label)
        templates = [template for template in every if template.weight(population)]
        weights = np.array([template.weight(population) for template in templates])
        chosen = random.choice(len(templates), size=len(members), p=weights / weights.sum())
        for index, template in enumerate(templates):
            mine = members[chosen == index]
            images[mine] = draw(template, len(mine), side, radius, random, hand)
    name = STROKES if population == MNIST else f"{STROKES}:{population}"
    return Dataset(
        images[..., np.newaxis], labels.astype(np.int64), tuple(TEMPLATES), f"{name}/{split}"
    )


def draw_template(
    template: StrokeTemplate,
    count: int,
    *,
    population: str = WORLD,
    seed: int = 0,
    side: int = SIDE,
) -> NDArray[np.uint8]:
    """Draw one form as the hands of a population vary it: `(count, side, side, 1)`.

    Raises:
        OptionError: The population is unknown.
    """
    hand = MNIST_HAND if check_population(population) == MNIST else WORLD_HAND
    return draw(template, count, side, None, np.random.default_rng(seed), hand)[..., np.newaxis]

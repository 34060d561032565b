"""`camera`: clean digits as a phone's camera would see them, and frames that show none.

A frame is made in the order of nature: the ink is put somewhere into the frame (`geometry`), drawn
with some pen (`pen`), laid on some paper among other things (`paper`), lit (`light`), and taken by
a sensor (`sensor`). `nothing` takes the same way with other ink (`shapes`), or with none.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pocketlens.augment.camera.fields import Random
from pocketlens.augment.camera.geometry import DIGIT, warp
from pocketlens.augment.camera.light import illuminate
from pocketlens.augment.camera.paper import edges, marks, rulings, texture
from pocketlens.augment.camera.pen import draw, ridges
from pocketlens.augment.camera.sensor import expose
from pocketlens.augment.camera.shapes import shapes
from pocketlens.errors import OptionError

__all__ = ["camera", "nothing"]

FAINTEST = 0.3
"""Least difference between pen and paper, of 1 between black and white."""

NEIGHBOURS = 0.25
"""Share of frames with a part of another digit at the border."""


def camera(
    images: Tensor,
    generator: torch.Generator,
    *,
    turn: float = 25.0,
    smallest: float = 0.45,
    largest: float = 1.25,
    clean: float = 0.1,
) -> Tensor:
    """Photograph each image, every frame in a scene of its own.

    Args:
        images: `(N, 1, S, S)` uint8: ink on a plain ground.
        generator: Source of all randomness, on the images' device.
        turn: Largest angle in degrees, either way.
        smallest: Least size of the digit, as a share of its size in the image.
        largest: Greatest size.
        clean: Share of the images that stay as they are.

    Returns:
        `(N, 1, S, S)` uint8.

    Raises:
        OptionError: An option out of range, or images that are not square and grey.
    """
    _check(images, turn, smallest, largest, clean)
    random = Random(generator, len(images), images.shape[-1])
    field = ridges(images[:, 0])
    ink = draw(warp(field, random, turn=turn, smallest=smallest, largest=largest), random)
    _add_neighbours(ink, field, random)
    frames = _photograph(ink, random)[:, None]
    kept = random.some(clean)
    frames[kept] = images[kept]
    return frames


def nothing(images: Tensor, generator: torch.Generator) -> Tensor:
    """Frames like those of `camera` that show no digit: the class `nothing`.

    Args:
        images: `(N, 1, S, S)` uint8, whose ink is cut up and scrambled.
        generator: Source of all randomness, on the images' device.

    Returns:
        `(N, 1, S, S)` uint8.
    """
    random = Random(generator, len(images), images.shape[-1])
    ink = shapes(images[:, 0], random)
    return _photograph(ink, random)[:, None]


def _add_neighbours(ink: Tensor, field: Tensor, random: Random) -> None:
    """Draw another image's ink at the border of some frames."""
    some = random.some(NEIGHBOURS)
    if not len(some):
        return
    part = random.part(len(some))
    angle = part.uniform(0, 2 * torch.pi)[:, 0, 0]
    out = torch.stack([angle.cos(), angle.sin()], dim=1)
    # To the border of the square, not of the circle in it; most of the neighbour is outside.
    out = out / out.abs().amax(1, keepdim=True) * part.uniform(1.15, 1.5)[:, :, 0]
    other = warp(field.roll(1, 0)[some], part, turn=25, smallest=0.5, largest=1.0, away=out)
    ink[some] = torch.maximum(ink[some], draw(other, part))


def _photograph(ink: Tensor, random: Random) -> Tensor:
    """Frames `(N, S, S)` uint8 of planes of ink: paper, light, sensor."""
    light_paper = random.chance(0.6)
    paper = light_paper * random.uniform(0.5, 1) + (1 - light_paper) * random.uniform(0, 0.45)
    contrast = random.uniform(0, 1).sqrt_()
    room = light_paper * paper + (1 - light_paper) * (1 - paper)
    pen = (1 - 2 * light_paper) * (FAINTEST + (room - FAINTEST).clamp(min=0) * contrast)
    ground = paper + texture(random)
    printed = rulings(random)
    ground = ground + printed * pen * random.uniform(-0.2, 0.75)
    beyond = edges(random)
    ground = ground + beyond * (random.uniform(0, 1) - ground)
    written = torch.maximum(ink, marks(random) * random.uniform(0.3, 1))
    return expose(illuminate(ground + written * pen, random), random)


def _check(images: Tensor, turn: float, smallest: float, largest: float, clean: float) -> None:
    _, channels, height, width = images.shape
    if channels != 1 or height != width or height < 16:
        raise OptionError(
            "augment 'camera' takes square grey images of at least 16 × 16; "
            f"received: {height} × {width}, {channels} channel(s)"
        )
    if not 0 <= turn <= 180:
        raise OptionError(f"augment.turn is from 0 to 180 degrees; received: {turn!r}")
    if not 0.2 <= smallest <= largest <= 1 / DIGIT:
        raise OptionError(
            "augment.smallest and augment.largest are in that order from 0.2 to "
            f"{1 / DIGIT:.2f}; received: {smallest!r} and {largest!r}"
        )
    if not 0 <= clean <= 1:
        raise OptionError(f"augment.clean is a share from 0 to 1; received: {clean!r}")

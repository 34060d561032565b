"""`warp`: rotates, shears, stretches, moves and bends each image a little, like handwriting."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from pocketlens.augment._planes import Random, coordinates
from pocketlens.augment._scribbles import scribbles
from pocketlens.errors import OptionError

__all__ = ["Variation", "placed", "warp"]

ELASTIC_CELLS = 4
"""The elastic distortion is smooth within a quarter of the frame's side."""


@dataclass(frozen=True)
class Variation:
    """Limits for random variation: shear, stretch and perspective are uniform from -limit to limit.

    Args:
        shear: Shear of x by y.
        stretch: Logarithm of the change in width / height.
        perspective: Change of scale from the middle of the frame to its border.
        elastic: Largest elastic distortion, as a share of half the frame's side.
    """

    shear: float
    stretch: float
    perspective: float
    elastic: float


def warp(
    images: Tensor,
    generator: torch.Generator,
    empty: int = 0,
    *,
    turn: float = 10.0,
    scale: float = 0.1,
    smaller: float = 0.0,
    shift: float = 0.1,
    shear: float = 0.15,
    stretch: float = 0.1,
    elastic: float = 0.05,
) -> Tensor:
    """Rotate, scale, move, shear, stretch and bend each image by its own random amounts.

    Args:
        images: `(N, C, H, W)` uint8, square. Pixels from outside the image are black.
        generator: Source of all randomness, on the images' device.
        empty: Number of frames of the class `nothing` to add: scribbles, scrambled drawings, empty
            frames. For drawings in light ink on black.
        turn: Largest rotation in degrees, in both directions, from 0 to 180.
        scale: Largest change in the logarithm of the size, from 0 to 1.
        smaller: Largest reduction of the logarithm of the size, from 0 to 2, in addition; smaller
            images are anywhere in the frame, as on the page of someone who draws.
        shift: Largest offset along each axis, as a share of half the side, from 0 to 1.
        shear: Largest shear of x by y, from 0 to 1.
        stretch: Largest change in the logarithm of width / height, from 0 to 1.
        elastic: Largest elastic distortion, as a share of half the side, from 0 to 0.5.

    Returns:
        `(N + empty, C, H, W)` uint8.

    Raises:
        OptionError: An option is out of range, or the images are not square.
    """
    names = ("turn", "scale", "smaller", "shift", "shear", "stretch", "elastic")
    values = (turn, scale, smaller, shift, shear, stretch, elastic)
    for name, most, value in zip(names, (180, 1, 2, 1, 1, 1, 0.5), values, strict=True):
        if type(value) not in (int, float) or not 0 <= value <= most:
            raise OptionError(f"augment.{name} must be from 0 to {most}; received: {value!r}")
    count, _, height, width = images.shape
    if height != width:
        raise OptionError(f"augment 'warp' needs square images; received: {height} × {width}")
    random = Random(generator, count, height)
    angle = random.symmetric(turn) * (torch.pi / 180)
    size = random.symmetric(scale).exp_()
    room: float | Tensor = shift
    if smaller:
        size = size * random.uniform(-smaller, 0).exp_()
        room = shift + (1 - size).clamp(min=0)
    moved = placed(
        images.float(),
        random,
        Variation(shear, stretch, 0.0, elastic),
        angle=angle,
        size=size,
        right=random.symmetric(room),
        down=random.symmetric(room),
    )
    if empty:
        moved = torch.cat([moved, scribbles(images.float(), random.part(empty))])
    return moved.add_(0.5).to(torch.uint8)


def placed(
    images: Tensor,
    random: Random,
    variation: Variation,
    *,
    angle: Tensor,
    size: Tensor,
    right: Tensor,
    down: Tensor,
) -> Tensor:
    """Place images in their frames, each with its own random variation.

    Args:
        images: `(N, C, S, S)` float.
        random: Random numbers for `N` frames.
        variation: Limits of the variation.
        angle: `(N, 1, 1)` rotation in radians, clockwise.
        size: `(N, 1, 1)` scale factor.
        right: `(N, 1, 1)` x of the image's middle in the frame, from -1 to 1.
        down: `(N, 1, 1)` y of the image's middle in the frame, from -1 to 1.

    Returns:
        `(N, C, S, S)`; pixels from outside the image are 0.
    """
    aspect = random.symmetric(variation.stretch).exp_()
    slant = random.symmetric(variation.shear)
    # From the frame back to the image: shift, rotate, then shear, then stretch. Each coordinate is
    # a·x + b·y with factors `(N, 1, 1)`.
    cos, sin = angle.cos() / size, angle.sin() / size
    x, y = coordinates(random.side, images.device)
    x, y = x - right, y - down  # (N, 1, S), (N, S, 1)
    across = (cos - slant * sin) * aspect * x + (sin + slant * cos) * aspect * y
    along = -sin / aspect * x + cos / aspect * y
    tilt = random.symmetric(variation.perspective) * x
    tilt = (tilt + random.symmetric(variation.perspective) * y).add_(1)
    strength = random.uniform(0, variation.elastic)
    grid = torch.empty((len(images), random.side, random.side, 2), device=images.device)
    for axis, place in enumerate((across, along)):
        bent = random.smooth(ELASTIC_CELLS).mul_(strength)
        torch.add(place.div_(tilt), bent, out=grid[..., axis])
    return F.grid_sample(images, grid, align_corners=False)

"""`warp`: each image turned, sheared, stretched, moved and bent a little, as handwriting varies."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from pocketlens.augment._planes import Random, coordinates
from pocketlens.errors import OptionError

__all__ = ["Variation", "placed", "warp"]

ELASTIC_CELLS = 4
"""The elastic bend is smooth over a quarter of the frame."""


@dataclass(frozen=True)
class Variation:
    """How far shapes vary; each value is drawn evenly up to the one here, either way.

    Args:
        shear: Of x by y.
        stretch: Of width to height, as a logarithm.
        perspective: Change of scale from the middle of the frame to its border.
        elastic: Largest bend, as a share of half the frame.
    """

    shear: float
    stretch: float
    perspective: float
    elastic: float


def warp(
    images: Tensor,
    generator: torch.Generator,
    *,
    turn: float = 10.0,
    scale: float = 0.1,
    shift: float = 0.1,
    shear: float = 0.15,
    stretch: float = 0.1,
    elastic: float = 0.05,
) -> Tensor:
    """Turn, scale, move, shear, stretch and bend each image by amounts of its own.

    Args:
        images: `(N, C, H, W)` uint8; what comes in from outside is black.
        generator: Source of all randomness, on the images' device.
        turn: Largest angle in degrees, either way.
        scale: Largest change of the size's logarithm, either way.
        shift: Largest offset along each axis, as a share of half the frame.
        shear: Largest shear of x by y.
        stretch: Largest change of the logarithm of width to height.
        elastic: Largest smooth bend, as a share of half the frame.

    Returns:
        `(N, C, H, W)` uint8.

    Raises:
        OptionError: An option out of range, or images that are not square.
    """
    ranges = {"turn": 180, "scale": 1, "shift": 1, "shear": 1, "stretch": 1, "elastic": 0.5}
    values = (turn, scale, shift, shear, stretch, elastic)
    for (name, most), value in zip(ranges.items(), values, strict=True):
        if type(value) not in (int, float) or not 0 <= value <= most:
            raise OptionError(f"augment.{name} is from 0 to {most}; received: {value!r}")
    count, _, height, width = images.shape
    if height != width:
        raise OptionError(f"augment 'warp' takes square images; received: {height} × {width}")
    random = Random(generator, count, height)
    moved = placed(
        images.float(),
        random,
        Variation(shear, stretch, 0.0, elastic),
        angle=random.either_way(turn) * (torch.pi / 180),
        size=random.either_way(scale).exp_(),
        right=random.either_way(shift),
        down=random.either_way(shift),
    )
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
    """Images put somewhere into their frames, each varied by amounts of its own.

    Args:
        images: `(N, C, S, S)` float.
        random: Draws for `N` frames.
        variation: How far shapes vary.
        angle: `(N, 1, 1)` in radians, clockwise.
        size: `(N, 1, 1)` size as a share of that in the image.
        right: `(N, 1, 1)` where the image's middle goes, from -1 to 1 over the frame.
        down: `(N, 1, 1)` likewise.

    Returns:
        `(N, C, S, S)`; what lies outside the source is 0.
    """
    aspect = random.either_way(variation.stretch).exp_()
    slant = random.either_way(variation.shear)
    # From the frame back to the source: shift, turn, then shear, then stretch; each coordinate is
    # a·x + b·y, its two factors `(N, 1, 1)`.
    cos, sin = angle.cos() / size, angle.sin() / size
    x, y = coordinates(random.side, images.device)
    x, y = x - right, y - down  # (N, 1, S), (N, S, 1)
    across = (cos - slant * sin) * aspect * x + (sin + slant * cos) * aspect * y
    along = -sin / aspect * x + cos / aspect * y
    tilt = random.either_way(variation.perspective) * x
    tilt = (tilt + random.either_way(variation.perspective) * y).add_(1)
    strength = random.uniform(0, variation.elastic)
    grid = torch.empty((len(images), random.side, random.side, 2), device=images.device)
    for axis, place in enumerate((across, along)):
        bent = random.smooth(ELASTIC_CELLS).mul_(strength)
        torch.add(place.div_(tilt), bent, out=grid[..., axis])
    return F.grid_sample(images, grid, align_corners=False)

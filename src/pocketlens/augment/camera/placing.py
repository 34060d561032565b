"""Where the ink lies in the frame: inside it, or mostly outside."""

from __future__ import annotations

import torch
from torch import Tensor

from pocketlens.augment._planes import Random
from pocketlens.augment.warp import Variation, placed

__all__ = ["DIGIT", "inside", "outside"]

DIGIT = 0.72
"""Half the height of the ink in a clean image: MNIST's 20 of 28 pixels."""

OVER = 0.06
"""How far the digit's box may leave the frame."""


def inside(
    field: Tensor, random: Random, *, turn: float, smallest: float, largest: float
) -> Tensor:
    """Planes `(N, S, S)` put into their frames.

    Args:
        field: Planes `(N, S, S)`.
        random: Draws for `N` frames.
        turn: Largest angle in degrees, either way.
        smallest: Least size, as a share of that in the plane.
        largest: Greatest size.
    """
    size = random.uniform(smallest, largest)
    room = (1 + OVER - DIGIT * size).clamp(min=0)
    right, down = room * random.either_way(1), room * random.either_way(1)
    return _placed(field, random, turn, size, right, down)


def outside(
    field: Tensor,
    random: Random,
    *,
    smallest: float,
    largest: float,
    nearest: float,
    furthest: float,
) -> Tensor:
    """Planes `(N, S, S)` whose middle lies beyond the border, so that a part of them is seen.

    Args:
        field: Planes `(N, S, S)`.
        random: Draws for `N` frames.
        smallest: Least size, as a share of that in the plane.
        largest: Greatest size.
        nearest: Least distance of the middle, as a share of half the frame: 1 is on the border.
        furthest: Greatest distance.
    """
    size = random.log_uniform(smallest, largest)
    angle = random.uniform(0, 2 * torch.pi)
    right, down = angle.cos(), angle.sin()
    # To the border of the square, not of the circle in it.
    way = random.uniform(nearest, furthest) / torch.maximum(right.abs(), down.abs())
    return _placed(field, random, 25, size, right * way, down * way)


def _placed(
    field: Tensor, random: Random, turn: float, size: Tensor, right: Tensor, down: Tensor
) -> Tensor:
    variation = Variation(turn, shear=0.2, stretch=0.16, perspective=0.12, elastic=0.07)
    return placed(field[:, None], random, variation, size=size, right=right, down=down)[:, 0]

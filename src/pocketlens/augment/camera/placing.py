"""Where the ink lies in the frame: inside it, or mostly outside."""

from __future__ import annotations

import torch
from torch import Tensor

from pocketlens.augment._planes import Random, coordinates
from pocketlens.augment.warp import Variation, placed

__all__ = ["inside", "outside"]

OVER = 0.03
"""How far the ink's box may leave the frame."""

INK = 0.5
"""From which value on a pixel of a plane counts as ink."""


def inside(
    field: Tensor, random: Random, *, turn: float, smallest: float, largest: float
) -> Tensor:
    """Planes `(N, S, S)` put into their frames, anywhere where their ink stays inside.

    Args:
        field: Planes `(N, S, S)`.
        random: Draws for `N` frames.
        turn: Largest angle in degrees, either way.
        smallest: Least size, as a share of that in the plane.
        largest: Greatest size.
    """
    size = random.uniform(smallest, largest)
    angle = random.either_way(turn) * (torch.pi / 180)
    cos, sin = angle.cos().abs(), angle.sin().abs()
    wide, high = _extent(field, 1), _extent(field, 2)
    right = (1 + OVER - size * (cos * wide + sin * high)).clamp_(min=0) * random.either_way(1)
    down = (1 + OVER - size * (cos * high + sin * wide)).clamp_(min=0) * random.either_way(1)
    return _placed(field, random, angle, size, right, down)


def _extent(field: Tensor, axis: int) -> Tensor:
    """How far the ink reaches from the middle across the other axis: `(N, 1, 1)` in [0, 1]."""
    inked = field.amax(axis) > INK  # (N, S)
    x, _ = coordinates(field.shape[-1], field.device)
    return (inked * x.abs()).amax(1)[:, None, None]


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
    lean = random.either_way(25) * (torch.pi / 180)
    return _placed(field, random, lean, size, right * way, down * way)


def _placed(
    field: Tensor, random: Random, angle: Tensor, size: Tensor, right: Tensor, down: Tensor
) -> Tensor:
    variation = Variation(shear=0.2, stretch=0.16, perspective=0.12, elastic=0.07)
    place = {"angle": angle, "size": size, "right": right, "down": down}
    return placed(field[:, None], random, variation, **place)[:, 0]

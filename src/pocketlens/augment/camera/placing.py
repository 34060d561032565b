"""Places the ink in the frame: inside it, or mostly outside."""

from __future__ import annotations

import torch
from torch import Tensor

from pocketlens.augment._planes import Random, coordinates
from pocketlens.augment.warp import Variation, placed

__all__ = ["inside", "outside"]

OVER = 0.03
"""How far the ink's bounding box may reach beyond the frame, as a share of half the side."""

INK = 0.5
"""Pixels of a plane above this value count as ink."""


def inside(
    field: Tensor, random: Random, *, turn: float, smallest: float, largest: float
) -> Tensor:
    """Place planes `(N, S, S)` at random positions where their ink stays inside the frame.

    Args:
        field: Planes `(N, S, S)`.
        random: Random numbers for `N` frames.
        turn: Largest rotation in degrees, in both directions.
        smallest: Smallest scale factor.
        largest: Largest scale factor.
    """
    size = random.uniform(smallest, largest)
    angle = random.symmetric(turn) * (torch.pi / 180)
    cos, sin = angle.cos().abs(), angle.sin().abs()
    wide, high = _extent(field, 1), _extent(field, 2)
    right = (1 + OVER - size * (cos * wide + sin * high)).clamp_(min=0) * random.symmetric(1)
    down = (1 + OVER - size * (cos * high + sin * wide)).clamp_(min=0) * random.symmetric(1)
    return _placed(field, random, angle, size, right, down)


def _extent(field: Tensor, axis: int) -> Tensor:
    """How far the ink reaches from the middle along the other axis: `(N, 1, 1)` in [0, 1]."""
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
    """Place planes `(N, S, S)` with their middle outside the frame, so that only a part is visible.

    Args:
        field: Planes `(N, S, S)`.
        random: Random numbers for `N` frames.
        smallest: Smallest scale factor.
        largest: Largest scale factor.
        nearest: Smallest distance of the middle from the frame's center, as a share of half the
            side: 1 is on the border.
        furthest: Largest distance.
    """
    size = random.log_uniform(smallest, largest)
    angle = random.uniform(0, 2 * torch.pi)
    right, down = angle.cos(), angle.sin()
    # Measured to the border of the square frame, not to a circle.
    way = random.uniform(nearest, furthest) / torch.maximum(right.abs(), down.abs())
    lean = random.symmetric(25) * (torch.pi / 180)
    return _placed(field, random, lean, size, right * way, down * way)


def _placed(
    field: Tensor, random: Random, angle: Tensor, size: Tensor, right: Tensor, down: Tensor
) -> Tensor:
    variation = Variation(shear=0.2, stretch=0.16, perspective=0.12, elastic=0.07)
    place = {"angle": angle, "size": size, "right": right, "down": down}
    return placed(field[:, None], random, variation, **place)[:, 0]

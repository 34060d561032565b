"""Where the ink lies in the frame: scale, shift, turn, shear, perspective, elastic warp."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from pocketlens.augment.camera.fields import Random, coordinates

__all__ = ["DIGIT", "warp"]

DIGIT = 0.72
"""Half the height of the ink in a clean image: MNIST's 20 of 28 pixels."""

ASPECT = 0.16  # of the logarithm of width to height
SHEAR = 0.25
PERSPECTIVE = 0.16
ELASTIC = 0.07
ELASTIC_CELLS = 4
OUTSIDE = 0.06
"""How far the digit's box may leave the frame."""


def warp(
    ink: Tensor,
    random: Random,
    *,
    turn: float,
    smallest: float,
    largest: float,
    away: Tensor | None = None,
) -> Tensor:
    """Put each plane of ink somewhere into its frame.

    Args:
        ink: Planes `(N, S, S)`.
        random: Draws for `N` frames.
        turn: Largest angle in degrees, either way.
        smallest: Least size, as a share of the size in the clean image.
        largest: Greatest size.
        away: `(N, 2)` where the middle goes instead of a place within the frame.

    Returns:
        Planes `(N, S, S)`; what lies outside the source is 0.
    """
    size = random.log_uniform(smallest, largest)
    angle = random.uniform(-turn, turn) * (torch.pi / 180)
    aspect = (random.uniform(-ASPECT, ASPECT)).exp()
    shear = random.uniform(-SHEAR, SHEAR)
    if away is None:
        room = (1 + OUTSIDE - DIGIT * size).clamp(min=0)
        right, down = room * random.uniform(-1, 1), room * random.uniform(-1, 1)
    else:
        right, down = away[:, 0, None, None], away[:, 1, None, None]

    # From the frame back to the source: shift, turn, then shear, then aspect; each coordinate is
    # a·x + b·y + c, its three factors `(N, 1, 1)`.
    cos, sin = angle.cos() / size, angle.sin() / size
    x, y = coordinates(random.side, ink.device)
    across = _plane(x, y, right, down, (cos - shear * sin) * aspect, (sin + shear * cos) * aspect)
    along = _plane(x, y, right, down, -sin / aspect, cos / aspect)
    tilt_x, tilt_y = (random.uniform(-PERSPECTIVE, PERSPECTIVE) for _ in range(2))
    tilt = _plane(x, y, right, down, tilt_x, tilt_y).add_(1)
    strength = random.uniform(0, ELASTIC)
    grid = torch.empty((*ink.shape, 2), device=ink.device)
    for axis, place in enumerate((across, along)):
        bent = random.smooth(ELASTIC_CELLS).mul_(strength)
        torch.add(place.div_(tilt), bent, out=grid[..., axis])
    return F.grid_sample(ink[:, None], grid, align_corners=False)[:, 0]


def _plane(x: Tensor, y: Tensor, right: Tensor, down: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """`a·(x - right) + b·(y - down)` for each pixel: `(N, S, S)`."""
    return (a * (x - right)) + (b * (y - down))

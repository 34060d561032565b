"""The paper and other things in the frame: ruled lines, printed boxes, edges, stray marks."""

from __future__ import annotations

import torch
from torch import Tensor

from pocketlens.augment._planes import Random, rotated

__all__ = ["boxes", "edges", "marks", "rulings", "texture"]

INK = 0.3
"""Values of a plane above this count as ink."""

TEXTURED, RULED, MARKED, EDGED = 0.5, 0.35, 0.25, 0.2
"""Shares of frames with a texture, with ruled lines or squares, stray marks, a sheet's edge."""


def texture(random: Random) -> Tensor:
    """Texture `(N, S, S)` of the paper, around 0: grain, clouds, fibers (wood, cardboard)."""
    plane = random.uniform(0, 0.012) * random.smooth(random.side // 2)
    some = random.choose(TEXTURED)
    if len(some):
        part = random.part(len(some))
        clouds = part.uniform(0, 0.12) * part.smooth(5)
        grain = part.uniform(0, 0.04) * part.smooth(random.side // 2)
        _, across = rotated(random.side, part.uniform(0, torch.pi))
        waves = part.uniform(4, 30) * across + 2 * part.smooth(3)
        fibers = part.bernoulli(0.4) * part.uniform(0, 0.08) * waves.sin_()
        plane[some] = clouds + grain + fibers
    return plane


def rulings(random: Random) -> Tensor:
    """Coverage `(N, S, S)` in [0, 1] of each pixel by printed squares or lines."""
    plane = torch.zeros(random.count, random.side, random.side, device=random.device)
    some = random.choose(RULED)
    if len(some):
        part = random.part(len(some))
        along, across = rotated(random.side, part.uniform(-0.4, 0.4))
        period = part.log_uniform(0.18, 0.9)
        width = part.uniform(0.02, 0.07)
        phase = part.uniform(0, 1)
        lines = _lines(across, period, width, phase)
        squares = part.bernoulli(0.6) * _lines(along, period, width, part.uniform(0, 1))
        plane[some] = torch.maximum(lines, squares) * part.uniform(0.1, 0.7)
    return plane


def _lines(place: Tensor, period: Tensor, width: Tensor, phase: Tensor) -> Tensor:
    """Coverage by parallel lines of `width`, `period` apart, with soft edges."""
    within = (place / period + phase).frac_().abs_().sub_(0.5).abs_()
    soft = 2.5 / place.shape[-1]
    return ((0.5 * width - (0.5 - within) * period) / soft + 0.5).clamp_(0, 1)


def boxes(ink: Tensor, random: Random) -> Tensor:
    """Coverage `(N, S, S)` by a printed box around the ink `(N, S, S)`: a field of a form.

    All four sides, a line below, or a row of fields, of which the neighbors are empty.
    """
    x, y = rotated(random.side, random.symmetric(0.1))
    inked = ink > INK
    middle, half = [], []
    for place in (x, y):
        low = place.masked_fill(~inked, 1).amin((1, 2), keepdim=True)
        high = place.masked_fill(~inked, -1).amax((1, 2), keepdim=True)
        middle.append((low + high) / 2)
        half.append((high - low).clamp(min=0) / 2 + random.log_uniform(0.05, 0.5))
    half[0] = torch.maximum(half[0], half[1] * random.uniform(0.4, 1))  # a 1 is in the same field
    across, down = (x - middle[0]) / half[0], (y - middle[1]) / half[1]
    width, soft = random.uniform(0.01, 0.05), 2.5 / random.side
    row = random.bernoulli(0.4)
    # In a row of fields, the vertical lines are repeated.
    side = torch.where(
        row > 0, (across / 2 - 0.5).sub((across / 2 - 0.5).round()) * 2, across.abs() - 1
    )
    sides = _line(side * half[0], width, soft) * (down.abs() < 1)
    within = (across.abs() < 1) | (row > 0)
    top = _line((down + 1) * half[1], width, soft) * within * random.bernoulli(0.8)
    bottom = _line((down - 1) * half[1], width, soft) * within
    return torch.maximum(torch.maximum(top, bottom), sides * random.bernoulli(0.8))


def _line(distance: Tensor, width: Tensor, soft: float) -> Tensor:
    return ((0.5 * width - distance.abs()) / soft + 0.5).clamp(0, 1)


def marks(random: Random) -> Tensor:
    """Ink `(N, S, S)` of stray marks: lines and crosses at the border of the frame."""
    plane = torch.zeros(random.count, random.side, random.side, device=random.device)
    some = random.choose(MARKED)
    if len(some):
        part = random.part(len(some))
        angle = part.uniform(0, 2 * torch.pi)
        along, across = rotated(random.side, angle)
        offset = part.sign() * part.uniform(0.7, 1.1)
        width = part.uniform(0.01, 0.08)
        soft = 2 / random.side
        line = ((width - (across - offset).abs()) / soft + 0.5).clamp_(0, 1)
        other = ((width - (along - part.uniform(-1, 1)).abs()) / soft + 0.5).clamp_(0, 1)
        corner = (across * offset.sign() > offset.abs() - 0.15).float()
        crossed = torch.maximum(line, part.bernoulli(0.4) * other * corner)
        plane[some] = crossed * part.uniform(0.2, 1)
    return plane


def edges(random: Random) -> Tensor:
    """Coverage `(N, S, S)` in [0, 1] by the area beyond the sheet's edge, near the border."""
    plane = torch.zeros(random.count, random.side, random.side, device=random.device)
    some = random.choose(EDGED)
    if len(some):
        part = random.part(len(some))
        right_angle = torch.pi / 2
        quarter = (part.uniform(0, 4)).floor_() * right_angle + part.uniform(-0.3, 0.3)
        _, across = rotated(random.side, quarter)
        sharpness = part.uniform(4, random.side / 2)
        plane[some] = ((across - part.uniform(0.65, 1.0)) * sharpness + 0.5).clamp_(0, 1)
    return plane

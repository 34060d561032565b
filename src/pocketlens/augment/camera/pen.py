"""The pen: thickness, pressure, gaps, chalk, double strokes."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from pocketlens.augment._planes import Random, blur_matrices

__all__ = ["draw", "ridges"]

THINNEST, THICKEST = 0.9, 0.16
"""Levels of the ridge field where the ink of the thinnest and the thickest pen ends."""

PRESSURE = 0.22
CHALK = 0.12
"""Share of frames drawn with chalk."""

DOUBLE = 0.04
"""Share of frames in which the stroke is drawn twice."""


def ridges(images: Tensor) -> Tensor:
    """How close each pixel is to the middle of a stroke, independent of the stroke's width.

    The ink is blurred and divided by the largest value nearby. The result is 1 in the middle of
    each stroke and falls to 0 about a stroke's width away. A threshold on it gives the same writing
    with a thinner or thicker pen.

    Args:
        images: `(N, S, S)` uint8, bright ink on black.

    Returns:
        Planes `(N, S, S)` float32 in [0, 1].
    """
    side = images.shape[-1]
    # Blur by less than a pixel of a 28 × 28 image; `reach` is about the width of a thick stroke.
    blur = blur_matrices(side, (side / 36,), images.device)[0] / math.sqrt(255)
    field = blur @ images.float() @ blur.T
    reach = max(1, round(side / 14))
    peak = _largest_within(_largest_within(field, reach, 1), reach, 2)
    return field / peak.clamp_(min=0.3)


def _largest_within(plane: Tensor, reach: int, axis: int) -> Tensor:
    """The largest value within `reach` pixels along `axis`; each step doubles the range."""
    width = 2 * reach + 1
    padding = (reach, reach, 0, 0) if axis == 2 else (0, 0, reach, reach)
    plane, done = F.pad(plane, padding), 1
    while done < width:
        step = min(done, width - done)
        length = plane.shape[axis] - step
        plane = torch.maximum(plane.narrow(axis, 0, length), plane.narrow(axis, step, length))
        done += step
    return plane


def draw(field: Tensor, random: Random) -> Tensor:
    """Ink `(N, S, S)` in [0, 1] of ridge fields `(N, S, S)`, each drawn with a random pen."""
    # The level varies along the stroke; where it is above the field, the stroke has a gap.
    ink = random.smooth(6).mul_(random.uniform(-PRESSURE, 0))
    ink.add_(field).sub_(random.uniform(THICKEST, THINNEST))
    ink.mul_(random.uniform(3, 9)).add_(0.5).clamp_(0, 1)
    chalk = random.choose(CHALK)
    if len(chalk):
        part = random.part(len(chalk))
        grain = part.noise() + 2 * part.smooth(16)
        ink[chalk] *= (0.75 + part.uniform(0.15, 0.45) * grain).clamp_(0, 1)
    double = random.choose(DOUBLE)
    if len(double):
        offset = max(1, round(random.side / 20))
        ink[double] = torch.maximum(ink[double], ink[double].roll((offset, -offset), (1, 2)))
    return ink

"""The light on the paper: gradients, slow unevenness, shadows, vignette, glare."""

from __future__ import annotations

import torch
from torch import Tensor

from pocketlens.augment._planes import Random, coordinates, rotated

__all__ = ["lighting"]

GRADIENT = 0.45
CLOUDS = 0.2
VIGNETTE = 0.3
SHADOWED, GLARING = 0.4, 0.12
"""Shares of frames with a shadow and with glare."""


def lighting(random: Random) -> tuple[Tensor, Tensor]:
    """Light `(N, S, S)` to multiply the reflectance by, and glare `(N, S, S)` to add."""
    x, y = coordinates(random.side, random.device)
    bright = 1 - random.uniform(0, VIGNETTE) * (x * x + y * y) / 2
    bright += random.uniform(-GRADIENT, GRADIENT) * x
    bright += random.uniform(-GRADIENT, GRADIENT) * y
    bright += random.smooth(3).mul_(random.uniform(0, CLOUDS))
    bright.clamp_(min=0.3)
    shadowed = random.choose(SHADOWED)
    if len(shadowed):
        part = random.part(len(shadowed))
        bright[shadowed] *= 1 - part.uniform(0.15, 0.6) * _shadow(part)
    glare = torch.zeros_like(bright)
    some = random.choose(GLARING)
    if len(some):
        part = random.part(len(some))
        along, across = rotated(random.side, part.uniform(0, torch.pi))
        along, across = along - part.uniform(-1, 1), across - part.uniform(-1, 1)
        width, height = part.uniform(0.2, 0.7), part.uniform(0.2, 0.7)
        spot = (-((along / width) ** 2 + (across / height) ** 2)).exp_()
        glare[some] = part.uniform(0.1, 0.4) * spot
    return bright, glare


def _shadow(random: Random) -> Tensor:
    """1 in the shadow, with a hard or soft edge: the shadow of something large, or a strip."""
    along, across = rotated(random.side, random.uniform(0, 2 * torch.pi))
    across = across + random.symmetric(0.5) * along * along  # a round edge: a head or a hand
    across += random.uniform(0, 0.25) * random.smooth(3)
    sharpness = random.log_uniform(1, random.side / 2)
    depth = (across - random.uniform(-0.7, 0.8)) * sharpness
    strip = random.bernoulli(0.35) * sharpness * random.uniform(0.2, 1)
    # Beyond the width of a strip, the depth decreases again.
    depth = torch.where(strip > 0, torch.minimum(depth, strip - depth), depth)
    return (depth + 0.5).clamp_(0, 1)

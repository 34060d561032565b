"""How the paper is lit: gradients, clouds of light, shadows, vignette, glare."""

from __future__ import annotations

import torch
from torch import Tensor

from pocketlens.augment._planes import Random, coordinates, rotated

__all__ = ["lighting"]

GRADIENT = 0.45
CLOUDS = 0.2
VIGNETTE = 0.3
SHADOWED, GLARING = 0.25, 0.12
"""Shares of frames with a shadow, with glare."""


def lighting(random: Random) -> tuple[Tensor, Tensor]:
    """Planes `(N, S, S)` of light: by what reflectance is multiplied, and what glare adds."""
    x, y = coordinates(random.side, random.device)
    bright = 1 - random.uniform(0, VIGNETTE) * (x * x + y * y) / 2
    bright += random.uniform(-GRADIENT, GRADIENT) * x
    bright += random.uniform(-GRADIENT, GRADIENT) * y
    bright += random.smooth(3).mul_(random.uniform(0, CLOUDS))
    bright.clamp_(min=0.3)
    shadow = random.some(SHADOWED)
    if len(shadow):
        part = random.part(len(shadow))
        _, across = rotated(random.side, part.uniform(0, 2 * torch.pi))
        across = across + 0.5 * part.smooth(3)
        cover = ((across - part.uniform(-0.6, 0.8)) * part.uniform(1, 15) + 0.5).clamp_(0, 1)
        bright[shadow] *= 1 - part.uniform(0.15, 0.6) * cover
    glare = torch.zeros_like(bright)
    some = random.some(GLARING)
    if len(some):
        part = random.part(len(some))
        along, across = rotated(random.side, part.uniform(0, torch.pi))
        along, across = along - part.uniform(-1, 1), across - part.uniform(-1, 1)
        width, height = part.uniform(0.2, 0.7), part.uniform(0.2, 0.7)
        spot = (-((along / width) ** 2 + (across / height) ** 2)).exp_()
        glare[some] = part.uniform(0.1, 0.4) * spot
    return bright, glare

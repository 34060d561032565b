"""How the paper is lit: gradients, clouds of light, shadows, vignette, glare."""

from __future__ import annotations

from torch import Tensor

from pocketlens.augment.camera.fields import Random, coordinates, rotated

__all__ = ["illuminate"]

GRADIENT = 0.45
CLOUDS = 0.2
VIGNETTE = 0.3
SHADOWED, GLARING = 0.25, 0.12
"""Shares of frames with a shadow, with glare."""


def illuminate(frame: Tensor, random: Random) -> Tensor:
    """Light planes `(N, S, S)` of reflectance in [0, 1]; changes them in place."""
    x, y = coordinates(random.side, frame.device)
    light = random.uniform(-GRADIENT, GRADIENT) * x + random.uniform(-GRADIENT, GRADIENT) * y
    light += random.uniform(0, CLOUDS) * random.smooth(3)
    light -= random.uniform(0, VIGNETTE) * (x * x + y * y) / 2
    frame.mul_(light.add_(1).clamp_(min=0.3))
    shadow = random.some(SHADOWED)
    if len(shadow):
        part = random.part(len(shadow))
        _, across = rotated(random.side, part.uniform(0, 6.3))
        across = across + 0.5 * part.smooth(3)
        cover = ((across - part.uniform(-0.6, 0.8)) * part.uniform(1, 15) + 0.5).clamp_(0, 1)
        frame[shadow] *= 1 - part.uniform(0.15, 0.6) * cover
    glare = random.some(GLARING)
    if len(glare):
        part = random.part(len(glare))
        along, across = rotated(random.side, part.uniform(0, 6.3))
        along, across = along - part.uniform(-1, 1), across - part.uniform(-1, 1)
        width, height = part.uniform(0.2, 0.7), part.uniform(0.2, 0.7)
        spot = (-((along / width) ** 2 + (across / height) ** 2)).exp_()
        frame[glare] += part.uniform(0.1, 0.4) * spot
    return frame

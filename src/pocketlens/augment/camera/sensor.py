"""The camera's sensor: blur, exposure, noise, JPEG."""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from pocketlens.augment._planes import Random, blur_matrices

__all__ = ["expose"]

BLURRED, MOVED, COMPRESSED = 0.5, 0.15, 0.1
"""Shares of frames that are out of focus, have motion blur, are compressed as JPEG."""

SOFTEST = 1.1
"""Largest deviation of the blur, in pixels of a 48 × 48 frame."""

FASTEST = 0.1
"""Largest movement during the exposure, as a share of the frame's side."""

NOISE = 0.04


def expose(frame: Tensor, random: Random) -> Tensor:
    """Photos `(N, S, S)` uint8 of planes of light `(N, S, S)`; changes the planes in place."""
    blurred = random.choose(BLURRED)
    if len(blurred):
        frame[blurred] = _blur(frame[blurred], random.part(len(blurred)))
    moved = random.choose(MOVED)
    if len(moved):
        frame[moved] = _move(frame[moved], random.part(len(moved)))
    frame.mul_(random.log_uniform(0.7, 1.3)).add_(random.uniform(-0.08, 0.08))
    # Mostly little noise: a photo is scaled down a lot before the network sees it.
    deviation = random.uniform(0, 1) ** 3 * NOISE
    frame.add_(random.noise().mul_(deviation)).clamp_(0, 1)
    compressed = random.choose(COMPRESSED)
    if len(compressed):
        frame[compressed] = _jpeg(frame[compressed], random.part(len(compressed)))
    return frame.mul_(255).add_(0.5).to(torch.uint8)


def _blur(frame: Tensor, random: Random) -> Tensor:
    """Blur each frame by its own random amounts along the two axes."""
    steps = 16
    softest = SOFTEST * random.side / 48
    deviations = tuple(0.3 + (softest - 0.3) * step / (steps - 1) for step in range(steps))
    blur = blur_matrices(random.side, deviations, frame.device)
    down, right = (blur[random.uniform(0, steps)[:, 0, 0].long()] for _ in range(2))
    return down @ frame @ right.mT


def _move(frame: Tensor, random: Random) -> Tensor:
    """Motion blur, with the same direction and length for all frames."""
    one = random.part(1)
    angle, length = float(one.uniform(0, math.pi)), float(one.uniform(0.02, FASTEST))
    taps = 5
    steps = [
        (
            round(random.side * length * share * math.sin(angle)),
            round(random.side * length * share * math.cos(angle)),
        )
        for share in torch.linspace(-0.5, 0.5, taps).tolist()
    ]
    total = torch.zeros_like(frame)
    edge = math.ceil(random.side * FASTEST / 2)
    wide = F.pad(frame[None], (edge,) * 4, mode="replicate")[0]
    for down, right in steps:
        total += wide[:, edge + down :, edge + right :][:, : random.side, : random.side]
    return total / taps


LUMINANCE = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
"""Quantization of brightness at quality 50: ITU-T T.81 (JPEG), annex K, table K.1."""

MIDDLE = 128 / 255
"""The level that JPEG subtracts before its transform."""


def _jpeg(frame: Tensor, random: Random) -> Tensor:
    """JPEG's rounding of each block of 8 × 8 pixels, at random qualities from 20 to 90."""
    side = random.side
    blocks = -(-side // 8)
    edge = 8 * blocks - side
    padded = F.pad(frame[None], (0, edge, 0, edge), mode="replicate")[0] if edge else frame
    cosines, table = _transform(blocks, frame.device)
    quality = random.uniform(20, 90)
    # The factor for a quality is the IJG library's, which nearly all encoders use.
    factor = torch.where(quality < 50, 50 / quality, 2 - quality / 50)
    step = table * factor / 255
    waves = cosines @ (padded - MIDDLE) @ cosines.T
    rounded = waves.div_(step).round_().mul_(step)
    return (cosines.T @ rounded @ cosines + MIDDLE)[:, :side, :side].clamp_(0, 1)


@lru_cache(maxsize=8)
def _transform(blocks: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """The cosine transform of each block of 8 samples, and the table of quantization steps.

    Both are for the whole frame, `(8 * blocks, 8 * blocks)`; the transform is orthonormal.
    """
    place = torch.arange(8, dtype=torch.float32)
    cosines = torch.cos((2 * place + 1) * place[:, None] * math.pi / 16) / 2
    cosines[0] /= math.sqrt(2)
    table = torch.tensor(LUMINANCE, dtype=torch.float32).repeat(blocks, blocks)
    transform: Tensor = torch.block_diag(*[cosines] * blocks)  # type: ignore[no-untyped-call]  # PyTorch has no annotations for it
    return transform.to(device), table.to(device)

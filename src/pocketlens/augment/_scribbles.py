"""Drawings of nothing in particular: scribbles, scrambled drawings, empty frames."""

from __future__ import annotations

import torch
from torch import Tensor

from pocketlens.augment._planes import Random, coordinates

__all__ = ["scribbles"]

EMPTY, SCRAMBLED = 0.06, 0.3
"""Shares of the frames without ink, and of those that are drawings in the wrong order; the others
are scribbles."""

STROKES, POINTS = 4, 32
"""The most strokes of a scribble, and the points of each."""


def scribbles(images: Tensor, random: Random) -> Tensor:
    """Frames that show none of the classes, light ink on black.

    Args:
        images: `(N, C, S, S)` float, drawings in light ink on black.
        random: Random numbers for `M` frames.

    Returns:
        `(M, C, S, S)` float, from 0 to 255.
    """
    drawn = 255 * _scribble(random)[:, None].expand(-1, images.shape[1], -1, -1)
    frames = drawn * (1 - random.bernoulli(EMPTY))[:, None]
    some = random.choose(SCRAMBLED)
    if len(some):
        frames[some] = _scrambled(images, random.part(len(some)))
    return frames


def _scribble(random: Random) -> Tensor:
    """Planes of ink of one to four strokes: straight, bent, curled or wavy, short or long."""
    count, side = random.count, random.side
    x, y = coordinates(side, random.device)
    radius = random.log_uniform(0.04, 0.1)
    nearest = torch.full((count, side, side), 9.0, device=random.device)
    along = torch.linspace(0, 1, POINTS, device=random.device)
    for stroke in range(STROKES):
        start = 0.8 * random.points(1)
        turns, swing, beats, length = random.points(2).abs().flatten(1).T[..., None]
        heading = torch.pi * (2 * random.points(1)[:, :, 0] + 3 * (turns**3) * along)
        heading = heading + 3 * swing**2 * torch.sin(12 * beats * along)
        pace = (0.3 + 4 * length[:, :, None]) / POINTS
        steps = pace * torch.stack([heading.cos(), heading.sin()], 2)
        path = (start + steps.cumsum(1)).clamp(-0.95, 0.95)  # (M, POINTS, 2)
        across = (x[None, ..., None] - path[:, None, None, :, 0]).square()  # (M, 1, S, POINTS)
        down = (y[None, ..., None] - path[:, None, None, :, 1]).square()  # (M, S, 1, POINTS)
        distance = (across + down).amin(3).sqrt()
        missing = random.bernoulli(0.4 * (stroke > 0))
        nearest = torch.minimum(nearest, distance + 9 * missing)
    return ((radius - nearest) * (side / 2) + 0.5).clamp(0, 1)


def _scrambled(images: Tensor, random: Random) -> Tensor:
    """Drawings, moved by a third to two thirds of the frame in both directions; what leaves it on
    one side comes in on the other."""
    side, device = random.side, random.device
    source = torch.randint(len(images), (random.count,), generator=random.generator, device=device)
    right, down = (random.uniform(side / 3, 2 * side / 3).long() for _ in range(2))
    columns = (torch.arange(side, device=device) + right) % side  # (M, 1, S)
    rows = (torch.arange(side, device=device)[:, None] + down) % side  # (M, S, 1)
    frame = torch.arange(random.count, device=device)[:, None, None]
    return images[source].movedim(1, 3)[frame, rows, columns].movedim(3, 1)

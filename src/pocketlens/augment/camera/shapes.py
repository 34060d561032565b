"""Ink that is no digit: nothing at all, scribbles, letters, cut and scrambled digits, blobs."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from itertools import pairwise

import torch
from torch import Tensor

from pocketlens.augment._planes import Random, coordinates, rotated
from pocketlens.augment.camera.pen import draw, ridges
from pocketlens.augment.camera.placing import inside, outside

__all__ = ["LETTERS", "shapes"]

# fmt: off
LETTERS: dict[str, tuple[tuple[tuple[float, float], ...], ...]] = {
    "A": (((-.6, 1), (0, -1), (.6, 1)), ((-.35, .3), (.35, .3))),
    "E": (((.5, -1), (-.5, -1), (-.5, 1), (.5, 1)), ((-.5, 0), (.35, 0))),
    "F": (((.5, -1), (-.5, -1), (-.5, 1)), ((-.5, 0), (.35, 0))),
    "H": (((-.55, -1), (-.55, 1)), ((.55, -1), (.55, 1)), ((-.55, 0), (.55, 0))),
    "K": (((-.5, -1), (-.5, 1)), ((.5, -1), (-.5, .1), (.5, 1))),
    "M": (((-.7, 1), (-.6, -1), (0, .4), (.6, -1), (.7, 1)),),
    "N": (((-.55, 1), (-.55, -1), (.55, 1), (.55, -1)),),
    "P": (((-.4, 1), (-.4, -1), (.3, -.9), (.5, -.5), (.3, -.1), (-.4, 0)),),
    "R": (((-.4, 1), (-.4, -1), (.3, -.9), (.5, -.5), (.3, -.1), (-.4, 0), (.5, 1)),),
    "T": (((-.7, -1), (.7, -1)), ((0, -1), (0, 1))),
    "W": (((-.8, -1), (-.4, 1), (0, -.4), (.4, 1), (.8, -1)),),
    "X": (((-.6, -1), (.6, 1)), ((.6, -1), (-.6, 1))),
    "Y": (((-.6, -1), (0, 0), (.6, -1)), ((0, 0), (0, 1))),
    "m": (((-.8, .9), (-.8, -.6), (-.4, -.7), (-.1, -.3), (-.1, .9)),
          ((-.1, -.3), (.3, -.7), (.7, -.3), (.7, .9))),
    "w": (((-.8, -.6), (-.7, .5), (-.4, .8), (0, .2), (.4, .8), (.7, .5), (.8, -.6)),),
    "star": (((-.9, 0), (.9, 0)), ((-.6, -.8), (.6, .8)), ((.6, -.8), (-.6, .8))),
    "hash": (((-.3, -1), (-.4, 1)), ((.4, -1), (.3, 1)), ((-.9, -.3), (.9, -.3)),
             ((-.9, .4), (.9, .4))),
    "arrow": (((-.9, 0), (.9, 0)), ((.4, -.5), (.9, 0), (.4, .5))),
    "triangle": (((0, -.8), (.9, .7), (-.9, .7), (0, -.8)),),
    "house": (((-.7, .9), (-.7, -.2), (0, -.9), (.7, -.2), (.7, .9), (-.7, .9)),),
    "tick": (((-.8, .1), (-.3, .8), (.9, -.9)),),
    "plus": (((-.8, 0), (.8, 0)), ((0, -.8), (0, .8))),
    "equals": (((-.8, -.35), (.8, -.35)), ((-.8, .35), (.8, .35))),
}
# fmt: on
"""Signs that no one takes for a digit, however they are written: polylines, x and y in [-1, 1]."""

SAMPLES = 64
"""Points by which a sign's path is stored: enough to leave no gap at 48 pixels."""


def shapes(images: Tensor, random: Random) -> Tensor:
    """Planes of ink `(N, S, S)` in [0, 1], a kind drawn for each by the shares in `KINDS`.

    Args:
        images: `(N, S, S)` uint8 digits to cut up.
        random: Draws for `N` frames.
    """
    ink = torch.zeros(random.count, random.side, random.side, device=images.device)
    shares = torch.tensor([share for _, share in KINDS], device=images.device)
    kinds = torch.multinomial(shares, random.count, True, generator=random.generator)
    for number, (kind, _) in enumerate(KINDS):
        mine = (kinds == number).nonzero().squeeze(1)
        if len(mine):
            ink[mine] = kind(images[mine], random.part(len(mine)))
    return ink


def _blank(images: Tensor, _random: Random) -> Tensor:
    """Nothing: walls and paper, plain, ruled or textured."""
    return torch.zeros(images.shape, device=images.device)


def _scrambled(images: Tensor, random: Random) -> Tensor:
    """Digits whose tiles, 3 × 3 or 4 × 4, change places."""
    side = random.side
    tiles = 3 if float(random.part(1).uniform(0, 1)) < 0.5 else 4
    size = -(-side // tiles)
    whole = images.new_zeros(len(images), tiles * size, tiles * size)
    whole[:, :side, :side] = images
    cells = whole.unflatten(2, (tiles, size)).unflatten(1, (tiles, size)).transpose(2, 3)
    cells = cells.flatten(1, 2)  # (N, tiles², size, size)
    keys = torch.rand(cells.shape[:2], generator=random.generator, device=images.device)
    order = keys.argsort(1)
    cells = cells[torch.arange(len(images), device=images.device)[:, None], order]
    cells = cells.unflatten(1, (tiles, tiles)).transpose(2, 3)
    mixed = cells.flatten(3, 4).flatten(1, 2)[:, :side, :side]
    field = ridges(mixed)
    return draw(inside(field, random, turn=45, smallest=0.5, largest=1.25), random)


def _partial(images: Tensor, random: Random) -> Tensor:
    """Digits of which most lies outside the frame."""
    field = ridges(images)
    seen = outside(field, random, smallest=0.8, largest=1.2, nearest=1.1, furthest=1.45)
    return draw(seen, random)


def _scribble(images: Tensor, random: Random) -> Tensor:
    """A pen that wanders over the frame, smoothly or with corners, and leaves it."""
    steps = 34
    shape = (random.count, steps, 1)
    bends = torch.randn(shape, generator=random.generator, device=images.device)[..., 0]
    turning = bends.cumsum(1) * random.uniform(0, 0.25)[:, 0] + bends * random.uniform(0, 1)[:, 0]
    heading = random.uniform(0, 6.3)[:, 0] + turning.cumsum(1) * random.uniform(0.1, 1)[:, 0]
    stride = random.uniform(0.1, 0.25)[:, 0]
    x = (heading.cos() * stride).cumsum(1)
    y = (heading.sin() * stride).cumsum(1)
    x, y = x - x.mean(1, keepdim=True), y - y.mean(1, keepdim=True)
    # Most of them reach the border: what is written small and closed may well be a 6 or a 9.
    size = random.uniform(0.85, 1.7)[:, 0] / torch.maximum(x.abs(), y.abs()).amax(1, keepdim=True)
    x, y = x * size, y * size
    path = torch.stack([x, y], dim=2)
    middle = (path[:, 1:] + path[:, :-1]) / 2
    return _inked(torch.cat([path, middle], dim=1), random)


def _lines(images: Tensor, random: Random) -> Tensor:
    """One to four straight lines from border to border, or wide bars."""
    ink = torch.zeros(images.shape, device=images.device)
    wide = random.chance(0.25) * random.uniform(0.1, 0.4)
    for number in range(4):
        _, across = rotated(random.side, random.uniform(0, 6.3))
        offset = random.uniform(-0.9, 0.9)
        width = random.uniform(0.01, 0.06) + wide
        line = ((width - (across - offset).abs()) * random.side / 2 + 0.5).clamp_(0, 1)
        there = random.chance(0.55) if number else 1
        ink = torch.maximum(ink, line * there)
    return ink


def _letter(images: Tensor, random: Random) -> Tensor:
    """One of `LETTERS`, written large or small."""
    paths = _letter_paths(images.device)
    pick = torch.randint(
        len(paths), (random.count,), generator=random.generator, device=images.device
    )
    path = paths[pick]
    shake = torch.randn(path.shape, generator=random.generator, device=images.device)
    path = path + random.uniform(0, 0.03) * shake
    angle = random.uniform(-0.5, 0.5)
    cos, sin = angle.cos()[..., 0], angle.sin()[..., 0]
    x, y = path[..., 0] * random.uniform(0.6, 1.1)[..., 0], path[..., 1]
    x, y = cos * x - sin * y, sin * x + cos * y
    size = random.log_uniform(0.3, 0.9)[..., 0]
    room = 1 - size
    x = size * x + room * random.uniform(-1, 1)[..., 0]
    y = size * y + room * random.uniform(-1, 1)[..., 0]
    return _inked(torch.stack([x, y], dim=2), random)


def _blob(images: Tensor, random: Random) -> Tensor:
    """One to three filled bodies: fingers, coins, boxes, half of the frame."""
    ink = torch.zeros(images.shape, device=images.device)
    for number in range(3):
        along, across = rotated(random.side, random.uniform(0, 6.3))
        along = (along - random.uniform(-1, 1)) / random.log_uniform(0.15, 1.2)
        across = (across - random.uniform(-1, 1)) / random.log_uniform(0.15, 1.2)
        power = random.log_uniform(1.5, 8)  # from a lozenge over an ellipse to a box
        distance = along.abs_() ** power + across.abs_() ** power + 0.3 * random.smooth(4)
        body = ((1 - distance) * random.log_uniform(1, 12) + 0.5).clamp_(0, 1)
        there = random.chance(0.4) if number else 1
        ink = torch.maximum(ink, body * there * random.uniform(0.3, 1))
    return ink


def _pattern(_images: Tensor, random: Random) -> Tensor:
    """Stripes, checks, waves, spots and noise of any scale."""
    along, across = rotated(random.side, random.uniform(0, 6.3))
    period = random.log_uniform(0.1, 1.2)
    bend = random.uniform(0, 0.6) * random.smooth(3)
    stripes = (torch.pi * (along / period + bend)).sin_()
    others = (torch.pi * across / period).sin_()
    checked, noisy = random.chance(0.4), random.chance(0.4)
    waves = stripes * (1 - checked + checked * others)
    cells = (3, 6, 12, 24)[int(random.part(1).uniform(0, 4))]
    waves = waves * (1 - noisy) + 2 * random.smooth(cells) * noisy
    return (waves * random.log_uniform(1, 8) + 0.5).clamp_(0, 1) * random.uniform(0.2, 1)


def _inked(path: Tensor, random: Random) -> Tensor:
    """Ink of pen paths `(N, P, 2)` in frame coordinates, drawn with a pen for each."""
    x, y = coordinates(random.side, path.device)
    across = (x - path[..., 0:1]) ** 2  # (N, P, S)
    along = (y[:, 0] - path[..., 1:2]) ** 2  # (N, P, S)
    nearest = torch.full((random.count, random.side, random.side), 9.0, device=path.device)
    for point in range(path.shape[1]):
        torch.minimum(nearest, along[:, point, :, None] + across[:, point, None, :], out=nearest)
    reach = random.uniform(0.1, 0.2)  # where the field of `draw` has fallen to 0
    return draw((1 - nearest.sqrt_() / reach).clamp_(min=0), random)


@lru_cache(maxsize=4)
def _letter_paths(device: torch.device) -> Tensor:
    """`(letters, SAMPLES, 2)`: points evenly along each sign."""
    rows = []
    for strokes in LETTERS.values():
        points = []
        for stroke in strokes:
            line = torch.tensor(stroke, dtype=torch.float32)
            for start, end in pairwise(line):
                steps = max(2, int((end - start).norm() / 0.06))
                points += [start + (end - start) * i / steps for i in range(steps + 1)]
        whole = torch.stack(points)
        rows.append(whole[torch.linspace(0, len(whole) - 1, SAMPLES).round().long()])
    return torch.stack(rows).to(device)


KINDS: tuple[tuple[Callable[[Tensor, Random], Tensor], float], ...] = (
    (_blank, 0.26),
    (_scrambled, 0.1),
    (_partial, 0.1),
    (_scribble, 0.14),
    (_lines, 0.1),
    (_letter, 0.14),
    (_blob, 0.1),
    (_pattern, 0.06),
)
"""Each kind and its share of the frames without a digit."""

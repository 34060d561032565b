"""Ink that is not a digit: none, scribbles, signs, cut or scrambled digits, blobs, patterns."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from itertools import pairwise

import torch
from torch import Tensor

from pocketlens.augment._planes import Random, coordinates, rotated
from pocketlens.augment.camera.pen import draw, ridges
from pocketlens.augment.camera.placing import inside, outside
from pocketlens.augment.camera.signs import sign_drawings

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
    "V": (((-.6, -1), (0, 1), (.6, -1)),),
    "h": (((-.4, -1), (-.4, 1)), ((-.4, .2), (0, -.2), (.4, .1), (.4, 1))),
    "k": (((-.4, -1), (-.4, 1)), ((.4, -.2), (-.4, .4), (.45, 1))),
    "n": (((-.4, -.5), (-.4, 1)), ((-.4, .1), (0, -.4), (.4, 0), (.4, 1))),
    "r": (((-.3, -.4), (-.3, 1)), ((-.3, .2), (0, -.3), (.4, -.3))),
    "ampersand": (((.7, 1), (-.4, -.5), (-.2, -1), (.2, -.9), (.2, -.5), (-.6, .3), (-.5, .9),
                   (0, 1), (.4, .7), (.7, .1)),),
    "at": (((.3, .3), (0, .4), (-.3, .1), (-.2, -.3), (.2, -.4), (.35, -.2), (.35, .3), (.7, .4),
            (.9, -.1), (.6, -.8), (0, -1), (-.7, -.7), (-.9, 0), (-.7, .7), (0, 1), (.6, .9)),),
    "heart": (((0, .9), (-.8, .1), (-.9, -.4), (-.5, -.8), (0, -.4), (.5, -.8), (.9, -.4),
               (.8, .1), (0, .9)),),
    "plus": (((-.8, 0), (.8, 0)), ((0, -.8), (0, .8))),
    "equals": (((-.8, -.35), (.8, -.35)), ((-.8, .35), (.8, .35))),
    "percent": (((.7, -1), (-.7, 1)),
                ((-.5, -.8), (-.2, -.5), (-.5, -.2), (-.8, -.5), (-.5, -.8)),
                ((.5, .2), (.8, .5), (.5, .8), (.2, .5), (.5, .2))),
    "et": (((.4, -.75), (0, -1), (-.45, -.8), (-.45, -.3), (0, -.05), (-.5, .1), (-.7, .5),
            (-.5, .9), (0, 1), (.4, .75), (.45, -.05)), ((0, -.05), (.8, -.05))),
    "euro": (((.6, -.8), (.1, -1), (-.4, -.6), (-.5, 0), (-.4, .6), (.1, 1), (.6, .8)),
             ((-.9, -.2), (.3, -.2)), ((-.9, .2), (.2, .2))),
    "face": (((0, -1), (.7, -.7), (1, 0), (.7, .7), (0, 1), (-.7, .7), (-1, 0), (-.7, -.7),
              (0, -1)), ((-.35, -.4), (-.35, -.2)), ((.35, -.4), (.35, -.2)),
             ((-.4, .3), (0, .55), (.4, .3))),
    "pi": (((-.8, -.6), (.8, -.6)), ((-.35, -.6), (-.45, .9)), ((.35, -.6), (.45, .9))),
    "sigma": (((.6, -.9), (-.6, -.9), (.1, 0), (-.6, .9), (.6, .9)),),
    "omega": (((-.8, .9), (-.3, .9), (-.7, .2), (-.6, -.6), (0, -1), (.6, -.6), (.7, .2),
               (.3, .9), (.8, .9)),),
    "tree": (((0, -1), (-.7, .3), (.7, .3), (0, -1)), ((0, .3), (0, 1))),
    "not equal": (((-.8, -.3), (.8, -.3)), ((-.8, .3), (.8, .3)), ((.5, -.8), (-.5, .8))),
}
# fmt: on
"""Signs that nobody mistakes for a digit in any handwriting: polylines, x and y in [-1, 1]."""

SAMPLES = 64
"""Number of points in the path of a sign: enough to have no gaps at 48 pixels."""


def shapes(images: Tensor, random: Random) -> Tensor:
    """Planes of ink `(N, S, S)` in [0, 1], each of a random kind of `KINDS`.

    Args:
        images: `(N, S, S)` uint8 digits to cut and scramble.
        random: Random numbers for `N` frames.
    """
    ink = torch.zeros(random.count, random.side, random.side, device=images.device)
    shares = torch.tensor([share for _, share in KINDS], device=images.device)
    # Four frames in a row have the same kind: a call takes about as long for one as for four.
    groups = -(-random.count // 4)
    kinds = torch.multinomial(shares, groups, True, generator=random.generator)
    kinds = kinds.repeat_interleave(4)[: random.count]
    for number, (kind, _) in enumerate(KINDS):
        mine = (kinds == number).nonzero().squeeze(1)
        if len(mine):
            ink[mine] = kind(images[mine], random.part(len(mine)))
    return ink


def _blank(images: Tensor, _random: Random) -> Tensor:
    """No ink: empty walls and paper, plain, ruled or textured."""
    return torch.zeros(images.shape, device=images.device)


def _scrambled(images: Tensor, random: Random) -> Tensor:
    """Digits cut into 3 × 3 or 4 × 4 tiles in random order."""
    side = random.side
    tiles = 3 if float(random.part(1).uniform(0, 1)) < 0.5 else 4
    size = -(-side // tiles)
    whole = images.new_zeros(len(images), tiles * size, tiles * size)
    whole[:, :side, :side] = images
    cells = whole.view(len(images), tiles, size, tiles, size).transpose(2, 3)
    cells = cells.flatten(1, 2)  # (N, tiles², size, size)
    keys = torch.rand(cells.shape[:2], generator=random.generator, device=images.device)
    order = keys.argsort(1)
    cells = cells[torch.arange(len(images), device=images.device)[:, None], order]
    cells = cells.view(len(images), tiles, tiles, size, size).transpose(2, 3)
    mixed = cells.flatten(3, 4).flatten(1, 2)[:, :side, :side]
    field = ridges(mixed)
    return draw(inside(field, random, turn=45, smallest=0.5, largest=1.25), random)


def _partial(images: Tensor, random: Random) -> Tensor:
    """Digits that are mostly outside the frame."""
    field = ridges(images)
    seen = outside(field, random, smallest=0.8, largest=1.2, nearest=1.1, furthest=1.45)
    return draw(seen, random)


def _scribble(_images: Tensor, random: Random) -> Tensor:
    """A random path, smooth or with corners, that mostly leaves the frame.

    A small closed scribble could be a 6 or a 9, so these are large and reach the border.
    """
    steps = 30
    bends = random.normals(steps)
    turning = bends.cumsum(1) * random.uniform(0, 0.25)[:, 0] + bends * random.uniform(0, 1)[:, 0]
    heading = random.uniform(0, 2 * torch.pi)[:, 0] + turning.cumsum(1)
    path = torch.stack([heading.cos(), heading.sin()], dim=2).cumsum(1)  # (N, steps, 2)
    path = path - path.mean(1, keepdim=True)
    path = path * (random.uniform(0.85, 1.7) / path.abs().amax((1, 2), keepdim=True))
    return _inked(_denser(path, 3), random)


def _tangle(_images: Tensor, random: Random) -> Tensor:
    """A small area of strokes back and forth, as when something is crossed out."""
    corners = 14
    path = torch.stack([random.normals(corners), random.normals(corners)], dim=2)
    path[..., 1] *= random.uniform(0.3, 1)[:, 0]
    path = path / path.abs().amax((1, 2), keepdim=True)
    path = _turned(path, random.uniform(0, torch.pi)) * random.log_uniform(0.25, 0.8)
    room = 1 - path.abs().amax((1, 2), keepdim=True)
    return _inked(_denser(path + room * random.points(1), 5), random)


def _lines(_images: Tensor, random: Random) -> Tensor:
    """One to four straight lines from border to border, or wide bars."""
    ink = torch.zeros(random.count, random.side, random.side, device=random.device)
    wide = random.bernoulli(0.25) * random.uniform(0.1, 0.4)
    for number in range(4):
        _, across = rotated(random.side, random.uniform(0, 6.3))
        offset = random.uniform(-0.9, 0.9)
        width = random.uniform(0.01, 0.06) + wide
        line = ((width - (across - offset).abs()) * random.side / 2 + 0.5).clamp_(0, 1)
        there = random.bernoulli(0.55) if number else 1
        ink = torch.maximum(ink, line * there)
    return ink


def _letter(_images: Tensor, random: Random) -> Tensor:
    """One of `LETTERS`, bent and slanted like handwriting, large or small."""
    paths = _letter_paths(random.device)
    path = paths[(random.uniform(0, len(paths))[:, 0, 0]).long()]
    shake = torch.stack([random.normals(SAMPLES), random.normals(SAMPLES)], dim=2)
    phase = torch.cat([random.uniform(0, 2 * torch.pi), random.uniform(0, 2 * torch.pi)], dim=2)
    bend = random.uniform(0, 0.15) * (2.5 * path.flip(2) + phase).sin()
    path = path + bend + random.uniform(0, 0.03) * shake
    path[..., 0] *= random.uniform(0.6, 1.1)[..., 0]
    path[..., 0] += random.symmetric(0.25)[..., 0] * path[..., 1]
    size = random.log_uniform(0.35, 0.95)
    path = _turned(path, random.symmetric(0.5)) * size
    return _inked(path + (1 - size) * random.points(1), random)


def _sign(_images: Tensor, random: Random) -> Tensor:
    """An invented sign, a printed letter or symbol, or a word, drawn with any pen."""
    drawings = sign_drawings(random.side)
    chosen = (random.uniform(0, len(drawings))[:, 0, 0]).long().cpu()
    field = ridges(drawings[chosen].to(random.device))
    return draw(inside(field, random, turn=30, smallest=0.4, largest=1.3), random)


def _blob(_images: Tensor, random: Random) -> Tensor:
    """One to three filled shapes: coins, boxes, stains, half of the frame."""

    def body() -> Tensor:
        along, across = rotated(random.side, random.uniform(0, torch.pi))
        along = (along - random.symmetric(1)) / random.log_uniform(0.15, 1.2)
        across = (across - random.symmetric(1)) / random.log_uniform(0.15, 1.2)
        power = random.log_uniform(1.5, 8)  # from a diamond to an ellipse to a box
        distance = along.abs_() ** power + across.abs_() ** power + 0.3 * random.smooth(4)
        return ((1 - distance) * random.log_uniform(1, 12) + 0.5).clamp_(0, 1)

    return _several(body, random)


def _polygon(_images: Tensor, random: Random) -> Tensor:
    """One to three polygons with three to seven corners; triangles and squares also as outlines."""

    def body() -> Tensor:
        x, y = coordinates(random.side, random.device)
        x, y = x - random.symmetric(0.8), y - random.symmetric(0.8)
        corners = random.uniform(3, 8).floor()
        turn = random.uniform(0, 2 * torch.pi)
        angle = torch.atan2(y, x) + turn
        part = 2 * torch.pi / corners
        edge = (angle.remainder(part) - part / 2).cos_()
        # The distance to a straight edge is cos(part / 2) / cos(angle from its middle).
        reach = (part / 2).cos() / edge * (1 + random.uniform(0, 0.35) * (angle * 2).sin())
        reach = reach * random.log_uniform(0.2, 0.9)
        depth = (reach - (x * x + y * y).sqrt()) * random.side / 2
        outlined = random.bernoulli(0.6) * (corners < 5)  # with more corners it looks like a 0
        filled = (depth + 0.5).clamp(0, 1)
        line = (random.uniform(0.8, 3) - depth.abs() + 0.5).clamp_(0, 1)
        return filled * (1 - outlined) + line * outlined

    return _several(body, random)


def _finger(_images: Tensor, random: Random) -> Tensor:
    """One to three thick, shaded shapes with round ends that reach in from the border."""

    def body() -> Tensor:
        along, across = rotated(random.side, random.uniform(0, 2 * torch.pi))
        width = random.uniform(0.14, 0.35)
        beyond = (along - random.symmetric(0.6)).clamp_(min=0)
        offset = across - random.symmetric(0.8)
        distance = (beyond * beyond + offset * offset).sqrt_() / width
        cover = ((1 - distance) * width * random.side / 2 + 0.5).clamp_(0, 1)
        return cover * (1 - random.uniform(0, 0.6) * distance.clamp_(max=1))

    return _several(body, random)


def _several(body: Callable[[], Tensor], random: Random) -> Tensor:
    """One to three shapes of different brightness on top of each other."""
    ink = body() * random.uniform(0.3, 1)
    for _ in range(2):
        ink = torch.maximum(ink, body() * random.bernoulli(0.4) * random.uniform(0.3, 1))
    return ink


def _pattern(_images: Tensor, random: Random) -> Tensor:
    """Stripes, checks, waves, spots and noise at different scales."""
    along, across = rotated(random.side, random.uniform(0, torch.pi))
    period = random.log_uniform(0.1, 1.2)
    bend = random.uniform(0, 0.6) * random.smooth(3)
    stripes = (torch.pi * (along / period + bend)).sin_()
    others = (torch.pi * across / period).sin_()
    checked, noisy = random.bernoulli(0.4), random.bernoulli(0.4)
    waves = stripes * (1 - checked + checked * others)
    cells = (3, 6, 12, 24)[int(random.part(1).uniform(0, 4))]
    waves = waves * (1 - noisy) + 2 * random.smooth(cells) * noisy
    return (waves * random.log_uniform(1, 8) + 0.5).clamp_(0, 1) * random.uniform(0.2, 1)


def _tiles(_images: Tensor, random: Random) -> Tensor:
    """Rows of rectangles with gaps, each with its own shade: bricks, keys, windows."""
    along, across = rotated(random.side, random.uniform(0, torch.pi))
    height = random.log_uniform(0.15, 0.7)
    width = height * random.log_uniform(0.7, 3)
    row = across / height + random.uniform(0, 1)
    column = along / width + random.bernoulli(0.5) * 0.5 * row.floor() + random.uniform(0, 1)
    shades = torch.stack([random.uniform(0, 1)[:, 0, 0] for _ in range(31)], dim=1)
    number = (row.floor() * 7 + column.floor() * 3).long() % 31
    shade = shades.gather(1, number.flatten(1)).view_as(row)
    gap = random.uniform(0.02, 0.15) * height
    to_edge = torch.minimum(
        (0.5 - (row.frac().abs_() - 0.5).abs_()) * height,
        (0.5 - (column.frac().abs_() - 0.5).abs_()) * width,
    )
    tile = ((to_edge - gap / 2) * random.side / 2 + 0.5).clamp_(0, 1)
    return tile * (1 - random.uniform(0, 1) * shade)


def _turned(path: Tensor, angle: Tensor) -> Tensor:
    """Rotate paths `(N, P, 2)` around the origin by `angle` `(N, 1, 1)` in radians."""
    cos, sin = angle.cos()[..., 0], angle.sin()[..., 0]
    x, y = path[..., 0], path[..., 1]
    return torch.stack([cos * x - sin * y, sin * x + cos * y], dim=2)


def _denser(path: Tensor, times: int) -> Tensor:
    """Insert points into paths `(N, P, 2)`; returns `(N, (P - 1) * times + 1, 2)`."""
    shares = torch.arange(times, device=path.device)[:, None] / times
    steps = path[:, :-1, None] + shares * (path[:, 1:, None] - path[:, :-1, None])
    return torch.cat([steps.flatten(1, 2), path[:, -1:]], dim=1)


def _inked(path: Tensor, random: Random) -> Tensor:
    """Ink of paths `(N, P, 2)` in frame coordinates, each drawn with a random pen."""
    x, y = coordinates(random.side, path.device)
    across = (x - path[..., 0:1]) ** 2  # (N, P, S)
    along = (y[:, 0] - path[..., 1:2]) ** 2  # (N, P, S)
    nearest = torch.full((random.count, random.side, random.side), 9.0, device=path.device)
    for point in range(path.shape[1]):
        torch.minimum(nearest, along[:, point, :, None] + across[:, point, None, :], out=nearest)
    reach = random.uniform(0.1, 0.2)  # distance at which the field for `draw` is 0
    return draw((1 - nearest.sqrt_() / reach).clamp_(min=0), random)


@lru_cache(maxsize=4)
def _letter_paths(device: torch.device) -> Tensor:
    """`(letters, SAMPLES, 2)`: evenly spaced points along each sign."""
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
    (_blank, 0.08),
    (_scrambled, 0.06),
    (_partial, 0.05),
    (_scribble, 0.04),
    (_tangle, 0.04),
    (_lines, 0.05),
    (_letter, 0.09),
    (_sign, 0.43),
    (_blob, 0.04),
    (_polygon, 0.04),
    (_finger, 0.03),
    (_pattern, 0.03),
    (_tiles, 0.03),
)
"""Each kind, and how often the frames without a digit are of it, relative to the others."""

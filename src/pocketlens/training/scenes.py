"""Generated pictures of nothing in particular: textures, surfaces, shapes, writing.

The rejection of unknown pictures is fitted on them, besides pictures of the user. The scenes on
which it is tested are drawn by other code, in `evaluation.robustness`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["draw_scenes"]

Array = NDArray[np.floating[Any]]


def draw_scenes(count: int, shape: tuple[int, int, int], *, seed: int) -> NDArray[np.uint8]:
    """Scenes `(count, *shape)` uint8, gray or RGB as the shape says.

    Args:
        count: Number of scenes.
        shape: Height, width and channels.
        seed: Draws them.
    """
    random = np.random.default_rng(seed)
    kinds = (_clouds, _stripes, _patches, _writing, _plain)
    scenes = np.empty((count, *shape), np.uint8)
    for number in range(count):
        scene = kinds[number % len(kinds)](random, shape)
        left, right = random.uniform(0.6, 1.0, 2)
        light = np.linspace(left, right, shape[1], dtype=np.float32)
        noise = random.normal(0, random.uniform(0, 12), shape)
        scenes[number] = np.clip(scene * light[None, :, None] + noise, 0, 255)
    return scenes


def _color(random: np.random.Generator, shape: tuple[int, int, int]) -> Array:
    return random.uniform(0, 255, shape[2]).astype(np.float32)


def _grown(coarse: Array, shape: tuple[int, int, int]) -> Array:
    """A coarse field `(h, w)` as `(H, W, 1)`, interpolated."""
    from PIL import Image

    image = Image.fromarray(coarse.astype(np.float32), mode="F")
    return np.asarray(image.resize(shape[1::-1], Image.Resampling.BICUBIC), np.float32)[..., None]


def _mixed(share: Array, random: np.random.Generator, shape: tuple[int, int, int]) -> Array:
    """Two colors, mixed by a share `(H, W, 1)`."""
    share = np.clip(share, 0, 1)
    return share * _color(random, shape) + (1 - share) * _color(random, shape)


def _clouds(random: np.random.Generator, shape: tuple[int, int, int]) -> Array:
    """Noise of several sizes, as of walls, carpets, leaves and skies."""
    field = np.zeros((*shape[:2], 1), np.float32)
    for cells in (3, 7, 15, 40, 90):
        field += random.uniform(0, 1) * _grown(random.normal(0, 1, (cells, cells)), shape)
    return _mixed((field - field.min()) / max(float(np.ptp(field)), 1e-6), random, shape)


def _stripes(random: np.random.Generator, shape: tuple[int, int, int]) -> Array:
    """Stripes or a grid, straight or wavy: cloth, fences, tiles, blinds."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    angle, period = random.uniform(0, np.pi), random.uniform(6, 60)
    waves = random.uniform(0, 6) * np.sin(y / random.uniform(10, 60))
    share = np.sin((x * np.cos(angle) + y * np.sin(angle) + waves) * 2 * np.pi / period)
    if random.random() < 0.5:
        share = share * np.sin((y * np.cos(angle) - x * np.sin(angle)) * 2 * np.pi / period)
    return _mixed((share * random.uniform(0.5, 4) + 0.5)[..., None], random, shape)


def _patches(random: np.random.Generator, shape: tuple[int, int, int]) -> Array:
    """Overlapping discs and boxes in many colors."""
    scene = np.broadcast_to(_color(random, shape), shape).astype(np.float32)
    y, x = np.mgrid[: shape[0], : shape[1]] / np.float32(shape[0])
    for _ in range(random.integers(2, 25)):
        (cx, cy), size = random.uniform(0, 1, 2), random.uniform(0.02, 0.4)
        round_one = random.random() < 0.5
        inside = (
            np.hypot(x - cx, y - cy) < size
            if round_one
            else (np.abs(x - cx) < size) & (np.abs(y - cy) < size * random.uniform(0.2, 2))
        )
        scene[inside] = _color(random, shape)
    return scene


def _writing(random: np.random.Generator, shape: tuple[int, int, int]) -> Array:
    """Lines of small marks on paper, or a few strokes of a pen."""
    from PIL import Image, ImageDraw

    image = Image.new("L", shape[1::-1], 255)
    draw = ImageDraw.Draw(image)
    if random.random() < 0.5:
        size = int(random.integers(5, 16))
        for top in range(4, shape[0] - size, int(size * 1.6)):
            for left in range(4, shape[1] - size, size):
                if random.random() < 0.85:
                    corners = random.integers(0, size - 1, (4, 2)) + np.array([left, top])
                    draw.line([*map(tuple, corners.tolist())], fill=0)
    else:
        for _ in range(random.integers(1, 6)):
            points = random.uniform(0.1, 0.9, (random.integers(3, 12), 2)) * shape[1::-1]
            width = int(random.integers(1, 9))
            draw.line([*map(tuple, points.tolist())], fill=0, width=width, joint="curve")
    return _mixed(np.asarray(image, np.float32)[..., None] / 255, random, shape)


def _plain(random: np.random.Generator, shape: tuple[int, int, int]) -> Array:
    """One surface, darker to one side: a wall, a table, the sky, a lens cap."""
    return _mixed(_grown(random.uniform(0, 1, (2, 2)), shape), random, shape)

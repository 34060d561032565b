"""Generated scenes for the camera: a thing on a table, in another place and light each time."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

WIDTH, HEIGHT = 640, 480
THINGS = ("ball", "ladder", "star")


def scene(thing: str, random: np.random.Generator, place: np.random.Generator) -> Image.Image:
    """A thing in view; nothing for any other name.

    Args:
        thing: One of `THINGS`.
        random: What changes from frame to frame: position, size, noise.
        place: What a recording has in common: table, light, color of the thing.
    """
    table = place.integers(120, 230, 3)
    image = Image.new("RGB", (WIDTH, HEIGHT), tuple(table.tolist()))
    pen = ImageDraw.Draw(image)
    for _ in range(4):  # boards of the table
        x = int(place.integers(0, WIDTH))
        shade = (table * place.uniform(0.85, 1.1)).clip(0, 255).astype(int)
        pen.rectangle((x, 0, x + int(place.integers(20, 90)), HEIGHT), fill=tuple(shade.tolist()))
    color = tuple(place.integers(0, 90, 3).tolist())
    size = float(random.uniform(90, 150))
    x, y = random.uniform((230, 180), (410, 300)).tolist()
    turn = float(random.uniform(-0.3, 0.3))
    if thing == "ball":
        pen.ellipse((x - size, y - size, x + size, y + size), fill=color)
        bright = tuple(min(255, each + 110) for each in color)
        pen.ellipse((x - size / 2, y - size / 2, x - size / 6, y - size / 6), fill=bright)
    elif thing == "ladder":
        for side in (-0.45, 0.45):
            pen.line(_turned([(side, -1.1), (side, 1.1)], x, y, size, turn), color, width=14)
        for step in np.linspace(-0.9, 0.9, 7):
            pen.line(_turned([(-0.45, step), (0.45, step)], x, y, size, turn), color, width=12)
    elif thing == "star":
        angles = np.pi * (np.arange(10) / 5 - 0.5)
        radii = np.where(np.arange(10) % 2, 0.45, 1.15)
        points = list(zip(radii * np.cos(angles), radii * np.sin(angles), strict=True))
        pen.polygon(_turned(points, x, y, size, turn), fill=color)
    image = image.filter(ImageFilter.GaussianBlur(float(random.uniform(0.5, 1.5))))
    noisy = np.asarray(image) * random.uniform(0.9, 1.1) + random.normal(0, 4, (HEIGHT, WIDTH, 3))
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))


def _turned(
    points: list[tuple[float, float]], x: float, y: float, size: float, turn: float
) -> list[tuple[float, float]]:
    cosine, sine = np.cos(turn), np.sin(turn)
    return [
        (float(x + size * (a * cosine - b * sine)), float(y + size * (a * sine + b * cosine)))
        for a, b in points
    ]


def scenes(thing: str, count: int, *, seed: int) -> list[Image.Image]:
    """Frames of one recording."""
    return [
        scene(thing, np.random.default_rng([seed, at]), np.random.default_rng([seed, 999]))
        for at in range(count)
    ]


def jpeg(image: Image.Image) -> bytes:
    """The content of a JPEG file, as a browser's page writes it."""
    file = BytesIO()
    image.save(file, "JPEG", quality=92)
    return file.getvalue()


def video(path: Path, thing: str, *, seed: int, count: int = 24) -> Path:
    """Write a video for the browser's fake camera: JPEG frames, one after the other."""
    path.write_bytes(b"".join(jpeg(each) for each in scenes(thing, count, seed=seed)))
    return path

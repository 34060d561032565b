"""Scenes without handwriting: walls, cloth, wood, tiles, lines, fingers, keys and print.

Each function draws the reflectance `(SIDE, SIDE)` of one scene.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pocketlens.evaluation.robustness.drawing import (
    Array,
    Random,
    X,
    Y,
    band,
    bernoulli,
    blend,
    coordinates,
    half_plane,
    log_uniform,
    sampled,
    scaling,
    slow_noise,
    translation,
    uniform,
)
from pocketlens.evaluation.robustness.ranges import RANGES, SIDE, SURFACES
from pocketlens.evaluation.robustness.sheet import blank_sheet, faint_lines, ruled, sheet_edge
from pocketlens.evaluation.robustness.view import empty_view

if TYPE_CHECKING:
    from PIL import Image, ImageFont

__all__ = [
    "LETTERS",
    "bricks",
    "checks",
    "cloth",
    "clouds",
    "edges",
    "fingers",
    "keys",
    "lines",
    "printed_letter",
    "ruled_sheet",
    "shapes",
    "small_print",
    "wall",
    "wood",
]

LETTERS = "AEFHKMNRWXkmwxv&%#@=*"
"""Characters that do not look like a digit, upright or rotated by up to 25°."""


def wall(random: Random) -> Array:
    """An empty wall or board."""
    surface = SURFACES[random.integers(len(SURFACES))]
    return blank_sheet(surface, uniform(random, (0.1, 0.95)), random)


def ruled_sheet(random: Random) -> Array:
    """Squared or lined paper without writing."""
    sheet = blank_sheet(SURFACES[0], uniform(random, (0.45, 0.95)), random)
    kind = "squared" if bernoulli(random, 0.5) else "lined"
    sheet = ruled(sheet, kind, empty_view(random).sheet, random)
    return faint_lines(sheet, random) if bernoulli(random, RANGES.faint_lines) else sheet


def clouds(random: Random) -> Array:
    """Noise at many scales at once: stone, carpet, grass, an image out of focus."""
    fall = uniform(random, (0.3, 1.4))
    total = np.zeros((SIDE, SIDE), np.float32)
    for cells in (3, 6, 12, 24, 48, 96):
        total += cells**-fall * slow_noise(random, cells)
    total /= max(float(total.std()), 1e-6)
    return np.clip(uniform(random, (0.25, 0.75)) + uniform(random, (0.05, 0.2)) * total, 0, 1)


def wood(random: Random) -> Array:
    """Wooden boards with bent grain and joints between them."""
    u, v = coordinates(empty_view(random).sheet)
    bend = uniform(random, (0.1, 0.6)) * slow_noise(random, 4, 3)
    grain = np.sin(2 * math.pi * (uniform(random, (3, 12)) * v + bend + 0.3 * u))
    fine = slow_noise(random, 8, 120)
    tone = uniform(random, (0.25, 0.75))
    board = tone + uniform(random, (0.03, 0.1)) * grain + uniform(random, (0.01, 0.05)) * fine
    width = uniform(random, (0.5, 1.5))
    place = v / width + random.random()
    joints = band((place - np.round(place)) * width * SIDE / 2, uniform(random, (1, 4)))
    return np.asarray(board * (1 - uniform(random, (0.2, 0.7)) * joints), np.float32)


def cloth(random: Random) -> Array:
    """Woven cloth, often with stripes."""
    u, v = coordinates(empty_view(random).sheet)
    threads = uniform(random, (8, 30))
    weave = np.sin(2 * math.pi * threads * u) * np.sin(2 * math.pi * threads * v)
    tone = uniform(random, (0.15, 0.8)) + uniform(random, (0.03, 0.1)) * weave
    if bernoulli(random, 0.6):
        stripes = np.sin(2 * math.pi * uniform(random, (1, 4)) * u) > uniform(random, (-0.5, 0.8))
        tone = tone + uniform(random, (-0.2, 0.2)) * stripes
    folds = uniform(random, (0, 0.1)) * slow_noise(random, 4)
    return np.asarray(tone + folds + 0.02 * slow_noise(random, 100), np.float32)


def checks(random: Random) -> Array:
    """Tiles or a checkered cloth."""
    u, v = coordinates(empty_view(random).sheet)
    pitch = uniform(random, (0.12, 0.7))
    odd = (np.floor(u / pitch) + np.floor(v / pitch)) % 2
    dark, light = uniform(random, (0.05, 0.5)), uniform(random, (0.5, 0.95))
    return blend(blank_sheet(SURFACES[0], dark, random), light, odd.astype(np.float32))


def bricks(random: Random) -> Array:
    """A brick wall; each brick has its own brightness."""
    u, v = coordinates(empty_view(random).sheet)
    tall = uniform(random, (0.15, 0.5))
    row = np.floor(v / tall)
    along = u / (tall * uniform(random, (1.8, 3))) + 0.5 * (row % 2)
    column = np.floor(along)
    # A simple hash of row and column, so that neighboring bricks differ.
    tones = np.modf(np.abs(np.sin(12.9 * row + 78.2 * column)) * 437.5)[0]
    gap = uniform(random, (0.03, 0.09))
    inside = np.minimum(v / tall - row, (along - column) * 2.4)
    mortar = np.clip((gap - inside) * 30, 0, 1)
    face = uniform(random, (0.2, 0.6)) + 0.15 * tones + 0.03 * slow_noise(random, 60)
    return blend(face.astype(np.float32), uniform(random, (0.3, 0.9)), mortar)


def lines(random: Random) -> Array:
    """Several lines from border to border: cables, branches, joints, the edge of a ruler."""
    scene = wall(random)
    for _ in range(int(random.integers(2, 7))):
        angle = uniform(random, (0, math.pi))
        x, y = uniform(random, (0.1, 0.9)) * SIDE, uniform(random, (0.1, 0.9)) * SIDE
        away = (X - x) * math.sin(angle) - (Y - y) * math.cos(angle)
        away = away + uniform(random, (0, 8)) * slow_noise(random, 4)
        width = log_uniform(random, (1, 14))
        scene = blend(scene, uniform(random, (0.02, 0.98)), 0.8 * band(away, width))
    return scene


def edges(random: Random) -> Array:
    """Overlapping sheets with edges: the corner of a table, book or door."""
    scene = wall(random)
    for _ in range(int(random.integers(1, 4))):
        scene = sheet_edge(scene, None, random)
    return scene


def fingers(random: Random) -> Array:
    """Fingers, cables and round things that reach in from the border, shaded toward their sides."""
    scene = wall(random)
    tone = uniform(random, (0.35, 0.8))
    for _ in range(int(random.integers(1, 4))):
        angle = uniform(random, (0, 2 * math.pi))
        radius = uniform(random, (0.07, 0.22)) * SIDE
        x, y = uniform(random, (0.25, 0.75)) * SIDE, uniform(random, (0.25, 0.75)) * SIDE
        along = np.maximum((X - x) * math.cos(angle) + (Y - y) * math.sin(angle), 0)
        away = np.hypot(X - x - along * math.cos(angle), Y - y - along * math.sin(angle)) / radius
        shaded = tone * (1 - 0.45 * np.clip(away, 0, 1) ** 3) + 0.02 * slow_noise(random, 40)
        scene = blend(scene, shaded.astype(np.float32), np.clip((1 - away) * radius, 0, 1))
    return scene


def shapes(random: Random) -> Array:
    """Two or more filled polygons, made by intersecting half-planes."""
    scene = wall(random)
    for _ in range(int(random.integers(2, 5))):
        x, y = uniform(random, (0.1, 0.9)) * SIDE, uniform(random, (0.1, 0.9)) * SIDE
        radius = uniform(random, (0.08, 0.3)) * SIDE
        sides = int(random.integers(3, 5))
        start = uniform(random, (0, 2 * math.pi))
        inside = np.ones((SIDE, SIDE), np.float32)
        for side in range(sides):
            angle = start + 2 * math.pi * side / sides
            offset = x * math.cos(angle) + y * math.sin(angle) + radius * uniform(random, (0.4, 1))
            inside *= 1 - half_plane(angle, offset, 1)
        scene = blend(scene, uniform(random, (0.02, 0.98)), inside)
    return scene


def keys(random: Random) -> Array:
    """A keyboard with letters on its keys."""
    from PIL import Image, ImageDraw

    pitch, many = 60, 5
    face, ground, letter = (int(255 * uniform(random, (0.03, 0.97))) for _ in range(3))
    if abs(letter - face) < 60:
        letter = face - 110 if face > 127 else face + 110
    board = Image.new("L", (pitch * many, pitch * many), ground)
    pen = ImageDraw.Draw(board)
    font = _font(26)
    for row in range(many):
        for column in range(many):
            left, top = pitch * column + row % 2 * pitch // 3, pitch * row
            pen.rounded_rectangle((left + 3, top + 3, left + pitch - 3, top + pitch - 3), 8, face)
            name = LETTERS[random.integers(len(LETTERS))]
            pen.text((left + pitch / 2, top + pitch / 2), name, letter, font, anchor="mm")
    return _seen(board, ground, random, uniform(random, (0.5, 1.2)))


def small_print(random: Random) -> Array:
    """Lines of small print."""
    from PIL import Image, ImageDraw

    side, height = 300, int(random.integers(16, 40))
    paper = int(255 * uniform(random, (0.6, 0.97)))
    page = Image.new("L", (side, side), paper)
    pen = ImageDraw.Draw(page)
    font = _font(height)
    letters = np.array(list(LETTERS[:14] + "aenuvcdpr"))
    for top in range(2, side, round(height * uniform(random, (1.2, 1.8)))):
        words = [
            "".join(random.choice(letters, int(random.integers(2, 9)))) for _ in range(side // 40)
        ]
        pen.text(
            (int(random.integers(-20, 1)), top), " ".join(words), int(random.integers(90)), font
        )
    return _seen(page, paper, random, uniform(random, (0.6, 1.3)))


def printed_letter(random: Random) -> NDArray[np.uint8]:
    """A drawing `(84, 84)` of one printed letter, white on black."""
    from PIL import Image, ImageDraw

    board = Image.new("L", (84, 84))
    letter = LETTERS[random.integers(len(LETTERS))]
    size = int(random.integers(56, 80))
    ImageDraw.Draw(board).text((42, 42), letter, 255, _font(size), anchor="mm")
    return np.asarray(board)


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    from PIL import ImageFont

    return ImageFont.load_default(size)


def _seen(board: Image.Image, beyond: int, random: Random, size: float) -> Array:
    """An image on a plane in perspective, at least `size` frames wide."""
    plane = np.asarray(board, np.float32) / np.float32(255)
    side = plane.shape[0]
    height = uniform(random, (1, 1.6)) * size
    view = empty_view(random).sheet
    middle = view[:2, 2] / view[2, 2]
    scale = height * SIDE / float(abs(np.linalg.det(view[:2, :2])) ** 0.5)
    centered = translation(SIDE / 2 - middle[0], SIDE / 2 - middle[1])
    return sampled(
        plane,
        centered @ view @ scaling(scale / side, scale / side) @ translation(-side / 2, -side / 2),
        beyond / 255,
    )

"""Drawings of signs that are no digits: invented ones, letters, symbols, words.

A network that sees a list of signs learns the list. So most signs are invented, composed as scripts
are: one to four strokes (straight, bent, curled, wavy, or a ring), which start anywhere or at
an earlier stroke, and dots. Those that look like a digit are left out, by comparison with many
drawn digits. Letters and symbols come from the fonts that Matplotlib contains; the lists below have
none that people also write as a digit.
"""

from __future__ import annotations

import math
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

if TYPE_CHECKING:
    from PIL import ImageFont

__all__ = ["sign_drawings"]

INVENTED, PRINTED, WORDS = 2000, 600, 200
"""How many drawings of each kind are made, before invented signs like a digit are left out."""

FONTS = ("DejaVuSans", "DejaVuSerif", "DejaVuSans-Oblique", "DejaVuSansMono-Bold", "STIXGeneral")
LETTERS = (
    "ACDEFHJKLMNPRTUVWXYadefhkmnprtuvwxyΓΔΛΞΠΣΦΨΩαβγεκλμνξπυφχψωБДЖИЙКЛФЦШЩЪЫЮЯвдёжийклмнцшщыюя"
)
SYMBOLS = "#%&@*+=?<>~^$£€¥¶±×÷√∑∞≠≤≥←↑→↓∀∃∈∩∪▲△◆★"

STEPS = 24
"""Points of each stroke of an invented sign."""

ACROSS = 12
"""Drawings are compared at this height and width."""

ALIKE = 0.8
"""From this similarity (a cosine) to some drawn digit on, a sign is left out."""

DIGITS = 1500
"""How many drawn digits the signs are compared with."""

Array = NDArray[np.uint8]
Strokes = list[NDArray[np.float64]]


@lru_cache(maxsize=2)
def sign_drawings(side: int) -> Tensor:
    """The drawings `(M, side, side)` uint8, bright on black, in the format of MNIST.

    They are the same in every process. The first call takes about two seconds.
    """
    random = np.random.default_rng(0)
    invented = np.stack([_boxed(_sketch(random), side) for _ in range(INVENTED)])
    letters = [1] * PRINTED + random.integers(2, 6, WORDS).tolist()
    printed = np.stack([_boxed(_printed(random, count), side) for count in letters])
    drawings = np.concatenate([invented[_likeness(invented) < ALIKE], printed])
    return torch.from_numpy(drawings)


def _invented(random: np.random.Generator) -> Strokes:
    """The strokes of an invented sign, in any coordinates."""
    strokes: Strokes = []
    for _ in range(random.choice(4, p=(0.06, 0.36, 0.36, 0.22)) + 1):
        start = random.uniform(-1, 1, 2)
        if strokes and random.random() < 0.75:  # a junction
            earlier = strokes[random.integers(len(strokes))]
            start = earlier[random.choice((0, STEPS // 2, -1, int(random.integers(len(earlier)))))]
        strokes.append(start + _stroke(random))
    if random.random() < 0.15:
        dot = random.uniform(-1.2, 1.2, 2)
        strokes.append(dot + random.uniform(-0.04, 0.04, (3, 2)))
    return strokes


def _stroke(random: np.random.Generator) -> NDArray[np.float64]:
    """A stroke `(STEPS, 2)` from the origin, by its direction at each point."""
    length = random.uniform(0.5, 2.2)
    heading = random.integers(8) * math.pi / 4 + random.normal(0, 0.2)
    along = np.linspace(0, 1, STEPS)
    kind = random.random()
    if kind < 0.35:
        bend = random.normal(0, 0.15) * along
    elif kind < 0.6:  # an arc or hook
        bend = random.choice((-1, 1)) * random.uniform(0.8, 4) * along ** random.choice((1, 1, 3))
    elif kind < 0.72:  # a wave
        bend = random.uniform(0.6, 1.6) * np.sin(2 * math.pi * random.uniform(0.8, 2.2) * along)
    elif kind < 0.87:  # a corner or two
        corners = random.uniform(0.2, 0.8, 2)
        turns = random.choice((-1, 1)) * random.uniform(0.9, 2.6, 2) * (1, random.integers(2))
        bend = (along > corners[0]) * turns[0] + (along > corners[1]) * turns[1]
    else:  # a ring, perhaps with a tail
        length *= 1.3
        bend = random.choice((-1, 1)) * np.minimum(along * random.uniform(1, 1.6), 1) * 2 * math.pi
    way = np.stack([np.cos(heading + bend), np.sin(heading + bend)], axis=1)
    return np.cumsum(way, axis=0) * (length / STEPS)


def _sketch(random: np.random.Generator) -> Array:
    """An invented sign, drawn with a pen, `(96, 96)`."""
    from PIL import Image, ImageDraw

    strokes = _invented(random)
    points = np.concatenate(strokes)
    low, size = points.min(0), np.ptp(points, axis=0).max()
    board = Image.new("L", (96, 96))
    pen, width = ImageDraw.Draw(board), int(random.integers(5, 11))
    for stroke in strokes:
        line = [tuple(point) for point in (10 + 76 * (stroke - low) / size).tolist()]
        pen.line(line, 255, width)
    return np.asarray(board)


def _printed(random: np.random.Generator, letters: int) -> Array:
    """A letter or symbol, or a word."""
    from PIL import Image, ImageDraw

    signs = LETTERS if letters > 1 or random.random() < 0.8 else SYMBOLS
    text = "".join(signs[random.integers(len(signs))] for _ in range(letters))
    board = Image.new("L", (44 * (letters + 1), 76))
    middle = board.width / 2, board.height / 2
    font = _font(FONTS[random.integers(len(FONTS))])
    bold = int(random.integers(3))
    ImageDraw.Draw(board).text(middle, text, 255, font, anchor="mm", stroke_width=bold)
    return np.asarray(board)


@lru_cache(maxsize=8)
def _font(name: str) -> ImageFont.FreeTypeFont:
    import matplotlib
    from PIL import ImageFont

    return ImageFont.truetype(Path(matplotlib.get_data_path(), "fonts", "ttf", f"{name}.ttf"), 48)


def _boxed(drawing: Array, side: int) -> Array:
    """The ink of a drawing, scaled to MNIST's box of 20 of 28 pixels in the middle of an image."""
    from PIL import Image

    rows, columns = np.flatnonzero(drawing.any(1)), np.flatnonzero(drawing.any(0))
    ink = Image.fromarray(drawing[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])
    scale = side * 20 / 28 / max(ink.size)
    wide, high = (max(1, round(scale * length)) for length in ink.size)
    board = Image.new("L", (side, side))
    resized = ink.resize((wide, high), Image.Resampling.BOX)
    board.paste(resized, ((side - wide) // 2, (side - high) // 2))
    return np.asarray(board)


def _likeness(drawings: Array) -> NDArray[np.float32]:
    """The largest similarity `(M,)` of each drawing to a drawn digit, from 0 to 1."""
    from pocketlens.data.strokes import draw_strokes

    digits = draw_strokes(population="world", count=DIGITS).images[..., 0]
    mine, theirs = _described(drawings), _described(digits)
    return np.concatenate([(part @ theirs.T).max(1) for part in np.array_split(mine, 20)])


def _described(drawings: Array) -> NDArray[np.float32]:
    """Rows of unit length `(M, F)`: coarse drawings, the ink fitted to a square."""
    from PIL import Image

    rows = []
    for drawing in drawings:
        high, wide = np.flatnonzero(drawing.any(1)), np.flatnonzero(drawing.any(0))
        ink = Image.fromarray(drawing).crop((wide[0], high[0], wide[-1] + 1, high[-1] + 1))
        # A narrow sign stays narrow, or every bar would fill the square.
        size = [max(length, 0.4 * max(ink.size)) for length in ink.size]
        box = [round(ACROSS * length / max(size)) for length in size]
        board = Image.new("L", (ACROSS + 2, ACROSS + 2))
        board.paste(
            ink.resize(box, Image.Resampling.BOX),
            ((ACROSS + 2 - box[0]) // 2, (ACROSS + 2 - box[1]) // 2),
        )
        rows.append(np.asarray(board, np.float32).ravel())
    table = np.sqrt(np.stack(rows))
    lengths = np.linalg.norm(table, axis=1, keepdims=True)
    described: NDArray[np.float32] = table / lengths
    return described

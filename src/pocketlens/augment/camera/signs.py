"""Drawings of signs that are no digits: invented ones, letters, symbols, words.

A network that sees a list of signs learns the list. So most signs are invented, composed as scripts
are: one to five strokes (straight, bent, curled, wavy, or a ring), which start anywhere or at an
earlier stroke. Those that look like a digit are left out, by comparison with many drawn digits, as
are such letters of less known scripts. Letters and symbols come from the fonts that Matplotlib
contains; `LETTERS` and `SYMBOLS` have none that people also write as a digit.
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

__all__ = ["ALIKE", "likeness", "sign_drawings"]

INVENTED, PRINTED, FOREIGN, WORDS = 4000, 600, 200, 200
"""How many drawings of each kind are made, before signs like a digit are left out: invented signs,
letters and symbols, letters of `SCRIPTS`, words."""

FONTS = ("DejaVuSans", "DejaVuSerif", "DejaVuSans-Oblique", "DejaVuSansMono-Bold", "STIXGeneral")
LETTERS = (
    "ACDEFHJKLMNPRTUVWXYadefhkmnprtuvwxyΓΔΛΞΠΣΦΨΩαβγεκλμνξπυφχψωБДЖИЙКЛФЦШЩЪЫЮЯвдёжийклмнцшщыюя"
)
SCRIPTS = ((0x0E81, 0x0EB0), (0x07CA, 0x07EB))
"""Code points of Lao and N'Ko, from each first to before each second one."""

SYMBOLS = "#%&@*+=?<>~^$£€¥¶±×÷√∑∞≠≤≥←↑→↓∀∃∈∩∪▲△◆★"

STEPS = 24
"""Points of each stroke of an invented sign."""

ACROSS = 12
"""Drawings are compared at this height and width."""

ALIKE = 0.92
"""From this similarity (a cosine) to some drawn digit on, a sign is left out."""

NARROW = 0.45
"""Ink that is narrower, as a share of its longer side, is not stretched to a square."""

BLUR = 0.7
"""Deviation of the blur of compared drawings, in their pixels."""

STEEP, THIN = 55, 0.16
"""A straight line: up to this angle from the vertical, in degrees; its deviation across, as a share
of that along."""

DIGITS = 4000
"""How many drawn digits the signs are compared with."""

Array = NDArray[np.uint8]
Strokes = list[NDArray[np.float64]]


@lru_cache(maxsize=2)
def sign_drawings(side: int) -> Tensor:
    """The drawings `(M, side, side)` uint8, bright on black, in the format of MNIST.

    They are the same in every process. The first call takes about two seconds.
    """
    from pocketlens.data.strokes import draw_strokes

    random = np.random.default_rng(0)
    unknown = [_sketch(random) for _ in range(INVENTED)]
    unknown += [_printed(random, font, letter) for font, letter in _foreign(random, FOREIGN)]
    strange = np.stack([_boxed(drawing, side) for drawing in unknown])
    lengths = [1] * PRINTED + random.integers(2, 6, WORDS).tolist()
    known = [_printed(random, *_text(random, length)) for length in lengths]
    printed = np.stack([_boxed(drawing, side) for drawing in known])
    digits = draw_strokes(population="world", count=DIGITS).images[..., 0]
    drawings = np.concatenate([strange[likeness(strange, digits) < ALIKE], printed])
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


def _text(random: np.random.Generator, length: int) -> tuple[str, str]:
    """A font, and a letter, a symbol or a word in it."""
    signs = LETTERS if length > 1 or random.random() < 0.8 else SYMBOLS
    text = "".join(signs[random.integers(len(signs))] for _ in range(length))
    return FONTS[random.integers(len(FONTS))], text


def _foreign(random: np.random.Generator, count: int) -> list[tuple[str, str]]:
    """A font and a letter of `SCRIPTS` in it, `count` times."""
    from matplotlib.ft2font import FT2Font

    name = FONTS[0]
    there = FT2Font(str(_font_file(name))).get_charmap()
    letters = [chr(code) for first, end in SCRIPTS for code in range(first, end) if code in there]
    return [(name, letters[random.integers(len(letters))]) for _ in range(count)]


def _printed(random: np.random.Generator, font: str, text: str) -> Array:
    """A text, drawn with a font."""
    from PIL import Image, ImageDraw

    board = Image.new("L", (44 * (len(text) + 1), 76))
    middle = board.width / 2, board.height / 2
    bold = int(random.integers(3))
    ImageDraw.Draw(board).text(middle, text, 255, _font(font), anchor="mm", stroke_width=bold)
    return np.asarray(board)


def _font_file(name: str) -> Path:
    import matplotlib

    return Path(matplotlib.get_data_path(), "fonts", "ttf", f"{name}.ttf")


@lru_cache(maxsize=8)
def _font(name: str) -> ImageFont.FreeTypeFont:
    from PIL import ImageFont

    return ImageFont.truetype(_font_file(name), 48)


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


def likeness(drawings: Array, digits: Array) -> NDArray[np.float32]:
    """The largest similarity `(M,)` of each drawing to one of the digits, from 0 to 1.

    The larger of two: with the ink at its own proportions, and stretched to a square. A steep
    straight line is a 1.

    Args:
        drawings: `(M, S, S)` uint8, bright on black, none of them empty.
        digits: `(D, T, T)`, alike.
    """
    largest = np.array([_is_steep_line(drawing) for drawing in drawings], np.float32)
    for stretched in (False, True):
        mine, theirs = (_described(each, stretched=stretched) for each in (drawings, digits))
        alike = np.concatenate([(part @ theirs.T).max(1) for part in np.array_split(mine, 20)])
        largest = np.maximum(largest, alike)
    return largest


def _described(drawings: Array, *, stretched: bool) -> NDArray[np.float32]:
    """Rows of unit length `(M, F)`: coarse, blurred drawings, the ink fitted to a square."""
    from PIL import Image

    rows = np.zeros((len(drawings), ACROSS + 4, ACROSS + 4), np.float32)
    for row, drawing in zip(rows, drawings, strict=True):
        high, wide = np.flatnonzero(drawing.any(1)), np.flatnonzero(drawing.any(0))
        ink = Image.fromarray(drawing).crop((wide[0], high[0], wide[-1] + 1, high[-1] + 1))
        longer = max(ink.size)
        # A narrow sign stays narrow, or every bar would fill the square.
        fills = stretched and min(ink.size) >= NARROW * longer
        size = (longer, longer) if fills else [max(side, NARROW * longer) for side in ink.size]
        box = [round(ACROSS * side / longer) for side in size]
        top, left = ((ACROSS + 4 - side) // 2 for side in reversed(box))
        small = np.asarray(ink.resize(box, Image.Resampling.BOX))
        row[top : top + box[1], left : left + box[0]] = small
    apart = np.subtract.outer(np.arange(ACROSS + 4), np.arange(ACROSS + 4))
    blur = np.exp(-(apart**2) / (2 * BLUR**2)).astype(np.float32)
    table = np.sqrt(blur @ rows @ blur).reshape(len(rows), -1)
    lengths = np.linalg.norm(table, axis=1, keepdims=True)
    described: NDArray[np.float32] = table / lengths
    return described


def _is_steep_line(drawing: Array) -> bool:
    """Whether the ink is about one straight line, nearer to the vertical than `STEEP`."""
    rows, columns = np.nonzero(drawing > 127)
    if len(rows) < 2:
        return False
    (across, along), ways = np.linalg.eigh(np.cov(np.stack([columns, rows])))
    right, down = np.abs(ways[:, 1])
    return bool(across < THIN**2 * along and math.degrees(math.atan2(right, down)) < STEEP)

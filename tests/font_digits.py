"""A model of digits that is right by construction, and photos of what it reads.

The digits are those of Pillow's own font. The model compares its input with each of them.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from pocketlens.image import InputSpec
from pocketlens.numbers.components import find_components
from pocketlens.numbers.frames import draw_frame
from pocketlens.numbers.ink import ink_map
from pocketlens.prediction import NOTHING
from predictors import GivenPredictor

DIGITS = "0123456789"

SHARPNESS = 150.0
"""How fast the logits fall with the mean difference from a digit."""

FARTHEST = 0.11
"""What is farther than this from all digits is `nothing`."""


def write(
    *lines: str, size: int = 80, gap: int = 16, paper: int = 235, pen: int = 40, margin: int = 50
) -> Image.Image:
    """A photo of lines of digits; a negative gap makes them touch."""
    font = ImageFont.load_default(size)
    boxes = {digit: font.getbbox(digit) for digit in DIGITS}
    wide = max(sum(int(boxes[d][2] - boxes[d][0]) + gap for d in line) for line in lines)
    photo = Image.new("L", (wide + 2 * margin, int(1.6 * size * len(lines)) + 2 * margin), paper)
    draw = ImageDraw.Draw(photo)
    for number, line in enumerate(lines):
        x = margin
        for digit in line:
            left, _, right, _ = boxes[digit]
            draw.text((x - left, margin + 1.6 * size * number), digit, pen, font)
            x += int(right - left) + gap
    return photo


class FontDigits(GivenPredictor):
    """Reads the digits of Pillow's font; anything else is `nothing`."""

    def __init__(self, spec: InputSpec | None = None, *, nothing: bool = True) -> None:
        super().__init__((*DIGITS, NOTHING) if nothing else DIGITS, spec or InputSpec(32, 32))
        self.batches: list[int] = []

    def probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        self.batches.append(len(images))
        known = templates(self.input_spec).astype(np.float32)  # (10, H, W)
        seen = images[..., 0].astype(np.float32)
        far = np.abs(seen[:, None] - known).mean((2, 3)) / 255  # (N, 10)
        if NOTHING in self.classes:
            far = np.concatenate([far, np.full((len(far), 1), FARTHEST)], 1)
        scores = np.exp(-SHARPNESS * far)
        shares: NDArray[np.float32] = (scores / scores.sum(1, keepdims=True)).astype(np.float32)
        return shares


@cache
def templates(spec: InputSpec) -> NDArray[np.uint8]:
    frames = []
    for digit in DIGITS:
        ink = ink_map(np.asarray(write(digit, size=160)))
        found = find_components(ink.mask, smallest=20)
        assert len(found.boxes) == 1
        frames.append(draw_frame(ink.strength, found.labels, (1,), found.boxes[0], spec)[..., 0])
    return np.stack(frames)

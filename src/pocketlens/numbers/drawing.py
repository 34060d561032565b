"""Draws the boxes of a number's digits on its photo."""

from __future__ import annotations

from PIL import Image, ImageDraw, ImageFont

from pocketlens.image import ImageSource
from pocketlens.numbers.photo import open_photo
from pocketlens.numbers.reading import UNSURE, Number

__all__ = ["draw_number"]

SURE_COLOR, UNSURE_COLOR = (0, 114, 178), (213, 94, 0)
"""Blue and orange-red, which are different for every kind of color vision."""


def draw_number(image: ImageSource, number: Number) -> Image.Image:
    """Draw a box around each digit of a photo, with what was read above it.

    Args:
        image: The photo that `read_number` was given.
        number: Its result.

    Returns:
        The photo in RGB, at most 1600 pixels wide or high; boxes of sure digits are blue, the
        others orange, with a `?`.

    Raises:
        ImageError: The image cannot be read or is too large.
    """
    photo, scale = open_photo(image)
    picture = photo.convert("RGB")
    draw = ImageDraw.Draw(picture)
    line = max(2, max(picture.size) // 400)
    for digit in number.digits:
        color = SURE_COLOR if digit.sure else UNSURE_COLOR
        left, top, right, bottom = (side / scale for side in digit.box)
        draw.rectangle((left - line, top - line, right + line, bottom + line), None, color, line)
        text = digit.label if digit.sure else f"{digit.label}{UNSURE}"
        size = min(40.0, max(14.0, 0.4 * (bottom - top)))
        font = ImageFont.load_default(size)
        width, height = draw.textbbox((0, 0), text, font)[2:]
        above = top - 2 * line - height - 2
        start = (left - line, above if above >= 0 else bottom + 2 * line)
        draw.rectangle((*start, start[0] + width + 4, start[1] + height + 4), color)
        draw.text((start[0] + 2, start[1]), text, "white", font)
    return picture

"""A photo at the size in which numbers are searched."""

from __future__ import annotations

import numpy as np
from PIL import Image

from pocketlens.decoding import open_with_facts
from pocketlens.image import ImageSource, in_memory

__all__ = ["LONGEST", "open_photo"]

LONGEST = 1600
"""Larger photos are reduced to this longer side, in pixels."""

SHORTEST = 800
"""Smaller photos are enlarged to this longer side."""

MOST = 8
"""The most by which a photo is enlarged."""


def open_photo(source: ImageSource) -> tuple[Image.Image, float]:
    """Open a photo at the size in which numbers are searched.

    Args:
        source: A path, a Pillow image, or an array `(H, W)`, `(H, W, 1)` or `(H, W, 3)` uint8.

    Returns:
        The upright photo, gray or RGB, and the width of one of its pixels in the original's pixels.

    Raises:
        ImageError: The image cannot be read or is too large.
    """
    if isinstance(source, (np.ndarray, Image.Image)):
        image, original = in_memory(source), 0
    else:
        facts, image = open_with_facts(source, side=LONGEST)
        original = max(facts.width, facts.height)
    longest = max(image.size)
    wanted = min(LONGEST, max(longest, min(SHORTEST, MOST * longest)))
    scale = wanted / longest
    if scale != 1:
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        image = image.resize(size, Image.Resampling.BICUBIC)
    return image, (original or longest) / wanted

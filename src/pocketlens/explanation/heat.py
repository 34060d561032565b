"""The picture of an explanation: its map over the photo, in colors that color-blind people tell
apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pocketlens.image import ImageSource, InputSpec, prepare

if TYPE_CHECKING:
    from pocketlens.explanation.explain import Explanation

__all__ = ["AGAINST", "FOR", "heat_picture", "shown_picture"]

FOR, AGAINST = (255, 140, 0), (40, 110, 230)
"""RGB colors of what speaks for the label, and against it: orange and blue, which color-blind
people tell apart, too."""

STRONGEST = 0.75
"""How much of a pixel is the color of the map, at most."""

OUTLINED = 0.5
"""A line surrounds what is above this share of the map's largest value."""

SHORTEST, LONGEST = 448, 1024
"""The sides of the picture: networks that see less are shown larger."""


def shown_picture(image: ImageSource, spec: InputSpec) -> NDArray[np.uint8]:
    """The part of an image that a model sees, `(H, W, 3)` RGB, large enough to look at.

    Raises:
        ImageError: The image cannot be read.
    """
    shorter, longer = sorted((spec.height, spec.width))
    factor = max(1.0, min(SHORTEST / shorter, LONGEST / longer))
    height, width = (max(1, round(side * factor)) for side in (spec.height, spec.width))
    values = {"height": height, "width": width, "color": "rgb", "scale": 1.0, "bias": 0.0}
    large = InputSpec.from_dict({"crop": spec.crop, **values})
    return prepare(image, large)


def heat_picture(picture: NDArray[np.uint8], explanation: Explanation) -> NDArray[np.uint8]:
    """The map over a picture: orange where it speaks for the label, blue where against it.

    The picture itself is gray below. A white line, with a black one around it, surrounds the parts
    above half of the map's largest value, so that nobody needs colors to see them.

    Args:
        picture: `(H, W, 3)` or `(H, W, 1)` uint8, what the model sees.
        explanation: Its explanation.

    Returns:
        `(H, W, 3)` uint8, RGB.
    """
    height, width = picture.shape[:2]
    values = _enlarged(explanation.map, height, width)
    largest = float(np.abs(explanation.map).max())
    values = np.clip(values / largest, -1, 1) if largest > 0 else values
    gray = picture.astype(np.float32).mean(2, keepdims=True) * 0.9
    color = np.where(values[..., None] > 0, np.array(FOR), np.array(AGAINST))
    share = STRONGEST * np.abs(values)[..., None]
    found = gray * (1 - share) + color * share
    top = float(explanation.map.max())
    if top > 0:
        inside = values >= OUTLINED * top / largest
        line = max(1, round(min(height, width) / 200))
        found[_grown(inside, 2 * line) & ~_shrunk(inside, line)] = 0
        found[_grown(inside, line) & ~inside] = 255
    result: NDArray[np.uint8] = found.round().astype(np.uint8)
    return result


def _enlarged(values: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    from PIL import Image

    small = Image.fromarray(np.ascontiguousarray(values, np.float32))
    large = small.resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(large, np.float32)


def _grown(mask: NDArray[np.bool_], by: int) -> NDArray[np.bool_]:
    """The mask with all pixels at most `by` away, in each direction."""
    for axis in (0, 1):
        padded = np.pad(mask, [(by, by) if k == axis else (0, 0) for k in (0, 1)])
        parts = [np.roll(padded, step, axis) for step in range(-by, by + 1)]
        wide = np.logical_or.reduce(parts)
        mask = np.take(wide, range(by, wide.shape[axis] - by), axis)
    return mask


def _shrunk(mask: NDArray[np.bool_], by: int) -> NDArray[np.bool_]:
    return ~_grown(~mask, by)

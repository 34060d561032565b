"""Classifiers that take an image as an array, such as [1, 3, 224, 224].

Such a file says nothing about colors and scale, so it is used as an image classifier only if a
person says how pixels become its numbers (`CoreMLModel.with_input`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketlens.coreml.file.features import Feature
from pocketlens.image import MAX_SIDE, InputSpec

__all__ = ["ArrayImage", "array_image"]

CHANNELS = (1, 3)


@dataclass(frozen=True)
class ArrayImage:
    """How an array holds an image.

    Args:
        feature: The array.
        height: Height in pixels.
        width: Width in pixels.
        channels: 1 or 3.
        last: Whether the channels are the last dimension.
    """

    feature: Feature
    height: int
    width: int
    channels: int
    last: bool

    def input_spec(self) -> InputSpec:
        """What the shape says; all else is assumed."""
        if self.channels == 1:
            return InputSpec.assuming(self.height, self.width, "gray")
        return InputSpec.assuming(self.height, self.width, "rgb", assumed=("color",))

    def arranged(self, planes: NDArray[np.float32]) -> NDArray[Any]:
        """The numbers `(1, C, H, W)` of an image in the shape of the array."""
        image = planes.transpose(0, 2, 3, 1) if self.last else planes
        return np.ascontiguousarray(image).reshape(self.feature.shape)


def array_image(features: tuple[Feature, ...]) -> ArrayImage | None:
    """How the only input, an array, holds an image; None if its shape is not that of an image.

    [C, H, W] and [H, W, C] with 1 or 3 channels, [H, W], or [N] for a square gray image; each may
    have dimensions of size 1 in front.
    """
    if [feature.kind for feature in features] != ["array"] or not features[0].shape:
        return None
    (feature,) = features
    sizes = list(feature.shape)
    while len(sizes) > 3 and sizes[0] == 1:
        sizes.pop(0)
    side = math.isqrt(math.prod(sizes))
    flat = len(sizes) == 1 or (len(sizes) in (2, 3) and max(sizes) == math.prod(sizes))
    if flat:
        found = (side, side, 1, False) if side > 1 and side * side == math.prod(sizes) else None
    elif len(sizes) == 2:
        found = (sizes[0], sizes[1], 1, False)
    elif len(sizes) == 3 and sizes[0] in CHANNELS:
        found = (sizes[1], sizes[2], sizes[0], False)
    elif len(sizes) == 3 and sizes[2] in CHANNELS:
        found = (sizes[0], sizes[1], sizes[2], True)
    else:
        found = None
    if found is None or max(found[:2]) > MAX_SIDE:
        return None
    height, width, channels, last = found
    return ArrayImage(feature, height, width, channels, last)

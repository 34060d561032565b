"""What the caller gives -> what the graph takes, and back."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pocketlens.coreml.features import Feature
from pocketlens.coreml.graph import Value
from pocketlens.errors import FeatureError
from pocketlens.image import InputSpec, open_image, prepare

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["array_input", "image_input", "image_output"]


def image_input(given: Any, feature: Feature, value: Value) -> NDArray[Any]:
    """An image as [1, C, H, W] of pixels 0-255, channels in the order that the model declares.

    Raises:
        FeatureError: Not an image, or of a size that the feature does not allow.
        ImageError: A picture that cannot be read.
    """
    from PIL import Image

    if isinstance(given, (str, os.PathLike)):
        given = open_image(given)
    if isinstance(given, Image.Image):
        height, width = given.height, given.width
    elif isinstance(given, np.ndarray) and given.dtype == np.uint8 and given.ndim in (2, 3):
        height, width = given.shape[:2]
    else:
        raise FeatureError(
            f"the input '{feature.name}' is an image: a path, a Pillow image or a uint8 array "
            f"(H, W) or (H, W, 3); received: {_shown(given)}"
        )
    if not feature.allows((height, width)):
        raise FeatureError(
            f"the input '{feature.name}' is an image of height × width {feature.expected()}; "
            f"received: {height} × {width}; predict() crops and resizes, run() does not"
        )
    colour: Any = "gray" if feature.channels == 1 else "rgb"
    pixels = prepare(given, InputSpec(height, width, colour))
    planes = pixels.transpose(2, 0, 1)[None]
    if feature.colour == "bgr":
        planes = planes[:, ::-1]
    return np.ascontiguousarray(planes, value.dtype)


def array_input(given: Any, feature: Feature, value: Value) -> NDArray[Any]:
    """A multi-array in the graph's shape and type.

    Raises:
        FeatureError: Not numbers, numbers that the declared type cannot hold, or another shape.
    """
    try:
        array = np.asarray(given)
    except ValueError as error:
        raise FeatureError(f"the input '{feature.name}' is no array: {error}") from error
    if array.dtype.kind not in "biuf":
        raise FeatureError(
            f"the input '{feature.name}' is an array of {feature.dtype or value.dtype}; "
            f"received: {_shown(given)}"
        )
    if not feature.allows(array.shape):
        raise FeatureError(
            f"the input '{feature.name}' has the shape {feature.expected()}; "
            f"received: {' × '.join(map(str, array.shape)) or 'a single number'}"
        )
    declared = np.dtype(feature.dtype or value.dtype)
    with np.errstate(over="ignore", invalid="ignore"):
        held = array.astype(declared)
    if declared.kind in "iu" and not np.array_equal(held, array):
        raise FeatureError(
            f"the input '{feature.name}' is an array of {declared}; "
            f"received {array.dtype} with values that {declared} cannot hold"
        )
    held = held.astype(value.dtype)
    if value.shape is not None and None not in value.shape:
        held = held.reshape(value.sizes)
    return np.ascontiguousarray(held)


def image_output(answer: NDArray[Any], feature: Feature) -> Image.Image:
    """An image output [1, C, H, W] as a Pillow image, its values clipped to 0-255 and rounded."""
    from PIL import Image

    planes = answer.reshape(feature.channels, *answer.shape[-2:])
    if feature.colour == "gray-float16":
        return Image.fromarray(planes[0].astype(np.float32))
    if feature.colour == "bgr":
        planes = planes[::-1]
    pixels = np.clip(np.rint(planes.astype(np.float32)), 0, 255).astype(np.uint8)
    return Image.fromarray(pixels[0] if feature.channels == 1 else pixels.transpose(1, 2, 0).copy())


def _shown(given: Any) -> str:
    if isinstance(given, np.ndarray):
        return f"an array of {given.dtype} of shape {given.shape}"
    return type(given).__name__

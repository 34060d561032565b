"""What the caller gives -> what the graph takes, and back."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pocketlens.coreml.file.features import Feature
from pocketlens.coreml.graph import Value
from pocketlens.errors import FeatureError
from pocketlens.image import InputSpec, open_image, prepare

if TYPE_CHECKING:
    from PIL import Image

__all__ = [
    "array_input",
    "default_input",
    "feature_input",
    "given_features",
    "held_in",
    "image_input",
    "image_output",
    "image_planes",
    "int64_or_none",
]


def image_input(given: Any, feature: Feature, value: Value) -> NDArray[Any]:
    """An image as [1, C, H, W] of pixels 0-255, channels in the order that the model declares.

    Where the model declares 16-bit floating-point gray, an image or array of such numbers (Pillow's
    mode F, NumPy's float16 or float32) is taken as it is; of another one the pixels are.

    Raises:
        FeatureError: Not an image, or of a size that the feature does not allow.
        ImageError: A picture that cannot be read.
    """
    return image_planes(_pixels(given, feature), feature.color, value)


def image_planes(pixels: NDArray[Any], color: str, value: Value) -> NDArray[Any]:
    """Pixels [H, W, C] in picture order as the graph's [1, C, H, W], in the order of `color`."""
    planes = pixels.transpose(2, 0, 1)[None]
    if color == "bgr":
        planes = planes[:, ::-1]
    # First moved, then widened: a third faster than both at once.
    return np.ascontiguousarray(planes).astype(value.dtype, copy=False)


def _pixels(given: Any, feature: Feature) -> NDArray[Any]:
    """An image as [H, W, C] of pixels 0-255 in picture order."""
    from PIL import Image

    if isinstance(given, (str, os.PathLike)):
        given = open_image(given)
    fine = False
    if isinstance(given, Image.Image):
        height, width = given.height, given.width
        fine = feature.color == "gray-float16" and given.mode == "F"
    elif (
        feature.color == "gray-float16"
        and isinstance(given, np.ndarray)
        and given.dtype in (np.float16, np.float32)
        and given.ndim == 2
    ):
        height, width = given.shape
        fine = True
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
    if fine:
        return np.asarray(given)[..., None]
    if isinstance(given, np.ndarray) and (given.shape[2:] or (1,)) == (feature.channels,):
        return given.reshape(height, width, feature.channels)  # as it is wanted already
    color: Any = "gray" if feature.channels == 1 else "rgb"
    return prepare(given, InputSpec(height, width, color))


def array_input(given: Any, feature: Feature, value: Value) -> NDArray[Any]:
    """A multi-array in the graph's shape and type.

    Raises:
        FeatureError: Not numbers, numbers that the declared type cannot hold, or another shape.
    """
    held = _array(given, feature, value.dtype).astype(value.dtype)
    if value.shape is not None and None not in value.shape:
        if held.size != math.prod(value.sizes):
            raise FeatureError(
                f"the input '{feature.name}' is declared as {feature.expected()}; "
                f"the model inside takes {' × '.join(map(str, value.sizes))}; the file is damaged"
            )
        held = held.reshape(value.sizes)
    return np.ascontiguousarray(held)


def _array(given: Any, feature: Feature, undeclared: Any) -> NDArray[Any]:
    """A multi-array in the declared type, or in the type `undeclared` if the file is silent."""
    declared = np.dtype(feature.dtype or undeclared)
    try:
        array = np.asarray(given)
    except ValueError as error:
        raise FeatureError(f"the input '{feature.name}' is no array: {error}") from error
    if array.dtype.kind not in "biuf":
        raise FeatureError(
            f"the input '{feature.name}' is an array of {declared}; received: {_shown(given)}"
        )
    if not feature.allows(array.shape):
        raise FeatureError(
            f"the input '{feature.name}' has the shape {feature.expected()}; "
            f"received: {' × '.join(map(str, array.shape)) or 'a single number'}"
        )
    held = held_in(array, declared)
    if held is None:
        raise FeatureError(
            f"the input '{feature.name}' is an array of {declared}; "
            f"received {array.dtype} with values that {declared} cannot hold"
        )
    return held


def default_input(feature: Feature) -> NDArray[Any]:
    """What an optional array is when it is left out: the file's default everywhere, else zeros.

    Raises:
        FeatureError: It is no array, or one whose size only its value would tell.
    """
    if feature.kind != "array" or not feature.shape:
        raise FeatureError(
            f"the input '{feature.name}' ({feature.kind}) is optional, "
            "but the file has no default for it; give it a value"
        )
    return np.broadcast_to(np.asarray(feature.default or 0), feature.shape)


def given_features(inputs: Mapping[str, Any], features: Iterable[Feature]) -> dict[str, Any]:
    """What the caller gives for `features`, and the file's defaults for arrays left out.

    Raises:
        FeatureError: Something else than a feature's type takes.
    """
    given = {}
    for feature in features:
        if feature.name in inputs:
            given[feature.name] = feature_input(inputs[feature.name], feature)
        elif feature.default is not None:
            given[feature.name] = feature_input(default_input(feature), feature)
    return given


def feature_input(given: Any, feature: Feature) -> Any:
    """What the caller gives for a feature of any type, as Core ML would hold it.

    Returns:
        A Pillow image, an array of the declared type, `int`, `float`, `str`, a dictionary
        `{str or int: float}`, or a list of `str` or `int`.

    Raises:
        FeatureError: Something else than the feature's type takes.
    """
    if feature.kind == "image":
        from PIL import Image

        pixels = _pixels(given, feature)
        if pixels.dtype == np.float16:  # Pillow has no such pixels
            pixels = pixels.astype(np.float32)
        return Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    if feature.kind == "array":
        return _array(given, feature, np.float64)
    if feature.kind == "dictionary":
        if not isinstance(given, Mapping):
            raise _unlike(given, feature, f"a dictionary of numbers with {feature.dtype} keys")
        return {
            _key(key, feature): _scalar(value, "double", feature) for key, value in given.items()
        }
    if feature.kind == "sequence":
        if isinstance(given, (str, bytes, Mapping)) or not isinstance(given, Iterable):
            raise _unlike(given, feature, f"a sequence of {feature.dtype}")
        items = [_scalar(item, feature.dtype, feature) for item in given]
        if not feature.allows((len(items),)):
            raise FeatureError(
                f"the input '{feature.name}' is a sequence of length {feature.expected()}; "
                f"received: {len(items)}"
            )
        return items
    return _scalar(given, feature.kind, feature)


def _key(given: Any, feature: Feature) -> str | int:
    """A dictionary's key, of the declared type; but a whole number stays one.

    coremltools declares string keys for a DictVectorizer that has learned whole numbers. The model
    knows which it needs.
    """
    whole = isinstance(given, (int, np.integer))
    key: str | int = _scalar(given, "int64" if whole else feature.dtype, feature)
    return key


def _scalar(given: Any, kind: str, feature: Feature) -> Any:
    """One `string`, `int64` or `double`; an array of one element is a number, too."""
    if kind == "string":
        if not isinstance(given, str):
            raise _unlike(given, feature, "a string")
        return str(given)
    words = "a whole number (int64)" if kind == "int64" else "a number (double)"
    array = np.asarray(given)
    if array.dtype.kind not in "biuf" or array.size != 1:
        raise _unlike(given, feature, words)
    number = array.reshape(()).item()
    if kind == "double":
        return float(number)
    whole = int64_or_none(number)
    if whole is None:
        raise _unlike(given, feature, words)
    return whole


def held_in(array: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any] | None:
    """The array in another type; None if that is one of integers and cannot hold its values."""
    with np.errstate(over="ignore", invalid="ignore"):
        held = array.astype(dtype)
    return None if dtype.kind in "iu" and not np.array_equal(held, array) else held


def int64_or_none(number: float) -> int | None:
    """The number as an integer of 64 bits; None if it is not one."""
    if number != number or abs(number) >= 2**63 or number != int(number):
        return None
    return int(number)


def _unlike(given: Any, feature: Feature, expected: str) -> FeatureError:
    shown = repr(given)[:80] if isinstance(given, (int, float, str)) else _shown(given)
    inside = f" ({feature.kind})" if feature.kind in ("dictionary", "sequence") else ""
    return FeatureError(f"the input '{feature.name}'{inside} is {expected}; received: {shown}")


def image_output(answer: NDArray[Any], feature: Feature) -> Image.Image:
    """An image output [1, C, H, W] as a Pillow image, its values clipped to 0-255 and rounded."""
    from PIL import Image

    planes = answer.reshape(feature.channels, *answer.shape[-2:])
    if feature.color == "gray-float16":
        return Image.fromarray(planes[0].astype(np.float32))
    if feature.color == "bgr":
        planes = planes[::-1]
    pixels = np.clip(np.rint(planes.astype(np.float32)), 0, 255).astype(np.uint8)
    return Image.fromarray(pixels[0] if feature.channels == 1 else pixels.transpose(1, 2, 0).copy())


def _shown(given: Any) -> str:
    if isinstance(given, np.ndarray):
        return f"an array of {given.dtype} of shape {given.shape}"
    return type(given).__name__

"""Converts the values that callers pass to the arrays that models run on, and images back."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from pocketlens.coreml.file.features import Feature, FeatureColor
from pocketlens.coreml.graph import Value
from pocketlens.errors import FeatureError
from pocketlens.image import InputSpec, open_image, prepare

if TYPE_CHECKING:
    from PIL import Image

__all__ = [
    "Planes",
    "array_input",
    "cast_or_none",
    "default_input",
    "feature_input",
    "image_input",
    "image_output",
    "image_planes",
    "int64_or_none",
    "read_features",
]


@dataclass(frozen=True)
class Planes:
    """An image as numbers of any size, in place of pixels 0-255: how `with_input` changes them.

    Args:
        values: `(1, C, H, W)` float32, channels in the order that the model declares.
    """

    values: NDArray[np.float32]

    @property
    def height(self) -> int:
        """The height in pixels."""
        return int(self.values.shape[2])

    @property
    def width(self) -> int:
        """The width in pixels."""
        return int(self.values.shape[3])


def image_input(given: Any, feature: Feature, value: Value) -> NDArray[Any]:
    """Convert an image to [1, C, H, W], pixels 0-255, channels in the order the model declares.

    If the model declares 16-bit floating-point gray, an image or array of floating-point numbers
    (Pillow's mode F, NumPy's float16 or float32) is used without conversion.

    Raises:
        FeatureError: The value is not an image, or the feature does not allow its size.
        ImageError: The image cannot be read.
    """
    pixels = given if isinstance(given, Planes) else _pixels(given, feature)
    return image_planes(pixels, feature.color, value)


def image_planes(
    pixels: NDArray[Any] | Planes, color: FeatureColor | Literal[""], value: Value
) -> NDArray[Any]:
    """Convert pixels [H, W, C], gray or RGB, to [1, C, H, W] in the channel order of `color`."""
    if isinstance(pixels, Planes):
        return np.ascontiguousarray(pixels.values).astype(value.dtype, copy=False)
    planes = pixels.transpose(2, 0, 1)[None]
    if color == "bgr":
        planes = planes[:, ::-1]
    # Copying first and converting then is a third faster than both in one step.
    return np.ascontiguousarray(planes).astype(value.dtype, copy=False)


def _pixels(given: Any, feature: Feature) -> NDArray[Any]:
    """Convert an image to [H, W, C], gray or RGB, pixels 0-255."""
    from PIL import Image

    if isinstance(given, (str, os.PathLike)):
        given = open_image(given)
    floating = False
    if isinstance(given, Image.Image):
        height, width = given.height, given.width
        floating = feature.color == "gray-float16" and given.mode == "F"
    elif (
        feature.color == "gray-float16"
        and isinstance(given, np.ndarray)
        and given.dtype in (np.float16, np.float32)
        and given.ndim == 2
    ):
        height, width = given.shape
        floating = True
    elif isinstance(given, np.ndarray) and given.dtype == np.uint8 and given.ndim in (2, 3):
        height, width = given.shape[:2]
    else:
        raise FeatureError(
            f"the input '{feature.name}' is an image: a path, a Pillow image or a uint8 array "
            f"(H, W) or (H, W, 3); received: {_type_of(given)}"
        )
    if not feature.allows((height, width)):
        raise FeatureError(
            f"the input '{feature.name}' is an image of height × width {feature.expected()}; "
            f"received: {height} × {width}; predict() crops and resizes, run() does not"
        )
    if floating:
        return np.asarray(given)[..., None]
    if isinstance(given, np.ndarray) and (given.shape[2:] or (1,)) == (feature.channels,):
        return given.reshape(height, width, feature.channels)  # no conversion needed
    return prepare(given, InputSpec(height, width, "gray" if feature.channels == 1 else "rgb"))


def array_input(given: Any, feature: Feature, value: Value) -> NDArray[Any]:
    """Convert a multi-array to the graph's shape and type.

    Raises:
        FeatureError: The values are not numbers, do not fit into the declared type, or the
            feature does not allow their shape.
    """
    array = _array(given, feature, value.dtype).astype(value.dtype)
    if value.shape is not None and None not in value.shape:
        if array.size != math.prod(value.sizes):
            raise FeatureError(
                f"the input '{feature.name}' is declared as {feature.expected()}; the model "
                f"inside needs {' × '.join(map(str, value.sizes))}; the file is damaged"
            )
        array = array.reshape(value.sizes)
    return np.ascontiguousarray(array)


def _array(given: Any, feature: Feature, default_type: Any) -> NDArray[Any]:
    """Convert a multi-array to the declared type, or to `default_type` if none is declared."""
    declared = np.dtype(feature.dtype or default_type)
    try:
        array = np.asarray(given)
    except ValueError as error:
        raise FeatureError(f"the input '{feature.name}' is not an array: {error}") from error
    if array.dtype.kind not in "biuf":
        raise FeatureError(
            f"the input '{feature.name}' is an array of {declared}; received: {_type_of(given)}"
        )
    if not feature.allows(array.shape):
        raise FeatureError(
            f"the input '{feature.name}' has the shape {feature.expected()}; "
            f"received: {' × '.join(map(str, array.shape)) or 'a single number'}"
        )
    converted = cast_or_none(array, declared)
    if converted is None:
        raise FeatureError(
            f"the input '{feature.name}' is an array of {declared}; "
            f"received {array.dtype} with values that {declared} cannot hold"
        )
    return converted


def default_input(feature: Feature) -> NDArray[Any]:
    """The value of an optional array that is left out: the file's default, else zeros.

    Raises:
        FeatureError: The feature is not an array, or its shape is not declared.
    """
    if feature.kind != "array" or not feature.shape:
        raise FeatureError(
            f"the input '{feature.name}' ({feature.kind}) is optional, "
            "but the file has no default for it; pass a value for it"
        )
    return np.broadcast_to(np.asarray(feature.default or 0), feature.shape)


def read_features(inputs: Mapping[str, Any], features: Iterable[Feature]) -> dict[str, Any]:
    """Convert the inputs for `features`; an array that is left out has the file's default.

    Raises:
        FeatureError: A value has the wrong type for its feature.
    """
    values = {}
    for feature in features:
        if feature.name in inputs:
            values[feature.name] = feature_input(inputs[feature.name], feature)
        elif feature.default is not None:
            values[feature.name] = feature_input(default_input(feature), feature)
    return values


def feature_input(given: Any, feature: Feature) -> Any:
    """Convert the value for a feature of any kind to the type that the feature has in Core ML.

    Returns:
        A Pillow image, an array of the declared type, `int`, `float`, `str`, a dictionary
        `{str or int: float}`, or a list of `str` or `int`.

    Raises:
        FeatureError: The value has the wrong type for the feature.
    """
    if feature.kind == "image":
        from PIL import Image

        if isinstance(given, Planes):
            return given
        pixels = _pixels(given, feature)
        if pixels.dtype == np.float16:  # Pillow has no float16 images
            pixels = pixels.astype(np.float32)
        return Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    if feature.kind == "array":
        return _array(given, feature, np.float64)
    if feature.kind == "dictionary":
        if not isinstance(given, Mapping):
            raise _wrong_type(given, feature, f"a dictionary of numbers with {feature.dtype} keys")
        return {
            _key(key, feature): _scalar(value, "double", feature) for key, value in given.items()
        }
    if feature.kind == "sequence":
        if isinstance(given, (str, bytes, Mapping)) or not isinstance(given, Iterable):
            raise _wrong_type(given, feature, f"a sequence of {feature.dtype}")
        items = [_scalar(item, feature.dtype, feature) for item in given]
        left_out = feature.optional and not items  # apps pass [] for a list that they do not use
        if not left_out and not feature.allows((len(items),)):
            raise FeatureError(
                f"the input '{feature.name}' is a sequence of length {feature.expected()}; "
                f"received: {len(items)}"
            )
        return items
    return _scalar(given, feature.kind, feature)


def _key(given: Any, feature: Feature) -> str | int:
    """A dictionary's key in the declared type; but an integer stays an integer.

    coremltools declares string keys even for a DictVectorizer that was trained on integers. The
    model itself checks the keys.
    """
    whole = isinstance(given, (int, np.integer))
    key: str | int = _scalar(given, "int64" if whole else feature.dtype, feature)
    return key


def _scalar(given: Any, kind: str, feature: Feature) -> Any:
    """Convert to `string`, `int64` or `double`; an array of one element counts as a number."""
    if kind == "string":
        if not isinstance(given, str):
            raise _wrong_type(given, feature, "a string")
        return str(given)
    expected = "an integer (int64)" if kind == "int64" else "a number (double)"
    array = np.asarray(given)
    if array.dtype.kind not in "biuf" or array.size != 1:
        raise _wrong_type(given, feature, expected)
    number = array.reshape(()).item()
    if kind == "double":
        return float(number)
    whole = int64_or_none(number)
    if whole is None:
        raise _wrong_type(given, feature, expected)
    return whole


def cast_or_none(array: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any] | None:
    """The array converted to `dtype`; None if `dtype` is an integer type that would change it."""
    with np.errstate(over="ignore", invalid="ignore"):
        converted = array.astype(dtype)
    if dtype.kind in "iu" and not np.array_equal(converted, array):
        return None
    return converted


def int64_or_none(number: float) -> int | None:
    """The number as a 64-bit integer; None if it is not an integer or too large."""
    if number != number or abs(number) >= 2**63 or number != int(number):
        return None
    return int(number)


def _wrong_type(given: Any, feature: Feature, expected: str) -> FeatureError:
    received = repr(given)[:80] if isinstance(given, (int, float, str)) else _type_of(given)
    inside = f" ({feature.kind})" if feature.kind in ("dictionary", "sequence") else ""
    return FeatureError(f"the input '{feature.name}'{inside} is {expected}; received: {received}")


def image_output(array: NDArray[Any], feature: Feature) -> Image.Image:
    """An image output [1, C, H, W] as a Pillow image, its values clipped to 0-255 and rounded."""
    from PIL import Image

    planes = array.reshape(feature.channels, *array.shape[-2:])
    if feature.color == "gray-float16":
        return Image.fromarray(planes[0].astype(np.float32))
    if feature.color == "bgr":
        planes = planes[::-1]
    pixels = np.clip(np.rint(planes.astype(np.float32)), 0, 255).astype(np.uint8)
    return Image.fromarray(pixels[0] if feature.channels == 1 else pixels.transpose(1, 2, 0).copy())


def _type_of(given: Any) -> str:
    if isinstance(given, np.ndarray):
        return f"an array of {given.dtype} of shape {given.shape}"
    return type(given).__name__

"""Images, and `InputSpec`: the one description of a network's input.

Everything that reads an image (training on a folder, `predict`, the Core ML runtime, the preview
page) calls `prepare`, so every image is oriented, cropped and resized in the same way. Arrays are
`(H, W, 1)` gray or `(H, W, 3)` RGB, uint8. Only `network_input` turns them into the values that the
first layer receives, and only there are the channels swapped for `bgr`.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pocketlens.decoding import MAX_PIXELS, check_pixels, decoding, open_image, to_gray_or_rgb
from pocketlens.errors import ImageError, OptionError, did_you_mean

if TYPE_CHECKING:
    from PIL import Image

__all__ = [
    "COLORS",
    "CROPS",
    "INKS",
    "INPUT_SPEC_KEY",
    "MAX_PIXELS",
    "ImageSource",
    "Ink",
    "InputSpec",
    "decoded_side",
    "in_memory",
    "open_image",
    "prepare",
]

Color: TypeAlias = Literal["gray", "rgb", "bgr"]
Crop: TypeAlias = Literal["center-crop", "fit", "fill"]
Ink: TypeAlias = Literal["dark", "light"]
ImageSource: TypeAlias = "str | os.PathLike[str] | Image.Image | NDArray[np.uint8]"

COLORS: tuple[Color, ...] = ("gray", "rgb", "bgr")
CROPS: tuple[Crop, ...] = ("center-crop", "fit", "fill")
INKS: tuple[Ink, ...] = ("dark", "light")

INPUT_SPEC_KEY = "org.pocketlens.input"
"""The key in a Core ML file's user metadata that holds `InputSpec.to_json()`."""

MAX_SIDE = 4096
"""The largest input height or width of a network, in pixels."""

DECODED_SIDES = 2
"""A photo is decoded at a reduced size of at least this many times the input's longer side."""

ASSUMABLE = ("color", "scale", "bias", "crop", "ink")
"""The fields of an `InputSpec` that may be assumed instead of known."""


@dataclass(frozen=True)
class InputSpec:
    """A network's input: cropped and resized, then `pixel * scale + bias` for each channel.

    Args:
        height: Height of the input in pixels.
        width: Width of the input in pixels.
        color: `gray` (one channel), `rgb` or `bgr` (three, in that order).
        scale: One factor per channel; a single number serves every channel.
        bias: One offset per channel, added after the scale; a single number serves every channel.
        crop: `center-crop` cuts out the largest centered part with the input's aspect ratio, `fit`
            keeps the whole image and pads it with black, `fill` stretches it. The names follow
            Vision's `centerCrop`, `scaleToFit` and `scaleToFill`.
        ink: The colors of drawings made on the phone or in the browser: `dark` lines on a light
            background, as on paper, or `light` lines on a dark one, as in MNIST. Photos are never
            inverted.
        assumed: The names of those fields, of `color`, `scale`, `bias`, `crop` and `ink`, that are
            assumptions: neither the model's file nor a person said them. Empty for a model that
            was trained here.

    Raises:
        OptionError: A field of the wrong type or out of range.
    """

    height: int
    width: int
    color: Color = "gray"
    scale: tuple[float, ...] = (1 / 255,)
    bias: tuple[float, ...] = (0.0,)
    crop: Crop = "center-crop"
    ink: Ink = "dark"
    assumed: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if found := self.errors(vars(self)):
            raise OptionError("; ".join(found))
        for name in ("scale", "bias"):
            numbers = _numbers(getattr(self, name))
            full = numbers * self.channels if len(numbers) == 1 else numbers
            object.__setattr__(self, name, tuple(float(v) for v in full))
        in_order = tuple(name for name in ASSUMABLE if name in self.assumed)
        object.__setattr__(self, "assumed", in_order)

    @classmethod
    def assuming(cls, height: int, width: int, color: Color, **known: Any) -> InputSpec:
        """The InputSpec of a foreign model, of which only some fields are known.

        The others are assumed: pixels enter as they are (scale 1, bias 0), the crop is
        `center-crop`, and drawings are light on dark for `gray`, as in MNIST, on which most gray
        models are trained, and dark on light for models that see colors.

        Args:
            height: Height of the input in pixels.
            width: Width of the input in pixels.
            color: Its color order. To mark it as assumed, pass `assumed=("color",)`.
            known: The fields that are known.

        Raises:
            OptionError: A field of the wrong type or out of range.
        """
        guesses = {"scale": (1.0,), "bias": (0.0,), "crop": "center-crop"}
        guesses["ink"] = "light" if color == "gray" else "dark"
        guessed = tuple(name for name in guesses if name not in known)
        assumed = (*known.pop("assumed", ()), *guessed)
        return cls.from_dict(
            {"height": height, "width": width, "color": color, **guesses, **known}
            | {"assumed": assumed}
        )

    def with_values(self, **values: Any) -> InputSpec:
        """A copy with other values, which are then known, not assumed.

        Raises:
            OptionError: An unknown field, or a value out of range.
        """
        own = self.to_dict()
        own["assumed"] = tuple(name for name in self.assumed if name not in values)
        for name in ("scale", "bias"):  # one number fits any number of channels
            own[name] = own[name][:1] if len(set(own[name])) == 1 else own[name]
        return self.from_dict(own | values)

    @classmethod
    def errors(cls, values: Mapping[str, Any]) -> list[str]:
        """What is wrong with the constructor's arguments, one text for each error."""
        known = [field.name for field in fields(cls)]
        found = [
            f"unknown key input.{key}; {did_you_mean(key, known)}"
            for key in values
            if key not in known
        ]
        for name in ("height", "width"):
            side = values.get(name)
            if name not in values:
                found.append(f"input.{name} is missing; expected a number of pixels (an integer)")
            elif type(side) is not int or not 1 <= side <= MAX_SIDE:
                found.append(
                    f"input.{name} must be an integer from 1 to {MAX_SIDE}; received: {side!r}"
                )
        assumed = values.get("assumed", ())
        if not isinstance(assumed, (list, tuple)) or not all(a in ASSUMABLE for a in assumed):
            found.append(
                f"input.assumed must be a list of some of {', '.join(ASSUMABLE)}; "
                f"received: {assumed!r}"
            )
        color = values.get("color", cls.color)
        for name, value, names in (
            ("color", color, COLORS),
            ("crop", values.get("crop", cls.crop), CROPS),
            ("ink", values.get("ink", cls.ink), INKS),
        ):
            if value not in names:
                found.append(f"unknown input.{name} {value!r}; {did_you_mean(str(value), names)}")
        if color not in COLORS:  # so the number of channels is unknown, too
            return found
        channels = 1 if color == "gray" else 3
        for name in ("scale", "bias"):
            numbers = _numbers(values.get(name, 0.0))
            wrong = [v for v in numbers if type(v) not in (int, float) or not math.isfinite(v)]
            if wrong or len(numbers) not in (1, channels):
                found.append(
                    f"input.{name} must be a finite number, or one for each of the {channels} "
                    f"channel(s) of {color}; received: {values[name]!r}"
                )
        return found

    @property
    def channels(self) -> int:
        """1 for `gray`, 3 for `rgb` and `bgr`."""
        return 1 if self.color == "gray" else 3

    @property
    def shape(self) -> tuple[int, int, int]:
        """`(height, width, channels)`: the shape of one prepared image."""
        return (self.height, self.width, self.channels)

    def network_input(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Images `(N, H, W, C)` uint8 as the first layer receives them, `(N, C, H, W)` float32."""
        planes = images.astype(np.float32).transpose(0, 3, 1, 2)
        if self.color == "bgr":
            planes = planes[:, ::-1]
        scale = np.array(self.scale, np.float32).reshape(1, -1, 1, 1)
        bias = np.array(self.bias, np.float32).reshape(1, -1, 1, 1)
        return np.ascontiguousarray(planes * scale + bias)

    def to_dict(self) -> dict[str, Any]:
        """A plain dictionary, the inverse of `from_dict`; `assumed` only if it is not empty."""
        values = {**asdict(self), "scale": list(self.scale), "bias": list(self.bias)}
        assumed = values.pop("assumed")
        return values | ({"assumed": list(assumed)} if assumed else {})

    def to_json(self) -> str:
        """One line of JSON, as stored in a Core ML file."""
        return json.dumps(self.to_dict(), separators=(",", ":"))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> InputSpec:
        """From a dictionary of the constructor's arguments.

        Raises:
            OptionError: An unknown key, a missing size, or a value out of range.
        """
        if found := cls.errors(values):
            raise OptionError("; ".join(found))
        return cls(**values)

    @classmethod
    def from_json(cls, text: str) -> InputSpec:
        """The inverse of `to_json`. Files written before the key was renamed have `colour`.

        Raises:
            OptionError: The text is not the JSON of an InputSpec.
        """
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise OptionError(f"an InputSpec is a JSON object; received: {text[:80]!r}") from error
        if not isinstance(values, dict):
            raise OptionError(f"an InputSpec is a JSON object; received: {text[:80]!r}")
        if "colour" in values and "color" not in values:
            values["color"] = values.pop("colour")
        return cls.from_dict(values)


def _numbers(value: Any) -> tuple[Any, ...]:
    """A tuple of one number or several."""
    return tuple(value) if isinstance(value, (list, tuple)) else (value,)


def prepare(source: ImageSource, spec: InputSpec) -> NDArray[np.uint8]:
    """Turn any image into an input for `spec`: upright, in its colors, cropped and resized.

    Args:
        source: A path, a Pillow image, or an array `(H, W)`, `(H, W, 1)` or `(H, W, 3)` uint8.
        spec: The input to match. An array that already matches is returned unchanged.

    Returns:
        uint8 array of shape `spec.shape`, gray or RGB (RGB for `bgr`, too).

    Raises:
        ImageError: An image cannot be read or is too large, or an array has another shape.
    """
    from PIL import Image

    if isinstance(source, np.ndarray) and source.shape == spec.shape and source.dtype == np.uint8:
        return source
    if isinstance(source, (np.ndarray, Image.Image)):
        return _fit(in_memory(source), spec)
    with decoding(source, side=decoded_side(spec)) as image:
        return _fit(image, spec)


def in_memory(source: Image.Image | NDArray[np.uint8]) -> Image.Image:
    """A Pillow image or an array as an upright image of mode `L` or `RGB`.

    Raises:
        ImageError: It is too large, or the array has another shape.
    """
    from PIL import ImageOps

    if isinstance(source, np.ndarray):
        return _from_array(source)
    check_pixels(source.size, "the image")
    return to_gray_or_rgb(ImageOps.exif_transpose(source))


def decoded_side(spec: InputSpec) -> int:
    """The side of `decoding` for an input: a large JPEG file need not be decoded as a whole."""
    return DECODED_SIDES * max(spec.width, spec.height)


def _fit(image: Image.Image, spec: InputSpec) -> NDArray[np.uint8]:
    image = image.convert("L" if spec.color == "gray" else "RGB")
    return np.asarray(_resize(image, spec), np.uint8).reshape(spec.shape)


def _from_array(array: NDArray[Any]) -> Image.Image:
    from PIL import Image

    plane = array[..., 0] if array.ndim == 3 and array.shape[2] == 1 else array
    fits = plane.ndim == 2 or (plane.ndim == 3 and plane.shape[2] == 3)
    if array.dtype != np.uint8 or not fits or 0 in array.shape:
        raise ImageError(
            "an image array must be uint8 of shape (H, W), (H, W, 1) or (H, W, 3); "
            f"received: {array.dtype} of shape {array.shape}"
        )
    check_pixels((array.shape[1], array.shape[0]), "the image array")
    return Image.fromarray(np.ascontiguousarray(plane))


def _resize(image: Image.Image, spec: InputSpec) -> Image.Image:
    from PIL import Image, ImageOps

    size = (spec.width, spec.height)
    bilinear = Image.Resampling.BILINEAR  # Pillow antialiases when it scales down
    if image.size == size:
        return image
    if spec.crop == "fill":
        return image.resize(size, bilinear)
    if spec.crop == "fit":
        return ImageOps.pad(image, size, bilinear, color=0)
    return ImageOps.fit(image, size, bilinear)

"""Images, and the one description of what a network eats (`InputSpec`).

Everything that looks at a picture (training on a folder, `predict`, the Core ML runtime, the
preview page) goes through `prepare`, so that a picture is oriented, cropped and resized in one way.
Arrays are in picture order, `(H, W, 1)` gray or `(H, W, 3)` RGB, uint8. Only `network_input`
turns them into what the first layer sees, and only there does `bgr` swap the channels.
"""

from __future__ import annotations

import json
import math
import os
import struct
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

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
    "InputSpec",
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
"""The user-metadata key under which `InputSpec.to_json()` travels inside a Core ML file."""

MAX_PIXELS = 100_000_000
"""The largest picture that is decoded: 100 megapixels, 300 MB as RGB."""

MAX_SIDE = 4096
"""The largest input height or width of a network, in pixels."""

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF")


@dataclass(frozen=True)
class InputSpec:
    """What a network eats: `pixel * scale + bias`, channel by channel, after the crop.

    Args:
        height: Height of the input in pixels.
        width: Width of the input in pixels.
        color: `gray` (one channel), `rgb` or `bgr` (three, in that order).
        scale: One factor per channel; a single number serves every channel.
        bias: One offset per channel, added after the scale; a single number serves every channel.
        crop: `center-crop` cuts the largest centered part of the input's shape, `fit` keeps the
            whole picture and pads with black, `fill` stretches it. The names follow Vision's
            `centerCrop`, `scaleToFit` and `scaleToFill`.
        ink: How a drawing for it is made, on the phone or in the browser: `dark` lines on light
            ground, as on paper, or `light` ones on dark ground, as in MNIST. Pictures are taken as
            they are.

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

    def __post_init__(self) -> None:
        if found := self.faults(vars(self)):
            raise OptionError("; ".join(found))
        for name in ("scale", "bias"):
            numbers = _numbers(getattr(self, name))
            full = numbers * self.channels if len(numbers) == 1 else numbers
            object.__setattr__(self, name, tuple(float(v) for v in full))

    @classmethod
    def faults(cls, values: Mapping[str, Any]) -> list[str]:
        """What is wrong with the constructor's arguments, each fault in words."""
        known = [field.name for field in fields(cls)]
        found = [
            f"input.{key} is not a key; {did_you_mean(key, known)}"
            for key in values
            if key not in known
        ]
        for name in ("height", "width"):
            side = values.get(name)
            if name not in values:
                found.append(f"input.{name} is missing; expected a whole number of pixels")
            elif type(side) is not int or not 1 <= side <= MAX_SIDE:
                found.append(
                    f"input.{name} is a whole number from 1 to {MAX_SIDE}; received: {side!r}"
                )
        color = values.get("color", cls.color)
        for name, value, names in (
            ("color", color, COLORS),
            ("crop", values.get("crop", cls.crop), CROPS),
            ("ink", values.get("ink", cls.ink), INKS),
        ):
            if value not in names:
                found.append(
                    f"input.{name} {value!r} is not known; {did_you_mean(str(value), names)}"
                )
        if color not in COLORS:  # how many numbers are expected is not known either
            return found
        channels = 1 if color == "gray" else 3
        for name in ("scale", "bias"):
            numbers = _numbers(values.get(name, 0.0))
            wrong = [v for v in numbers if type(v) not in (int, float) or not math.isfinite(v)]
            if wrong or len(numbers) not in (1, channels):
                found.append(
                    f"input.{name} is a finite number, or one for each of the {channels} "
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
        """What the first layer sees, `(N, C, H, W)` float32, of images `(N, H, W, C)` uint8."""
        planes = images.astype(np.float32).transpose(0, 3, 1, 2)
        if self.color == "bgr":
            planes = planes[:, ::-1]
        scale = np.array(self.scale, np.float32).reshape(1, -1, 1, 1)
        bias = np.array(self.bias, np.float32).reshape(1, -1, 1, 1)
        return np.ascontiguousarray(planes * scale + bias)

    def to_dict(self) -> dict[str, Any]:
        """A plain dictionary, the inverse of `from_dict`."""
        return {**asdict(self), "scale": list(self.scale), "bias": list(self.bias)}

    def to_json(self) -> str:
        """One line of JSON: the form in which it travels inside a Core ML file."""
        return json.dumps(self.to_dict(), separators=(",", ":"))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> InputSpec:
        """From a dictionary of the constructor's arguments.

        Raises:
            OptionError: An unknown key, a missing size, or a value out of range.
        """
        if found := cls.faults(values):
            raise OptionError("; ".join(found))
        return cls(**values)

    @classmethod
    def from_json(cls, text: str) -> InputSpec:
        """The inverse of `to_json`.

        Raises:
            OptionError: Text that is not the JSON of an InputSpec.
        """
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise OptionError(f"an InputSpec is a JSON object; received: {text[:80]!r}") from error
        if not isinstance(values, dict):
            raise OptionError(f"an InputSpec is a JSON object; received: {text[:80]!r}")
        return cls.from_dict(values)


def _numbers(value: Any) -> tuple[Any, ...]:
    """One number or several, as several."""
    return tuple(value) if isinstance(value, (list, tuple)) else (value,)


def open_image(
    source: str | os.PathLike[str] | bytes, *, max_pixels: int = MAX_PIXELS
) -> Image.Image:
    """Open a picture file, upright (EXIF orientation applied), decoded, as `L` or `RGB`.

    Nothing is left of what else the file notes, which may be damaged or private. Transparency is
    laid over white paper. Of an animation the first frame counts.

    Args:
        source: The file's path, or its contents.
        max_pixels: The largest picture that is decoded.

    Raises:
        ImageError: No such file, not a picture, cut short, or more than `max_pixels` pixels.
    """
    from PIL import Image, UnidentifiedImageError

    path = "the picture" if isinstance(source, bytes) else Path(source)
    file = BytesIO(source) if isinstance(source, bytes) else Path(source)
    try:
        with warnings.catch_warnings():
            # Of size Pillow only warns, ours below is the limit that counts; and what it warns of
            # in a damaged file either does not matter or becomes the error below.
            warnings.simplefilter("ignore")
            with Image.open(file, formats=FORMATS) as image:
                _check_pixels(image.size, str(path), max_pixels)
                image.load()
                upright = _upright(image)
                upright.info.clear()
                return upright
    except UnidentifiedImageError as error:
        raise ImageError(
            f"{path} is not a picture this program reads; expected one of: {', '.join(FORMATS)} "
            "(an iPhone's HEIC photo: export it as JPEG first)"
        ) from error
    except Image.DecompressionBombError as error:
        raise ImageError(
            f"{path} would be far larger than {MAX_PIXELS} pixels once decoded; make it smaller"
        ) from error
    except FileNotFoundError as error:
        raise ImageError(f"{path} does not exist; expected a picture file") from error
    except (OSError, SyntaxError, ValueError, EOFError, RuntimeError, struct.error) as error:
        # Pillow's decoders raise any of these on damaged files.
        raise ImageError(f"{path} cannot be read as a picture: {error}") from error


def prepare(source: ImageSource, spec: InputSpec) -> NDArray[np.uint8]:
    """Make any picture fit `spec`: upright, in its colors, cropped, resized.

    Args:
        source: A path, a Pillow image, or an array `(H, W)`, `(H, W, 1)` or `(H, W, 3)` uint8.
        spec: The input to fit. An array that fits already is returned as it is.

    Returns:
        uint8 array of shape `spec.shape`, in picture order (gray or RGB, also for `bgr`).

    Raises:
        ImageError: A picture that cannot be read, is too large, or an array of another shape.
    """
    from PIL import Image

    if isinstance(source, np.ndarray):
        if source.shape == spec.shape and source.dtype == np.uint8:
            return source
        image = _from_array(source)
    elif isinstance(source, Image.Image):
        _check_pixels(source.size, "the image")
        image = _upright(source)
    else:
        image = open_image(source)
    image = image.convert("L" if spec.color == "gray" else "RGB")
    return np.asarray(_resize(image, spec), np.uint8).reshape(spec.shape)


def _check_pixels(size: tuple[int, int], what: str, most: int = MAX_PIXELS) -> None:
    width, height = size
    if width * height > most:
        raise ImageError(
            f"{what} has {width} × {height} pixels; expected at most {most}; make it smaller"
        )


def _upright(image: Image.Image) -> Image.Image:
    from PIL import Image, ImageOps

    image = ImageOps.exif_transpose(image)
    if image.mode in ("L", "RGB"):
        return image
    if image.mode.startswith("I;16"):  # 16-bit gray: Pillow would clip it, not scale it
        return Image.fromarray((np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ImageError(
            f"the picture has mode {image.mode} (32-bit gray); expected 8 or 16 bits a channel"
        )
    if image.has_transparency_data:
        paper = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(paper, image.convert("RGBA")).convert("RGB")
    return image.convert("L" if image.mode == "1" else "RGB")


def _from_array(array: NDArray[Any]) -> Image.Image:
    from PIL import Image

    plane = array[..., 0] if array.ndim == 3 and array.shape[2] == 1 else array
    fits = plane.ndim == 2 or (plane.ndim == 3 and plane.shape[2] == 3)
    if array.dtype != np.uint8 or not fits or 0 in array.shape:
        raise ImageError(
            "an image array is uint8 of shape (H, W), (H, W, 1) or (H, W, 3); "
            f"received: {array.dtype} of shape {array.shape}"
        )
    _check_pixels((array.shape[1], array.shape[0]), "the image array")
    return Image.fromarray(np.ascontiguousarray(plane))


def _resize(image: Image.Image, spec: InputSpec) -> Image.Image:
    from PIL import Image, ImageOps

    size = (spec.width, spec.height)
    bilinear = Image.Resampling.BILINEAR  # antialiased when it makes the picture smaller
    if image.size == size:
        return image
    if spec.crop == "fill":
        return image.resize(size, bilinear)
    if spec.crop == "fit":
        return ImageOps.pad(image, size, bilinear, color=0)
    return ImageOps.fit(image, size, bilinear)

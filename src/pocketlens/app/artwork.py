"""Images drawn by Pocketlens: the app's icon and the fixture images of its tests.

Deterministic: the same arguments produce the same pixels.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pocketlens.image import InputSpec

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["ICONS", "ICON_SIZE", "MAX_PICTURES", "Appearance", "fixture_images", "icon", "png"]

ICON_SIZE = 1024
"""The icon size that Xcode requires, in pixels."""

Appearance: TypeAlias = Literal["light", "dark", "tinted"]

ICONS: dict[Appearance, str] = {
    "light": "AppIcon.png",
    "dark": "AppIcon-Dark.png",
    "tinted": "AppIcon-Tinted.png",
}
"""The file names in the asset catalog."""

TOP, BOTTOM = (61, 140, 237), (36, 60, 145)
WHITE = (255, 255, 255)
PALE = (150, 198, 255)  # TOP, lightened: readable on the dark background
OVERSAMPLING = 4  # smooths the edges of small images; large images do not need it
SMALL = 512
MAX_PICTURES = 4


def icon(
    letter: str, appearance: Appearance = "light", pictures: Sequence[Image.Image] = ()
) -> Image.Image:
    """An app icon, 1024 × 1024: `letter`, or pictures, between the corners of a viewfinder.

    Up to three pictures are side by side, four or more are a square of the first four. The dark
    icon then has them darkened, the tinted one in gray.

    As Apple's guidelines ask, `light` is opaque (RGB), `dark` has a transparent background (RGBA),
    because the system draws its own, and `tinted` is gray on black (mode L): the system colors it.
    """
    from PIL import Image, ImageDraw, ImageFont

    ink: Any = WHITE
    if pictures:
        image = _mosaic(pictures, {"light": 0.9, "dark": 0.6, "tinted": 0.8}[appearance])
        image = image.convert({"light": "RGB", "dark": "RGBA", "tinted": "L"}[appearance])
        ink = 255 if appearance == "tinted" else WHITE
    elif appearance == "light":
        ramp = np.linspace(TOP, BOTTOM, ICON_SIZE).round().astype(np.uint8)
        image = Image.fromarray(np.repeat(ramp[:, None, :], ICON_SIZE, axis=1))
    elif appearance == "dark":
        image, ink = Image.new("RGBA", (ICON_SIZE, ICON_SIZE)), PALE
    else:
        image, ink = Image.new("L", (ICON_SIZE, ICON_SIZE)), 255
    draw = ImageDraw.Draw(image)
    near, far, arm, width = 176, ICON_SIZE - 176, 150, 44
    for x, inward_x in ((near, arm), (far, -arm)):
        for y, inward_y in ((near, arm), (far, -arm)):
            draw.line([(x + inward_x, y), (x, y), (x, y + inward_y)], ink, width, joint="curve")
    if not pictures:
        font = ImageFont.load_default(520)
        draw.text((ICON_SIZE / 2, ICON_SIZE / 2), letter, ink, font, anchor="mm")
    return image


def _mosaic(pictures: Sequence[Image.Image], brightness: float) -> Image.Image:
    """Pictures in columns, or four in a square; darkened, so that white lines are visible."""
    from PIL import Image, ImageOps

    shown = pictures[: MAX_PICTURES if len(pictures) >= MAX_PICTURES else MAX_PICTURES - 1]
    columns, rows = (2, 2) if len(shown) == MAX_PICTURES else (len(shown), 1)
    lines = [round(k * ICON_SIZE / columns) for k in range(columns + 1)]
    height = ICON_SIZE // rows
    image = Image.new("RGB", (ICON_SIZE, ICON_SIZE))
    for number, picture in enumerate(shown):
        row, column = divmod(number, columns)
        size = (lines[column + 1] - lines[column], height)
        part = ImageOps.fit(picture.convert("RGB"), size, Image.Resampling.LANCZOS)
        image.paste(part, (lines[column], row * height))
    return image.point([round(brightness * value) for value in range(256)] * 3)


def fixture_images(spec: InputSpec) -> dict[str, Image.Image]:
    """Test images for a model with this input, by file name.

    All except `wide.png` have exactly the input's size, so that differences in resizing cannot
    change the result. `wide.png`, for models with a center crop, is three times as wide: the image
    `ring.png` between two white areas, which the crop must remove.
    """
    from PIL import Image

    images = {
        "stroke.png": _drawing(spec, _stroke),
        "ring.png": _drawing(spec, _ring),
        "gradient.png": _gradient(spec),
    }
    if spec.crop == "center-crop":
        wide = Image.new("RGB", (3 * spec.width, spec.height), WHITE)
        wide.paste(images["ring.png"], (spec.width, 0))
        images["wide.png"] = wide
    mode = "L" if spec.color == "gray" else "RGB"
    return {name: image.convert(mode) for name, image in images.items()}


def png(image: Image.Image) -> bytes:
    """The image encoded as PNG."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def _drawing(spec: InputSpec, draw_shape: Callable[[Any, float, float, int], None]) -> Image.Image:
    from PIL import Image, ImageDraw

    finer = OVERSAMPLING if max(spec.width, spec.height) <= SMALL else 1
    width, height = spec.width * finer, spec.height * finer
    image = Image.new("RGB", (width, height))
    draw_shape(ImageDraw.Draw(image), width, height, max(1, min(width, height) // 9))
    return image.resize((spec.width, spec.height), Image.Resampling.BOX)


def _stroke(draw: Any, width: float, height: float, pen: int) -> None:
    points = [(0.35, 0.3), (0.55, 0.15), (0.55, 0.85)]
    draw.line([(x * width, y * height) for x, y in points], (255, 200, 120), pen, joint="curve")


def _ring(draw: Any, width: float, height: float, pen: int) -> None:
    box = (0.25 * width, 0.15 * height, 0.75 * width, 0.85 * height)
    draw.ellipse(box, outline=(120, 220, 255), width=pen)


def _gradient(spec: InputSpec) -> Image.Image:
    from PIL import Image

    across = np.linspace(0, 255, spec.width)[None, :]
    down = np.linspace(255, 0, spec.height)[:, None]
    planes = np.broadcast_arrays(across + 0 * down, down + 0 * across, (across + down) / 2)
    pixels: NDArray[np.uint8] = np.stack(planes, axis=-1).round().astype(np.uint8)
    return Image.fromarray(pixels)

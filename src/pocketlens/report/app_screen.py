"""A drawing of the app's camera screen, with the model's own answer to a test image.

Layout, colors and texts are those of the app's SwiftUI source (`app/templates/App/Screens`); a test
compares them. The picture in the camera is an image of the run: for a recognizer of handwriting
with the class `nothing`, a simulated photo of it. Its label and confidence are what the Core ML
file says about that picture, by the app's own rule. Sizes are points of an iPhone's screen.
"""

from __future__ import annotations

import base64
import io
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

import numpy as np
from numpy.typing import NDArray

from pocketlens.data.dataset import Dataset
from pocketlens.errors import DataError, printable
from pocketlens.files import write_aside
from pocketlens.image import InputSpec, prepare
from pocketlens.prediction import NOTHING, Predictor
from pocketlens.preview.smoothing import Smoother

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["Screen", "camera_frame", "draw_app_screen", "screen_of"]

WIDTH, HEIGHT = 393, 852
"""The screen of an iPhone 15 or 16."""

TOP, TABS = 59, 83
"""The heights of the safe area's upper border and of the tab bar."""

FRAME = (720, 1280)
"""Width and height of an upright camera frame in pixels (the preset `hd1280x720`)."""

ACCENT = "#3d8ced"
SHADE = 0.4
GUIDE_INSET, GUIDE_RADIUS, GUIDE_LINE = 2, 12, 3
CARD_RADIUS = 16
PADDING = 16
BUTTON = 44
PLACEHOLDER = "Point the camera at something."
TAB_TITLES = ("Camera", "Draw", "Photo")

LARGE_TITLE, TITLE, HEADLINE = 34, 20, 17
"""Sizes of iOS's text styles `largeTitle`, `title3` and `headline`."""
SMALLEST = 0.5
"""A label that is too long for two lines gets smaller, to at most this share."""

FONTS = "-apple-system, 'SF Pro Text', system-ui, 'Helvetica Neue', Arial, sans-serif"
MATERIAL, SECONDARY, GRAY = "#f4f4f6", "#6d6d72", "#8e8e93"

BLUR = 60
"""The blur of what continues the picture, in pixels of the frame."""

CANDIDATES = 16
"""How many test images are tried, until the app shows a label for one."""


@dataclass(frozen=True)
class Screen:
    """What the app's camera screen shows.

    Args:
        frame: The camera's frame, 720 × 1280 pixels.
        spec: The model's input, for the frame around what it sees.
        label: The label to show; None if the model is not sure or sees nothing.
        confidence: The label's probability, in [0, 1]; None without a label.
        truth: The picture's true class.
    """

    frame: Image.Image
    spec: InputSpec
    label: str | None
    confidence: float | None
    truth: str


def draw_app_screen(model: Predictor, dataset: Dataset, path: str | Path) -> Path:
    """Draw the app's camera screen, as it is with a test image in front of the camera.

    Args:
        model: The Core ML file of the app.
        dataset: Test images, at least one.
        path: The SVG file to write.

    Raises:
        DataError: The data set is empty.
        OutputError: The file cannot be written.
    """
    target = Path(path)
    write_aside(target, _svg(screen_of(model, dataset)))
    return target


def screen_of(model: Predictor, dataset: Dataset) -> Screen:
    """The screen with the first of some test images for which the app shows a label.

    If it shows none, the screen with the first image.

    Raises:
        DataError: The data set is empty.
    """
    if not len(dataset):
        raise DataError(f"{dataset.name} is empty; the drawing needs at least one image")
    screens = []
    pictures = _pictures(model, dataset.sample(CANDIDATES))
    for picture, label in zip(pictures.images, pictures.labels, strict=True):
        frame = camera_frame(picture, model.input_spec)
        smoother = Smoother.for_model(model, still=True)
        pixels = prepare(frame, model.input_spec)
        shown = smoother.add(model.probabilities(pixels[None])[0])
        truth = pictures.classes[label]
        screens.append(Screen(frame, model.input_spec, shown, smoother.confidence, truth))
        if shown is not None:
            return screens[-1]
    return screens[0]


def _pictures(model: Predictor, dataset: Dataset) -> Dataset:
    """Simulated photos, if the model was trained for the camera and the images are drawings."""
    if NOTHING not in model.classes:
        return dataset
    from pocketlens.evaluation.robustness.photos import photograph

    try:
        return photograph(dataset)
    except DataError:  # photos already, or other images that are not drawings
        return dataset


def camera_frame(picture: NDArray[np.uint8], spec: InputSpec) -> Image.Image:
    """An upright camera frame whose part that the model sees is the picture, `(H, W, 1 or 3)`.

    The rest of the frame continues the colors of the picture's edges.
    """
    from PIL import Image, ImageFilter

    wide, high = FRAME
    rgb = Image.fromarray(np.broadcast_to(picture, (*picture.shape[:2], 3)).copy())
    if spec.crop == "fill":
        return rgb.resize(FRAME, Image.Resampling.BICUBIC)
    scale = min(wide / rgb.width, high / rgb.height)
    size = max(1, round(rgb.width * scale)), max(1, round(rgb.height * scale))
    inner = np.asarray(rgb.resize(size, Image.Resampling.BICUBIC))
    left, top = (wide - size[0]) // 2, (high - size[1]) // 2
    borders = ((top, high - size[1] - top), (left, wide - size[0] - left), (0, 0))
    frame = Image.fromarray(np.pad(inner, borders, "edge"))
    frame = frame.filter(ImageFilter.GaussianBlur(BLUR))
    frame.paste(Image.fromarray(inner), (left, top))
    return frame


def _svg(screen: Screen) -> str:
    high = WIDTH * FRAME[1] / FRAME[0]
    top = (HEIGHT - high) / 2
    left, guide_top, right, bottom = _guide(screen.spec, top, high)
    buffer = io.BytesIO()
    screen.frame.save(buffer, "JPEG", quality=88)
    picture = base64.b64encode(buffer.getvalue()).decode()
    inset, active = GUIDE_INSET, screen.label is not None
    answer = "no label" if screen.label is None else f"{screen.label}, {_percent(screen)}"
    described = (
        f"The camera shows a test image of the class {screen.truth}; the app shows {answer}."
    )
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="-12 -12 {WIDTH + 24} {HEIGHT + 24}"
  width="{WIDTH + 24}" height="{HEIGHT + 24}" font-family="{FONTS}" text-anchor="middle">
<title>The app's camera screen</title>
<desc>{_text(described)}</desc>
<defs><clipPath id="screen"><rect width="{WIDTH}" height="{HEIGHT}" rx="50"/></clipPath></defs>
<rect x="-12" y="-12" width="{WIDTH + 24}" height="{HEIGHT + 24}" rx="62" fill="#1c1c1e"/>
<g clip-path="url(#screen)">
<rect width="{WIDTH}" height="{HEIGHT}"/>
<image y="{top:.1f}" width="{WIDTH}" height="{high:.1f}" preserveAspectRatio="none"
  href="data:image/jpeg;base64,{picture}"/>
<path fill-rule="evenodd" fill-opacity="{SHADE}" d="M0 0H{WIDTH}V{HEIGHT}H0ZM{left:.1f} \
{guide_top:.1f}V{bottom:.1f}H{right:.1f}V{guide_top:.1f}Z"/>
<rect x="{left + inset:.1f}" y="{guide_top + inset:.1f}" width="{right - left - 2 * inset:.1f}"
  height="{bottom - guide_top - 2 * inset:.1f}" rx="{GUIDE_RADIUS}" fill="none"
  stroke="{ACCENT if active else "#fff"}" stroke-width="{GUIDE_LINE}"/>
{_buttons()}
{_card(screen)}
{_tab_bar()}
</g>
</svg>
"""


def _guide(spec: InputSpec, top: float, high: float) -> tuple[float, float, float, float]:
    """The part that the model sees: left, top, right, bottom; as in the app's FrameGeometry."""
    if spec.crop != "center-crop":
        return 0, top, WIDTH, top + high
    scale = min(WIDTH / spec.width, high / spec.height)
    wide, tall = spec.width * scale, spec.height * scale
    return (WIDTH - wide) / 2, (HEIGHT - tall) / 2, (WIDTH + wide) / 2, (HEIGHT + tall) / 2


ICONS = (
    "M-4 -10H4V-7L2 -3V9H-2V-3L-4 -7ZM-4 -7H4M0 0V3",  # flashlight
    "M-9 -5H-5L-3 -8H3L5 -5H9V8H-9ZM-4 2A4 4 0 0 1 3 -1M4 1A4 4 0 0 1 -3 4M3 -4V-1H0M-3 7V4H0",
    "M-2 -6H9M-2 0H9M-2 6H9M-8 -7.5V-4.5M-9 -1.5H-7L-9 1.5H-7M-9 4.5H-7L-8 6L-7 7.5H-9",  # list
)
TAB_ICONS = (
    "M-11 -6H-6L-4 -9H4L6 -6H11V8H-11ZM4 1A4 4 0 1 1 -4 1A4 4 0 1 1 4 1",
    "M-3 9L-6 -1L0 -10L6 -1L3 9ZM0 -10V1",
    "M-11 -8H11V8H-11ZM-11 5L-4 -2L2 4L6 0L11 5",
)


def _buttons() -> str:
    x = WIDTH - PADDING - BUTTON / 2
    parts = []
    for index, icon in enumerate(ICONS):
        y = TOP + PADDING + BUTTON / 2 + index * (BUTTON + 8)
        parts.append(
            f'<g transform="translate({x} {y})"><circle r="{BUTTON / 2}" fill="{MATERIAL}" '
            f'fill-opacity=".85"/><path d="{icon}" fill="none" stroke="{ACCENT}" '
            'stroke-width="1.8" stroke-linejoin="round" stroke-linecap="round"/></g>'
        )
    return "\n".join(parts)


def _card(screen: Screen) -> str:
    """The label with its confidence, above the tab bar."""
    room = WIDTH - 4 * PADDING
    if screen.label is None:
        lines, size, color, weight = [PLACEHOLDER], float(HEADLINE), SECONDARY, 600
    else:
        lines, size = _fitted(screen.label, room)
        color, weight = "#000", 700
    widths = [_ems(line) * size for line in lines]
    height = 1.2 * size * len(lines) + (0 if screen.label is None else 1.25 * TITLE + 4)
    wide, tall = min(max(*widths, 80), room) + 2 * PADDING, height + 2 * PADDING
    left, top = (WIDTH - wide) / 2, HEIGHT - TABS - PADDING - tall
    rows = [
        f'<text x="{WIDTH / 2}" y="{top + PADDING + size * (0.95 + 1.2 * index):.1f}" '
        f'font-size="{size:g}" font-weight="{weight}" fill="{color}">{_text(line)}</text>'
        for index, line in enumerate(lines)
    ]
    if screen.label is not None:
        rows.append(
            f'<text x="{WIDTH / 2}" y="{top + tall - PADDING - 5:.1f}" font-size="{TITLE}" '
            f'fill="{SECONDARY}">{_percent(screen)}</text>'
        )
    return (
        f'<rect x="{left:.1f}" y="{top:.1f}" width="{wide:.1f}" height="{tall:.1f}" '
        f'rx="{CARD_RADIUS}" fill="{MATERIAL}" fill-opacity=".9"/>\n' + "\n".join(rows)
    )


def _tab_bar() -> str:
    top = HEIGHT - TABS
    parts = [
        f'<rect y="{top}" width="{WIDTH}" height="{TABS}" fill="#f9f9f9"/>',
        f'<rect x="{WIDTH / 2 - 67}" y="{HEIGHT - 13}" width="134" height="5" rx="2.5"/>',
    ]
    for index, (title, icon) in enumerate(zip(TAB_TITLES, TAB_ICONS, strict=True)):
        x, color = WIDTH * (2 * index + 1) / 6, ACCENT if index == 0 else GRAY
        parts.append(
            f'<g transform="translate({x:.1f} {top + 18})"><path d="{icon}" fill="none" '
            f'stroke="{color}" stroke-width="1.8" stroke-linejoin="round"/>'
            f'<text y="25" font-size="10" font-weight="500" fill="{color}">{title}</text></g>'
        )
    return "\n".join(parts)


def _fitted(label: str, room: float) -> tuple[list[str], float]:
    """A label in at most two lines, and its font size; shortened if it is still too long."""
    for share in np.arange(1, SMALLEST - 0.01, -0.05):
        size = float(LARGE_TITLE * share)
        lines = _lines(label, room / size)
        if len(lines) <= 2:
            return lines, size
    longest = lines[1]
    while len(longest) > 1 and _ems(f"{longest}…") * size > room:
        longest = longest[:-1]
    return [lines[0], f"{longest.rstrip()}…"], size


def _lines(text: str, ems: float) -> list[str]:
    """The text in lines of at most `ems`, broken between words, or in words longer than a line."""
    lines = [""]
    for word in text.split():
        if _ems(f"{lines[-1]} {word}".strip()) <= ems:
            lines[-1] = f"{lines[-1]} {word}".strip()
            continue
        lines.append("")
        for letter in word:
            if lines[-1] and _ems(lines[-1] + letter) > ems:
                lines.append("")
            lines[-1] += letter
    return [line for line in lines if line] or [text]


def _ems(text: str) -> float:
    """The width of a text as a multiple of its font size, roughly, in any font."""
    wide = sum(unicodedata.east_asian_width(letter) in "WF" for letter in text)
    capital = sum(letter.isupper() for letter in text)
    return 0.58 * (len(text) - wide - capital) + 0.74 * capital + 1.02 * wide


def _percent(screen: Screen) -> str:
    assert screen.confidence is not None  # a label has a confidence
    return f"{100 * screen.confidence:.0f}%"


def _text(text: str) -> str:
    return escape(printable(text))

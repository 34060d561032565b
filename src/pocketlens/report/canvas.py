"""The common style of all figures, and how a figure is saved.

Figures are drawn with Matplotlib's object-oriented interface. The settings come from `style()`, not
from the user's `matplotlibrc`, and files contain no date, so the same data results in identical
files.
"""

from __future__ import annotations

import itertools
import unicodedata
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pocketlens.data.dataset import Dataset
from pocketlens.errors import DataError, OptionError, missing_package
from pocketlens.files import aside

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PAPER, INK, MUTED, LINE = "#ffffff", "#1b2333", "#667085", "#e4e7ec"

# Colors of the Okabe-Ito palette; BLUE and ORANGE are easy to distinguish with any color vision.
BLUE, ORANGE = "#0072b2", "#d55e00"
PALETTE = (BLUE, ORANGE, "#009e73", "#cc79a7", "#e69f00", "#56b4e9")

HEADER = 0.72
"""Height of a title and a subtitle of one line each, in inches."""

TITLE_SIZE, SUBTITLE_SIZE, CAPTION_SIZE = 12, 9, 8.5
LINE_SPACING = 1.35
"""The distance of two lines of a title or subtitle, as a multiple of the font size."""

MARGIN = 0.18
"""Left and right margin of a figure, in inches."""

WIDEST = 9.0
"""The width of a row of images, in inches, at which its captions are still legible on a page."""

STYLE = {
    "axes.axisbelow": True,
    "axes.edgecolor": LINE,
    "axes.facecolor": PAPER,
    "axes.grid": True,
    "axes.labelcolor": MUTED,
    "axes.labelsize": 9,
    "axes.linewidth": 0.8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "figure.facecolor": PAPER,
    "font.size": 9,
    "grid.color": LINE,
    "grid.linewidth": 0.8,
    "legend.borderaxespad": 1.5,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "lines.linewidth": 2,
    "savefig.dpi": 160,
    "svg.fonttype": "path",
    "svg.hashsalt": "pocketlens",
    "text.color": INK,
    "text.parse_math": False,  # class names may contain dollar signs
    "xtick.color": LINE,
    "xtick.labelcolor": MUTED,
    "xtick.labelsize": 8.5,
    "ytick.color": LINE,
    "ytick.labelcolor": MUTED,
    "ytick.labelsize": 8.5,
}


OTHER_SCRIPTS = (
    *("Noto Sans CJK JP", "Noto Sans CJK SC", "Noto Sans CJK TC", "Noto Sans CJK KR"),
    *("Noto Sans JP", "Noto Sans SC", "Noto Sans TC", "Noto Sans KR"),
    *("Source Han Sans", "Source Han Sans SC", "WenQuanYi Zen Hei", "WenQuanYi Micro Hei"),
    *("Droid Sans Fallback", "IPAGothic", "Hiragino Sans", "Hiragino Sans GB", "PingFang SC"),
    *("Apple SD Gothic Neo", "Yu Gothic", "Microsoft YaHei", "Malgun Gothic", "Arial Unicode MS"),
    *("Noto Sans", "Noto Sans Thai", "Noto Sans Devanagari", "Noto Sans Bengali", "Thonburi"),
)
"""Fonts for class names in scripts that DejaVu Sans does not cover; used if they are installed.
DejaVu Sans itself comes with Matplotlib, so it is the same on every machine."""


@contextmanager
def style() -> Iterator[None]:
    """Use Matplotlib's defaults with `STYLE` applied, while a figure is drawn and saved.

    Raises:
        MissingExtraError: Matplotlib is not installed.
    """
    try:
        import matplotlib
    except ModuleNotFoundError as error:
        raise missing_package(error, purpose="drawing figures") from error
    with matplotlib.rc_context(), warnings.catch_warnings():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE | {"font.family": _fonts()})
        # A character that no font has is drawn as a box, so the warning is not needed.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font", module="pocketlens")
        yield


def _fonts() -> list[str]:
    from matplotlib.font_manager import fontManager

    present = {font.name for font in fontManager.ttflist}
    return ["DejaVu Sans", *(name for name in OTHER_SCRIPTS if name in present)]


def new_figure(width: float, height: float, title: str, subtitle: str) -> Figure:
    """An empty figure with title and subtitle; `height` is the height below them, in inches.

    A title or subtitle that is wider than the figure gets several lines.
    """
    from matplotlib.figure import Figure

    title = wrapped(title, width - 2 * MARGIN, size=TITLE_SIZE, weight="bold")
    subtitle = wrapped(subtitle, width - 2 * MARGIN, size=SUBTITLE_SIZE)
    more = title.count("\n") * TITLE_SIZE * LINE_SPACING / 72
    header = HEADER + more + subtitle.count("\n") * SUBTITLE_SIZE * LINE_SPACING / 72
    total = height + header
    figure = Figure(figsize=(width, total), layout="constrained")
    left = MARGIN / width
    common: dict[str, Any] = {"va": "top", "linespacing": LINE_SPACING}
    figure.text(left, 1 - 0.17 / total, title, size=TITLE_SIZE, weight="bold", **common)
    place = 1 - (0.43 + more) / total
    figure.text(left, place, subtitle, size=SUBTITLE_SIZE, color=MUTED, **common)
    engine: Any = figure.get_layout_engine()
    engine.set(rect=(left, 0.1 / total, 1 - 2 * left, 1 - (header + 0.1) / total))
    return figure


def text_width(text: str, *, size: float, weight: str = "normal") -> float:
    """The width of one line of text in inches."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(size=size, weight=weight)
    width: float = text_to_path.get_text_width_height_descent(text, font, ismath=False)[0]
    return width / 72


def wrapped(text: str, inches: float, *, size: float, weight: str = "normal") -> str:
    """A text in lines of at most `inches`; breaks between words, and in words longer than a line.

    Args:
        text: One line.
        inches: The maximum width of a line.
        size: The font size in points.
        weight: The weight of the font, `normal` or `bold`.
    """

    def fits(line: str) -> bool:
        return text_width(line, size=size, weight=weight) <= inches

    if fits(text):
        return text
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if fits(longer):
            lines[-1] = longer
            continue
        lines.append("")
        for character in word:
            if lines[-1] and not fits(lines[-1] + character):
                lines.append("")
            lines[-1] += character
    return "\n".join(filter(None, lines))


def bare(axes: Axes) -> Axes:
    """Hide the frame, the ticks and the grid of axes that show images."""
    axes.set_axis_off()
    return axes


def show(axes: Axes, image: NDArray[np.uint8], box: tuple[float, float, float, float]) -> None:
    """Draw an image `(H, W, 1 or 3)` into `(left, top, right, bottom)`; y increases downward."""
    left, top, right, bottom = box
    # Small images are enlarged with visible pixels; large ones are downsampled with antialiasing.
    smooth = "nearest" if max(image.shape) <= 64 else "antialiased"
    rgb = np.broadcast_to(image, (*image.shape[:2], 3))
    axes.imshow(rgb, extent=(left, right, bottom, top), interpolation=smooth)
    axes.set(xlim=(left, right), ylim=(bottom, top))


def write_in(axes: Axes, position: tuple[float, float], text: str, **options: Any) -> None:
    """Write text centered at a position inside the axes.

    It is excluded from the layout: measuring hundreds of texts would take longer than drawing them.
    """
    axes.text(*position, text, ha="center", va="center", in_layout=False, **options)


def gallery(
    images: Sequence[NDArray[np.uint8]] | NDArray[np.uint8],
    captions: Sequence[Sequence[tuple[str, str]]],
    columns: int,
    title: str,
    subtitle: str,
    path: str | Path,
) -> Path:
    """Draw images in rows, each with a caption below it: lines of `(text, color)`.

    With wide captions, a row has fewer images than `columns`.
    """
    height, width = images[0].shape[:2]
    lines = max(len(caption) for caption in captions)
    # One unit is a cell's width; an image keeps its aspect ratio within a unit square minus a gap.
    texts = {text for caption in captions for text, _ in caption}
    longest = max(text_width(text, size=CAPTION_SIZE) for text in texts)
    inches = max(0.9 if lines > 1 else 0.72, 1.1 * longest)
    columns = min(columns, len(images), max(int(WIDEST / inches), 1))
    rows = -(-len(images) // columns)
    gap, line = 0.1, 0.165 / inches
    high, wide = height / max(height, width), width / max(height, width)
    high, wide = high * (1 - gap), wide * (1 - gap)
    tall = high + lines * line + 1.6 * gap
    figure = new_figure(
        max(columns * inches + 2 * MARGIN, 6), rows * tall * inches + 0.2, title, subtitle
    )
    axes = bare(figure.subplots())
    for k, (image, caption) in enumerate(zip(images, captions, strict=True)):
        y, x = divmod(k, columns)
        left, top = x + (1 - wide) / 2, y * tall
        show(axes, image, (left, top, left + wide, top + high))
        for row, (text, color) in enumerate(caption):
            place = top + high + 0.35 * gap + (row + 0.5) * line
            write_in(axes, (x + 0.5, place), text, size=CAPTION_SIZE, color=color)
    axes.set(xlim=(0, columns), ylim=(rows * tall, 0), aspect="equal", anchor="NW")
    return save(figure, path)


def check_suffix(path: str | Path) -> str:
    """The suffix of a figure's file in lower case.

    Raises:
        OptionError: It is neither `.png` nor `.svg`.
    """
    kind = Path(path).suffix.lower()
    if kind not in (".png", ".svg"):
        raise OptionError(f"a figure must be a .png or .svg file; received: {path}")
    return kind


def save(figure: Figure, path: str | Path) -> Path:
    """Save a figure as PNG or SVG, chosen by the path's suffix.

    Raises:
        OptionError: The suffix is neither `.png` nor `.svg`.
        OutputError: The file cannot be written.
    """
    target, kind = Path(path), check_suffix(path)
    from matplotlib import rcParams
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    _fix_layout(figure)
    # `figure.savefig` would draw everything once more, only to compute a layout that is fixed.
    figure.set_dpi(rcParams["savefig.dpi"])
    with aside(target) as new:
        if kind == ".png":
            FigureCanvasAgg(figure).print_png(new, metadata={"Software": None})
        else:
            FigureCanvasSVG(figure).print_svg(new, metadata={"Date": None, "Creator": None})
    return target


def _fix_layout(figure: Figure) -> None:
    """Compute the layout now and round positions.

    The layout solver's results vary in the last bits, and ids in an SVG file depend on them.
    """
    if figure.axes:
        engine: Any = figure.get_layout_engine()
        engine.execute(figure)
    figure.set_layout_engine("none")
    for axes in figure.axes:
        left, bottom, width, height = axes.get_position(original=True).bounds
        axes.set_position((round(left, 5), round(bottom, 5), round(width, 5), round(height, 5)))


def need_images(dataset: Dataset) -> None:
    """Raise DataError if the data set is empty."""
    if not len(dataset):
        raise DataError(f"{dataset.name} is empty; a figure needs at least one image")


def columns_of(text: str) -> int:
    """The width of a text in characters; a Chinese or Japanese one counts twice."""
    return len(text) + sum(unicodedata.east_asian_width(letter) in "WF" for letter in text)


def short(name: str, most: int = 20) -> str:
    """A class name on one line, shortened in the middle to a width of `most` (at least 5).

    The end is kept because long names often differ only at the end.
    """
    line = " ".join(name.split())
    if columns_of(line) <= most:
        return line
    tail = most // 3
    head = _first(line, most - 1 - tail).rstrip()
    return f"{head}…{_first(line[::-1], tail)[::-1]}"


def _first(text: str, most: int) -> str:
    """The first characters of a text, `most` columns at most."""
    widths = itertools.accumulate(columns_of(letter) for letter in text)
    return text[: sum(width <= most for width in widths)]


def plural(n: int, noun: str) -> str:
    """A count with its noun: `1 image`, `10,000 images`."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}{'es' if noun.endswith('s') else 's'}"


def small(value: float) -> str:
    """Format a small number with two significant digits: `0.00025`, `3.1 × 10⁻⁶`, `0`."""
    if value == 0 or value >= 9.95e-5:
        return f"{value:.2g}"
    digits, _, exponent = f"{value:.1e}".partition("e")
    return f"{digits} × {power_of_ten(int(exponent))}"


def power_of_ten(exponent: int) -> str:
    """`10⁻⁶`; `1` for the exponent 0."""
    raised = str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return "1" if exponent == 0 else f"10{raised}"

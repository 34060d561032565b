"""The look that every figure shares, and how a figure is written.

Figures are drawn with Matplotlib's object-oriented interface. Its defaults come from `style()`,
never from a `matplotlibrc` of the machine, and a file holds no date: the same data gives the same
bytes.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pocketlens.data.dataset import Dataset
from pocketlens.errors import DataError, MissingExtraError, OptionError
from pocketlens.files import aside

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PAPER, INK, MUTED, LINE = "#ffffff", "#1b2333", "#667085", "#e4e7ec"

# The two colors of Okabe and Ito's palette that every kind of color vision tells apart best.
BLUE, ORANGE = "#0072b2", "#d55e00"
PALETTE = (BLUE, ORANGE, "#009e73", "#cc79a7", "#e69f00", "#56b4e9")

HEADER = 0.72
"""Height of a figure's title and subtitle, in inches."""

MARGIN = 0.18
"""Left and right margin of a figure, in inches."""

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
    "text.parse_math": False,  # a class name may hold dollar signs
    "xtick.color": LINE,
    "xtick.labelcolor": MUTED,
    "xtick.labelsize": 8.5,
    "ytick.color": LINE,
    "ytick.labelcolor": MUTED,
    "ytick.labelsize": 8.5,
}


OTHER_SCRIPTS = ("Noto Sans CJK JP", "Hiragino Sans", "PingFang SC", "Yu Gothic", "Noto Sans")
"""Fonts for class names in scripts that DejaVu Sans lacks, where the machine has them. DejaVu Sans
itself comes with Matplotlib, so that it is the same everywhere."""


@contextmanager
def style() -> Iterator[None]:
    """Matplotlib's defaults with `STYLE` on top, for as long as a figure is drawn and written.

    Raises:
        MissingExtraError: Matplotlib is not installed.
    """
    try:
        import matplotlib
    except ModuleNotFoundError as error:
        raise MissingExtraError("matplotlib", "train", "drawing figures") from error
    with matplotlib.rc_context(), warnings.catch_warnings():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE | {"font.family": _fonts()})
        # A character that no font has is drawn as a box, which says the same.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font", module="pocketlens")
        yield


def _fonts() -> list[str]:
    from matplotlib.font_manager import fontManager

    present = {font.name for font in fontManager.ttflist}
    return ["DejaVu Sans", *(name for name in OTHER_SCRIPTS if name in present)]


def new_figure(width: float, height: float, title: str, subtitle: str) -> Figure:
    """An empty figure with its two header lines; `height` is what remains below them, in inches."""
    from matplotlib.figure import Figure

    total = height + HEADER
    figure = Figure(figsize=(width, total), layout="constrained")
    left = MARGIN / width
    figure.text(left, 1 - 0.17 / total, title, size=12, weight="bold", va="top")
    figure.text(left, 1 - 0.43 / total, subtitle, size=9, color=MUTED, va="top")
    engine: Any = figure.get_layout_engine()
    engine.set(rect=(left, 0.1 / total, 1 - 2 * left, 1 - (HEADER + 0.1) / total))
    return figure


def bare(axes: Axes) -> Axes:
    """Axes without frame, ticks and grid: for pictures."""
    axes.set_axis_off()
    return axes


def show(axes: Axes, image: NDArray[np.uint8], box: tuple[float, float, float, float]) -> None:
    """Lay an image `(H, W, 1 or 3)` into `(left, top, right, bottom)`; y runs downwards."""
    left, top, right, bottom = box
    # Pixels of small images are what is to be seen; large ones are reduced smoothly.
    smooth = "nearest" if max(image.shape) <= 64 else "antialiased"
    rgb = np.broadcast_to(image, (*image.shape[:2], 3))
    axes.imshow(rgb, extent=(left, right, bottom, top), interpolation=smooth)
    axes.set(xlim=(left, right), ylim=(bottom, top))


def write_in(axes: Axes, place: tuple[float, float], text: str, **look: Any) -> None:
    """Text centered at a place inside the axes.

    It has no part in the layout: measuring hundreds of cells would take longer than drawing them.
    """
    axes.text(*place, text, ha="center", va="center", in_layout=False, **look)


def gallery(
    images: Sequence[NDArray[np.uint8]] | NDArray[np.uint8],
    captions: Sequence[Sequence[tuple[str, str]]],
    columns: int,
    title: str,
    subtitle: str,
    path: str | Path,
) -> Path:
    """Images in rows, each over its caption: lines of text with their colors."""
    height, width = images[0].shape[:2]
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    lines = max(len(caption) for caption in captions)
    # One unit is a cell's width; an image keeps its shape within a unit square less a gap.
    longest = max(len(text) for caption in captions for text, _ in caption)
    inches = max(0.9 if lines > 1 else 0.72, 0.085 * longest)
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
            write_in(axes, (x + 0.5, place), text, size=8.5, color=color)
    axes.set(xlim=(0, columns), ylim=(rows * tall, 0), aspect="equal", anchor="NW")
    return save(figure, path)


def save(figure: Figure, path: str | Path) -> Path:
    """Write a figure as the PNG or SVG that the path's suffix names.

    Raises:
        OptionError: Another suffix.
        OutputError: The file cannot be written.
    """
    target = Path(path)
    kind = target.suffix.lower()
    if kind not in (".png", ".svg"):
        raise OptionError(f"a figure is a .png or .svg file; received: {target}")
    _settle(figure)
    metadata = {"Software": None} if kind == ".png" else {"Date": None, "Creator": None}
    with aside(target) as new:
        figure.savefig(new, format=kind[1:], metadata=metadata)
    return target


def _settle(figure: Figure) -> None:
    """Lay out now, and round: the solver's last bits differ from call to call, and names in an SVG
    are made from them."""
    if figure.axes:
        engine: Any = figure.get_layout_engine()
        engine.execute(figure)
    figure.set_layout_engine("none")
    for axes in figure.axes:
        left, bottom, width, height = axes.get_position(original=True).bounds
        axes.set_position((round(left, 5), round(bottom, 5), round(width, 5), round(height, 5)))


def need_images(dataset: Dataset) -> None:
    """Raise DataError if there is nothing to draw."""
    if not len(dataset):
        raise DataError(f"{dataset.name} is empty; a figure of it needs at least one image")


def short(name: str, most: int = 20) -> str:
    """A class name on one line, its middle left out beyond `most` characters (at least 5).

    Names that share a long beginning are told apart by their end.
    """
    line = " ".join(name.split())
    tail = most // 3
    return line if len(line) <= most else f"{line[: most - 1 - tail].rstrip()}…{line[-tail:]}"


def plural(n: int, noun: str) -> str:
    """`1 image`, `10,000 images`."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}{'es' if noun.endswith('s') else 's'}"


def small(value: float) -> str:
    """A small number with two digits: `0.00025`, `3.1 × 10⁻⁶`, `0`."""
    if value == 0 or value >= 9.95e-5:
        return f"{value:.2g}"
    digits, _, exponent = f"{value:.1e}".partition("e")
    return f"{digits} × {power_of_ten(int(exponent))}"


def power_of_ten(exponent: int) -> str:
    """`10⁻⁶`, and `1` for the exponent 0."""
    raised = str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return "1" if exponent == 0 else f"10{raised}"

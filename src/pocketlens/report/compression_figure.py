"""Size against accuracy of compressed files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pocketlens.files import size_text
from pocketlens.report.canvas import BLUE, INK, MUTED, ORANGE, new_figure, save, style

if TYPE_CHECKING:
    from pocketlens.conversion.compression.results import Compressed

__all__ = ["draw_compression"]

LOWEST = 5.0
"""Candidates that lose more percentage points are drawn at the lower edge."""


@style()
def draw_compression(found: Compressed, path: str | Path) -> Path:
    """Draw the size of each candidate against its accuracy on the images for the choice.

    Args:
        found: The result of `compress`.
        path: The output file, `.png` or `.svg`.
    """
    original, best = found.original, found.best
    subtitle = f"{len(found.candidates)} candidates; " + (
        f"{best.kind}: {size_text(best.bytes)} in place of {size_text(original.bytes)}"
        if best
        else "none is within the budget"
    )
    figure = new_figure(8, 3.6, "Size and accuracy", subtitle)
    axes = figure.subplots()
    top = 100 * original.chosen_on.accuracy
    floor = top - max(LOWEST, 2 * found.max_loss)
    axes.axhline(top - found.max_loss, color=ORANGE, linewidth=1, linestyle="--")
    axes.annotate(
        f"budget: {found.max_loss:g} percentage points",
        (1, top - found.max_loss),
        (0, -3),
        xycoords=("axes fraction", "data"),
        textcoords="offset points",
        ha="right",
        va="top",
        size=8.5,
        color=ORANGE,
    )
    for each in (original, *found.candidates):
        place = (each.bytes / 1000, max(floor, 100 * each.chosen_on.accuracy))
        color = INK if each is original else BLUE if each.within else MUTED
        axes.plot(*place, "v" if place[1] == floor else "o", color=color, markersize=6)
        axes.annotate(
            each.kind, place, (0, 6), textcoords="offset points", size=8, color=color, ha="center"
        )
    axes.set(xlabel="size, KB", ylabel="accuracy, %")
    axes.set_xlim(left=0)
    axes.margins(y=0.15)
    return save(figure, path)

"""Size against accuracy of compressed files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from pocketlens.files import digest, size_text, write_aside
from pocketlens.report.canvas import BLUE, INK, MUTED, ORANGE, new_figure, save, style
from pocketlens.report.page import write_report
from pocketlens.run_contents import COMPRESSION, FIGURES
from pocketlens.run_folder import Run

if TYPE_CHECKING:
    from pocketlens.conversion.compression.results import Compressed

__all__ = ["draw_compression", "write_compression"]

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


def write_compression(found: Compressed, run: Run) -> None:
    """Keep the result of `compress` in the run, and show it in the run's report, if it has one.

    Raises:
        OutputError: A file cannot be written.
    """
    assert run.model is not None  # it was compressed
    content = {**found.to_dict(), "made_from": {"model": digest(run.model)}}
    draw_compression(found, run.folder / FIGURES / "compression.svg")
    write_aside(run.folder / COMPRESSION, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    if run.report is not None:
        write_report(run.folder)

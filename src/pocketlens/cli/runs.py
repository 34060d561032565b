"""`pocketlens runs`: several run folders at once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pocketlens.cli.shell import Force, Json, command, group, print_json, say
from pocketlens.cli.terminal import console, note

if TYPE_CHECKING:
    from pocketlens.run_comparison import ComparedRun, RunComparison

runs = group("runs", "Compare runs.", "pocketlens runs compare runs/quick runs/tiny")


@command(
    on=runs,
    example=(
        "pocketlens runs compare runs/quick runs/tiny",
        "pocketlens runs compare runs/a runs/b runs/c --figure runs.svg",
        "pocketlens runs compare runs/a runs/b --json",
    ),
)
def compare(
    folders: Annotated[list[Path], typer.Argument(help="Two or more run folders.")],
    figure: Annotated[
        Path | None, typer.Option(help="Also draw accuracies and curves, as .png or .svg.")
    ] = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Put runs side by side: what differs in their recipes, and their results."""
    from pocketlens.files import refuse_existing
    from pocketlens.report.canvas import check_suffix
    from pocketlens.report.comparison_figure import draw_comparison
    from pocketlens.run_comparison import compare_runs

    if figure is not None:
        check_suffix(figure)
        if not force:
            refuse_existing(figure)
    found = compare_runs(folders)
    if figure is not None:
        draw_comparison(found, figure)
    if json:
        print_json({**found.to_dict(), "figure": None if figure is None else str(figure)})
        return
    _print(found)
    for text in found.notes:
        note(text)
    if figure is not None:
        say(f"wrote {figure}")


def _print(found: RunComparison) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column()
    for each in found.runs:
        table.add_column(str(each.folder), overflow="fold")
    keys = dict.fromkeys(key for each in found.runs for key in each.settings)
    for key in keys:
        table.add_row(key, *(_value(each, key) for each in found.runs))
    for name, texts in _results(found.runs).items():
        table.add_row(name, *texts)
    console().print(table)


def _value(run: ComparedRun, key: str) -> str:
    return str(run.settings[key]) if key in run.settings else "–"


def _results(runs: tuple[ComparedRun, ...]) -> dict[str, list[str]]:
    """The rows of results; those that no run has are left out."""
    from pocketlens.evaluation.accuracy import percent
    from pocketlens.files import size_text
    from pocketlens.report.page import duration_text, milliseconds_text

    def accuracy(run: ComparedRun) -> str | None:
        if run.accuracy is None or run.interval is None:
            return None
        low, high = run.interval
        return f"{percent(run.accuracy)} ({percent(low)} to {percent(high)})"

    rows: dict[str, list[str | int | float | None]] = {
        "test accuracy": [accuracy(each) for each in runs],
        "Core ML file": [each.core_ml_accuracy and percent(each.core_ml_accuracy) for each in runs],
        "simulated photos": [
            each.camera_accuracy and percent(each.camera_accuracy) for each in runs
        ],
        "parameters": [each.parameters and f"{each.parameters:,}" for each in runs],
        "size": [each.file_bytes and size_text(each.file_bytes) for each in runs],
        "per image": [each.milliseconds and milliseconds_text(each.milliseconds) for each in runs],
        "training": [
            each.training_seconds and duration_text(each.training_seconds) for each in runs
        ],
    }
    return {
        name: [str(text) if text is not None else "–" for text in texts]
        for name, texts in rows.items()
        if any(text is not None for text in texts)
    }

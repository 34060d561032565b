"""`pocketlens run`."""

from __future__ import annotations

import os
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pocketlens.cli.shell import Json, Out, Overrides, command, print_json

if TYPE_CHECKING:
    from pocketlens.pipeline import Run

Recipe = Annotated[str, typer.Argument(help="A shipped recipe's name, or a .toml file.")]
Resume = Annotated[
    bool, typer.Option("--resume", help="Go on from the checkpoint of a training cut off.")
]
Force = Annotated[bool, typer.Option("--force", help="Start again: remove the run that is there.")]


@command(
    example=(
        "pocketlens run                                    # the default recipe",
        "pocketlens run quick --out runs/quick",
        "pocketlens run quick --out runs/long --set training.epochs=6",
        "pocketlens run mine.toml --out runs/mine --resume",
    )
)
def run(
    recipe: Recipe = "quick",
    out: Out = None,
    overrides: Overrides = None,
    resume: Resume = False,
    force: Force = False,
    json: Json = False,
) -> None:
    """Do it all: data, training, evaluation, Core ML file, check, Xcode project, report."""
    finished = start(recipe, out, overrides, resume=resume, force=force, until="report", json=json)
    if json:
        print_json(summary(finished))
    else:
        print_summary(finished)


def start(
    recipe: str,
    out: Path | None,
    overrides: list[str] | None,
    *,
    resume: bool,
    force: bool,
    until: str,
    json: bool,
) -> Run:
    """Run the pipeline with a progress bar, or silently for `--json`."""
    # OpenMP reads this when PyTorch loads it. Threads that spin while they wait make a step up to
    # eight times slower as soon as another program wants a core.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from pocketlens import pipeline
    from pocketlens.cli.progress import Progress

    shown = nullcontext(pipeline.Watcher()) if json else Progress()
    with shown as watcher:
        return pipeline.run(
            recipe,
            out=out,
            overrides=overrides or (),
            resume=resume,
            force=force,
            until=until,
            watcher=watcher,
        )


def summary(finished: Run) -> dict[str, Any]:
    """The figures and places that a finished run ends with."""
    evaluation, parity, check = finished.evaluation, finished.parity, finished.check
    return {
        "data": finished.data["source"],
        "note": finished.data["note"],
        "accuracy": evaluation.accuracy,
        "interval": list(evaluation.interval),
        "test_images": evaluation.n,
        "training_seconds": finished.metrics["training_seconds"],
        "parity": {
            "passed": parity.passed,
            "agreement": parity.agreement,
            "mean_difference": parity.mean_difference,
            "max_difference": parity.max_difference,
        },
        "file_bytes": check["file_bytes"],
        "milliseconds_per_image": check["milliseconds_per_image"],
        "model": str(finished.model),
        "app": str(project(finished)),
        "report": str(finished.report),
    }


def project(finished: Run) -> Path:
    """The `.xcodeproj` of a run's app."""
    return next(finished.app.glob("*.xcodeproj"), finished.app)


def print_summary(finished: Run) -> None:
    """The figures and places, for people."""
    from rich.console import Console
    from rich.table import Table

    from pocketlens.evaluation import percent
    from pocketlens.files import size_text

    evaluation, parity, check = finished.evaluation, finished.parity, finished.check
    low, high = evaluation.interval
    agreed = parity.n - parity.disagreed
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    if finished.data["note"]:
        table.add_row("Note", finished.data["note"])
    table.add_row(
        "Test accuracy",
        f"{percent(evaluation.accuracy)}  (95 % interval {percent(low)} to {percent(high)}, "
        f"{evaluation.n:,} images of {finished.data['source']})",
    )
    table.add_row(
        "Parity",
        f"{agreed:,} of {parity.n:,} labels agree, mean |Δp| {parity.mean_difference:.1e}, "
        f"max {parity.max_difference:.1e}",
    )
    table.add_row("Core ML file", str(finished.model))
    table.add_row(
        "",
        f"{size_text(check['file_bytes'])}, {check['milliseconds_per_image']:.2f} ms an image here",
    )
    table.add_row("Xcode project", str(project(finished)))
    table.add_row("Report", str(finished.report))
    console = Console(highlight=False, soft_wrap=True)
    console.print()
    console.print(table)

"""`pocketlens run`."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pocketlens.cli.datasets import source_name
from pocketlens.cli.shell import Json, Overrides, command, print_json
from pocketlens.cli.terminal import console

if TYPE_CHECKING:
    from pocketlens.run_folder import Run

Recipe = Annotated[
    str | None,
    typer.Argument(
        help="Name of a shipped recipe, or a .toml file; default: photos if --data is a folder or "
        "CSV file, else digits.",
        show_default=False,
    ),
]
Data = Annotated[
    str | None,
    typer.Option(
        help="A folder of images, or a source such as mnist or doodles; default: the recipe's."
    ),
]
Background = Annotated[
    Path | None,
    typer.Option(help="A folder of photos that show none of the classes; the answer: nothing."),
]
RunFolder = Annotated[
    Path | None, typer.Option("--out", "-o", help="The run folder; default: runs/NAME.")
]
Resume = Annotated[bool, typer.Option("--resume", help="Continue an interrupted training.")]
Strict = Annotated[
    bool, typer.Option("--strict", help="Stop if the check of your images finds a problem.")
]
Force = Annotated[bool, typer.Option("--force", help="Start again: remove the existing run.")]


@command(
    example=(
        "pocketlens run --data my_photos                   # your photos, a folder per class",
        "pocketlens run                                    # handwritten digits",
        "pocketlens run quick --out runs/quick",
        "pocketlens run photos --data my_photos --background my_room",
        "pocketlens run quick --out runs/long --set training.epochs=6",
        "pocketlens run quick --set web.enabled=true       # also a website",
        "pocketlens run mine.toml --out runs/mine --resume",
    )
)
def run(
    recipe: Recipe = None,
    data: Data = None,
    background: Background = None,
    out: RunFolder = None,
    overrides: Overrides = None,
    resume: Resume = False,
    force: Force = False,
    strict: Strict = False,
    json: Json = False,
) -> None:
    """Go from images to a checked Core ML file, an app and a report.

    Stages: data, train, evaluate, convert, verify, app, web (only with --set web.enabled=true),
    report. Finished stages are skipped.
    """
    settings = overrides_of(data, overrides, background)
    finished = start(
        recipe,
        out,
        settings,
        resume=resume,
        force=force,
        strict=strict,
        until="report",
        json=json,
    )
    (print_json if json else print_summary)(summary(finished))


def overrides_of(
    data: str | None, overrides: list[str] | None, background: Path | None = None
) -> dict[str, Any]:
    """The overrides of `--data`, `--background` and `--set`; `--set` wins."""
    from pocketlens.recipe import parse_override

    source = {} if data is None else {"data.source": source_name(data)}
    if background is not None:
        source["data.background"] = str(background.expanduser().absolute())
    return source | dict(map(parse_override, overrides or ()))


def start(
    recipe: str | None,
    out: Path | None,
    overrides: dict[str, Any],
    *,
    resume: bool,
    force: bool,
    strict: bool,
    until: str,
    json: bool,
) -> Run:
    """Run the pipeline with a progress bar, or silently for `--json`."""
    from pocketlens import pipeline
    from pocketlens.cli.progress import Progress

    with nullcontext() if json else Progress() as progress:
        return pipeline.run(
            recipe,
            out=out,
            overrides=overrides,
            resume=resume,
            force=force,
            strict=strict,
            until=until,
            callbacks=[progress] if progress else [],
        )


def summary(finished: Run) -> dict[str, Any]:
    """The results of a finished run, and where its files are."""
    data, metrics, check = finished.data, finished.metrics, finished.check
    evaluation, app = finished.evaluation, finished.app
    assert data and metrics and check and evaluation and app  # noqa: PT018 - the run is finished
    parity = check.parity
    return {
        "data": data.source,
        "note": data.note,
        "warning": evaluation.warning,
        "accuracy": evaluation.accuracy,
        "interval": list(evaluation.interval),
        "test_images": evaluation.n,
        "train_images": data.train,
        "cross_validation": finished.cross_validated,
        "cross_validated_images": finished.cross_validated_images,
        "training_seconds": metrics.training_seconds,
        "camera": camera_results(finished),
        "parity": {
            "passed": parity.passed,
            "agreed": parity.n - parity.disagreed,
            "ties": parity.ties,
            "agreement": parity.agreement,
            "mean_difference": parity.mean_difference,
            "max_difference": parity.max_difference,
        },
        "file_bytes": check.file_bytes,
        "milliseconds_per_image": check.milliseconds_per_image,
        "model": str(finished.model),
        "app": str(next(app.glob("*.xcodeproj"), app)),
        "web": str(finished.web) if finished.web else None,
        "report": str(finished.report),
    }


def camera_results(finished: Run) -> dict[str, float | None] | None:
    """The results on simulated photos and empty scenes; None if there are none."""
    if finished.camera is None:
        return None
    photos, rejection = finished.camera.table("camera"), finished.camera.rejection
    return {
        "accuracy": photos.scores[0][0].accuracy if photos else None,
        "threshold": rejection.threshold,
        "kept": rejection.kept.share,
        "false_answers": rejection.false.share,
    }


def print_summary(found: dict[str, Any]) -> None:
    """Print the results as text."""
    from rich.table import Table

    from pocketlens.evaluation.accuracy import percent
    from pocketlens.files import size_text

    low, high = found["interval"]
    parity, images = found["parity"], f"{found['test_images']:,}"
    ties = f" ({parity['ties']:,} of the others: ties)" if parity["ties"] else ""
    cross_validated = []
    if (validated := found["cross_validation"]) is not None:
        # Of few photos, far more are left for training than for the test.
        about = f"of {found['cross_validated_images']:,} training images"
        text = f"{percent(validated)} {about}, by models that did not see them"
        cross_validated = [("Cross-validation", text)]
    rows = [
        (
            "Test accuracy",
            f"{percent(found['accuracy'])}  (95 % interval {percent(low)} to {percent(high)}, "
            f"{images} images of {found['data']})",
        ),
        *cross_validated,
        (
            "Parity",
            f"{parity['agreed']:,} of {images} labels agree{ties}, "
            f"mean |Δp| {parity['mean_difference']:.1e}, max {parity['max_difference']:.1e}",
        ),
        ("Core ML file", found["model"]),
        (
            "",
            f"{size_text(found['file_bytes'])}, "
            f"{found['milliseconds_per_image']:.2f} ms per image here",
        ),
        ("Xcode project", found["app"]),
        *([("Website", found["web"])] if found["web"] else []),
        ("Report", found["report"]),
    ]
    if camera := found["camera"]:
        accuracy = camera["accuracy"]
        what = "test images" if accuracy is None else "photos"
        shown = f"a label is shown for {percent(camera['kept'])} of {what}"
        false = f"{percent(camera['false_answers'])} of empty scenes (false positives)"
        more = [("Nothing", f"{shown} and {false}")]
        if accuracy is not None:
            more.insert(0, ("Camera", f"{percent(accuracy)} correct on simulated photos"))
        at = 1 + len(cross_validated)
        rows[at:at] = more
    if found["note"]:
        rows.insert(0, ("Note", found["note"]))
    if found["warning"]:
        rows.insert(0, ("WARNING", found["warning"]))
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for row in rows:
        table.add_row(*row)
    terminal = console()
    terminal.print()
    terminal.print(table)

"""`pocketlens correct`."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from pocketlens.cli.shell import Force, Json, Overrides, command, print_json, say


@command(
    example=(
        "pocketlens correct runs/digits corrections --out runs/better",
        "pocketlens preview runs/digits --collect corrections   # first: collect corrections",
    )
)
def correct(
    run: Annotated[Path, typer.Argument(help="The run folder to start from.")],
    corrections: Annotated[Path, typer.Argument(help="A folder of images per class.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder of the new run.")],
    overrides: Overrides = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Fine-tune a run with images that it classified wrong."""
    from pocketlens.cli.progress import Progress
    from pocketlens.evaluation.accuracy import percent
    from pocketlens.finetuning import correct

    with nullcontext() if json else Progress() as progress:
        found = correct(
            run,
            corrections,
            out=out,
            overrides=overrides or (),
            force=force,
            callbacks=[progress] if progress else [],
        )
    evaluation, metrics = found.run.evaluation, found.run.metrics
    assert evaluation and metrics  # noqa: PT018 - the run is finished
    if json:
        print_json(
            {
                "images": found.images,
                "correct_before": found.correct_before,
                "correct_after": found.correct_after,
                "accuracy": evaluation.accuracy,
                "training_seconds": metrics.training_seconds,
                "model": str(found.run.model),
            }
        )
        return
    say(
        f"{found.correct_after} of {found.images} corrected images are classified correctly "
        f"(before: {found.correct_before}); test accuracy {percent(evaluation.accuracy)}; trained "
        f"in {metrics.training_seconds:.1f} s",
        found.run.model,
    )

"""`pocketlens correct`."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from pocketlens.cli.shell import Force, Json, Overrides, command, print_json


@command(
    example=(
        "pocketlens correct runs/digits corrections --out runs/better",
        "pocketlens preview runs/digits --collect corrections   # before: keep what it gets wrong",
    )
)
def correct(
    run: Annotated[Path, typer.Argument(help="The run to go on from.")],
    corrections: Annotated[Path, typer.Argument(help="A folder of pictures for each class.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The new run.")],
    overrides: Overrides = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Teach a recognizer from pictures that it got wrong, in seconds."""
    from pocketlens.cli.progress import Progress
    from pocketlens.evaluation.accuracy import percent
    from pocketlens.finetuning import correct
    from pocketlens.pipeline import Watcher

    with nullcontext(Watcher()) if json else Progress() as watcher:
        found = correct(
            run, corrections, out=out, overrides=overrides or (), force=force, watcher=watcher
        )
    evaluation, metrics = found.run.evaluation, found.run.metrics
    assert evaluation and metrics  # noqa: PT018 - it is finished
    if json:
        print_json(
            {
                "pictures": found.pictures,
                "right_before": found.right_before,
                "right_now": found.right_now,
                "accuracy": evaluation.accuracy,
                "training_seconds": metrics.training_seconds,
                "model": str(found.run.model),
            }
        )
        return
    print(
        f"of {found.pictures} corrections it names {found.right_now} rightly, before "
        f"{found.right_before}; {percent(evaluation.accuracy)} of the test set; trained in "
        f"{metrics.training_seconds:.1f} s\n{found.run.model}"
    )

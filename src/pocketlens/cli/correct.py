"""`pocketlens correct`."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pocketlens.cli.run import camera_results
from pocketlens.cli.shell import Force, Json, Overrides, command, print_json, say

if TYPE_CHECKING:
    from pocketlens.run_folder import Run


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
    metrics = found.run.metrics
    assert metrics  # the run is finished
    before, after = (_results(each) for each in (found.before, found.run))
    if json:
        print_json(
            {
                "images": found.images,
                "correct_before": found.correct_before,
                "correct_after": found.correct_after,
                "before": before,
                "after": after,
                "accuracy": after["test accuracy"],
                "training_seconds": metrics.training_seconds,
                "model": str(found.run.model),
            }
        )
        return
    say(
        f"{found.correct_after} of {found.images} corrected images are classified correctly "
        f"(before: {found.correct_before})",
        *(
            f"{name}: {percent(value)}"
            + (f" (before: {percent(before[name])})" if name in before else "")
            for name, value in after.items()
        ),
        f"trained in {metrics.training_seconds:.1f} s",
        found.run.model,
    )


def _results(run: Run) -> dict[str, float]:
    """What corrections may cost: the results on the run's own test images."""
    found = {} if run.evaluation is None else {"test accuracy": run.evaluation.accuracy}
    camera = camera_results(run) or {}
    names = {
        "accuracy": "accuracy on simulated photos",
        "kept": "simulated photos with a label",
        "false_answers": "false positives on empty scenes",
    }
    found |= {name: value for key, name in names.items() if (value := camera.get(key)) is not None}
    return found

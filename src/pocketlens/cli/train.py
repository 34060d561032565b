"""`pocketlens train`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from pocketlens.cli.run import (
    Background,
    Data,
    Force,
    Recipe,
    Resume,
    RunFolder,
    Strict,
    overrides_of,
    start,
)
from pocketlens.cli.shell import Json, Overrides, command, print_json, say
from pocketlens.run_contents import WEIGHTS, run_command

if TYPE_CHECKING:
    from pocketlens.run_folder import Run


@command(
    example=(
        "pocketlens train quick --out runs/quick",
        "pocketlens train quick --out runs/quick --set training.epochs=4 --force",
    )
)
def train(
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
    """Load the data and train only.

    `pocketlens run` with the same --out continues with the other stages.
    """
    settings = overrides_of(data, overrides, background)
    done = start(
        recipe, out, settings, resume=resume, force=force, strict=strict, until="train", json=json
    )
    warning = _warning(done)
    if json:
        assert done.metrics is not None  # written by the last stage
        weights = str(done.folder / WEIGHTS)
        print_json({"weights": weights, "warning": warning, **asdict(done.metrics)})
    else:
        if warning:
            say(f"WARNING: {warning}")
        say(f"wrote {done.folder / WEIGHTS}")
        say(f"continue with: {run_command(done.folder)}")


def _warning(done: Run) -> str | None:
    """Why the training has learned nothing, by its validation images, else its training images."""
    from pocketlens.evaluation.chance import guessing_rate

    assert done.data
    assert done.metrics
    epoch = done.history[done.metrics.best_epoch - 1]
    if epoch.validation_accuracy is not None:
        # Without validation images, it is the result of cross-validation on the training images.
        accuracy, n = epoch.validation_accuracy, done.data.validation or done.data.train
    else:
        accuracy, n = epoch.train_accuracy, done.data.train
    return guessing_rate(accuracy, n, len(done.data.classes))

"""Fine-tuning a run with corrected images: a short training from the weights of the run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pocketlens.callbacks import Callback
from pocketlens.data import load_data
from pocketlens.errors import OptionError, OutputExistsError, RunError, require
from pocketlens.locking import refuse_busy
from pocketlens.pipeline import PACKAGES, run
from pocketlens.recipe import Overrides
from pocketlens.run_contents import RECIPE, WEIGHTS, run_command
from pocketlens.run_folder import Run, read_run

if TYPE_CHECKING:
    from pocketlens.data import Dataset
    from pocketlens.prediction import Predictor

__all__ = ["Corrected", "correct"]

SHARE = 0.1
"""Fraction of the original training images to use, so that the network does not forget them."""

LEAST_PER_CLASS = 20
"""The fewest original images to use per class, on average; all if the run has fewer."""

CORRECTED_SHARE = 0.1
"""Corrections as a fraction of those images; few corrections are repeated to reach it."""

MAX_REPEATS = 100
LEARNING_RATE = 0.2
"""Fraction of the recipe's learning rate."""


@dataclass(frozen=True)
class Corrected:
    """The result of `correct`.

    What the corrections gain and what they cost: `evaluation` and `camera` of both runs are
    measured on the same test images, simulated photos and empty scenes.

    Args:
        before: The original run.
        run: The new run.
        images: The number of corrected images.
        correct_before: How many of them the original run classifies correctly.
        correct_after: How many of them the new run classifies correctly; it was trained on them.
    """

    before: Run
    run: Run
    images: int
    correct_before: int
    correct_after: int


def correct(
    folder: str | Path,
    corrections: str | Path,
    *,
    out: str | Path,
    overrides: Overrides = (),
    force: bool = False,
    callbacks: Iterable[Callback] = (),
) -> Corrected:
    """Fine-tune a run with images that it classified wrong.

    The network is trained for one more epoch, on part of its training images and on the corrected
    ones. The new run has a checked Core ML file; for the app and the report, call `run` on it.

    Args:
        folder: The original run.
        corrections: A folder with one subfolder of images for each corrected class, as written by
            `pocketlens preview --collect`.
        out: The folder of the new run.
        overrides: Changed keys of the recipe; they take precedence over what this function sets.
        force: Replace a run in `out`.
        callbacks: Called as the run proceeds.

    Raises:
        RunError: The original run is not finished.
        OptionError: `out` is the original run.
        DataError: The corrections cannot be used.
        RecipeError, OutputExistsError, CheckFailedError, OutputError: See `run`.
    """
    require(*PACKAGES, purpose="fine-tuning")
    from pocketlens.recognizer import Recognizer

    before, out = read_run(Path(folder)), Path(out)
    refuse_busy(before.folder / RECIPE)
    if before.data is None or before.model is None:
        raise RunError(
            f"{folder} is not finished; continue with: {run_command(folder, '--resume')}"
        )
    if (out / WEIGHTS).exists() and not force:
        raise OutputExistsError(
            f"{out} holds a run that was trained already; choose another --out, or replace it "
            "with --force"
        )
    if out.resolve() == before.folder.resolve():
        raise OptionError(f"{out} is the run to start from; choose another --out")
    recipe = before.recipe
    source = f"folder:{Path(corrections).expanduser().absolute()}"
    images = load_data(source, split="all", input_spec=recipe.input)
    share = max(SHARE, LEAST_PER_CLASS * len(before.data.classes) / before.data.train)
    share = min(share, 1.0)
    repeats = CORRECTED_SHARE * share * before.data.train / len(images)
    tuned = recipe.replace(
        data={
            "source": before.data.source,
            "share": share,
            "extra": source,
            "extra_share": float(min(MAX_REPEATS, max(1, round(repeats)))),
        },
        # A head on features is fitted anew.
        training={}
        if recipe.training.on_features
        else {
            "start": str(before.folder.absolute()),
            "epochs": 1,
            "teacher": 0.0,
            "learning_rate": LEARNING_RATE * recipe.training.learning_rate,
        },
    )
    after = run(
        tuned, out=out, overrides=overrides, force=force, until="verify", callbacks=callbacks
    )
    correct = [_correct(Recognizer.load(each.folder), images) for each in (before, after)]
    return Corrected(before, after, len(images), *correct)


def _correct(predictor: Predictor, images: Dataset) -> int:
    """How many of the images are classified correctly."""
    found = predictor.probabilities(images.images).argmax(axis=1)
    return sum(
        predictor.classes[index] == images.classes[label]
        for index, label in zip(found, images.labels, strict=True)
    )

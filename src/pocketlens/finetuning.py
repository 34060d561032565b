"""Learning from what was put right: a short training that goes on from a run's weights."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pocketlens.data import load_data
from pocketlens.errors import RunError
from pocketlens.pipeline import Watcher, run
from pocketlens.run_folder import Run, read_run

if TYPE_CHECKING:
    from pocketlens.data import Dataset
    from pocketlens.prediction import Predictor

__all__ = ["Corrected", "correct"]

SHARE = 0.1
"""Of the images that the run was trained on: enough that it forgets none of them."""

WEIGHT = 0.1
"""How many of the images trained on are corrections, so far as repeating them makes it so."""

MOST_TIMES = 100
GENTLE = 0.2
"""Of the recipe's learning rate."""


@dataclass(frozen=True)
class Corrected:
    """A run that has learned from corrections.

    Args:
        run: The new run.
        pictures: How many corrections there are.
        right_before: How many of them the run before it names rightly.
        right_now: How many of them it names rightly; it was trained on them.
    """

    run: Run
    pictures: int
    right_before: int
    right_now: int


def correct(
    folder: str | Path,
    corrections: str | Path,
    *,
    out: str | Path,
    overrides: Iterable[str] = (),
    force: bool = False,
    watcher: Watcher | None = None,
) -> Corrected:
    """Train a run a little further, on a share of its images and on corrected pictures.

    Args:
        folder: The run to go on from.
        corrections: A folder with one folder of pictures for each class that was put right, such
            as `pocketlens preview --collect` makes.
        out: The new run, made up to its checked Core ML file.
        overrides: `table.key=value` each, over what this function sets.
        force: Replace a run in `out`.
        watcher: Is told how it goes.

    Raises:
        RunError: No finished run.
        DataError: Corrections that cannot be used.
        RecipeError, OutputExistsError, CheckFailedError, OutputError: As `pipeline.run`.
    """
    from pocketlens.recognizer import Recognizer

    before = read_run(Path(folder))
    if before.data is None or before.model is None:
        raise RunError(
            f"{folder} is not finished; go on with: pocketlens run --out {folder} --resume"
        )
    recipe = before.recipe
    pictures = load_data(f"folder:{corrections}", split="all", input_spec=recipe.input)
    images = SHARE * before.data.train
    times = min(MOST_TIMES, max(1, round(WEIGHT * images / len(pictures))))
    settings = {
        "data.source": before.data.source,
        "data.share": SHARE,
        "data.extra": f"folder:{corrections}",
        "data.extra_share": times,
        "training.start": folder,
        "training.epochs": 1,
        "training.teacher": 0,
        "training.learning_rate": GENTLE * recipe.training.learning_rate,
    }
    after = run(
        recipe,
        out=out,
        overrides=[*(f"{key}={value}" for key, value in settings.items()), *overrides],
        force=force,
        until="verify",
        watcher=watcher,
    )
    right = [_right(Recognizer.load(place.folder), pictures) for place in (before, after)]
    return Corrected(after, len(pictures), *right)


def _right(predictor: Predictor, pictures: Dataset) -> int:
    """How many of the pictures are named rightly."""
    answers = predictor.probabilities(pictures.images).argmax(axis=1)
    return sum(
        predictor.classes[answer] == pictures.classes[label]
        for answer, label in zip(answers, pictures.labels, strict=True)
    )

"""`Trial`: one recipe of a sweep, and what came of it; a JSON file each."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from pocketlens.commands import command
from pocketlens.evaluation.chance import wilson_interval
from pocketlens.files import write_aside
from pocketlens.run_files import read_part

__all__ = [
    "BEST_RECIPE",
    "TRIALS",
    "Trial",
    "best_of",
    "front",
    "read_trials",
    "run_best",
    "write_trial",
]

BEST_RECIPE = "best.toml"
"""The best recipe, inside the folder of a sweep."""

TRIALS = "trials"
"""The folder of the trials' files, inside that of the sweep."""

State = Literal["done", "stopped", "over budget", "failed"]


@dataclass(frozen=True)
class Trial:
    """One recipe of a sweep, and what came of it.

    Args:
        number: From 1, in the order in which the trials started.
        coordinates: Where the recipe is in the search space, by key: the number itself, or the
            index of the value.
        state: `done`; `stopped`: early, as others were better after as many epochs; `over budget`:
            the Core ML file is too large or too slow; `failed`: see `reason`.
        epochs: The accuracy on the validation images after each epoch, in [0, 1].
        accuracy: The accuracy of the Core ML file on images that the training did not see, in
            [0, 1]; None unless the trial is done. Of a run on features: by cross-validation.
        images: The number of these images.
        bytes: The size of the Core ML file; None if it was not made.
        milliseconds: Its time per image where it was made, one image at a time; None likewise.
        parameters: The number of parameters of the network; None likewise.
        seconds: How long it took.
        processor_seconds: How much processor time it took.
        reason: Why it failed or is over budget; else empty.
    """

    number: int
    coordinates: dict[str, float]
    state: State
    epochs: tuple[float, ...] = ()
    accuracy: float | None = None
    images: int = 0
    bytes: int | None = None
    milliseconds: float | None = None
    parameters: int | None = None
    seconds: float = 0.0
    processor_seconds: float = 0.0
    reason: str = ""

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % Wilson score interval of the accuracy."""
        if self.accuracy is None or not self.images:
            return None
        return wilson_interval(round(self.accuracy * self.images), self.images)

    def to_dict(self) -> dict[str, Any]:
        """A dictionary for JSON."""
        return {**asdict(self), "epochs": list(self.epochs)}


def write_trial(folder: Path, trial: Trial) -> None:
    """Write a finished trial, completely or not at all.

    Raises:
        OutputError: It cannot be written.
    """
    import json

    text = json.dumps(trial.to_dict(), indent=2, allow_nan=False) + "\n"
    write_aside(folder / TRIALS / f"{trial.number:04}.json", text)


def read_trials(folder: Path) -> list[Trial]:
    """The finished trials of a sweep, by number.

    Raises:
        RunError: A file is damaged.
    """
    files = sorted((folder / TRIALS).glob("[0-9]*.json"))
    found = [read_part(path, Trial, "a trial of a sweep") for path in files]
    return sorted((each for each in found if each), key=lambda each: each.number)


def best_of(trials: list[Trial]) -> Trial | None:
    """The trial with the highest accuracy; of equal ones, the one with the smallest file."""
    done = [each for each in trials if each.state == "done" and each.accuracy is not None]
    return min(done, key=lambda each: (-(each.accuracy or 0), each.bytes or 0), default=None)


def front(trials: list[Trial], measure: Literal["bytes", "milliseconds"]) -> list[Trial]:
    """The Pareto front: trials that no other one beats in both accuracy and `measure`.

    Returns:
        From the smallest (or fastest) to the most accurate.
    """
    done = [each for each in trials if each.state == "done" and getattr(each, measure) is not None]
    found: list[Trial] = []
    for each in sorted(done, key=lambda each: (getattr(each, measure), -(each.accuracy or 0))):
        if not found or (each.accuracy or 0) > (found[-1].accuracy or 0):
            found.append(each)
    return found


def run_best(folder: Path) -> str:
    """The command that trains the best recipe of a sweep."""
    return command("run", folder / BEST_RECIPE)

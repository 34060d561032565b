"""The progress and the history of a training: `Step` and `Epoch`."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from pocketlens.files import write_aside
from pocketlens.run_contents import HISTORY

__all__ = ["Epoch", "Step", "write_history"]


@dataclass(frozen=True)
class Step:
    """The progress within an epoch, reported to callbacks at most ten times per second.

    Args:
        epoch: Number of the current epoch, from 1.
        epochs: Number of epochs in the whole training.
        step: Number of the step that just finished, from 1.
        steps: Number of steps in an epoch.
        images_per_second: Average speed since the epoch started.
        learning_rate: Learning rate of this step.
        loss: Mean negative log-likelihood since the epoch started.
        seconds_left: Estimated time until the end of the last epoch, validation not included.
    """

    epoch: int
    epochs: int
    step: int
    steps: int
    images_per_second: float
    learning_rate: float
    loss: float
    seconds_left: float


@dataclass(frozen=True)
class Epoch:
    """The result of one epoch; one line of `history.jsonl`.

    Args:
        epoch: Number of this epoch, from 1.
        epochs: Number of epochs in the whole training.
        seconds: Duration, validation included.
        images_per_second: Average training speed, validation not included.
        learning_rate: Learning rate of the last step.
        train_loss: Mean negative log-likelihood during training.
        train_accuracy: Accuracy during training, in [0, 1].
        validation_loss: Mean negative log-likelihood on the validation images; None without them.
        validation_accuracy: Accuracy on the validation images, in [0, 1]; None without them.
    """

    epoch: int
    epochs: int
    seconds: float
    images_per_second: float
    learning_rate: float
    train_loss: float
    train_accuracy: float
    validation_loss: float | None
    validation_accuracy: float | None


def write_history(folder: Path, history: Iterable[Epoch], *, parents: bool = False) -> None:
    """Write `history.jsonl`, one line for each epoch; `parents` creates the folder."""
    lines = "".join(json.dumps(asdict(row)) + "\n" for row in history)
    write_aside(folder / HISTORY, lines, parents=parents)

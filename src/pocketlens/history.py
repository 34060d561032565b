"""The progress and the history of a training: `Step` and `Epoch`."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Epoch", "Step"]


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

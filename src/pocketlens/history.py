"""`Epoch`: one row of a training's history, and one line of `history.jsonl`."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Epoch"]


@dataclass(frozen=True)
class Epoch:
    """One row of the history.

    Args:
        epoch: Which one, from 1.
        epochs: Of how many.
        seconds: How long it took, validation included.
        images_per_second: While training.
        learning_rate: Of its last step.
        train_loss: Mean negative log-likelihood while training.
        train_accuracy: In [0, 1], while training.
        validation_loss: On the held-back images; None when nothing was held back.
        validation_accuracy: Likewise.
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

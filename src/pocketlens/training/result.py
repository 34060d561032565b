"""`Training`: the result of `train`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pocketlens.data.wrong_labels import LabelCheck
from pocketlens.history import Epoch, FineTuning, LearningCurve
from pocketlens.recognizer import Recognizer

__all__ = ["Training"]


@dataclass(frozen=True)
class Training:
    """The result of `train`.

    Args:
        recognizer: The trained network, with the weights of the best epoch.
        history: One `Epoch` per finished epoch, in order.
        best_epoch: Number of the epoch with the lowest validation loss, from 1; the last epoch if
            there are no validation images; 0 if the training was interrupted in its first epoch.
        device: The type of device that trained: `cpu`, `cuda` or `mps`.
        interrupted: True if Ctrl-C, or a callback, ended the training early.
        curve: Accuracy against the number of images; only of a training on features, else None.
        labels: Images whose label is probably wrong; only of a training on features, else None.
        fine_tuning: What it gains to train the last blocks of a backbone, if that was tried.
        suspects: The first of these images, `(M, H, W, C)`.
    """

    recognizer: Recognizer
    history: tuple[Epoch, ...]
    best_epoch: int
    device: str
    interrupted: bool
    curve: LearningCurve | None = None
    labels: LabelCheck | None = None
    fine_tuning: FineTuning | None = None
    suspects: NDArray[np.uint8] | None = None

    @property
    def seconds(self) -> float:
        """Duration of all finished epochs together, in seconds, validation included."""
        return sum(row.seconds for row in self.history)

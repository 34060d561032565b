"""Calibration of a trained network: its temperature and its thresholds."""

from __future__ import annotations

from torch import Tensor

from pocketlens.prediction import NOTHING
from pocketlens.recognizer import Recognizer
from pocketlens.training.temperature import fit_temperature
from pocketlens.training.thresholds import fit_thresholds

__all__ = ["calibrate"]


def calibrate(
    recognizer: Recognizer, images: Tensor, labels: Tensor, *, empty: Tensor | None = None
) -> Recognizer:
    """A Recognizer with the same network, and with a temperature and thresholds fitted on images.

    Args:
        recognizer: The trained network; its own temperature and thresholds are ignored.
        images: `(N, C, H, W)` uint8, at least some hundreds, which were not trained on.
        labels: `(N,)` int64.
        empty: `(M, C, H, W)` uint8, frames of the class `nothing`; by default those in `images`.
    """
    classes = recognizer.classes

    def logits(x: Tensor) -> Tensor:
        return recognizer.logits(x.permute(0, 2, 3, 1)).cpu()

    outputs, labels = logits(images), labels.cpu()
    temperature = fit_temperature(outputs, labels)
    thresholds = fit_thresholds(
        (outputs / temperature).softmax(1),
        labels,
        nothing=classes.index(NOTHING) if NOTHING in classes else None,
        empty=None if empty is None else (logits(empty) / temperature).softmax(1),
    )
    return Recognizer(
        recognizer.network,
        recognizer.choice,
        classes,
        recognizer.input_spec,
        temperature=temperature,
        thresholds=thresholds,
    )

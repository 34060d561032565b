"""What a trained network is told about itself: its temperature, and when its labels are shown."""

from __future__ import annotations

from torch import Tensor

from pocketlens.prediction import NOTHING
from pocketlens.recognizer import Recognizer
from pocketlens.training.temperature import fit_temperature
from pocketlens.training.thresholds import fit_thresholds

__all__ = ["calibrated"]


def calibrated(
    recognizer: Recognizer, images: Tensor, labels: Tensor, *, empty: Tensor | None = None
) -> Recognizer:
    """The same network, with the temperature and the thresholds that fit images it has not seen.

    Args:
        recognizer: Its own temperature and thresholds are not used.
        images: `(N, C, H, W)` uint8, hundreds of them.
        labels: `(N,)` int64.
        empty: `(M, C, H, W)` uint8, frames of the class `nothing`; by default those among `images`.
    """
    classes = recognizer.classes

    def logits(x: Tensor) -> Tensor:
        return recognizer.logits(x.permute(0, 2, 3, 1)).cpu()

    answers, labels = logits(images), labels.cpu()
    temperature = fit_temperature(answers, labels)
    thresholds = fit_thresholds(
        (answers / temperature).softmax(1),
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

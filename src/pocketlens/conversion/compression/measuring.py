"""Measure a compressed file: size, accuracy, agreement with the original, time per image."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from pocketlens.coreml import CoreMLModel
from pocketlens.data import Dataset
from pocketlens.evaluation.accuracy import percent, predictions, shared_classes
from pocketlens.evaluation.chance import wilson_interval
from pocketlens.prediction import Predictor

__all__ = ["Measured", "measure", "milliseconds"]

BATCH = 1000
ROUNDS = 25


@dataclass(frozen=True)
class Measured:
    """A predictor on a set of images, compared with the original one.

    Args:
        images: Number of images.
        accuracy: Share of right predictions, in [0, 1].
        interval: 95 % Wilson score interval of the accuracy, `(low, high)`.
        agreement: Share of images with the same label from both, in [0, 1].
        max_difference: Largest difference of a probability, in [0, 1].
    """

    images: int
    accuracy: float
    interval: tuple[float, float]
    agreement: float
    max_difference: float

    def to_dict(self) -> dict[str, Any]:
        """A dictionary for JSON."""
        return {**asdict(self), "interval": list(self.interval)}

    def __str__(self) -> str:
        low, high = self.interval
        return f"{percent(self.accuracy)} ({percent(low)} to {percent(high)})"


def measure(predictor: Predictor, original: Predictor, images: Dataset) -> Measured:
    """Measure a predictor on labeled images, and compare it with the original one.

    Raises:
        DataError: There are no images, or one has a class that the model does not know.
        OptionError: Its outputs are not probabilities.
    """
    classes = shared_classes(predictor, images)
    right = agreed = 0
    largest = 0.0
    pairs = zip(
        predictions(predictor, images, classes, batch=BATCH),
        predictions(original, images, classes, batch=BATCH),
        strict=True,
    )
    for one, other in pairs:
        right += int((one.predicted == images.labels[one.place]).sum())
        agreed += int((one.predicted == other.predicted).sum())
        largest = max(largest, float(np.abs(one.probabilities - other.probabilities).max()))
    n = len(images)
    return Measured(n, right / n, wilson_interval(right, n), agreed / n, largest)


def milliseconds(models: Sequence[CoreMLModel], images: Dataset) -> list[float]:
    """The median time of one image for each model; the models take turns."""
    times: list[list[float]] = [[] for _ in models]
    for number in range(ROUNDS):
        image = np.asarray(images.images[number % len(images)])[None]
        for model, found in zip(models, times, strict=True):
            started = time.perf_counter()
            model.probabilities(image)
            found.append(time.perf_counter() - started)
    return [statistics.median(each[1:]) * 1000 for each in times]

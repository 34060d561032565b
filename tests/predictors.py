"""Predictors for tests: with given properties, and with given probabilities."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pocketlens.data.dataset import Dataset
from pocketlens.image import InputSpec
from pocketlens.prediction import Predictor, Thresholds


class GivenPredictor(Predictor):
    """A predictor with these properties; it must not be run, unless a subclass can."""

    classes: tuple[str, ...] = ()
    input_spec = InputSpec(1, 1)
    thresholds = Thresholds()

    def __init__(
        self,
        classes: Sequence[str],
        input_spec: InputSpec | None = None,
        thresholds: Thresholds | None = None,
    ) -> None:
        self.classes = tuple(classes)
        self.input_spec = input_spec or InputSpec(28, 28)
        self.thresholds = thresholds or Thresholds()

    def probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        raise AssertionError(f"was run on {len(images)} images")


class Table(GivenPredictor):
    """Returns the row of a table given by the image's first pixel; it records batch sizes."""

    def __init__(
        self,
        table: Sequence[Sequence[float]] | NDArray[np.float64],
        classes: Sequence[str] = ("cat", "dog"),
        spec: InputSpec | None = None,
    ) -> None:
        super().__init__(classes, spec or InputSpec(2, 2))
        self.table = np.array(table, np.float32)
        self.batches: list[int] = []

    def probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        assert images.shape[1:] == self.input_spec.shape
        self.batches.append(len(images))
        return np.asarray(self.table[images[:, 0, 0, 0]])


def numbered(
    labels: Sequence[int], classes: Sequence[str] = ("cat", "dog"), size: int = 2
) -> Dataset:
    """Image i is filled with the value i, so that a Table knows which one it is."""
    images = np.zeros((len(labels), size, size, 1), np.uint8)
    images += np.arange(len(labels), dtype=np.uint8).reshape(-1, 1, 1, 1)
    return Dataset(images, np.array(labels, np.int64), tuple(classes), "small")

"""What the tests of figures and report share."""

from __future__ import annotations

import numpy as np
import pytest

from pocketlens.data.dataset import Dataset
from pocketlens.evaluation.accuracy import evaluate
from pocketlens.evaluation.parity import verify
from pocketlens.image import InputSpec
from pocketlens.prediction import Predictor

DIGITS = tuple("0123456789")


def _dataset(n, classes=DIGITS, shape=(28, 28, 1), name="made/test", seed=0):
    """Random images whose labels go through the classes in turn."""
    images = np.random.default_rng(seed).integers(0, 256, (n, *shape), np.uint8)
    return Dataset(images, np.arange(n) % len(classes), tuple(classes), name)


class Guesser(Predictor):
    """Finds each image in a data set and is right about it unless its place is in `wrong`."""

    def __init__(self, dataset, wrong=(), sure=0.9):
        self.dataset, self.wrong, self.sure = dataset, set(wrong), sure

    classes = property(lambda self: self.dataset.classes)

    @property
    def input_spec(self):
        height, width, channels = self.dataset.images.shape[1:]
        return InputSpec(height, width, "gray" if channels == 1 else "rgb")

    def probabilities(self, images):
        k = len(self.classes)
        rows = np.full((len(images), k), (1 - self.sure) / (k - 1), np.float32)
        places = {image.tobytes(): place for place, image in enumerate(self.dataset.images)}
        for row, image in zip(rows, images, strict=True):
            place = places[image.tobytes()]
            row[(self.dataset.labels[place] + (place in self.wrong)) % k] = self.sure
        return rows


@pytest.fixture(scope="session")
def make_dataset():
    return _dataset


@pytest.fixture(scope="session")
def guesser():
    return Guesser


@pytest.fixture(scope="session")
def digits():
    return _dataset(60)


@pytest.fixture(scope="session")
def evaluation(digits):
    return evaluate(Guesser(digits, wrong=(3, 14, 24)), digits)


@pytest.fixture(scope="session")
def parity(digits):
    return verify(Guesser(digits), Guesser(digits, sure=0.9004), digits)


@pytest.fixture(scope="session")
def history():
    return [
        {
            "epoch": k,
            "epochs": 3,
            "seconds": 4.0,
            "images_per_second": 13_500.0,
            "learning_rate": 0.01 / k,
            "train_loss": 0.6 / k,
            "train_accuracy": 1 - 0.1 / k,
            "validation_loss": 0.5 / k,
            "validation_accuracy": 1 - 0.08 / k,
        }
        for k in (1, 2, 3)
    ]

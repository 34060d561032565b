"""What the tests of the suite share."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from pocketlens.data import Dataset
from pocketlens.data.strokes import draw_strokes
from pocketlens.image import InputSpec
from pocketlens.prediction import Predictor

Rule = Callable[[NDArray[np.uint8]], NDArray[np.float64]]


class Rules(Predictor):
    """A predictor whose probabilities are a function of the images."""

    def __init__(self, classes: tuple[str, ...], rule: Rule, spec: InputSpec) -> None:
        self._classes, self.rule, self.spec = classes, rule, spec
        self.seen: list[NDArray[np.uint8]] = []

    @property
    def classes(self) -> tuple[str, ...]:
        return self._classes

    @property
    def input_spec(self) -> InputSpec:
        return self.spec

    def probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        assert images.shape[1:] == self.spec.shape
        self.seen.append(images)
        return self.rule(images).astype(np.float32)


@pytest.fixture(scope="session")
def rules() -> type[Rules]:
    return Rules


@pytest.fixture(scope="session")
def drawings() -> Dataset:
    return draw_strokes("test", count=40)

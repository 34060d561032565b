"""A predictor for tests whose probabilities are a function of the images."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from pocketlens.image import InputSpec
from predictors import GivenPredictor

Rule = Callable[[NDArray[np.uint8]], NDArray[np.float64]]


class Rules(GivenPredictor):
    """A predictor that applies `rule` to the images `(N, H, W, C)`; it records all inputs."""

    def __init__(self, classes: tuple[str, ...], rule: Rule, spec: InputSpec) -> None:
        super().__init__(classes, spec)
        self.rule = rule
        self.inputs: list[NDArray[np.uint8]] = []

    def probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        assert images.shape[1:] == self.input_spec.shape
        self.inputs.append(images)
        return self.rule(images).astype(np.float32)

"""A Core AI model as a model from arrays to arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketlens.conversion.metadata import LABEL_FEATURE, PROBABILITIES_FEATURE
from pocketlens.coreai import CoreAIModel
from pocketlens.coreai.asset import PROBABILITIES_OUTPUT
from pocketlens.evaluation.arrays import ArrayInput, ArrayModel, Arrays

__all__ = ["CoreAIArrays"]


class CoreAIArrays(ArrayModel):
    """Runs a Core AI model on arrays. A classifier has the outputs of a Core ML one.

    Args:
        model: The loaded model.
    """

    def __init__(self, model: CoreAIModel) -> None:
        self.model = model
        function = model.function
        self.inputs = tuple(ArrayInput(e.name, e.shape, e.dtype) for e in function.inputs)
        self.outputs = tuple(each.name for each in function.outputs)
        if model.classes:
            self.labels = model.classes
            self.label, self.probabilities = LABEL_FEATURE, PROBABILITIES_FEATURE
            self.outputs = (LABEL_FEATURE, PROBABILITIES_FEATURE)

    def run(self, arrays: Arrays) -> dict[str, NDArray[Any]]:
        """The outputs by name; probabilities `(N, K)` in the order of `labels`."""
        found = self.model.run(arrays)
        if not self.labels:
            return found
        probabilities = found[PROBABILITIES_OUTPUT]
        labels = np.array(self.labels, dtype=object)[probabilities.argmax(1)]
        return {self.label: labels, self.probabilities: probabilities}

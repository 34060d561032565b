"""`Labels`: a classifier's classes, and its outputs as Core ML returns them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketlens.coreml.classic.reading import listed
from pocketlens.coreml.classic.step import find_feature, predicted_output
from pocketlens.coreml.file.features import Interface, KeyType
from pocketlens.coreml.graph import Message
from pocketlens.errors import ModelFileError

__all__ = ["Labels"]


class Labels:
    """The classes of a classifier, checked against the declared outputs.

    Attributes:
        classes: The labels, in the order of the probabilities.
        outputs: The names of the outputs: the label and, if declared, the probabilities.
    """

    def __init__(self, model: Interface, strings: Message | None, numbers: Message | None) -> None:
        """Read the labels and check the declared outputs.

        Args:
            model: The declared features.
            strings: The message's string class labels, or None.
            numbers: The message's int64 class labels, or None.

        Raises:
            ModelFileError: There are no labels, a label is listed twice, or an output has another
                type.
        """
        vector = strings if strings is not None else numbers
        if vector is None or not vector.vector:
            raise ModelFileError("it has no class labels; a classifier needs them")
        self.classes: tuple[str | int, ...] = tuple(listed(vector.vector, "its class labels"))
        if len(set(self.classes)) != len(self.classes):
            raise ModelFileError("a class is listed twice")
        kind: KeyType = "string" if strings is not None else "int64"
        label = predicted_output(model, kind)
        self._label = label.name
        self._probabilities = model.probabilities
        self.outputs: tuple[str, ...] = (label.name,)
        if model.probabilities:
            table = find_feature(model.outputs, model.probabilities, "probabilities", "dictionary")
            if table.dtype != kind:
                raise ModelFileError(
                    f"the output '{table.name}' has {table.dtype} keys; its classes are {kind}"
                )
            self.outputs += (table.name,)

    def to_outputs(
        self, probabilities: NDArray[np.float64] | None, best: int | None = None
    ) -> dict[str, Any]:
        """The values of the outputs.

        Args:
            probabilities: One for each class, [K]; None if the model does not compute them.
            best: The index of the predicted class; by default the first with the highest
                probability.
        """
        if best is None:
            assert probabilities is not None
            best = int(np.argmax(probabilities))
        results: dict[str, Any] = {self._label: self.classes[best]}
        if self._probabilities and probabilities is not None:
            results[self._probabilities] = dict(
                zip(self.classes, probabilities.tolist(), strict=True)
            )
        return results

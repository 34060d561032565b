"""`Labels`: a classifier's classes, and its answer as Core ML gives it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketlens.coreml.classic.step import declared, predicted
from pocketlens.coreml.file.features import Interface
from pocketlens.coreml.graph import Message
from pocketlens.errors import ModelFileError

__all__ = ["Labels"]


class Labels:
    """The classes of a classifier, held against the outputs that its description declares.

    Attributes:
        classes: The labels, in the order of the probabilities.
        outputs: The names of the outputs: the label's and, if there is one, the probabilities'.
    """

    def __init__(self, model: Interface, strings: Message | None, numbers: Message | None) -> None:
        """`strings` and `numbers` are the message's class labels, of which one is set.

        Raises:
            ModelFileError: No labels, one listed twice, or outputs of another type.
        """
        vector = strings if strings is not None else numbers
        if vector is None or not vector.vector:
            raise ModelFileError("it has no class labels; a classifier needs them")
        self.classes: tuple[str | int, ...] = tuple(vector.vector)
        if len(set(self.classes)) != len(self.classes):
            raise ModelFileError("a class is listed twice")
        kind = "string" if strings is not None else "int64"
        label = predicted(model, kind)
        self._label = label.name
        self._probabilities = model.probabilities
        self.outputs: tuple[str, ...] = (label.name,)
        if model.probabilities:
            table = declared(model.outputs, model.probabilities, "probabilities", "dictionary")
            if table.dtype != kind:
                raise ModelFileError(
                    f"the output '{table.name}' has {table.dtype} keys; its classes are {kind}"
                )
            self.outputs += (table.name,)

    def answer(
        self, probabilities: NDArray[np.float64] | None, best: int | None = None
    ) -> dict[str, Any]:
        """The outputs: the class `best`, or the first of the likeliest; and the probabilities."""
        if best is None:
            assert probabilities is not None
            best = int(np.argmax(probabilities))
        answer: dict[str, Any] = {self._label: self.classes[best]}
        if self._probabilities and probabilities is not None:
            answer[self._probabilities] = dict(
                zip(self.classes, probabilities.tolist(), strict=True)
            )
        return answer

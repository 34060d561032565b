"""`Vector`: concatenates the inputs of a model to one row of doubles."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pocketlens.coreml.classic.step import NUMBERS, Features
from pocketlens.coreml.file.budget import charge
from pocketlens.coreml.file.features import Feature
from pocketlens.errors import FeatureError, ModelFileError, with_article

__all__ = ["Vector"]


class Vector:
    """Concatenates a model's inputs (numbers and arrays), in declared order, to one row."""

    def __init__(
        self,
        features: Sequence[Feature],
        *,
        width: int,
        exact: bool = True,
        missing: bool = False,
    ) -> None:
        """Check that the inputs are numbers, and as many as the model needs.

        Args:
            features: The declared inputs.
            width: How many numbers the model needs.
            exact: Whether more numbers are an error.
            missing: Whether inputs may be missing; their numbers are NaN then.

        Raises:
            ModelFileError: An input is neither a number nor an array, or the inputs have the wrong
                number of elements.
        """
        self._features = tuple(features)
        self._width = width
        self._exact = exact
        self._missing = missing
        for feature in self._features:
            if feature.kind not in NUMBERS:
                raise ModelFileError(
                    f"its input '{feature.name}' is {with_article(feature.kind)}; "
                    "expected a number or a multi-array"
                )
        if all(f.kind != "array" or _fixed(f) for f in self._features):
            found = sum(math.prod(f.shape) for f in self._features)
            charge(2 * 8 * found, "the input of a run")
            if not self._fits(found):
                raise ModelFileError(
                    f"its inputs have {found} numbers; the model needs {self._needed()}"
                )

    def row(self, inputs: Features) -> NDArray[np.float64]:
        """The numbers of the inputs, [width].

        Raises:
            FeatureError: A required input is missing, or the inputs have the wrong number of
                elements.
        """
        parts = []
        for feature in self._features:
            if feature.name in inputs:
                parts.append(np.asarray(inputs[feature.name], np.float64).reshape(-1))
            elif self._missing and (feature.kind != "array" or _fixed(feature)):
                parts.append(np.full(math.prod(feature.shape), np.nan))
            else:
                raise FeatureError(
                    f"the input '{feature.name}' ({feature.kind}) is missing; "
                    "this model needs a value for it"
                )
        row = np.concatenate(parts)
        if not self._fits(row.size):
            raise FeatureError(
                f"the inputs have {row.size} numbers; the model needs {self._needed()}"
            )
        return row

    def _fits(self, count: int) -> bool:
        return count == self._width if self._exact else count >= self._width

    def _needed(self) -> str:
        return f"{self._width}" if self._exact else f"at least {self._width}"


def _fixed(feature: Feature) -> bool:
    return bool(feature.shape) and not feature.shapes and not feature.ranges

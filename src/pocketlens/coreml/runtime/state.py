"""`State`: the values that a model keeps between predictions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketlens.coreml.file.features import Feature
from pocketlens.coreml.file.package import ModelFile
from pocketlens.errors import FeatureError, did_you_mean

__all__ = ["State"]


class State:
    """The arrays that a model keeps between predictions, by name. `make_state` creates it.

    They start as zeros. Each `run` that receives the state updates it:

        state = model.make_state()
        model.run({"token": 7}, state=state)
        state.read("cache")
    """

    def __init__(self, file: ModelFile, features: Iterable[Feature]) -> None:
        self._file = file
        self._arrays: dict[str, NDArray[Any]] = {
            feature.name: np.zeros(feature.shape, feature.dtype) for feature in features
        }

    def __repr__(self) -> str:
        parts = (f"{name} {array.dtype}{list(array.shape)}" for name, array in self._arrays.items())
        return f"<State of {self._file.path}: {', '.join(parts)}>"

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the arrays, in declared order."""
        return tuple(self._arrays)

    def read(self, name: str) -> NDArray[Any]:
        """A copy of one array, in its declared shape and type.

        Raises:
            FeatureError: The model has no state of this name.
        """
        self._check(name)
        return self._arrays[name].copy()

    def write(self, name: str, array: Any) -> None:
        """Replace one array.

        Args:
            name: Its name.
            array: Numbers in the declared shape; they are rounded to the declared type.

        Raises:
            FeatureError: The model has no state of this name, or its shape is another.
        """
        self._check(name)
        old, new = self._arrays[name], np.asarray(array)
        if new.dtype.kind not in "biuf" or new.shape != old.shape:
            raise FeatureError(
                f"the state {name!r} of {self._file.path} is {old.dtype}{list(old.shape)}; "
                f"received: {new.dtype}{list(new.shape)}"
            )
        with np.errstate(over="ignore"):
            self._arrays[name] = np.array(new, old.dtype)

    def _arrays_for(self, file: ModelFile) -> dict[str, NDArray[Any]]:
        """The arrays themselves, for a run of the model of `file` to read and replace.

        Raises:
            FeatureError: The state belongs to another model.
        """
        if file is not self._file:
            raise FeatureError(
                f"{file.path} takes a state made by its own make_state(); received: {self!r}"
            )
        return self._arrays

    def _check(self, name: str) -> None:
        if name not in self._arrays:
            known = did_you_mean(str(name), self._arrays)
            raise FeatureError(f"{self._file.path} keeps no state {name!r}; {known}")

"""`RecentModels`: the models made for some shapes, of which the most recently used are kept."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable

from pocketlens.coreml.runtime.model import CoreMLModel

__all__ = ["MAX_MODELS", "RecentModels"]

MAX_MODELS = 8
"""How many models are kept."""


class RecentModels:
    """A cache of models by the shapes that they were made for."""

    def __init__(self) -> None:
        self._models: OrderedDict[Hashable, CoreMLModel] = OrderedDict()

    def __len__(self) -> int:
        return len(self._models)

    def get(self, key: Hashable, make: Callable[[], CoreMLModel]) -> CoreMLModel:
        """The model for `key`, made by `make` if it is not kept. The least recently used one goes
        when there are more than `MAX_MODELS`."""
        if key not in self._models:
            self._models[key] = make()
            if len(self._models) > MAX_MODELS:
                self._models.popitem(last=False)
        self._models.move_to_end(key)
        return self._models[key]

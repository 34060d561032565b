"""`ModelCache`: the most recently used models, one for each input shape."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable

from pocketlens.coreml.runtime.model import CoreMLModel

__all__ = ["MAX_MODELS", "ModelCache"]

MAX_MODELS = 8
"""How many models are kept."""


class ModelCache:
    """A cache of models; the key is the shapes that a model was translated for."""

    def __init__(self) -> None:
        self._models: OrderedDict[Hashable, CoreMLModel] = OrderedDict()

    def __len__(self) -> int:
        return len(self._models)

    def get(self, key: Hashable, make: Callable[[], CoreMLModel]) -> CoreMLModel:
        """The model for `key`; `make` creates it if it is not in the cache.

        If there are more than `MAX_MODELS`, the least recently used one is removed.
        """
        if key not in self._models:
            self._models[key] = make()
            if len(self._models) > MAX_MODELS:
                self._models.popitem(last=False)
        self._models.move_to_end(key)
        return self._models[key]

"""A cache of features on disk, by content: the same image and backbone are computed only once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pocketlens.data.disk_cache import DiskCache

__all__ = ["FeatureCache"]

NAME = "features-2.sqlite"


class FeatureCache(DiskCache):
    """Features by key, see `DiskCache`.

    Args:
        folder: Where the file is; by default `cache_folder()`.
    """

    def __init__(self, folder: Path | None = None) -> None:
        super().__init__(NAME, "features", folder)

    def get(self, keys: Sequence[bytes], width: int) -> dict[bytes, NDArray[np.float32]]:
        """The features `(width,)` of those keys that are stored."""
        return {
            key: np.frombuffer(value, "<f4").astype(np.float32)
            for key, value in self.read(keys).items()
            if len(value) == 4 * width
        }

    def put(self, values: dict[bytes, NDArray[np.float32]]) -> None:
        """Store features; all of them or, if the disk is full, none."""
        self.write({key: value.astype("<f4").tobytes() for key, value in values.items()})

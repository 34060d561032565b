"""The features of all examples, computed as soon as an example is there."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pocketlens.errors import ImageError
from pocketlens.image import prepare
from pocketlens.networks.backbone import Backbone
from pocketlens.recipe import Recipe
from pocketlens.training.feature_cache import FeatureCache
from pocketlens.training.features import BATCH, Embedder
from pocketlens.training.fitted import frozen_network
from pocketlens.training.frozen import SCENES
from pocketlens.training.scenes import draw_scenes

__all__ = ["Features"]

STORED = 64
"""Features that are written to the cache on disk at a time."""

THREADS = 4
"""Pillow releases the GIL while it decodes."""

File: TypeAlias = tuple[int, int, int, int]
"""Device, number, time and size of a file: what stays the same if it is renamed."""

Floats: TypeAlias = NDArray[np.float32]


class Features:
    """Computes and remembers the features of image files. The methods are thread-safe.

    Args:
        recipe: A recipe with `training.method = "features"`.

    Raises:
        RecipeError, MissingExtraError, RunError: The backbone cannot be loaded.
    """

    def __init__(self, recipe: Recipe) -> None:
        self.spec = recipe.input
        self.seed = recipe.seed
        self.network: Backbone = frozen_network(recipe, 2)
        self.embed = Embedder(self.network, recipe.input)
        self.errors: dict[File, str] = {}
        """Why files cannot be read."""
        self._found: dict[File, Floats] = {}
        self._unstored: dict[bytes, Floats] = {}
        self._lock = threading.Lock()
        self._far: Tensor | None = None

    def __call__(self, images: NDArray[np.uint8]) -> Floats:
        """Features `(N, F)` of images `(N, *input.shape)` uint8, which are not remembered."""
        return self.embed.compute(images)

    @property
    def far(self) -> Tensor:
        """Features and concepts `(S, F + C)` of generated scenes: they are far from all classes."""
        with self._lock:
            if self._far is None:
                scenes = draw_scenes(SCENES, self.spec.shape, seed=self.seed)
                self._far = self._with_concepts(self.embed(scenes))
            return self._far

    def add(self, path: Path, pixels: NDArray[np.uint8]) -> None:
        """Compute and remember the features of a file whose pixels are known."""
        found = self.embed.compute(pixels[None])[0]
        if (file := _file(path)) is None:
            return
        with self._lock:
            self._found[file] = found
            self._unstored[self.embed.key(pixels)] = found
            ready = dict(self._unstored) if len(self._unstored) >= STORED else {}
            if ready:
                self._unstored = {}
        self._store(ready)

    def compute(
        self, paths: Sequence[Path], progress: Callable[[int, int], None] = lambda *_: None
    ) -> None:
        """Compute the features of files that are not known yet.

        Args:
            paths: The files; those that cannot be read are noted in `errors`.
            progress: Called with how many are done, and how many there are to do.
        """
        missing = [
            (path, file)
            for path in paths
            if (file := _file(path)) is not None
            and file not in self._found
            and file not in self.errors
        ]
        with ThreadPoolExecutor(THREADS) as pool:
            for start in range(0, len(missing), BATCH):
                some = missing[start : start + BATCH]
                images, files = [], []
                for (_, file), pixels in zip(some, pool.map(self._read, some), strict=True):
                    if pixels is not None:
                        images.append(pixels)
                        files.append(file)
                if images:
                    found = self.embed(np.stack(images))
                    with self._lock:
                        self._found |= dict(zip(files, found, strict=True))
                progress(start + len(some), len(missing))

    def rows(self, paths: Sequence[Path]) -> tuple[Tensor, list[int]]:
        """Features and concepts `(N, F + C)` of files, and the indices of those that are known."""
        files = [_file(path) for path in paths]
        with self._lock:
            known = [at for at, file in enumerate(files) if file in self._found]
            found = [self._found[file] for file in (files[at] for at in known) if file is not None]
        width = self.network.width
        stacked = np.stack(found) if found else np.zeros((0, width), np.float32)
        return self._with_concepts(stacked), known

    def error(self, path: Path) -> str:
        """Why a file cannot be read; empty if it can."""
        file = _file(path)
        return "" if file is None else self.errors.get(file, "")

    def store(self) -> None:
        """Write to the cache on disk what is not there yet."""
        with self._lock:
            ready, self._unstored = self._unstored, {}
        self._store(ready)

    def _store(self, ready: dict[bytes, Floats]) -> None:
        if ready:
            with FeatureCache() as cache:
                cache.put(ready)

    def _read(self, item: tuple[Path, File]) -> NDArray[np.uint8] | None:
        path, file = item
        try:
            return prepare(path, self.spec)
        except ImageError as error:
            self.errors[file] = str(error).replace(str(path), path.name)
            return None

    @torch.no_grad()
    def _with_concepts(self, features: Floats) -> Tensor:
        x = torch.from_numpy(features)
        return torch.cat([x, self.network.known_concepts(x)], 1)


def _file(path: Path) -> File | None:
    """What stands for a file; None if there is none."""
    try:
        info = path.stat()
    except (OSError, ValueError):
        return None
    return info.st_dev, info.st_ino, info.st_mtime_ns, info.st_size

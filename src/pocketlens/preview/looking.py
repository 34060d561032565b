"""Asking one or more Core ML files about a picture, off the event loop."""

from __future__ import annotations

import asyncio
import base64
import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketlens.image import open_image, prepare
from pocketlens.prediction import Predictor

__all__ = ["MAX_PICTURE_PIXELS", "Eyes", "Look", "pixels"]

MAX_PICTURE_PIXELS = 30_000_000
"""The largest picture that a page may send: 30 megapixels, 90 MB decoded."""


@dataclass(frozen=True)
class Look:
    """What one model saw and said.

    Args:
        name: The model's name on the page.
        classes: Its `K` classes.
        probabilities: `(K,)` float32.
        seen: The pixels that the model was given, `(H, W, C)` uint8.
        milliseconds: How long the model took, without decoding and resizing.
    """

    name: str
    classes: tuple[str, ...]
    probabilities: NDArray[np.float32]
    seen: NDArray[np.uint8]
    milliseconds: float

    def top(self, count: int) -> list[tuple[str, float]]:
        """The `count` most probable classes, most probable first."""
        order = np.argsort(-self.probabilities, kind="stable")[:count]
        return [(self.classes[i], float(self.probabilities[i])) for i in order]


class Eyes:
    """The models of a page; what is sent is looked at by each of them.

    Args:
        models: By their names on the page.
    """

    def __init__(self, models: dict[str, Predictor]) -> None:
        self.models = models
        self._pool = ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="looking")

    async def look(self, picture: bytes) -> list[Look]:
        """Decode a picture file's contents and ask every model.

        Raises:
            ImageError: Not a picture, or too large.
        """
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._look, picture)

    def close(self) -> None:
        """Let go of the threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _look(self, picture: bytes) -> list[Look]:
        image = open_image(picture, max_pixels=MAX_PICTURE_PIXELS)
        looks = []
        for name, model in self.models.items():
            seen = prepare(image, model.input_spec)
            began = time.perf_counter()
            probabilities = model.probabilities(seen[None])[0]
            milliseconds = 1000 * (time.perf_counter() - began)
            looks.append(Look(name, model.classes, probabilities, seen, milliseconds))
        return looks


def pixels(seen: NDArray[np.uint8]) -> dict[str, Any]:
    """What a model was given, for a page: sizes and the bytes, base64."""
    height, width, channels = seen.shape
    return {
        "width": width,
        "height": height,
        "channels": channels,
        "data": base64.b64encode(np.ascontiguousarray(seen)).decode(),
    }

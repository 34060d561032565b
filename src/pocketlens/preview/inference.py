"""Asking one or more Core ML files about a picture, off the event loop."""

from __future__ import annotations

import asyncio
import base64
import os
import time
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketlens.errors import FeatureError
from pocketlens.image import open_image, prepare
from pocketlens.prediction import Predictor

__all__ = ["MAX_FRAME_PIXELS", "MAX_PICTURE_PIXELS", "Eyes", "Look", "pixels"]

MAX_PICTURE_PIXELS = 30_000_000
"""The largest photo that a page may send: 30 megapixels, 90 MB decoded."""

MAX_FRAME_PIXELS = 4_000_000
"""The largest of many frames a second: 2560 × 1440 and a little more."""


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

    Each is asked once when it is taken in, so that what cannot be asked is told at the start and
    the first picture is answered as quickly as the others.

    Args:
        models: By their names on the page.

    Raises:
        FeatureError: A model that is no classifier of one image.
    """

    def __init__(self, models: dict[str, Predictor]) -> None:
        for name, model in models.items():
            _ask(name, model, np.zeros(model.input_spec.shape, np.uint8))
        self.models = models
        self._pool = ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="looking")

    async def look(
        self,
        picture: bytes,
        *,
        max_pixels: int = MAX_PICTURE_PIXELS,
        names: Collection[str] | None = None,
    ) -> list[Look]:
        """Decode a picture file's contents and ask the models.

        Args:
            picture: The file's contents.
            max_pixels: The largest picture that is decoded.
            names: Which of the models are asked; None for each of them.

        Raises:
            ImageError: Not a picture, or too large.
            FeatureError: A model fails, or its answer is no probabilities.
        """
        asked = {k: model for k, model in self.models.items() if names is None or k in names}
        work = partial(_look, picture, asked, max_pixels)
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    def close(self) -> None:
        """Let go of the threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def _look(picture: bytes, models: dict[str, Predictor], max_pixels: int) -> list[Look]:
    image = open_image(picture, max_pixels=max_pixels)
    looks = []
    for name, model in models.items():
        seen = prepare(image, model.input_spec)
        began = time.perf_counter()
        probabilities = _ask(name, model, seen)
        milliseconds = 1000 * (time.perf_counter() - began)
        looks.append(Look(name, model.classes, probabilities, seen, milliseconds))
    return looks


def _ask(name: str, model: Predictor, seen: NDArray[np.uint8]) -> NDArray[np.float32]:
    probabilities = model.probabilities(seen[None])[0]
    if not np.isfinite(probabilities).all():
        raise FeatureError(
            f"{name} gives probabilities that are not finite (NaN or infinity); "
            "convert it again with --precision float32"
        )
    return probabilities


def pixels(seen: NDArray[np.uint8]) -> dict[str, Any]:
    """What a model was given, for a page: sizes and the bytes, base64."""
    height, width, channels = seen.shape
    return {
        "width": width,
        "height": height,
        "channels": channels,
        "data": base64.b64encode(seen.tobytes()).decode(),
    }

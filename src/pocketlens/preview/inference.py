"""Runs one or more Core ML models on an image, in worker threads."""

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
from pocketlens.image import Ink, open_image, prepare
from pocketlens.prediction import Predictor

__all__ = [
    "MAX_FRAME_PIXELS",
    "MAX_PHOTO_PIXELS",
    "InferencePool",
    "InferenceResult",
    "encode_pixels",
]

MAX_PHOTO_PIXELS = 30_000_000
"""The largest photo that a page may send: 30 megapixels, 90 MB decoded."""

MAX_FRAME_PIXELS = 4_000_000
"""The largest frame of a live stream: a little more than 2560 × 1440."""


@dataclass(frozen=True)
class InferenceResult:
    """The output of one model for one image.

    Args:
        name: The model's name on the page.
        classes: The model's `K` classes.
        probabilities: `(K,)` float32.
        pixels: The model's input, `(H, W, C)` uint8.
        milliseconds: How long the model ran, without decoding and resizing the image.
    """

    name: str
    classes: tuple[str, ...]
    probabilities: NDArray[np.float32]
    pixels: NDArray[np.uint8]
    milliseconds: float

    def top(self, count: int) -> list[tuple[str, float]]:
        """The `count` most probable classes with their probabilities, most probable first."""
        order = np.argsort(-self.probabilities, kind="stable")[:count]
        return [(self.classes[i], float(self.probabilities[i])) for i in order]


class InferencePool:
    """The models of a page and the threads that run them.

    The constructor runs each model once: an unusable model fails at the start, and the first image
    is processed as fast as the later ones.

    Args:
        models: The models by their names on the page.

    Raises:
        FeatureError: A model is not a classifier of one image.
    """

    def __init__(self, models: dict[str, Predictor]) -> None:
        for name, model in models.items():
            _probabilities(name, model, np.zeros(model.input_spec.shape, np.uint8))
        self.models = models
        self._threads = ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="inference")

    async def predict(
        self,
        content: bytes,
        *,
        max_pixels: int = MAX_PHOTO_PIXELS,
        names: Collection[str] | None = None,
        ink: Ink | None = None,
    ) -> list[InferenceResult]:
        """Decode an image file and run the models on it, without blocking the event loop.

        Args:
            content: The content of the image file.
            max_pixels: The largest image that is decoded.
            names: The models to run; None for all of them.
            ink: The lines of a drawing: a model for drawings in the other ink gets it inverted.
                None for an image that is no drawing.

        Returns:
            One result per model, in the order of `models`.

        Raises:
            ImageError: `content` is not a readable image, or the image is too large.
            FeatureError: A model fails, or its outputs are not finite.
        """
        selected = {k: model for k, model in self.models.items() if names is None or k in names}
        work = partial(_predict, content, selected, max_pixels, ink)
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def close(self) -> None:
        """Stop the threads; queued images are dropped."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _predict(
    content: bytes, models: dict[str, Predictor], max_pixels: int, ink: Ink | None
) -> list[InferenceResult]:
    image = open_image(content, max_pixels=max_pixels)
    results = []
    for name, model in models.items():
        pixels = prepare(image, model.input_spec)
        if ink is not None and model.input_spec.ink != ink:
            pixels = 255 - pixels
        start = time.perf_counter()
        probabilities = _probabilities(name, model, pixels)
        milliseconds = 1000 * (time.perf_counter() - start)
        results.append(InferenceResult(name, model.classes, probabilities, pixels, milliseconds))
    return results


def _probabilities(name: str, model: Predictor, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The probabilities `(K,)` for one prepared image `(H, W, C)`."""
    probabilities: NDArray[np.float32] = model.probabilities(pixels[None])[0]
    if not np.isfinite(probabilities).all():
        raise FeatureError(
            f"{name} returned probabilities that are not finite (NaN or infinity); "
            "convert it again with --precision float32"
        )
    return probabilities


def encode_pixels(pixels: NDArray[np.uint8]) -> dict[str, Any]:
    """A model's input `(H, W, C)` as JSON: its size, and the bytes row by row in base64."""
    height, width, channels = pixels.shape
    return {
        "width": width,
        "height": height,
        "channels": channels,
        "data": base64.b64encode(pixels.tobytes()).decode(),
    }

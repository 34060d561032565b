"""Runs one or more Core ML models on an image, in a few worker threads."""

from __future__ import annotations

import asyncio
import base64
import os
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from pocketlens.errors import FeatureError
from pocketlens.image import Ink
from pocketlens.prediction import Predictor
from pocketlens.preview.decoders import (
    PHOTO,
    PROCESSES,
    Decoders,
    Limit,
    is_cheap,
    prepared,
)
from pocketlens.preview.threads import DaemonThreads

__all__ = [
    "MODEL_THREADS",
    "InferencePool",
    "InferenceResult",
    "encode_pixels",
]

T = TypeVar("T")

MODEL_THREADS = "inference"
"""The name of the threads that run models."""


@dataclass(frozen=True)
class InferenceResult:
    """The output of one model for one image.

    Args:
        name: The model's name on the page.
        model: The model.
        probabilities: `(K,)` float32.
        pixels: The model's input, `(H, W, C)` uint8.
        milliseconds: How long the model ran, without decoding and resizing the image.
    """

    name: str
    model: Predictor
    probabilities: NDArray[np.float32]
    pixels: NDArray[np.uint8]
    milliseconds: float

    @property
    def classes(self) -> tuple[str, ...]:
        """The model's `K` classes."""
        return self.model.classes

    def top(self, count: int) -> list[tuple[str, float]]:
        """The `count` most probable classes with their probabilities, most probable first."""
        order = np.argsort(-self.probabilities, kind="stable")[:count]
        return [(self.classes[i], float(self.probabilities[i])) for i in order]


class InferencePool:
    """The models of a page and the threads that run them.

    The constructor runs each model once: an unusable model fails at the start, and the first image
    is processed as fast as the later ones.

    Args:
        models: The models by their names on the page. Another dictionary may take its place later.

    Raises:
        FeatureError: A model is not a classifier of one image.
    """

    def __init__(self, models: dict[str, Predictor]) -> None:
        for name, model in models.items():
            _probabilities(name, model, np.zeros(model.input_spec.shape, np.uint8))
        self.models = models
        self.decoders = Decoders()
        self._threads = DaemonThreads(os.cpu_count() or 1, MODEL_THREADS)
        # These wait for processes. Images that are slow to decode hold up only one another.
        self._waiting = DaemonThreads(PROCESSES, "decoding")

    async def predict(
        self,
        content: bytes,
        *,
        limit: Limit = PHOTO,
        names: Collection[str] | None = None,
        ink: Ink | None = None,
    ) -> list[InferenceResult]:
        """Decode an image file and run the models on it, without blocking the event loop.

        Args:
            content: The content of the image file.
            limit: The largest image that is decoded, `PHOTO` or `FRAME`.
            names: The models to run; None for all of them.
            ink: The lines of a drawing: a model for drawings in the other ink gets it inverted.
                None for an image that is no drawing.

        Returns:
            One result per model, in the order of `models`.

        Raises:
            ImageError: `content` is not a readable image, or the image is too large or takes too
                long to decode.
            FeatureError: A model fails, or its outputs are not finite.
        """
        models = {k: model for k, model in self.models.items() if names is None or k in names}
        specs = [model.input_spec for model in models.values()]
        results = await self.run(partial(_predict_if_cheap, models, content, limit, ink))
        if results is None:
            decode = partial(self.decoders.prepare, content, specs, limit)
            pixels = await self.run_decoder(decode)
            results = await self.run(partial(_predict, models, pixels, ink))
        return results

    async def run(self, function: Callable[[], T]) -> T:
        """Call a function in one of the threads of the models."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, function)

    async def run_decoder(self, function: Callable[[], T]) -> T:
        """Call a function that may have to wait for `Decoders`."""
        return await asyncio.get_running_loop().run_in_executor(self._waiting, function)

    def close(self) -> None:
        """End all decoding; queued images are dropped."""
        for threads in (self._threads, self._waiting):
            threads.close()
        self.decoders.close()


def _predict_if_cheap(
    models: Mapping[str, Predictor], content: bytes, limit: Limit, ink: Ink | None
) -> list[InferenceResult] | None:
    """The results, if the image can be decoded here; else None."""
    if not is_cheap(content):
        return None
    specs = [model.input_spec for model in models.values()]
    return _predict(models, prepared(content, specs, limit), ink)


def _predict(
    models: Mapping[str, Predictor], inputs: list[NDArray[np.uint8]], ink: Ink | None
) -> list[InferenceResult]:
    results = []
    for (name, model), given in zip(models.items(), inputs, strict=True):
        inverted = ink is not None and model.input_spec.ink != ink
        pixels = 255 - given if inverted else given
        start = time.perf_counter()
        probabilities = _probabilities(name, model, pixels)
        milliseconds = 1000 * (time.perf_counter() - start)
        results.append(InferenceResult(name, model, probabilities, pixels, milliseconds))
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

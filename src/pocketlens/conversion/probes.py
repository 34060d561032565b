"""Images that excite a network in many ways, for finding out how it behaves."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from pocketlens.image import InputSpec

__all__ = ["noise_images", "probe_images"]


def noise_images(input_spec: InputSpec, count: int = 4) -> NDArray[np.uint8]:
    """Images `(count, H, W, C)` uint8 of noise with different contrasts; the same on every call."""
    random = np.random.default_rng(0)
    noise = random.integers(0, 256, (count, *input_spec.shape))
    contrast = np.linspace(0.1, 1.0, count).reshape(-1, 1, 1, 1)
    return (noise * contrast).astype(np.uint8)


def probe_images(input_spec: InputSpec) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    """Flat and dark images, spots, gradients, stripes, noise and scenes; the same on every call.

    Returns:
        Images `(N, H, W, C)` uint8 and what each of them shows, such as `a bright spot`.
    """
    names, images = zip(*_images(input_spec), strict=True)
    return np.stack([image.clip(0, 255).astype(np.uint8) for image in images]), names


def _images(input_spec: InputSpec) -> Iterator[tuple[str, NDArray[np.float64]]]:
    height, width, channels = shape = input_spec.shape
    random = np.random.default_rng(0)
    y, x = (
        axis[..., None] / max(1, side - 1)
        for axis, side in zip(np.mgrid[:height, :width], (height, width), strict=True)
    )
    noise = random.random(shape)
    colors = np.linspace(90, 180, channels)
    yield "a black image", np.zeros(shape)
    yield "a white image", np.full(shape, 255.0)
    yield "a flat color", np.full(shape, colors)
    for channel in range(channels):
        spot = np.zeros(shape)
        spot[height // 3, width // 2, channel] = 255
        yield "a bright spot", spot
    yield "a dark spot", 255 * (np.hypot(y - 0.6, x - 0.4) > 0.15) * np.ones(shape)
    yield "a horizontal gradient", 255 * x * np.ones(shape)
    yield "a vertical gradient", 255 * (1 - y) * np.linspace(0.3, 1, channels)
    yield "stripes", 255 * (np.arange(width)[:, None] % 2) * np.ones(shape)
    yield "noise", 255 * noise
    yield "dark noise", 8 * noise
    yield "noise of low contrast", 110 + 30 * noise
    yield "light lines on black", 255 * _lines(y, x) * np.ones(shape)
    yield "dark lines on white", 255 - 240 * _lines(y, x) * np.ones(shape)
    for _ in range(2):
        yield "a scene", _scene(random, y, x, channels)


def _lines(y: NDArray[np.float64], x: NDArray[np.float64]) -> NDArray[np.float64]:
    """A ring and a slanted line, as in a drawing, from 0 to 1."""
    ring = np.abs(np.hypot(y - 0.35, x - 0.5) - 0.2)
    line = np.where(np.abs(y - 0.7) < 0.25, np.abs(x - 0.8 + 0.5 * y), 1)
    drawn: NDArray[np.float64] = (1.5 - np.minimum(ring, line) / 0.05).clip(0, 1)
    return drawn


def _scene(
    random: np.random.Generator, y: NDArray[np.float64], x: NDArray[np.float64], channels: int
) -> NDArray[np.float64]:
    """Waves whose strength falls with their frequency, as in photos, and a flat disk."""
    scene = np.full((*np.broadcast_shapes(y.shape, x.shape)[:2], channels), 120.0)
    for frequency in (1, 2, 3, 5, 9, 17):
        for _ in range(3):
            angle, phase = random.uniform(0, 2 * np.pi, 2)
            along = np.cos(angle) * x + np.sin(angle) * y
            wave = np.sin(2 * np.pi * frequency * along + phase)
            scene += random.uniform(10, 60, channels) / frequency * wave
    inside = np.hypot(y - random.uniform(), x - random.uniform()) < 0.2
    return np.where(inside, random.uniform(0, 255, channels), scene)

"""Whole stacks of images made to fit an `InputSpec`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pocketlens.data.dataset import Dataset
from pocketlens.image import InputSpec, prepare

__all__ = ["fit_dataset", "fit_images"]

BATCH = 2048
"""Images resized in one call: a tall picture of a few megabytes."""


def fit_dataset(dataset: Dataset, spec: InputSpec | None) -> Dataset:
    """`dataset` with its images made to fit `spec`; itself where they fit, or with no spec."""
    if spec is None or dataset.images.shape[1:] == spec.shape:
        return dataset
    return replace(dataset, images=fit_images(dataset.images, spec))


def fit_images(images: NDArray[np.uint8], spec: InputSpec) -> NDArray[np.uint8]:
    """What `image.prepare` makes of every image, to the bit, but many at a time.

    Args:
        images: `(N, H, W, 1 or 3)`.
        spec: The input to fit. Its crop matters only when its shape has other proportions.

    Returns:
        `(N, *spec.shape)`; `images` itself if it fits already.
    """
    count, height, width, channels = images.shape
    if images.shape[1:] == spec.shape:
        return images
    if height * spec.width != width * spec.height:
        prepared = np.empty((count, *spec.shape), np.uint8)
        for image, place in zip(images, prepared, strict=True):
            place[...] = prepare(image, spec)
        return prepared
    if channels == 3 and spec.channels == 1:
        images = _gray(images)
    batches = (images[start : start + BATCH] for start in range(0, count, BATCH))
    resized = [_resize(batch, spec.height, spec.width) for batch in batches]
    fitted = np.concatenate(resized) if resized else images[:, : spec.height, : spec.width]
    return np.repeat(fitted, 3, axis=3) if fitted.shape[3] < spec.channels else fitted


def _gray(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    from PIL import Image

    count, height, width, _ = images.shape
    tall = Image.fromarray(images.reshape(count * height, width, 3))
    return np.asarray(tall.convert("L")).reshape(count, height, width, 1)


def _resize(images: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Bilinear, antialiased, as Pillow does it: all rows, then all columns.

    Pillow's filter works on one axis at a time and rounds to 8 bits in between, so the images can
    lie under one another for the rows and, turned, for the columns, without touching each other.
    """
    across = _resize_rows(images, width)
    down = _resize_rows(across.transpose(0, 2, 1, 3), height)
    return np.ascontiguousarray(down.transpose(0, 2, 1, 3))


def _resize_rows(images: NDArray[np.uint8], width: int) -> NDArray[np.uint8]:
    from PIL import Image

    count, rows, length, channels = images.shape
    stacked = np.ascontiguousarray(images).reshape(count * rows, length, channels)
    tall = Image.fromarray(stacked[..., 0] if channels == 1 else stacked)
    wide = tall.resize((width, count * rows), Image.Resampling.BILINEAR)
    return np.asarray(wide).reshape(count, rows, width, channels)

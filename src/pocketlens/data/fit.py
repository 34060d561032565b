"""Resize and crop many images at once to fit an `InputSpec`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pocketlens.data.dataset import Dataset
from pocketlens.image import InputSpec, prepare

__all__ = ["fit_dataset", "fit_images"]

BATCH = 2048
"""Images resized in one call: stacked, they are one tall image of a few megabytes."""


def fit_dataset(dataset: Dataset, spec: InputSpec | None) -> Dataset:
    """Resize and crop the images of `dataset` to fit `spec`.

    Returns:
        A new data set, or `dataset` itself if its images fit already or `spec` is None.
    """
    if spec is None or dataset.images.shape[1:] == spec.shape:
        return dataset
    return replace(dataset, images=fit_images(dataset.images, spec))


def fit_images(images: NDArray[np.uint8], spec: InputSpec) -> NDArray[np.uint8]:
    """Resize and crop images; the result is bit-identical to `image.prepare` on each, but faster.

    Args:
        images: `(N, H, W, 1 or 3)` uint8.
        spec: The size and colors wanted. Its crop only matters if the proportions differ.

    Returns:
        `(N, *spec.shape)` uint8; `images` itself if it fits already.
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
    """Bilinear, antialiased resizing by Pillow: first all rows, then all columns.

    Pillow's filter works on one axis at a time and rounds to 8 bits in between. So the images can
    be stacked on top of each other for the rows and, transposed, for the columns: pixels of
    different images are never mixed.
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

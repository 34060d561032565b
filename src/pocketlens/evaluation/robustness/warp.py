"""Rotate, shear, scale and shift images; outside an image is the color of its border."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from pocketlens.evaluation.robustness.drawing import Homography, scaling, translation

__all__ = ["border", "warped"]


def warped(
    images: NDArray[np.uint8],
    change: Homography | list[Homography],
    *,
    size: tuple[int, int] | None = None,
) -> NDArray[np.uint8]:
    """Apply affine transforms to images, with bicubic interpolation.

    Args:
        images: `(N, H, W, C)` uint8.
        change: Affine 3 × 3 matrix (see `drawing`), one for all images or one for each. The origin
            is the middle, the unit is the side of the image: `translation(0.1, 0)` moves an image
            by a tenth of its width to the right.
        size: Height and width of the result, which an untransformed image fills; default: those of
            `images`.

    Returns:
        `(N, *size, C)` uint8. Outside an image is its `border` color.
    """
    from PIL import Image

    count, height, width, channels = images.shape
    tall, wide = size or (height, width)
    to_middle = scaling(1 / width, 1 / height) @ translation(-width / 2, -height / 2)
    changes = change if isinstance(change, list) else [change] * count
    result = np.empty((count, tall, wide, channels), np.uint8)
    for image, beyond, one, place in zip(images, border(images), changes, result, strict=True):
        size_kept = float(abs(np.linalg.det(one[:2, :2])) ** 0.5) * min(tall / height, wide / width)
        # When an image is made smaller, several samples per pixel are averaged to avoid aliasing.
        finer = max(1, math.ceil(round(1 / size_kept, 6)))
        from_middle = translation(finer * wide / 2, finer * tall / 2) @ scaling(
            finer * wide, finer * tall
        )
        inverse = np.linalg.inv(from_middle @ one @ to_middle)
        seen = Image.fromarray(image[..., 0] if channels == 1 else image).transform(
            (finer * wide, finer * tall),
            Image.Transform.AFFINE,
            tuple(inverse[:2].ravel()),
            Image.Resampling.BICUBIC,
            fillcolor=int(beyond[0]) if channels == 1 else tuple(int(b) for b in beyond),
        )
        place[...] = np.asarray(seen.reduce(finer)).reshape(tall, wide, channels)
    return result


def border(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The median color `(N, C)` of each image's outermost pixels."""
    rows = np.concatenate(
        [images[:, 0], images[:, -1], images[:, 1:-1, 0], images[:, 1:-1, -1]], axis=1
    )
    colors: NDArray[np.uint8] = np.median(rows, axis=1).astype(np.uint8)
    return colors

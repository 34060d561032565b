"""Which parts of an image matter to any classifier: they are covered, one after another."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pocketlens.prediction import Predictor

__all__ = ["occluded"]

CELLS = 8
"""The map has at most this many cells in each direction; a cover is two cells wide and high."""

BATCH = 32
SMALLEST = 1e-6
"""Probabilities are limited to this, and to 1 minus this, so that their log odds are finite."""


def occluded(model: Predictor, image: NDArray[np.uint8], index: int) -> NDArray[np.float64]:
    """How much each part of an image `(H, W, C)` adds to the log odds of a class, `(h, w)`.

    A cell's value is the mean over all covers that contain it. Covers have the median color of the
    image, which for a drawing is its background. If the model's scores are not in [0, 1], the
    scores themselves are compared.
    """
    height, width = image.shape[:2]
    rows, columns = (_bounds(side) for side in (height, width))
    color = np.median(image, axis=(0, 1)).astype(np.uint8)
    places = [(y, x) for y in range(-1, len(rows) - 1) for x in range(-1, len(columns) - 1)]
    images = [image]
    scores: list[NDArray[np.float64]] = []
    for y, x in places:
        top, bottom = rows[max(y, 0)], rows[min(y + 2, len(rows) - 1)]
        left, right = columns[max(x, 0)], columns[min(x + 2, len(columns) - 1)]
        covered = image.copy()
        covered[top:bottom, left:right] = color
        images.append(covered)
        if len(images) == BATCH:
            scores.append(model.probabilities(np.stack(images))[:, index].astype(np.float64))
            images = []
    if images:
        scores.append(model.probabilities(np.stack(images))[:, index].astype(np.float64))
    found = np.concatenate(scores)
    if found.min() >= 0 and found.max() <= 1:
        found = np.clip(found, SMALLEST, 1 - SMALLEST)
        found = np.log(found / (1 - found))
    losses = found[0] - found[1:]
    sums, counts = np.zeros((2, len(rows) - 1, len(columns) - 1))
    for (y, x), loss in zip(places, losses, strict=True):
        part = np.s_[max(y, 0) : y + 2, max(x, 0) : x + 2]
        sums[part] += loss
        counts[part] += 1
    result: NDArray[np.float64] = sums / counts
    return result


def _bounds(side: int) -> list[int]:
    """The first pixel of each cell, and the end of the last one."""
    return [int(at) for at in np.linspace(0, side, min(CELLS, side) + 1).round()]

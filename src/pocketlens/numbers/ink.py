"""The ink of a photo: how much darker (or lighter) than the paper around it each pixel is.

The paper is what remains when everything narrower than a window is removed: a morphological
closing, computed at a reduced size. It follows shadows, also those with sharp edges. A pixel is ink
if it differs from the paper by a good part of the strongest difference near it, so faint and bold
writing, and writing in the shade, are found with the same rule.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

__all__ = ["InkMap", "highest_of_cells", "ink_map"]

Array = NDArray[np.float32]

CELLS = 200
"""The longer side of the reduced photo in which the paper is found."""

WIDEST = 0.2
"""The widest stroke, as a share of the photo's longer side."""

NEAR = 5
"""The reach, in cells, of the strongest difference that a pixel is compared with."""

SHARE = 0.42
"""A pixel is ink if it has this share of the strongest difference near it."""

FAINTEST = 0.07
"""Least difference of ink, as a share of the paper's brightness."""

UNLIKELY = 0.25
"""The likelihood of dark ink on black paper, and of light ink on white paper."""

NOISE = 5.0
"""Least difference of ink, in standard deviations of the paper's noise."""

LEAST_RANGE = {False: 40.0, True: 150.0}
"""Least range between the paper and full ink, of 255, for dark and for light ink: on nearly black
paper, and for light ink on nearly white paper, the noise would be ink."""


@dataclass(frozen=True)
class InkMap:
    """The ink of one photo for one ink color.

    Args:
        strength: `(H, W)` float32, the difference from the paper: 0 for paper, up to 1.
        mask: `(H, W)` bool, where there is ink.
        standing: `(H, W)` float32, the share of the difference, 0 to 1, by which a pixel also
            differs from the average around it. Between dark strokes, the paper seems to be light
            ink; but most of what is around it looks the same.
        likelihood: How likely this ink color is on paper of this brightness, 0 to 1.
    """

    strength: Array
    mask: NDArray[np.bool_]
    standing: Array
    likelihood: float


def ink_map(gray: NDArray[np.uint8], *, light: bool = False) -> InkMap:
    """Find the ink in a gray photo.

    Args:
        gray: `(H, W)` uint8.
        light: Whether the ink is lighter than the paper.
    """
    height, width = gray.shape
    image = Image.fromarray(255 - gray if light else gray)
    cell = -(-max(height, width) // CELLS)
    small = np.asarray(image.reduce(cell) if cell > 1 else image, np.float32)
    window = 2 * round(WIDEST * max(small.shape) / 2) + 1
    paper = _smooth(-_highest(-_highest(small, window), window), 3)
    soft = image.filter(ImageFilter.GaussianBlur(0.7)) if cell > 1 else image
    values = np.asarray(soft, np.float32)
    level = _enlarged(paper, cell, height, width)
    full = np.maximum(level, LEAST_RANGE[light])
    strength = (level - values) / full
    middle = float(np.median(strength))  # a closing is a little brighter than noisy paper
    strength = np.clip(strength - middle, 0, 1)
    floor = max(FAINTEST, NOISE * _noise(values, 2 * cell) / float(np.median(full)))
    peaks = _smooth(_highest(highest_of_cells(strength, cell), 2 * NEAR + 1), NEAR)
    needed = np.maximum(floor, SHARE * _enlarged(peaks, cell, height, width))
    mask = strength > needed
    average = _enlarged(_smooth(small, window), cell, height, width)
    standing = np.clip((average - values) / np.maximum(full * strength, 1), 0, 1)
    bright = float(np.median(small)) / 255  # of the photo, or of its negative for light ink
    return InkMap(strength, mask, standing, max(UNLIKELY, bright))


def _noise(values: Array, apart: int) -> float:
    """The standard deviation of the noise of most pixels, from pixels that are `apart`."""
    if values.shape[1] <= apart:
        return 0.0
    steps = np.abs(values[:, apart:] - values[:, :-apart])
    return float(np.median(steps)) / (0.6745 * 2**0.5)


def highest_of_cells(values: Array, size: int) -> Array:
    """The highest value of each cell of `size` pixels."""
    height, width = values.shape
    padded = np.pad(values, ((0, -height % size), (0, -width % size)))
    rows, columns = padded.shape[0] // size, padded.shape[1] // size
    highest: Array = padded.reshape(rows, size, columns, size).max((1, 3))
    return highest


def _enlarged(cells: Array, size: int, height: int, width: int) -> Array:
    """Cells as pixels, interpolated."""
    rows, columns = cells.shape
    large = Image.fromarray(cells).resize((columns * size, rows * size), Image.Resampling.BILINEAR)
    return np.asarray(large, np.float32)[:height, :width]


def _highest(values: Array, window: int) -> Array:
    """The highest value in a square window around each value; `window` is odd."""
    for axis in (0, 1):
        values = _windows(values, window, axis, float("-inf")).max(-1)
    return values


def _smooth(values: Array, window: int) -> Array:
    """The mean of a square window around each value, at the edge of what is inside."""
    for axis in (0, 1):
        values = np.nanmean(_windows(values, window, axis, float("nan")), axis=-1)
    return values.astype(np.float32)


def _windows(values: Array, window: int, axis: int, outside: float) -> Array:
    pad = [(window // 2, window // 2) if each == axis else (0, 0) for each in (0, 1)]
    padded = np.pad(values, pad, constant_values=outside)
    return np.lib.stride_tricks.sliding_window_view(padded, window, axis)

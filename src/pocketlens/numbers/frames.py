"""Pieces of ink as a model's input: one sign in the middle, and nothing else."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from pocketlens.image import InputSpec
from pocketlens.numbers.components import Box
from pocketlens.numbers.ink import highest_of_cells

__all__ = ["draw_frame", "outlines"]

BOX = 20 / 28
"""The longer side of the ink, as a share of the frame: as in MNIST."""

THINNEST = 0.07
"""Thinner strokes are thickened to this share of the ink's longer side."""


THICKEN = 4
"""Strokes are thickened by about this many pixels at most; larger ink is reduced before that."""


def draw_frame(
    strength: NDArray[np.float32],
    atoms: NDArray[np.int32],
    numbers: Collection[int],
    box: Box,
    spec: InputSpec,
) -> NDArray[np.uint8]:
    """Draw pieces of ink alone, in the ink and at the size that a model expects.

    Args:
        strength: The photo's ink `(H, W)`, 0 to 1.
        atoms: The number of the piece that each pixel belongs to, `(H, W)`; 0 for none.
        numbers: The pieces to draw.
        box: The box around them.
        spec: The model's input.

    Returns:
        uint8 array of shape `spec.shape`.
    """
    top, left = max(0, box.top - 2), max(0, box.left - 2)
    area = np.s_[top : box.bottom + 2, left : box.right + 2]
    own = np.isin(atoms[area], list(numbers))
    near = Image.fromarray(own.view(np.uint8) * 255).filter(ImageFilter.MaxFilter(3))
    others = (atoms[area] > 0) & ~own
    ink = np.where((np.asarray(near) > 0) & ~others, strength[area], 0)
    peak = float(np.percentile(ink[own], 90))
    ink = np.clip(ink / peak, 0, 1)
    longest = max(box.width, box.height)
    missing = THINNEST * longest - _stroke_width(own)
    if missing > 1:
        cell = max(1, int(missing / 2) // THICKEN)  # the work grows with the square of the size
        ink = highest_of_cells(ink, cell)
        longest = max(1, longest // cell)
        around = int(missing / cell / 2 + 0.5)
        ink = np.pad(ink, around)
        grown = Image.fromarray(np.uint8(255 * ink)).filter(ImageFilter.MaxFilter(2 * around + 1))
        ink = np.asarray(grown, np.float32) / 255
        longest += 2 * around
    return _centered(ink.astype(np.float32), BOX * min(spec.width, spec.height) / longest, spec)


def outlines(labels: NDArray[np.int32], count: int) -> NDArray[np.int64]:
    """For each number below `count`, how many steps between neighboring pixels lead out of it."""
    padded = np.pad(labels, 1)
    total = np.zeros(count, np.int64)
    for one, other in ((padded[1:], padded[:-1]), (padded[:, 1:], padded[:, :-1])):
        border = one != other
        total += np.bincount(one[border], minlength=count)
        total += np.bincount(other[border], minlength=count)
    return total


def _stroke_width(mask: NDArray[np.bool_]) -> float:
    """About how many pixels wide the strokes of a mask are: twice its area by its outline."""
    return 2 * int(mask.sum()) / max(1, int(outlines(mask.astype(np.int32), 2)[1]))


def _centered(ink: NDArray[np.float32], scale: float, spec: InputSpec) -> NDArray[np.uint8]:
    """Ink, reduced or enlarged, with its center of mass in the middle of the frame, as in MNIST."""
    size = (max(1, round(ink.shape[1] * scale)), max(1, round(ink.shape[0] * scale)))
    small = np.asarray(Image.fromarray(ink).resize(size, Image.Resampling.BILINEAR))
    frame = np.zeros((spec.height, spec.width), np.float32)
    place = []
    for axis in (0, 1):
        mass = small.sum(1 - axis)
        middle = float((mass * (np.arange(len(mass)) + 0.5)).sum() / max(mass.sum(), 1e-6))
        room = frame.shape[axis] - small.shape[axis]
        start = int(np.clip(round(frame.shape[axis] / 2 - middle), 0, max(room, 0)))
        place.append(slice(start, start + small.shape[axis]))
    target = frame[place[0], place[1]]
    target[...] = small[: target.shape[0], : target.shape[1]]
    values = frame if spec.ink == "light" else 1 - frame
    pixels = np.rint(255 * np.clip(values, 0, 1)).astype(np.uint8)
    return np.repeat(pixels[..., None], spec.channels, 2)

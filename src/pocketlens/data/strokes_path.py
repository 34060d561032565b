"""A hand as a linear map: from its control points to the samples of the pen's path.

Moved points give a moved curve by one product, so a whole batch of images is traced at once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pocketlens.data.stroke_templates import Hand, Point

__all__ = ["PenPath"]

REACH = 12.5
"""How far along the path, either way, the cut corners reach, in per cent of the height."""

HOOK_SAMPLES = 3
"""Samples of the hook at an open end."""

MIDDLE = (35, 50)
"""The middle of the box in which hands are written down."""

Array = NDArray[np.float32]


@dataclass(frozen=True)
class PenPath:
    """The path of a hand, sampled.

    The columns of `sharp` and `soft` belong to vectors in the plane: the hand's P distinct points
    (a point given twice is one, so what is joined stays joined); the hooks at the two ends of each
    of its K strokes, as offsets from the end; the displacements of the K strokes.

    Args:
        points: `(P, 2)` x and y of the distinct points about the middle, in per cent of the height.
        strokes: K.
        sharp: `(S, P + 3K)` weights of the samples, with the corners as they are.
        soft: `(S, P + 3K)` what is added when the corners are cut.
        along: `(S, 1)` where on the pen's way a sample lies, from 0 to 1.
    """

    points: Array
    strokes: int
    sharp: Array
    soft: Array
    along: Array

    @classmethod
    def of(cls, hand: Hand, step: float) -> PenPath:
        """The path of `hand`, sampled at least every `step` per cent of the height."""
        distinct = list(dict.fromkeys(point for stroke in hand.strokes for point in stroke))
        number = {point: index for index, point in enumerate(distinct)}
        points, strokes = len(distinct), len(hand.strokes)
        reach = max(1, round(REACH / step))
        sharp, soft = [], []
        for index, stroke in enumerate(hand.strokes):
            curve = _curve(stroke, number, step)
            curve = np.pad(curve, ((0, 0), (0, 3 * strokes)))
            if stroke[0] != stroke[-1]:
                hook = points + 2 * index
                curve = np.concatenate(
                    [_hook(curve[0], hook)[::-1], curve, _hook(curve[-1], hook + 1)]
                )
            if strokes > 1:  # one stroke alone would be moved back to the middle
                curve[:, points + 2 * strokes + index] = 1
            sharp.append(curve)
            soft.append(_averaged(curve, min(reach, len(curve) - 1)) - curve)
        samples = np.concatenate(sharp).astype(np.float32)
        return cls(
            (np.array(distinct) - MIDDLE).astype(np.float32),
            strokes,
            samples,
            np.concatenate(soft).astype(np.float32),
            np.linspace(0, 1, len(samples), dtype=np.float32)[:, None],
        )


def _curve(stroke: tuple[Point, ...], number: dict[Point, int], step: float) -> NDArray[np.float64]:
    """Weights `(S, P)` of one stroke: a uniform Catmull-Rom curve through its points."""
    closed = stroke[0] == stroke[-1]
    before = stroke[-2] if closed else stroke[0]
    after = stroke[1] if closed else stroke[-1]
    row = [before, *stroke, after]
    pieces = []
    for a, b, c, d in zip(row, row[1:], row[2:], row[3:], strict=False):
        if b == c:
            continue  # a corner: the curve arrives at the point, and leaves it anew
        count = math.ceil(math.dist(b, c) / step)
        t = np.arange(count) / count
        piece = np.zeros((count, len(number)))
        piece[:, number[a]] += (-t + 2 * t**2 - t**3) / 2
        piece[:, number[b]] += (2 - 5 * t**2 + 3 * t**3) / 2
        piece[:, number[c]] += (t + 4 * t**2 - 3 * t**3) / 2
        piece[:, number[d]] += (t**3 - t**2) / 2
        pieces.append(piece)
    end = np.zeros((1, len(number)))
    end[0, number[stroke[-1]]] = 1
    return np.concatenate([*pieces, end])


def _hook(end: NDArray[np.float64], column: int) -> NDArray[np.float64]:
    """Weights of the samples that lead away from a stroke's `end`, nearest first."""
    samples = np.repeat(end[None], HOOK_SAMPLES, axis=0)
    samples[:, column] = np.arange(1, HOOK_SAMPLES + 1) / HOOK_SAMPLES
    return samples


def _averaged(curve: NDArray[np.float64], reach: int) -> NDArray[np.float64]:
    """`curve` averaged over `reach` samples on either side; its ends stay where they are."""
    padded = np.concatenate(
        [2 * curve[0] - curve[reach:0:-1], curve, 2 * curve[-1] - curve[-2 : -reach - 2 : -1]]
    )
    sums = np.cumsum(np.concatenate([np.zeros((1, curve.shape[1])), padded]), axis=0)
    width = 2 * reach + 1
    return (sums[width:] - sums[:-width]) / width

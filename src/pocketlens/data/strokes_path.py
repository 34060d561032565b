"""A stroke template as a linear map from its control points to samples of the pen's path.

When the points move, one product gives the new curve, so a whole batch is computed at once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pocketlens.data.stroke_templates import Move, Point, StrokeTemplate

__all__ = ["PenPath"]

REACH = 12.5
"""Distance along the path, in both directions, that rounding a corner affects, in percent of the
height."""

HOOK_SAMPLES = 3
"""Number of samples in the hook at an open end."""

MIDDLE = (35, 50)
"""The middle of the box that templates are written in."""

Array = NDArray[np.float32]


@dataclass(frozen=True)
class PenPath:
    """The sampled path of a stroke template.

    The columns of `sharp` and `soft` are the weights of 2-D vectors: first the P distinct points
    (a point given twice counts once, so joined strokes stay joined), then the hooks at both
    ends of each of the K strokes, as offsets from the end, then the offsets of the K strokes.

    Args:
        points: `(P, 2)` x and y of the distinct points, relative to the middle, in percent of the
            height.
        strokes: The number of strokes, K.
        sharp: `(S, P + 3K)` weights of the samples, with sharp corners.
        soft: `(S, P + 3K)` weights to add for rounded corners.
        along: `(S, 1)` position of each sample along the path, from 0 to 1.
        moves: What the template lets vary, each as shares `(P, 1)` of the points, and the ends
            `(2,)` of the range of the movement.
    """

    points: Array
    strokes: int
    sharp: Array
    soft: Array
    along: Array
    moves: tuple[tuple[Array, Array, Array], ...] = ()

    @classmethod
    def of(cls, template: StrokeTemplate, step: float) -> PenPath:
        """The path of `template`, sampled at least every `step` percent of the height."""
        distinct = list(dict.fromkeys(point for stroke in template.strokes for point in stroke))
        number = {point: index for index, point in enumerate(distinct)}
        points, strokes = len(distinct), len(template.strokes)
        reach = max(1, round(REACH / step))
        sharp, soft = [], []
        for index, stroke in enumerate(template.strokes):
            curve = _curve(stroke, number, step)
            curve = np.pad(curve, ((0, 0), (0, 3 * strokes)))
            if stroke[0] != stroke[-1]:
                hook = points + 2 * index
                curve = np.concatenate(
                    [_hook(curve[0], hook)[::-1], curve, _hook(curve[-1], hook + 1)]
                )
            if strokes > 1:  # moving a single stroke has no effect: it is centered again
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
            tuple(_move(move, points) for move in template.moves),
        )


def _move(move: Move, points: int) -> tuple[Array, Array, Array]:
    shares = np.zeros((points, 1), np.float32)
    for point, share in move.shares:
        shares[point] = share
    return shares, np.array(move.start, np.float32), np.array(move.end, np.float32)


def _curve(stroke: tuple[Point, ...], number: dict[Point, int], step: float) -> NDArray[np.float64]:
    """Weights `(S, P)` of one stroke: a uniform Catmull-Rom curve through its points."""
    closed = stroke[0] == stroke[-1]
    before = stroke[-2] if closed else stroke[0]
    after = stroke[1] if closed else stroke[-1]
    row = [before, *stroke, after]
    pieces = []
    for a, b, c, d in zip(row, row[1:], row[2:], row[3:], strict=False):
        if b == c:
            continue  # a corner: one curve ends at the point and a new one starts there
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
    """Weights of the samples that lead away from the `end` of a stroke, nearest first."""
    samples = np.repeat(end[None], HOOK_SAMPLES, axis=0)
    samples[:, column] = np.arange(1, HOOK_SAMPLES + 1) / HOOK_SAMPLES
    return samples


def _averaged(curve: NDArray[np.float64], reach: int) -> NDArray[np.float64]:
    """`curve` averaged over `reach` samples on both sides; its ends do not move."""
    padded = np.concatenate(
        [2 * curve[0] - curve[reach:0:-1], curve, 2 * curve[-1] - curve[-2 : -reach - 2 : -1]]
    )
    sums = np.cumsum(np.concatenate([np.zeros((1, curve.shape[1])), padded]), axis=0)
    width = 2 * reach + 1
    averages: NDArray[np.float64] = (sums[width:] - sums[:-width]) / width
    return averages

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

ROUNDED = 9
"""In a drawing with parts, a corner affects at most this fraction of its stroke."""

LOOSE, STEADIEST = 45, 0.12
"""In a drawing with parts, points of a stroke smaller than `LOOSE` percent of the height vary less,
in proportion to its size, but not less than `STEADIEST`."""

HOOK_SAMPLES = 3
"""Number of samples in the hook at an open end."""

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
        blocks: For each stroke, its rows of `sharp` and `soft` and the columns that are not 0
            there.
        loose: `(P + 3K, 1)`, how much each vector varies, up to 1.
        part_of_point: `(P,)`, the part that each point belongs to.
        part_of_sample: `(S,)`, the part of each sample.
        chances: `(K,)`, how likely each part is to be there.
        turn: Deviation of the rotation, in radians; None if it depends on the hand only.
        mirrored: Whether half of the images are mirrored.
    """

    points: Array
    strokes: int
    sharp: Array
    soft: Array
    along: Array
    moves: tuple[tuple[Array, Array, Array], ...]
    blocks: tuple[tuple[slice, NDArray[np.intp]], ...]
    loose: Array
    part_of_point: NDArray[np.intp]
    part_of_sample: NDArray[np.intp]
    chances: Array
    turn: float | None = None
    mirrored: bool = False

    @classmethod
    def of(cls, template: StrokeTemplate, step: float) -> PenPath:
        """The path of `template`, sampled at least every `step` percent of the height."""
        distinct = list(dict.fromkeys(point for stroke in template.strokes for point in stroke))
        number = {point: index for index, point in enumerate(distinct)}
        points, strokes = len(distinct), len(template.strokes)
        reach = max(1, round(REACH / step))
        part_of = template.parts or (0,) * strokes
        owner: dict[Point, int] = {}
        for stroke, part in zip(template.strokes, part_of, strict=True):
            owner = dict.fromkeys(stroke, part) | owner  # a shared point moves with the first part
        sharp: list[Array] = []
        soft: list[Array] = []
        blocks = []
        loose = np.ones((points + 3 * strokes, 1), np.float32)
        start = 0
        for index, stroke in enumerate(template.strokes):
            columns = [number[point] for point in dict.fromkeys(stroke)]
            curve = _curve(stroke, step)
            if stroke[0] != stroke[-1]:
                hook = points + 2 * index
                columns += [hook, hook + 1]
                curve = np.pad(curve, ((0, 0), (0, 2)))
                curve = np.concatenate([_hook(curve[0], -2)[::-1], curve, _hook(curve[-1], -1)])
            if strokes > 1:  # moving a single stroke has no effect: it is centered again
                columns.append(points + 2 * strokes + index)
                curve = np.pad(curve, ((0, 0), (0, 1)), constant_values=1)
            if template.parts:
                size = max(np.ptp(np.array(stroke), axis=0))
                loose[columns] = np.clip(size / LOOSE, STEADIEST, loose[columns])
            blocks.append((slice(start, start + len(curve)), np.sort(columns)))
            start += len(curve)
            # Of a drawing with parts, small ones have corners, too.
            most = max(1, len(curve) // ROUNDED) if template.parts else len(curve) - 1
            averaged = _averaged(curve, min(reach, most)) - curve
            for rows, values in ((sharp, curve), (soft, averaged)):
                rows.append(np.zeros((len(curve), points + 3 * strokes), np.float32))
                rows[-1][:, columns] = values
        samples = np.concatenate(sharp)
        return cls(
            (np.array(distinct) - template.middle).astype(np.float32),
            strokes,
            samples,
            np.concatenate(soft),
            np.linspace(0, 1, len(samples), dtype=np.float32)[:, None],
            tuple(_move(move, points) for move in template.moves),
            tuple(blocks),
            loose,
            np.array([owner[point] for point in distinct]),
            np.repeat(np.array(part_of), [len(rows) for rows in sharp]),
            np.array(template.chances or (1,), np.float32),
            None if template.turn is None else math.radians(template.turn),
            template.mirrored,
        )


def _move(move: Move, points: int) -> tuple[Array, Array, Array]:
    shares = np.zeros((points, 1), np.float32)
    for point, share in move.shares:
        shares[point] = share
    return shares, np.array(move.start, np.float32), np.array(move.end, np.float32)


def _curve(stroke: tuple[Point, ...], step: float) -> NDArray[np.float64]:
    """Weights of one stroke, one column for each distinct point: a uniform Catmull-Rom curve."""
    number = {point: index for index, point in enumerate(dict.fromkeys(stroke))}
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

"""Whether two small pictures that are aligned show the same, cell by cell."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pocketlens.data.alignment import CELLS, WHOLE, Numbers, Sums, centered, polished, product

__all__ = ["is_same"]

Floats = NDArray[np.float32]
Flags = NDArray[np.bool_]

LUMA_COPY, COLOR_COPY, BRIGHT_COPY = (3.0, 0.15), (4.0, 0.3), (6.0, 0.3)
"""By how much a cell of a copy differs in brightness, in Cb and Cr, and in the colors of a brighter
copy: by compression (of 255), and beside an edge, as a share of the contrast. Copies are not
aligned exactly, and their colors are stored at a lower resolution."""

DIFFERENT, DIFFERENT_COLOR, DIFFERENT_TONE = 2.6, 1.75, 2.2
"""How many times as much a cell of a different picture differs; the last one is for copies that are
brighter, which have more ways to fit."""

FEW_CELLS = 16
"""Of the 576 cells, the most with a different color in a copy."""

EDGE, FULL, FEW_FULL = 12.0, 0.45, 0.05
"""The contrast of a cell with an edge. Of a picture that is full of edges, such as a page of text,
so many of those above this share of the cells may differ."""

PRECISE, PRECISE_EDGES = 0.98, 0.945
"""The least correlation of the cells of a copy, and of their differences from the cells around."""

BRIGHTER_CELLS = 5
"""Unless so many cells differ, it is not another brightness that makes the difference."""

NEARLY, NEARLY_SAME = 50, 0.75
"""With fewer differing cells, and from this correlation of photos on, a picture may still be a copy
that is not aligned well."""

SAME, SAME_EDGES, SAME_HUE = 0.93, 0.75, 0.5
"""The least correlation of the cells of two photos of the same, of their differences from the cells
around them, and of their hues."""

PLAIN = 0.4
"""A picture in which this share of the cells has one brightness is plain, such as a drawing."""

HOPELESS = 0.6
"""Below this correlation, no other brightness is tried."""

WHITE = 245
"""Brighter cells have no hue that counts: there, a brighter copy has lost it."""

FAINT = 8.0
"""Colors that are hardly farther from gray than this do not count."""

GAINS = (1.0, 1.15, 1.3, 1.5)
"""How much brighter a photo is made, for the values that this cuts off."""

PLAIN_GAINS = tuple(np.arange(1.1, 2.01, 0.1).tolist())
FINER = (0.94, 0.96, 0.98, 1.02, 1.04, 1.06)
"""How much brighter a plain picture is made, and how that is refined."""

CUT_OFF, MIXED = 250, 9.0
"""Values above this may be cut off in a cell; from this contrast on, in a part of a cell."""

MOST_UNKNOWN, SAME_KNOWN, SAME_UNKNOWN, FEW_UNKNOWN = 0.9, 0.9, 0.7, 0.3
"""Cells that may be cut off in part: the largest share of them in a copy; their least correlation,
if they are few and if they are many; how many of them may differ for each point of correlation."""

LEAST_POWER = 0.5
"""The least exponent of the brightness, from 0 to 1, of a picture that was exposed longer."""


def is_same(sums: Sums, others: Sums, pairs: Numbers, windows: Floats) -> tuple[Flags, Floats]:
    """Whether the window of each picture shows what the other picture shows.

    A copy differs from its original in no cell by more than compression and alignment explain. For
    plain pictures, such as drawings, that is the only test: two different drawings of one thing are
    very similar, but not in every cell. Other pictures, such as the photos of a burst, are the same
    if they are similar enough on the whole. Another brightness makes no difference, not even where
    it has cut off the brightest values; of a plain picture only if that is not cropped, too.

    Args:
        sums: A pictures.
        others: B others.
        pairs: `(N, 2)`, the number of the picture, and of the other one.
        windows: `(N, 4)`, the part of each picture.

    Returns:
        `(N,)`, and their correlation `(N,)`.
    """
    first, second = pairs.T
    all_others = others.planes(np.arange(len(others.luma)), _whole(len(others.luma)))
    one, two = sums.planes(first, windows), all_others[second]
    correlation = product(centered(one[:, 0]), centered(two[:, 0]))
    differing = _differing_cells(one, two)
    same = (differing == 0) & _precise(one[:, 0], two[:, 0])
    plain = np.maximum(_plainness(one[:, 0]), _plainness(two[:, 0])) > PLAIN

    def compare_photos(some: Numbers) -> None:
        same[some], correlation[some] = _alike(_colors(one[some]), _colors(two[some]))

    compare_photos(np.flatnonzero(~same & ~plain & (correlation > HOPELESS)))
    near = np.where(plain, differing < NEARLY, correlation > NEARLY_SAME)
    some = np.flatnonzero(~same & near)
    better = polished(sums, all_others[:, 0], pairs[some], windows[some])
    one[some] = sums.planes(first[some], better)
    exact = _precise(one[some, 0], two[some, 0])
    same[some] = exact & (_differing_cells(one[some], two[some]) == 0)
    compare_photos(some[~same[some] & ~plain[some]])
    some = np.flatnonzero(~same & plain & (correlation > HOPELESS) & (differing >= BRIGHTER_CELLS))
    uncut = _colors(sums.planes(first[some], _whole(len(some))))
    same[some] = _brighter_or_darker(uncut, _colors(two[some]))
    return same, correlation


def _whole(count: int) -> Floats:
    return np.tile(np.array(WHOLE, np.float32), (count, 1))


def _differing_cells(one: Floats, two: Floats) -> NDArray[np.int64]:
    """How many cells of planes `(N, 3, 24, 24)` differ by more than those of a copy do.

    Those that may differ in a copy are not counted.
    """
    contrast = [_contrast(each[:, 0]) for each in (one, two)]
    luma = _differing(one[:, 0], two[:, 0], np.maximum(*contrast), LUMA_COPY, DIFFERENT)
    edges = (np.minimum(*contrast) > EDGE).sum(axis=(1, 2)) - FULL * CELLS**2
    counts = np.maximum(luma.sum(axis=(1, 2)) - (FEW_FULL * np.maximum(edges, 0)).astype(int), 0)
    some = np.flatnonzero(counts < NEARLY)
    colors = _differing_colors(one[some, 1:], two[some, 1:], COLOR_COPY)
    counts[some] += np.maximum(colors - FEW_CELLS, 0)
    total: NDArray[np.int64] = counts
    return total


def _precise(first: Floats, second: Floats) -> Flags:
    """Whether grids of brightness `(N, 24, 24)` are correlated as in a copy."""
    cells = product(centered(first), centered(second))
    edges = product(centered(_edges(first)), centered(_edges(second)))
    precise: Flags = (cells > PRECISE) & (edges > PRECISE_EDGES)
    return precise


def _differing(
    one: Floats, two: Floats, contrast: Floats, copy: tuple[float, float], times: float
) -> Flags:
    noise, moved = copy
    found: Flags = (one - two) ** 2 > times**2 * (noise**2 + (moved * contrast) ** 2)
    for border in (0, -1):  # a crop may end inside a line
        found[..., border, :] = found[..., border] = False
    return found


def _differing_colors(one: Floats, two: Floats, copy: tuple[float, float]) -> NDArray[np.int64]:
    """How many cells of colors without brightness, `(N, C, 24, 24)`, differ."""
    contrast = np.maximum(_contrast(one), _contrast(two))
    differing = _differing(one, two, contrast, copy, DIFFERENT_COLOR)
    counts: NDArray[np.int64] = differing.any(axis=1).sum(axis=(1, 2))
    return counts


def _alike(one: Floats, two: Floats) -> tuple[Flags, Floats]:
    """Whether photos, colors `(N, 3, 24, 24)`, are similar on the whole, and how similar.

    One picture is made brighter, or each of its colors is given the distribution that it has in the
    other one.
    """
    same, best = np.zeros(len(one), bool), np.full(len(one), -1, np.float32)
    for tone in (GAINS[0], None, *GAINS[1:]):
        for first, second in ((one, two), (two, one)):
            some = np.flatnonzero(~same)
            if not len(some):
                break
            target = second[some]
            toned = _matched(first[some], target) if tone is None else _cut(first[some], tone)
            found = product(centered(toned), centered(target))
            edges = product(*(centered(_edges(_gray(each))) for each in (toned, target)))
            same[some] = (found > SAME) & (edges > SAME_EDGES)
            best[some] = np.maximum(best[some], found)
    some = np.flatnonzero(same)
    same[some] = _same_hue(one[some], two[some])
    return same, best


def _same_hue(one: Floats, two: Floats) -> Flags:
    """Whether the hues of colors `(N, 3, 24, 24)` agree; those without colors do."""
    same = np.zeros(len(one), bool)
    shown = ((_gray(one) < WHITE) & (_gray(two) < WHITE))[:, None]
    counted = FAINT**2 * np.maximum(shown.sum(axis=(1, 2, 3)), 1)
    for gain in GAINS:
        for first, second in ((one, two), (two, one)):
            some = np.flatnonzero(~same)
            if not len(some):
                break
            own = _without_gray(_cut(first[some], gain)) * shown[some]
            target = _without_gray(second[some]) * shown[some]
            both, one_of, two_of = (
                (a * b).sum(axis=(1, 2, 3)) + counted[some]
                for a, b in ((own, target), (own, own), (target, target))
            )
            same[some] = both > SAME_HUE * np.sqrt(one_of * two_of)
    return same


def _brighter_or_darker(one: Floats, two: Floats) -> Flags:
    """Whether plain pictures, colors `(N, 3, 24, 24)`, differ in their brightness only."""
    same = np.zeros(len(one), bool)
    for first, second in ((one, two), (two, one)):
        for test in (_is_brighter, _is_exposed_longer):
            some = np.flatnonzero(~same)
            if len(some):
                same[some] = test(first[some], second[some])
    return same


def _is_brighter(one: Floats, two: Floats) -> Flags:
    """Whether the second pictures are the first ones times a number, cut off at 255.

    In a cell that is mixed of brighter and darker parts, some of them may be cut off: then it is
    known only between which values the cell of a copy is.
    """
    contrast, goal = _contrast(_gray(one)), _gray(two)
    least_noise, moved = LUMA_COPY
    noise = np.sqrt(least_noise**2 + (moved * np.maximum(1.3 * contrast, _contrast(goal))) ** 2)
    mixed = np.clip(contrast / MIXED, 0, 1)[:, None]
    brightest = _around(one, np.maximum).max(axis=1, keepdims=True)

    def bounds(gains: Floats) -> tuple[Floats, Floats]:
        gains = gains[:, None, None, None]
        most = _cut(one, gains)
        least = np.where(brightest * gains > CUT_OFF, most - mixed * (most - one), most)
        return _gray(least), _gray(most)

    lowest, gain = np.full(len(one), np.inf, np.float32), np.ones(len(one), np.float32)

    def fit(gains: Floats) -> None:
        least, most = bounds(gains)
        cost = _outside(goal, least, most) + 0.1 * np.clip(most - goal, 0, most - least)
        found = np.minimum(cost / noise, 4).mean(axis=(1, 2))
        better = found < lowest
        lowest[better], gain[better] = found[better], gains[better]

    for each in PLAIN_GAINS:
        fit(np.full(len(one), each, np.float32))
    start = gain.copy()
    for share in FINER:
        fit(start * np.float32(share))
    least, most = bounds(gain)
    differing = _outside(goal, least, most) > DIFFERENT_TONE * noise
    unknown = most - least > noise
    share, count = unknown.mean(axis=(1, 2)), unknown.sum(axis=(1, 2))
    found = [_correlation(each, goal, unknown) for each in (_gray(one), 0.5 * (least + most))]
    alike = np.maximum(*found)
    few = FEW_UNKNOWN * (alike - SAME_UNKNOWN) * count
    clear = (share <= MOST_UNKNOWN) & (alike >= np.maximum(SAME_KNOWN - share / 3, SAME_UNKNOWN))
    toned = _cut(one, gain[:, None, None, None])
    hues = _same_hues(toned, two, ~unknown[:, None])
    same: Flags = (differing.sum(axis=(1, 2)) <= few) & clear & hues
    return same


def _correlation(one: Floats, two: Floats, where: Flags) -> Floats:
    """The correlation of some cells of grids `(N, 24, 24)`; 1 if they are fewer than four."""
    counts = where.sum(axis=(1, 2), keepdims=True)
    vectors = []
    for each in (one, two):
        mean = (each * where).sum(axis=(1, 2), keepdims=True) / np.maximum(counts, 1)
        vectors.append(((each - mean) * where).reshape(len(each), CELLS**2))
    first, second = vectors
    sizes = np.sqrt(product(first, first) * product(second, second))
    found = product(first, second) / np.maximum(sizes, 1e-6)
    correlation: Floats = np.where(counts[:, 0, 0] < 4, np.float32(1), found)
    return correlation


def _outside(values: Floats, least: Floats, most: Floats) -> Floats:
    outside: Floats = np.maximum(np.maximum(values - most, least - values), 0)
    return outside


def _is_exposed_longer(one: Floats, two: Floats) -> Flags:
    """Whether the second pictures are a power of the first ones: dark parts gain more."""
    logs = [np.log(np.clip(each, 4, 253) / 255) for each in (one, two)]
    contrast = np.maximum(_contrast(_gray(one)), _contrast(_gray(two)))
    counts = (one > 8) & (one < CUT_OFF) & (two < CUT_OFF)
    weights = counts * -logs[0] / (1 + (contrast[:, None] / 8) ** 2)
    power = np.clip(_weighted_median(logs[1] / logs[0], weights), LEAST_POWER, 1)
    toned: Floats = (255 * (one / 255) ** power[:, None, None, None]).astype(np.float32)
    noise, moved = LUMA_COPY
    copy = (noise, moved + 0.1)  # of a cell that is mixed, the mean is not the power of the mean
    differing = _differing(_gray(toned), _gray(two), contrast, copy, DIFFERENT_TONE)
    same: Flags = ~differing.any(axis=(1, 2)) & _same_hues(toned, two, np.ones(1, bool))
    return same & _precise(_gray(toned), _gray(two))


def _same_hues(one: Floats, two: Floats, known: Flags) -> Flags:
    """Whether the hues of colors `(N, 3, 24, 24)` hardly differ where they are known."""
    first, second = (_without_gray(each) * known for each in (one, two))
    same: Flags = _differing_colors(first, second, BRIGHT_COPY) <= FEW_CELLS
    return same


def _weighted_median(values: Floats, weights: Floats) -> Floats:
    """Of each row of `(N, …)`, `(N,)`."""
    rows, shares = values.reshape(len(values), -1), weights.reshape(len(values), -1) + 1e-9
    order = np.argsort(rows, axis=1)
    sums = np.take_along_axis(shares, order, 1).cumsum(axis=1)
    middle = (sums < sums[:, -1:] / 2).sum(axis=1, keepdims=True)
    places = np.take_along_axis(order, np.minimum(middle, rows.shape[1] - 1), 1)
    median: Floats = np.take_along_axis(rows, places, 1)[:, 0]
    return median


def _colors(planes: Floats) -> Floats:
    """Red, green and blue, 0 to 255, of brightness, Cb and Cr, all `(N, 3, 24, 24)`."""
    luma, blue, red = planes[:, 0], planes[:, 1] - 128, planes[:, 2] - 128
    parts = (luma + 1.402 * red, luma - 0.344 * blue - 0.714 * red, luma + 1.772 * blue)
    colors: Floats = np.clip(np.stack(parts, axis=1), 0, 255)
    return colors


def _gray(colors: Floats) -> Floats:
    gray: Floats = 0.299 * colors[:, 0] + 0.587 * colors[:, 1] + 0.114 * colors[:, 2]
    return gray


def _without_gray(colors: Floats) -> Floats:
    rest: Floats = colors - colors.mean(axis=1, keepdims=True)
    return rest


def _cut(colors: Floats, gain: float | Floats) -> Floats:
    """Colors that are made brighter, as far as they go."""
    brighter: Floats = np.minimum(colors * np.float32(gain), 255)
    return brighter


def _matched(one: Floats, two: Floats) -> Floats:
    """Colors `(N, 3, 24, 24)`, each value replaced by that of its rank in the other picture."""
    order = np.argsort(one.reshape(len(one), 3, -1), axis=2)
    same = np.empty(order.shape, np.float32)
    np.put_along_axis(same, order, np.sort(two.reshape(order.shape), axis=2), axis=2)
    return same.reshape(one.shape)


def _plainness(luma: Floats) -> Floats:
    """The share of the cells whose brightness is that of most cells, within 8 levels."""
    levels = np.clip(luma.reshape(len(luma), CELLS**2) / 8, 0, 31).astype(np.int64)
    places = levels + 33 * np.arange(len(luma))[:, None]
    counts = np.bincount(places.ravel(), minlength=33 * len(luma)).reshape(-1, 33)
    share: Floats = ((counts[:, :-1] + counts[:, 1:]).max(axis=1) / CELLS**2).astype(np.float32)
    return share


def _edges(grid: Floats) -> Floats:
    """The difference of each cell `(..., 24, 24)` from the mean of the nine cells around it."""
    edges: Floats = grid - np.float32(1 / 9) * _around(grid, np.add)
    return edges


def _contrast(grid: Floats) -> Floats:
    """The largest less the least of the nine cells around each cell `(..., 24, 24)`."""
    contrast: Floats = _around(grid, np.maximum) - _around(grid, np.minimum)
    return contrast


def _around(grid: Floats, joined: np.ufunc) -> Floats:
    """The nine cells around each cell `(..., 24, 24)`, joined; those on the border count twice."""
    widths = [(0, 0)] * (grid.ndim - 2) + [(1, 1), (1, 1)]
    padded = np.pad(grid, widths, mode="edge")
    lines = joined(joined(padded[..., :-2, :], padded[..., 1:-1, :]), padded[..., 2:, :])
    found: Floats = joined(joined(lines[..., :-2], lines[..., 1:-1]), lines[..., 2:])
    return found

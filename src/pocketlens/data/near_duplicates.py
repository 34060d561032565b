"""Pairs of pictures that show the same: recompressed, scaled, cropped, turned, mirrored, brighter.

Two steps. First, candidates: the low frequencies of each picture, and of crops of it in eight
orientations, are compared with those of all others. The frequencies are whitened with the
covariance of the collection, so that what all pictures share (sky above, a white background) does
not count. With many pictures, only those near the same pivots are compared. Then each candidate is
checked: the crop is aligned, and the two pictures are compared cell by cell.

Source of the whitening: A. Hyvärinen, J. Hurri, P. Hoyer, "Natural Image Statistics", 2009.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pocketlens.data.alignment import CELLS, WHOLE, Sums, aligned, turned
from pocketlens.data.comparison import is_same
from pocketlens.data.fingerprints import LUMA, Fingerprints

__all__ = ["Pairs", "find_near_duplicates", "group"]

Floats = NDArray[np.float32]

FREQUENCIES = 8
"""Along each side; 63 numbers describe a picture, as its mean does not count."""

CROPS = ((0.0, 0.9), (0.05, 0.95), (0.1, 1.0))
"""Crops of nine tenths of a side."""

CANDIDATE = 0.6
"""The least cosine of whitened descriptors of a candidate."""

CANDIDATES = 12
"""The most candidates that are checked for a picture."""

ALIGNED = 0.7
"""The least correlation of the brightness after the alignment."""

PRIOR_PICTURES, NOISE = 100, 0.03
"""How much typical photos count in the covariance, in pictures, and the noise in it."""

ALL_PAIRS = 4000
"""Up to so many pictures, each is compared with all others."""

PROBES, PLACES = 8, 2
"""How many pivots a picture is looked for at, and how many it is stored at."""

BLOCK = 4096
"""Pictures compared at a time, so that a block of similarities has some megabytes."""

CHECKED = 256
"""Pairs checked at a time, so that what is computed for them stays in the processor's cache."""


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs of near-duplicates.

    Args:
        first: `(P,)` int64, the index of one picture.
        second: `(P,)` int64, the index of the other one, larger than that of the first.
        similarity: `(P,)` float32, the correlation after alignment, up to 1.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    similarity: Floats

    def __len__(self) -> int:
        return len(self.first)


def find_near_duplicates(pictures: Fingerprints) -> Pairs:
    """Find the pairs of pictures that show the same.

    Pictures without content (see `Fingerprints.flat`) are in no pair.

    Args:
        pictures: The fingerprints of N pictures.

    Returns:
        The pairs, ordered by their indices.
    """
    kept = np.flatnonzero(~pictures.flat())
    if len(kept) < 2:
        return Pairs(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32))
    some = Fingerprints(pictures.luma[kept], pictures.chroma[kept])
    first, second, view = _candidates(some.luma)
    same, similarity = np.zeros(len(first), bool), np.zeros(len(first), np.float32)
    for start in range(0, len(first), CHECKED):
        part = slice(start, start + CHECKED)
        same[part], similarity[part] = _check(some, first[part], second[part], view[part])
    first, second = kept[first[same]], kept[second[same]]
    low, high = np.minimum(first, second), np.maximum(first, second)
    order = np.lexsort((high, low))
    return Pairs(low[order], high[order], similarity[same][order])


def group(count: int, pairs: Pairs) -> NDArray[np.int64]:
    """`(count,)`: for each picture, the smallest index of the pictures it is connected with."""
    parents = list(range(count))

    def root(index: int) -> int:
        while parents[index] != index:
            parents[index] = parents[parents[index]]
            index = parents[index]
        return index

    for one, other in zip(pairs.first.tolist(), pairs.second.tolist(), strict=True):
        low, high = sorted((root(one), root(other)))
        parents[high] = low
    return np.array([root(index) for index in range(count)], np.int64)


class _View(NamedTuple):
    """A part of a picture: turned by `turn` (0 to 7), then cut to (left, right, top, bottom)."""

    turn: int
    window: tuple[float, float, float, float]


TURNS = 8
VIEWS = (
    *(_View(turn, WHOLE) for turn in range(TURNS)),
    *(
        _View(turn, (*across, *down))
        for turn in (0, 4)  # upright and mirrored
        for across in (*CROPS, (0.0, 1.0))
        for down in (*CROPS, (0.0, 1.0))
        if (*across, *down) != WHOLE
    ),
)


def _candidates(
    luma: NDArray[np.uint8],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Pairs to check: the picture that is cropped, the other one, and the number of the view."""
    whole = _describe(luma, VIEWS[0])
    matrix = _whitening(whole)
    stored = _unit(whole @ matrix)
    index = _Index(stored)
    found = [
        (*index.near(_unit(_describe(luma, view) @ matrix), own=number == 0), number)
        for number, view in enumerate(VIEWS)
    ]
    first = np.concatenate([each[0] for each in found])
    second = np.concatenate([each[1] for each in found])
    cosine = np.concatenate([each[2] for each in found])
    view = np.repeat(np.arange(len(VIEWS)), [len(each[0]) for each in found])
    different = first != second  # a symmetric picture resembles its own mirror image
    first, second, cosine, view = (a[different] for a in (first, second, cosine, view))
    # The best view of each pair, in whichever direction.
    low, high = np.minimum(first, second), np.maximum(first, second)
    order = np.lexsort((-cosine, high, low))
    low, high = low[order], high[order]
    new = np.ones(len(order), bool)
    new[1:] = (low[1:] != low[:-1]) | (high[1:] != high[:-1])
    order = order[new]
    # The best pairs of each picture.
    by_cosine = order[np.lexsort((-cosine[order], first[order]))]
    rank = np.arange(len(by_cosine)) - np.searchsorted(first[by_cosine], first[by_cosine])
    chosen = by_cosine[rank < CANDIDATES]
    return first[chosen], second[chosen], view[chosen]


def _describe(luma: NDArray[np.uint8], view: _View) -> Floats:
    """The lowest frequencies of a view, `(N, 63)`, of length 1."""
    left, right, top, bottom = view.window
    across, down = _cosines(left, right), _cosines(top, bottom)
    found = np.empty((len(luma), FREQUENCIES**2 - 1), np.float32)
    for start in range(0, len(luma), BLOCK):
        block = turned(luma[start : start + BLOCK], view.turn).astype(np.float32)
        waves = down @ (block @ across.T)
        found[start : start + BLOCK] = waves.reshape(len(block), -1)[:, 1:]
    return _unit(found)


def _cosines(start: float, end: float) -> Floats:
    """The first rows of the cosine transform of the pixels from `start` to `end`, `(8, 48)`."""
    edges = np.clip(np.linspace(start, end, CELLS + 1) * LUMA, 0, LUMA)
    pixels = np.arange(LUMA)
    covered = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    mean = np.maximum(covered, 0)
    mean /= mean.sum(axis=1, keepdims=True)
    angles = np.pi * (np.arange(CELLS) + 0.5) * np.arange(FREQUENCIES)[:, None] / CELLS
    cosines: Floats = (np.cos(angles) @ mean).astype(np.float32)
    return cosines


def _whitening(described: Floats) -> Floats:
    """The matrix that makes the numbers of this collection independent of each other."""
    rows, columns = np.mgrid[:FREQUENCIES, :FREQUENCIES]
    # Photos have about this power at each frequency; a small collection says too little.
    prior = 1 / (rows**2 + columns**2 + (rows + columns == 0)).ravel()[1:]
    covariance = described.T.astype(np.float64) @ described
    covariance += PRIOR_PICTURES * np.diag(prior / prior.sum())
    covariance /= len(described) + PRIOR_PICTURES
    covariance += NOISE * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
    powers, axes = np.linalg.eigh(covariance)
    matrix: Floats = (axes / np.sqrt(powers) @ axes.T).astype(np.float32)
    return matrix


def _unit(rows: Floats) -> Floats:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: Floats = rows / np.maximum(lengths, 1e-6)
    return unit


class _Index:
    """Finds the stored descriptors with a cosine above `CANDIDATE`.

    Args:
        stored: `(N, 63)`, of length 1.
    """

    def __init__(self, stored: Floats) -> None:
        self.stored = stored
        count = len(stored)
        pivots = 1 if count <= ALL_PAIRS else round(count**0.5)
        chosen = np.random.default_rng(0).choice(count, pivots, replace=False)
        self.pivots = stored[chosen]
        places = self._nearest(stored, min(PLACES, pivots))
        self.members = [np.flatnonzero((places == pivot).any(axis=1)) for pivot in range(pivots)]

    def _nearest(self, rows: Floats, count: int) -> NDArray[np.int64]:
        """The numbers of the nearest pivots of each row, `(N, count)`."""
        found = np.empty((len(rows), count), np.int64)
        for start in range(0, len(rows), BLOCK):
            cosines = rows[start : start + BLOCK] @ self.pivots.T
            found[start : start + BLOCK] = np.argpartition(-cosines, count - 1, axis=1)[:, :count]
        return found

    def near(
        self, rows: Floats, *, own: bool
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], Floats]:
        """The number of the row, the number of the stored descriptor, and the cosine, of each hit.

        Args:
            rows: `(N, 63)`, of length 1; row n is a view of stored picture n.
            own: Whether row n is the stored picture itself, which is no hit.
        """
        places = self._nearest(rows, min(PROBES, len(self.pivots)))
        hits = [(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32))]
        for pivot, members in enumerate(self.members):
            asking = np.flatnonzero((places == pivot).any(axis=1))
            for start in range(0, len(asking), BLOCK // 4):
                part = asking[start : start + BLOCK // 4]
                cosines = rows[part] @ self.stored[members].T
                if own:
                    cosines[part[:, None] == members] = -1
                hits.append(_best(cosines, part, members))
        first, second, cosine = (np.concatenate(each) for each in zip(*hits, strict=True))
        return first, second, cosine


def _best(
    cosines: Floats, rows: NDArray[np.int64], members: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], Floats]:
    """The hits of a block, at most `CANDIDATES` in a row."""
    above = cosines > CANDIDATE
    many = np.flatnonzero(above.sum(axis=1) > CANDIDATES)
    if len(many):
        best = np.argpartition(-cosines[many], CANDIDATES, axis=1)[:, :CANDIDATES]
        above[many] = False
        above[many[:, None], best] = True
    row, column = np.nonzero(above)
    return rows[row], members[column], cosines[row, column]


def _check(
    pictures: Fingerprints,
    first: NDArray[np.int64],
    second: NDArray[np.int64],
    view: NDArray[np.int64],
) -> tuple[NDArray[np.bool_], Floats]:
    """Whether the pictures of each pair show the same, and their correlation."""
    turns, windows = (np.array(each)[view] for each in zip(*VIEWS, strict=True))
    # Each picture is in several of the pairs.
    ones, one = np.unique(first * TURNS + turns, return_inverse=True)
    others, other = np.unique(second, return_inverse=True)
    luma, chroma = pictures.luma[ones // TURNS], pictures.chroma[ones // TURNS]
    for turn in range(1, TURNS):
        some = ones % TURNS == turn
        luma[some], chroma[some] = (turned(each[some], turn) for each in (luma, chroma))
    sums, pairs = Sums.of(Fingerprints(luma, chroma)), np.stack([one, other], axis=1)
    goals = Fingerprints(pictures.luma[others], pictures.chroma[others])
    windows, found = aligned(sums, goals.luma, pairs, windows.astype(np.float32))
    likely = np.flatnonzero(found > ALIGNED)
    same, correlation = np.zeros(len(first), bool), np.zeros(len(first), np.float32)
    same[likely], correlation[likely] = is_same(
        sums, Sums.of(goals), pairs[likely], windows[likely]
    )
    return same, correlation

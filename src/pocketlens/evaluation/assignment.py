"""`best_assignment`: which class each output of a model stands for, judged by its predictions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["best_assignment"]

MAX_EXACT = 200
"""Up to this many classes, the best assignment is found exactly; above, one class at a time."""


def best_assignment(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Assign one column to each row so that the sum of the chosen counts is largest.

    Source: H. W. Kuhn, "The Hungarian method for the assignment problem", Naval Research Logistics
    Quarterly 2 (1955), 83-97, in its form with shortest paths and potentials.

    Args:
        counts: `(K, K)`; row: the output that was predicted, column: the true class.

    Returns:
        `(K,)`: the column of each row. Where several are equally good, a row keeps its own column.
    """
    size = len(counts)
    # A small bonus for the own column decides ties; it is never worth as much as one image.
    cost = -(counts * (size + 1.0) + np.eye(size))
    return _greedy(cost) if size > MAX_EXACT else _exact(cost)


def _exact(cost: NDArray[np.float64]) -> NDArray[np.int64]:
    size = len(cost)
    of_rows, of_columns = np.zeros(size + 1), np.zeros(size + 1)
    row_of = np.full(size + 1, -1)  # the row of each column; the last column is a start
    for row in range(size):
        row_of[size], column = row, size
        least, before = np.full(size, np.inf), np.full(size, size)
        used = np.zeros(size + 1, np.bool_)
        while row_of[column] != -1:
            used[column] = True
            current = row_of[column]
            free = ~used[:size]
            reduced = cost[current] - of_rows[current] - of_columns[:size]
            closer = free & (reduced < least)
            least[closer], before[closer] = reduced[closer], column
            following = int(np.where(free, least, np.inf).argmin())
            step = least[following]
            of_rows[row_of[used]] += step
            of_columns[used] -= step
            least[free] -= step
            column = following
        while column != size:  # shift the assignments along the path that was found
            row_of[column] = row_of[before[column]]
            column = before[column]
    assigned = np.empty(size, np.int64)
    assigned[row_of[:size]] = np.arange(size)
    return assigned


def _greedy(cost: NDArray[np.float64]) -> NDArray[np.int64]:
    size = len(cost)
    assigned = np.full(size, -1, np.int64)
    taken = np.zeros(size, np.bool_)
    for place in np.argsort(cost, axis=None, kind="stable"):
        row, column = divmod(int(place), size)
        if assigned[row] == -1 and not taken[column]:
            assigned[row], taken[column] = column, True
    return assigned

"""Evaluates trees with NumPy: the oracle of a file whose library is not installed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pocketlens.conversion.classic.chain import Floats
from pocketlens.conversion.classic.tree_ensembles import Comparison, Tree

__all__ = ["evaluate", "logistic", "softmax"]


def evaluate(
    trees: Sequence[Tree], rows: Floats, base: Sequence[float], comparison: Comparison
) -> Floats:
    """base + the sum of each tree's leaf: rows [N, width] -> [N, dimensions]."""
    result = np.tile(np.asarray(base, np.float64), (len(rows), 1))
    for tree in trees:
        at = np.zeros(len(rows), np.int64)
        while (inner := np.flatnonzero(tree.feature[at] >= 0)).size:
            node = at[inner]
            x, t = rows[inner, tree.feature[node]], tree.threshold[node]
            left = x <= t if comparison.endswith("Equal") else x < t
            for position, test in tree.tests.items():
                there = node == position
                intervals = np.searchsorted(test.breaks, x[there], side="right")
                left[there] = np.array(test.left)[intervals]
            missing = [
                tree.tests[each].missing if each in tree.tests else bool(tree.missing_left[each])
                for each in node[np.isnan(x)].tolist()
            ]
            left[np.isnan(x)] = missing
            at[inner] = np.where(left, tree.left[node], tree.right[node])
        result[:, tree.dimension] += tree.value[at]
    return result


def logistic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 / (1 + e^-x)."""
    with np.errstate(over="ignore"):
        result: NDArray[np.float64] = 1 / (1 + np.exp(-x))
    return result


def softmax(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """e^x_i / Σ e^x_j in each row."""
    powers = np.exp(x - x.max(1, keepdims=True))
    result: NDArray[np.float64] = powers / powers.sum(1, keepdims=True)
    return result

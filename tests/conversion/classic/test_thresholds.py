"""Comparisons of doubles with the converted thresholds give what comparisons of float32 give."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from pocketlens.conversion.classic.thresholds import at_most, less_than

LARGEST = float(np.finfo(np.float32).max)
SINGLE = np.array(
    [0.0, -0.0, 0.1, -0.1, 1.0, 1 / 3, 16777217.0, 1e-45, -1e-45, 1e-38, LARGEST, -LARGEST, 0.5]
).astype(np.float32)


def near(thresholds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Doubles on both sides of every border of rounding."""
    single = thresholds.astype(np.float32)
    around = [single, np.nextafter(single, np.float32(np.inf))]
    around.append(np.nextafter(single, np.float32(-np.inf)))
    doubles = np.concatenate([thresholds, *(each.astype(np.float64) for each in around)])
    with np.errstate(invalid="ignore"):
        middles = (doubles[:, None] + doubles[None, :]).reshape(-1) / 2
    found = np.concatenate([doubles, middles])
    sides = [found, np.nextafter(found, np.inf), np.nextafter(found, -np.inf)]
    return np.unique(np.concatenate(sides))


@pytest.mark.filterwarnings("ignore:overflow")
def test_at_most_as_scikit_learn_compares() -> None:
    random = np.random.default_rng(0)
    thresholds = np.concatenate([SINGLE.astype(np.float64), random.normal(size=50), [1e300]])
    rows = near(thresholds)
    for threshold, converted in zip(thresholds, at_most(thresholds), strict=True):
        want = rows.astype(np.float32).astype(np.float64) <= threshold
        np.testing.assert_array_equal(rows <= converted, want)


@pytest.mark.filterwarnings("ignore:overflow")
def test_less_than_as_xgboost_compares() -> None:
    random = np.random.default_rng(1)
    thresholds = np.concatenate([SINGLE, random.normal(size=50).astype(np.float32), [np.inf]])
    thresholds = thresholds.astype(np.float32)
    rows = near(SINGLE.astype(np.float64))
    for threshold, converted in zip(thresholds, less_than(thresholds), strict=True):
        np.testing.assert_array_equal(rows < converted, rows.astype(np.float32) < threshold)


def test_rounding_the_converted_thresholds_gives_the_same() -> None:
    """Where Core ML rounds both sides to float32, the comparisons are those of the source."""
    rows = near(SINGLE[:-3].astype(np.float64)).astype(np.float32)
    single = SINGLE[:-3]
    for threshold, at, below in zip(
        single, at_most(single.astype(np.float64)), less_than(single), strict=True
    ):
        np.testing.assert_array_equal(rows <= np.float32(at), rows <= threshold)
        np.testing.assert_array_equal(rows < np.float32(below), rows < threshold)

"""Thresholds of trees, so that a comparison of doubles gives what the source's comparison gives.

scikit-learn (trees, forests, gradient boosting) and XGBoost round a number to float32 before they
compare it. Core ML takes doubles, and Apple does not document whether it compares doubles or, where
all thresholds are float32 numbers, float32. The thresholds here are right in both cases: they lie
half-way between two float32 numbers, at the border where rounding changes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["at_most", "less_than"]

_BEYOND = 2.0**128
"""What float32's infinity stands for when numbers are rounded to float32."""


def at_most(thresholds: NDArray[np.float64]) -> NDArray[np.float64]:
    """For each t the largest double x with float32(x) ≤ t, for the comparison x ≤ result."""
    with np.errstate(over="ignore"):
        single = thresholds.astype(np.float32)
    above = single.astype(np.float64) > thresholds
    single = np.where(above, np.nextafter(single, np.float32(-np.inf)), single)
    up = np.nextafter(single, np.float32(np.inf))
    middle = (_wide(single) + _wide(up)) / 2
    even = _even(single)
    result = np.where(even, middle, np.nextafter(middle, -np.inf))
    return np.where(np.isposinf(single), np.inf, result)


def less_than(thresholds: NDArray[np.float32]) -> NDArray[np.float64]:
    """For each t the smallest double that float32 rounds to at least t, for x < result."""
    down = np.nextafter(thresholds, np.float32(-np.inf))
    middle = (_wide(down) + _wide(thresholds)) / 2
    result = np.where(_even(thresholds), middle, np.nextafter(middle, np.inf))
    return np.where(np.isneginf(thresholds), -np.inf, result)


def _wide(single: NDArray[np.float32]) -> NDArray[np.float64]:
    wide = single.astype(np.float64)
    return np.where(np.isinf(wide), np.copysign(_BEYOND, wide), wide)


def _even(single: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Whether the last bit is 0: a number half-way between two is rounded to such a neighbor."""
    even: NDArray[np.bool_] = np.ascontiguousarray(single).view(np.int32) & 1 == 0
    return even

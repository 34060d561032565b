"""Link functions: scores to probabilities. Inputs and results are doubles, [K]."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["log_logistic", "logistic", "probit", "softmax"]

Row = NDArray[np.float64]


def logistic(x: Row) -> Row:
    """1 / (1 + e^-x)."""
    return np.exp(log_logistic(x))


def log_logistic(x: Row) -> Row:
    """The logarithm of `logistic`, exact even where `logistic` is 0."""
    return -np.logaddexp(0.0, -x)


def probit(x: Row) -> Row:
    """The cumulative distribution function of the standard normal distribution."""
    return np.array([0.5 * math.erfc(-value / math.sqrt(2)) for value in x.tolist()])


def softmax(x: Row) -> Row:
    """e^x_i / Σ e^x_j."""
    powers = np.exp(x - np.max(x))
    row: Row = powers / powers.sum()
    return row

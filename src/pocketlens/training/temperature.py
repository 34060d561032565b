"""Temperature scaling: one number that makes confidences match the accuracy."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

__all__ = ["fit_temperature"]


def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    """The temperature in [0.2, 5] that minimizes the negative log-likelihood.

    The loss is convex in the inverse temperature, so a ternary search finds the minimum.
    Source: Guo et al., "On Calibration of Modern Neural Networks", 2017 (arXiv 1706.04599).

    Args:
        logits: `(N, K)`, of images that were not trained on.
        labels: `(N,)` int64.
    """
    logits = logits.double()
    low, high = 0.2, 5.0  # bounds of the inverse temperature
    for _ in range(60):
        third = (high - low) / 3
        left, right = low + third, high - third
        if F.cross_entropy(logits * left, labels) < F.cross_entropy(logits * right, labels):
            high = right
        else:
            low = left
    return 2 / (low + high)

"""Likely wrong labels: images of which a model that has not seen them is confidently of another
opinion.

Source: C. Northcutt, L. Jiang, I. Chuang, "Confident Learning: Estimating Uncertainty in Dataset
Labels", Journal of Artificial Intelligence Research 70, 2021 (the confident joint, section 3.1).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketlens.errors import OptionError

__all__ = ["likely_wrong_labels"]


def likely_wrong_labels(
    probabilities: NDArray[np.floating[Any]], labels: NDArray[np.int64]
) -> NDArray[np.int64]:
    """The images whose label is probably wrong, most suspicious first.

    A class's threshold is the mean probability of that class over the images that have its label.
    Of the classes whose threshold its probability reaches, an image counts as the most probable
    one. If that is not its label, and is more probable than its label, the label is suspicious.

    Args:
        probabilities: `(N, K)`, rows that sum to 1; each row from a model that was trained without
            that image (cross-validation).
        labels: `(N,)`, from 0 to K - 1.

    Returns:
        Indices, ordered by how much less probable the label is than the other class.

    Raises:
        OptionError: The shapes do not fit, or a label is out of range.
    """
    if probabilities.ndim != 2 or labels.shape != (len(probabilities),):
        raise OptionError(
            "expected probabilities of shape (N, K) and labels of shape (N,); received: "
            f"{probabilities.shape} and {labels.shape}"
        )
    count, classes = probabilities.shape
    if count and not 0 <= labels.min() <= labels.max() < classes:
        raise OptionError(
            f"labels must be from 0 to {classes - 1}; received: {labels.min()} to {labels.max()}"
        )
    values = probabilities.astype(np.float64)
    own = values[np.arange(count), labels]
    sums = np.bincount(labels, weights=own, minlength=classes)
    sizes = np.bincount(labels, minlength=classes)
    # No image has the label of a class without images.
    thresholds = np.where(sizes > 0, sums / np.maximum(sizes, 1), np.inf)
    reached = np.where(values >= thresholds, values, -1.0)
    best = reached.max(axis=1, initial=-1.0)
    other = reached.argmax(axis=1) if classes else labels
    suspicious = np.flatnonzero((best >= 0) & (other != labels) & (best > own))
    order = np.argsort(own[suspicious] - best[suspicious], kind="stable")
    found: NDArray[np.int64] = suspicious[order]
    return found

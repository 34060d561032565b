"""Likely wrong labels: images of which a model that has not seen them is confidently of another
opinion.

Source: C. Northcutt, L. Jiang, I. Chuang, "Confident Learning: Estimating Uncertainty in Dataset
Labels", Journal of Artificial Intelligence Research 70, 2021 (the confident joint, section 3.1).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketlens.data.dataset import Dataset
from pocketlens.data.large_arrays import block_slices
from pocketlens.errors import OptionError

__all__ = ["LabelCheck", "WrongLabel", "check_held_out", "likely_wrong_labels"]


@dataclass(frozen=True)
class WrongLabel:
    """An image whose label is probably wrong.

    Args:
        index: Its index in the training images.
        file: Its file; empty if it is not from a file.
        label: Its label.
        better: The class that it probably has.
        confidence: The probability of that class, by a model that has not seen the image.
    """

    index: int
    file: str
    label: str
    better: str
    confidence: float


@dataclass(frozen=True)
class LabelCheck:
    """The images whose labels are probably wrong.

    Args:
        checked: The number of images that a model without them was asked about.
        suspects: Those with probably wrong labels, most suspicious first.
        unchecked: The number of images that were not checked: those of a class with only one image
            or burst, and what is beyond the memory for very many images and classes.
    """

    checked: int
    suspects: tuple[WrongLabel, ...]
    unchecked: int = 0

    def renamed(self, name: Callable[[Path], str]) -> LabelCheck:
        """The same with other names of the files."""
        suspects = (
            replace(each, file=name(Path(each.file)) if each.file else "") for each in self.suspects
        )
        return replace(self, suspects=tuple(suspects))


def check_held_out(
    data: Dataset, images: NDArray[np.int64], probabilities: NDArray[np.floating[Any]]
) -> LabelCheck:
    """Check labels with the results of a cross-validation.

    Args:
        data: The images.
        images: `(N,)`, the indices of those that were cross-validated.
        probabilities: `(N, K)`, by models that were trained without the image; NaN for images that
            were not held out.
    """
    held = np.isfinite(probabilities).all(axis=1)
    images, probabilities = images[held], probabilities[held]
    suspects = []
    for place in likely_wrong_labels(probabilities, data.labels[images]).tolist():
        index, own = int(images[place]), probabilities[place]
        other = np.where(np.arange(len(data.classes)) == data.labels[index], -1, own)
        better = int(other.argmax())
        suspects.append(
            WrongLabel(
                index,
                data.files[index] if data.files else "",
                data.classes[data.labels[index]],
                data.classes[better],
                float(own[better]),
            )
        )
    return LabelCheck(len(images), tuple(suspects), len(data) - len(images))


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
    own = probabilities[np.arange(count), labels].astype(np.float64)
    sums = np.bincount(labels, weights=own, minlength=classes)
    sizes = np.bincount(labels, minlength=classes)
    # No image has the label of a class without images.
    thresholds = np.where(sizes > 0, sums / np.maximum(sizes, 1), np.inf)
    best, other = np.full(count, -1.0), labels.copy()
    for some in block_slices(count, 8 * classes) if classes else ():
        reached = np.where(probabilities[some] >= thresholds, probabilities[some], -1.0)
        best[some], other[some] = reached.max(axis=1), reached.argmax(axis=1)
    suspicious = np.flatnonzero((best >= 0) & (other != labels) & (best > own))
    order = np.argsort(own[suspicious] - best[suspicious], kind="stable")
    found: NDArray[np.int64] = suspicious[order]
    return found

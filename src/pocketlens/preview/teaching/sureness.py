"""How sure to be of what was taught: accuracy on examples that were not trained on.

Images of one burst of the camera show nearly the same. So an example is tested by a head that saw
no image of its burst, and the interval counts bursts, not images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketlens.evaluation.chance import wilson_interval
from pocketlens.preview.teaching.folder import Example

__all__ = ["ClassSureness", "Confused", "Sureness", "grouped", "measure"]

CHUNKS = 5
"""A class of one burst is cut into so many parts in a row, so that a head can be chosen at all."""

MOST_CONFUSED = 24


@dataclass(frozen=True)
class ClassSureness:
    """What is known of one class.

    Args:
        name: The class.
        examples: How many it has.
        recordings: How many bursts, or single photos that show something else, these are.
        accuracy: The share of its examples that were named right; None if all are one recording.
        low: The lower end of the 95 % interval of the accuracy.
        high: The upper end.
    """

    name: str
    examples: int
    recordings: int
    accuracy: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Confused:
    """An example that was taken for another class.

    Args:
        label: Its class.
        name: The name of its file.
        said: The class that it was taken for.
        confidence: The probability of that class.
    """

    label: str
    name: str
    said: str
    confidence: float


@dataclass(frozen=True)
class Sureness:
    """The result of a cross-validation.

    Args:
        classes: Each class.
        whole: All classes together; `accuracy` is None as long as that of one class is.
        confused: The examples that were taken for another class, the surest mistakes first.
    """

    classes: tuple[ClassSureness, ...]
    whole: ClassSureness
    confused: tuple[Confused, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


def grouped(
    labels: NDArray[np.int64], groups: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Groups for a cross-validation, and how many each class really has.

    The only group of a class is cut into parts, or its class would never be tested.

    Args:
        labels: `(N,)`, from 0 to K - 1.
        groups: `(N,)`, the same number for images that show nearly the same.

    Returns:
        `(N,)`, and `(K,)`.
    """
    found = groups.copy()
    counts = np.zeros(int(labels.max()) + 1, np.int64)
    new = int(groups.max()) + 1
    for label in np.unique(labels):
        own = np.flatnonzero(labels == label)
        counts[label] = len(np.unique(groups[own]))
        if counts[label] == 1:
            for part in np.array_split(own, min(CHUNKS, len(own))):
                found[part] = new
                new += 1
    return found, counts


def measure(
    examples: Sequence[Example],
    classes: Sequence[str],
    labels: NDArray[np.int64],
    groups: NDArray[np.int64],
    probabilities: NDArray[np.float64],
) -> Sureness:
    """What a cross-validation says.

    Args:
        examples: N of them.
        classes: `K` names.
        labels: `(N,)`, indices of the names.
        groups: `(N,)`, before `grouped`.
        probabilities: `(N, K)`, by heads that were not trained on the image, nor on one of its
            group of `grouped`; NaN for images that were not tested.
    """
    _, counts = grouped(labels, groups)
    tested = np.isfinite(probabilities[:, 0])
    said = np.where(tested, np.nan_to_num(probabilities).argmax(axis=1), -1)
    right = tested & (said == labels)
    sure = []
    for label, name in enumerate(classes):
        own = labels == label
        known = counts[label] > 1
        sure.append(_sureness(name, int(counts[label]), own, own & tested, right, groups, known))
    known = all(each.accuracy is not None for each in sure)
    every = np.ones(len(labels), bool)
    whole = _sureness("", len(np.unique(groups)), every, tested, right, groups, known)
    wrong = np.flatnonzero(tested & ~right)
    surest = wrong[np.argsort(-probabilities[wrong, said[wrong]], kind="stable")]
    confused = tuple(
        Confused(
            examples[at].label,
            examples[at].name,
            classes[said[at]],
            float(probabilities[at, said[at]]),
        )
        for at in surest[:MOST_CONFUSED].tolist()
    )
    return Sureness(tuple(sure), whole, confused)


def _sureness(
    name: str,
    recordings: int,
    own: NDArray[np.bool_],
    tested: NDArray[np.bool_],
    right: NDArray[np.bool_],
    groups: NDArray[np.int64],
    known: bool,
) -> ClassSureness:
    """One class: the images of a burst count as one, as they are right or wrong together."""
    if not known or not tested.any():
        return ClassSureness(name, int(own.sum()), recordings, None)
    accuracy = float(right[tested].mean())
    _, sizes = np.unique(groups[tested], return_counts=True)
    count = float(sizes.sum() ** 2 / (sizes**2).sum())  # Kish's effective sample size
    low, high = wilson_interval(accuracy * count, count)
    return ClassSureness(name, int(own.sum()), recordings, accuracy, low, high)

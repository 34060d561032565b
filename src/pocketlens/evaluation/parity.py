"""Parity: how closely two predictors agree on a data set, and whether that is close enough.

Typically these are a Recognizer and the Core ML file converted from it, to check that conversion
and half precision changed nothing important.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketlens.data.dataset import Dataset, spread
from pocketlens.errors import DataError, OptionError
from pocketlens.evaluation.accuracy import listed, percent, predictions, shared_classes
from pocketlens.evaluation.chance import guessing
from pocketlens.prediction import Predictor

__all__ = ["Disagreement", "Histogram", "Parity", "Tolerance", "verify"]

SHOWN = 20
"""How many disagreements are stored, evenly from all true classes."""

TIE = 1e-3
"""With different labels but a |Δp| of at most this, both labels are equally likely."""

CLOSE = 0.1
"""One of a few images may have another label if no |Δp| is larger than this."""

EDGES = (0.0, *(10 ** (half / 2) for half in range(-16, 1)))
"""Bin edges of the histogram of |Δp|: 0, then two per decade from 1e-8 to 1."""


@dataclass(frozen=True)
class Tolerance:
    """The limits within which two predictors count as equivalent.

    Args:
        agreement: Smallest share of images with the same label from both, in [0, 1]; ties count as
            equal.
        mean_difference: Largest mean |Δp|, in [0, 1].

    Raises:
        OptionError: A limit is outside [0, 1].
    """

    agreement: float = 0.999
    mean_difference: float = 5e-3

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if type(value) not in (int, float) or not 0 <= value <= 1:
                raise OptionError(f"tolerance.{name} must be from 0 to 1; received: {value!r}")


TOLERANCE = Tolerance()


@dataclass(frozen=True)
class Disagreement:
    """An image for which the two predictors have different labels.

    Args:
        index: Index of the image in the data set.
        label: The true class.
        a: The first predictor's label.
        a_confidence: Its probability, in [0, 1].
        b: The second predictor's label.
        b_confidence: Its probability, in [0, 1].
    """

    index: int
    label: str
    a: str
    a_confidence: float
    b: str
    b_confidence: float


@dataclass(frozen=True)
class Histogram:
    """The distribution of |Δp|: `counts[i]` images are in [`edges[i]`, `edges[i + 1]`).

    The first bin starts at 0; the last one includes its upper edge, 1.

    Raises:
        ValueError: There is not exactly one edge more than counts.
    """

    edges: tuple[float, ...]
    counts: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.edges) != len(self.counts) + 1:
            raise ValueError("must have one edge more than counts")


@dataclass(frozen=True)
class Parity:
    """How closely two predictors, a and b, agree.

    The |Δp| of an image is the largest difference in probability over all classes. (The mean over
    the classes would be small for any model with many of them.)

    Args:
        n: Number of images, at least 1.
        disagreed: Number of images with different labels from a and b.
        max_difference: Largest |Δp| of any image, in [0, 1].
        mean_difference: Mean |Δp| over the images, in [0, 1].
        accuracy_a: Accuracy of a, in [0, 1].
        accuracy_b: Accuracy of b, in [0, 1].
        disagreements: 20 of the images with different labels, evenly from all true classes.
        histogram: Distribution of |Δp|.
        tolerance: The limits for passing.
        warning: Why b is no better than guessing; None if it is better.
        ties: Number of images with different labels but a |Δp| of at most 0.001: both labels have
            nearly the same probability.

    Raises:
        ValueError: `n` is 0, `disagreed` is larger than `n`, or `ties` larger than `disagreed`.
    """

    n: int
    disagreed: int
    max_difference: float
    mean_difference: float
    accuracy_a: float
    accuracy_b: float
    disagreements: tuple[Disagreement, ...]
    histogram: Histogram
    tolerance: Tolerance
    warning: str | None = None
    ties: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.disagreed <= self.n or self.n == 0:
            raise ValueError(f"cannot have {self.disagreed} different labels for {self.n} images")
        if not 0 <= self.ties <= self.disagreed:
            raise ValueError(f"cannot have {self.ties} ties in {self.disagreed} different labels")

    @property
    def agreement(self) -> float:
        """Share of images with the same label from both, in [0, 1]."""
        return (self.n - self.disagreed) / self.n

    @property
    def close_call(self) -> bool:
        """Whether one image has another label, which is less than agreement can be demanded of.

        Of 80 images, one is more than 0.1 %. It counts as rounding if no |Δp| is above 0.1.
        """
        allowed = (1 - self.tolerance.agreement) * self.n
        single = self.disagreed - self.ties == 1 and 0 < allowed < 1
        return single and self.max_difference <= CLOSE

    @property
    def passed(self) -> bool:
        """Whether agreement and mean |Δp| are within the tolerance; ties and a close call are."""
        agreed = self.n - self.disagreed + self.ties + self.close_call
        return (
            agreed / self.n >= self.tolerance.agreement
            and self.mean_difference <= self.tolerance.mean_difference
        )

    @property
    def differing(self) -> str:
        """How many labels differ, in words: `3 differ`, or `3 differ, 1 of them a tie`."""
        ties = f", {self.ties:,} of them {'a tie' if self.ties == 1 else 'ties'}"
        close = ", one of them a close call" if self.disagreed > 1 else ", a close call"
        return (
            f"{self.disagreed:,} differ{ties if self.ties else ''}"
            f"{close if self.close_call else ''}"
        )

    def __str__(self) -> str:
        limits = self.tolerance
        return (
            f"parity {'passed' if self.passed else 'FAILED'} on {self.n} images\n"
            f"label agreement {percent(self.agreement)} ({self.differing}; "
            f"required: at least {percent(limits.agreement)})\n"
            f"mean |Δp| {self.mean_difference:.2e} (required: at most "
            f"{limits.mean_difference:.2e}), max |Δp| {self.max_difference:.2e}\n"
            f"accuracy {percent(self.accuracy_a)} and {percent(self.accuracy_b)}"
            + (f"\nWARNING: {self.warning}" if self.warning else "")
        )

    def to_dict(self) -> dict[str, Any]:
        """A dictionary of lists, strings and numbers for JSON; the inverse of `from_dict`.

        `agreement` and `passed` can be computed from the rest; they are for readers of the file.
        """
        return {
            "n": self.n,
            "passed": self.passed,
            "agreement": self.agreement,
            "disagreed": self.disagreed,
            "ties": self.ties,
            "max_difference": self.max_difference,
            "mean_difference": self.mean_difference,
            "accuracy_a": self.accuracy_a,
            "accuracy_b": self.accuracy_b,
            "disagreements": [asdict(one) for one in self.disagreements],
            "histogram": {
                "edges": list(self.histogram.edges),
                "counts": list(self.histogram.counts),
            },
            "tolerance": asdict(self.tolerance),
            "warning": self.warning,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Parity:
        """The inverse of `to_dict`.

        Raises:
            DataError: A key is missing, a value has the wrong type, or the parts do not fit.
        """
        from pocketlens.json_fields import read_fields

        return read_fields(cls, values, "a parity result")


def verify(
    a: Predictor,
    b: Predictor,
    dataset: Dataset,
    *,
    tolerance: Tolerance = TOLERANCE,
    batch: int = 1000,
    dataset_of_a: Dataset | None = None,
) -> Parity:
    """Run two predictors on all images of a data set and compare their outputs.

    Classes are matched by name, so their order may differ. Each predictor gets the images in the
    shape of its own InputSpec. If the images in `dataset` were cropped for b already, and a crops
    in another way, pass the same images as a crops them.

    Args:
        a: The reference, such as the Recognizer.
        b: The predictor to check, such as the Core ML file.
        dataset: Labeled images, at least one.
        tolerance: The limits for passing; default: 99.9 % equal labels, mean |Δp| of 5e-3.
        batch: Number of images per call of a predictor, at least 1.
        dataset_of_a: The same labeled images for a; default: `dataset`.

    Raises:
        DataError: The data set is empty, it has a class that the predictors lack, the two
            predictors have different classes, or the two data sets different labels.
        OptionError: `batch` is below 1, or a predictor's outputs are not probabilities.
    """
    _check_same_classes(a, b)
    classes = shared_classes(a, dataset)
    images_of_a = dataset_of_a or dataset
    if images_of_a.classes != dataset.classes or not np.array_equal(
        images_of_a.labels, dataset.labels
    ):
        raise DataError("the two data sets have different labels; expected the same images in both")
    differences = np.empty(len(dataset))
    right_a = 0
    counts, predicted, right = np.zeros((3, len(classes)), np.int64)  # per class, of b
    found: list[tuple[NDArray[Any], ...]] = []
    pairs = zip(
        predictions(a, images_of_a, classes, batch=batch),
        predictions(b, dataset, classes, batch=batch),
        strict=True,
    )
    for one, other in pairs:
        labels = dataset.labels[one.place]
        differences[one.place] = np.abs(one.probabilities - other.probabilities).max(axis=1)
        right_a += int((one.predicted == labels).sum())
        np.add.at(counts, labels, 1)
        np.add.at(predicted, other.predicted, 1)
        np.add.at(right, labels[other.predicted == labels], 1)
        differing = np.flatnonzero(one.predicted != other.predicted)
        a_class, b_class = one.predicted[differing], other.predicted[differing]
        found.append(
            (
                one.place.start + differing,
                a_class,
                one.probabilities[differing, a_class],
                b_class,
                other.probabilities[differing, b_class],
            )
        )
    columns = [np.concatenate(parts) for parts in zip(*found, strict=True)]
    return Parity(
        n=len(dataset),
        disagreed=len(columns[0]),
        max_difference=float(differences.max()),
        mean_difference=float(differences.mean()),
        accuracy_a=right_a / len(dataset),
        accuracy_b=int(right.sum()) / len(dataset),
        disagreements=_disagreements(columns, dataset, classes),
        histogram=_histogram(differences),
        tolerance=tolerance,
        warning=guessing(classes, counts, predicted, right),
        ties=int((differences[columns[0]] <= TIE).sum()),
    )


def _disagreements(
    columns: Sequence[NDArray[Any]], dataset: Dataset, classes: Sequence[str]
) -> tuple[Disagreement, ...]:
    """Some of the images with different labels; their columns: index, a, p(a), b, p(b)."""
    chosen = spread(dataset.labels[columns[0]], SHOWN)
    rows = zip(*(column[chosen].tolist() for column in columns), strict=True)
    return tuple(
        Disagreement(index, classes[dataset.labels[index]], classes[a], p_a, classes[b], p_b)
        for index, a, p_a, b, p_b in rows
    )


def _check_same_classes(a: Predictor, b: Predictor) -> None:
    for one, other, names in ((a, b, "first has"), (b, a, "second has")):
        extra = [name for name in one.classes if name not in other.classes]
        if extra:
            raise DataError(
                f"the two models have different classes: only the {names} {listed(extra)}; "
                "expected two models with the same classes, such as a recognizer and the Core ML "
                "file converted from it"
            )


def _histogram(differences: NDArray[np.float64]) -> Histogram:
    # In float16 a probability can be slightly above 1 by rounding; the image must still count.
    counts, _ = np.histogram(differences.clip(0, 1), EDGES)
    return Histogram(EDGES, tuple(int(count) for count in counts))

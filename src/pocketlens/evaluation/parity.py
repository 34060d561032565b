"""Parity: how far two predictors agree on a data set, and whether that is near enough.

The usual pair is a Recognizer and the Core ML file made from it, the check that conversion and
half precision changed nothing that matters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketlens.data.dataset import Dataset
from pocketlens.errors import DataError, OptionError
from pocketlens.evaluation.accuracy import answers, listed, percent, shared_classes
from pocketlens.json_fields import number, reading, whole
from pocketlens.prediction import Predictor

__all__ = ["Disagreement", "Histogram", "Parity", "Tolerance", "verify"]

SHOWN = 20
"""How many disagreements are kept."""

EDGES = (0.0, *(10 ** (half / 2) for half in range(-16, 1)))
"""Edges of the histogram of |Δp|: 0, then half decades from 1e-8 to 1."""


@dataclass(frozen=True)
class Tolerance:
    """What still counts as parity.

    Args:
        agreement: The least share of images that both name alike, in [0, 1].
        mean_difference: The largest mean |Δp|, in [0, 1].

    Raises:
        OptionError: A limit outside [0, 1].
    """

    agreement: float = 0.999
    mean_difference: float = 1e-3

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if type(value) not in (int, float) or not 0 <= value <= 1:
                raise OptionError(f"tolerance.{name} is from 0 to 1; received: {value!r}")


TOLERANCE = Tolerance()


@dataclass(frozen=True)
class Disagreement:
    """An image that the two predictors name differently.

    Args:
        index: The image's place in the data set.
        label: What it is.
        a: What the first predictor answered.
        a_confidence: The probability of that answer, in [0, 1].
        b: What the second predictor answered.
        b_confidence: The probability of that answer, in [0, 1].
    """

    index: int
    label: str
    a: str
    a_confidence: float
    b: str
    b_confidence: float


@dataclass(frozen=True)
class Histogram:
    """How many images have which |Δp|: `counts[i]` of them from `edges[i]` up to `edges[i + 1]`.

    The first bin begins at 0, the last includes its upper edge, 1.
    """

    edges: tuple[float, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True)
class Parity:
    """How far two predictors, a and b, agree.

    The |Δp| of an image is the largest difference over its classes. (A mean over the classes
    would come out small for any model with many of them.)

    Args:
        n: How many images.
        disagreed: How many of them the two name differently.
        max_difference: The largest |Δp| of any image, in [0, 1].
        mean_difference: The mean of |Δp| over the images, in [0, 1].
        accuracy_a: The share of images that a names right, in [0, 1].
        accuracy_b: The share of images that b names right, in [0, 1].
        disagreements: The first 20 images that they name differently.
        histogram: How |Δp| is distributed.
        tolerance: What counts as passed.
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

    @property
    def agreement(self) -> float:
        """The share of images that both name alike, in [0, 1]."""
        return (self.n - self.disagreed) / self.n

    @property
    def passed(self) -> bool:
        """Whether agreement and mean |Δp| are within the tolerance."""
        return (
            self.agreement >= self.tolerance.agreement
            and self.mean_difference <= self.tolerance.mean_difference
        )

    def __str__(self) -> str:
        limits = self.tolerance
        return (
            f"parity {'passed' if self.passed else 'FAILED'} on {self.n} images\n"
            f"label agreement {percent(self.agreement)} ({self.disagreed} differ; "
            f"at least {percent(limits.agreement)} wanted)\n"
            f"mean |Δp| {self.mean_difference:.2e} (at most {limits.mean_difference:.2e} wanted), "
            f"max |Δp| {self.max_difference:.2e}\n"
            f"accuracy {percent(self.accuracy_a)} and {percent(self.accuracy_b)}"
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain lists, strings and numbers, ready for JSON; the inverse of `from_dict`.

        `agreement` and `passed`, which follow from the rest, are there for whoever reads the file.
        """
        return {
            "n": self.n,
            "passed": self.passed,
            "agreement": self.agreement,
            "disagreed": self.disagreed,
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
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Parity:
        """The inverse of `to_dict`.

        Raises:
            DataError: A key is missing, a value has the wrong type, or the parts do not fit.
            OptionError: A tolerance outside [0, 1].
        """
        with reading("a parity"):
            histogram = Histogram(
                edges=tuple(number(edge) for edge in values["histogram"]["edges"]),
                counts=tuple(whole(count) for count in values["histogram"]["counts"]),
            )
            if len(histogram.edges) != len(histogram.counts) + 1:
                raise ValueError("a histogram has one edge more than counts")
            n, disagreed = whole(values["n"]), whole(values["disagreed"])
            if not disagreed <= n or n == 0:
                raise ValueError(f"{disagreed} of {n} images cannot differ")
            return cls(
                n=n,
                disagreed=disagreed,
                max_difference=number(values["max_difference"]),
                mean_difference=number(values["mean_difference"]),
                accuracy_a=number(values["accuracy_a"]),
                accuracy_b=number(values["accuracy_b"]),
                disagreements=tuple(
                    Disagreement(
                        index=whole(row["index"]),
                        label=str(row["label"]),
                        a=str(row["a"]),
                        a_confidence=number(row["a_confidence"]),
                        b=str(row["b"]),
                        b_confidence=number(row["b_confidence"]),
                    )
                    for row in values["disagreements"]
                ),
                histogram=histogram,
                tolerance=Tolerance(
                    agreement=number(values["tolerance"]["agreement"]),
                    mean_difference=number(values["tolerance"]["mean_difference"]),
                ),
            )


def verify(
    a: Predictor,
    b: Predictor,
    dataset: Dataset,
    *,
    tolerance: Tolerance = TOLERANCE,
    batch: int = 1000,
) -> Parity:
    """Ask two predictors about every image of a data set and compare their answers.

    Classes are matched by name, so their order may differ. Each predictor gets the images as its
    own InputSpec wants them.

    Args:
        a: The one to hold against, such as the Recognizer.
        b: The one to check, such as the Core ML file.
        dataset: Labeled images, at least one.
        tolerance: What counts as passed; default: 99.9 % of labels, mean |Δp| of 1e-3.
        batch: How many images are asked about at once.

    Raises:
        DataError: The data set is empty, has a class that the predictors do not know, or the two
            predictors have different classes.
        OptionError: `batch` is below 1, or a predictor's answers are no probabilities.
    """
    _check_same_classes(a, b)
    classes = shared_classes(a, dataset)
    differences = np.empty(len(dataset))
    right_a = right_b = disagreed = 0
    shown: list[Disagreement] = []
    pairs = zip(
        answers(a, dataset, classes, batch=batch),
        answers(b, dataset, classes, batch=batch),
        strict=True,
    )
    for one, other in pairs:
        labels = dataset.labels[one.place]
        differences[one.place] = np.abs(one.probabilities - other.probabilities).max(axis=1)
        right_a += int((one.predicted == labels).sum())
        right_b += int((other.predicted == labels).sum())
        differing = np.flatnonzero(one.predicted != other.predicted)
        disagreed += len(differing)
        shown += [
            Disagreement(
                index=one.place.start + int(i),
                label=classes[labels[i]],
                a=classes[one.predicted[i]],
                a_confidence=float(one.probabilities[i, one.predicted[i]]),
                b=classes[other.predicted[i]],
                b_confidence=float(other.probabilities[i, other.predicted[i]]),
            )
            for i in differing[: SHOWN - len(shown)]
        ]
    return Parity(
        n=len(dataset),
        disagreed=disagreed,
        max_difference=float(differences.max()),
        mean_difference=float(differences.mean()),
        accuracy_a=right_a / len(dataset),
        accuracy_b=right_b / len(dataset),
        disagreements=tuple(shown),
        histogram=_histogram(differences),
        tolerance=tolerance,
    )


def _check_same_classes(a: Predictor, b: Predictor) -> None:
    for one, other, names in ((a, b, "first has"), (b, a, "second has")):
        extra = [name for name in one.classes if name not in other.classes]
        if extra:
            raise DataError(
                f"the two models have different classes: only the {names} {listed(extra)}; "
                "expected two models of the same classes, such as a Core ML file and its origin"
            )


def _histogram(differences: NDArray[np.float64]) -> Histogram:
    # A probability of float16 may exceed 1 by a rounding step; its image is still counted.
    counts, _ = np.histogram(differences.clip(0, 1), EDGES)
    return Histogram(EDGES, tuple(int(count) for count in counts))

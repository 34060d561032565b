"""How good a predictor is on labeled images: accuracy, loss, confusion, calibration, mistakes."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pocketlens.data.dataset import Dataset
from pocketlens.errors import DataError, OptionError
from pocketlens.image import InputSpec, prepare
from pocketlens.json_fields import number, number_or_none, reading, whole
from pocketlens.prediction import Predictor

__all__ = ["Calibration", "CalibrationBin", "ClassScore", "Evaluation", "Mistake", "evaluate"]

BINS = 15
"""Bins of the calibration error, as in Guo et al. (2017)."""

MISTAKES = 36
"""How many of the most confident wrong answers are kept."""

SMALLEST = 1e-7
"""Probabilities are raised to this before the logarithm. It is the resolution of float16 and
float32 near their ends, so that one rounded zero does not make the loss infinite."""

SUM_TOLERANCE = 0.01
"""How far a row of probabilities may sum from 1: far above the rounding of float16."""


@dataclass(frozen=True)
class ClassScore:
    """How one class fares.

    Args:
        name: The class.
        precision: Of the images answered so, the share that is; None if none was.
        recall: Of the images that are, the share answered so; None if there are none.
        count: How many images of the class there are.
    """

    name: str
    precision: float | None
    recall: float | None
    count: int


@dataclass(frozen=True)
class CalibrationBin:
    """The answers whose confidence is in (low, high].

    Args:
        low: Lower end, not in the bin.
        high: Upper end, in the bin.
        count: How many answers.
        confidence: Their mean confidence in [0, 1]; None without answers.
        accuracy: The share of them that is right; None without answers.
    """

    low: float
    high: float
    count: int
    confidence: float | None
    accuracy: float | None


@dataclass(frozen=True)
class Calibration:
    """Whether a confidence of 90 % is right nine times in ten.

    Args:
        error: Expected calibration error in [0, 1]: the mean of |accuracy − confidence| over the
            bins, weighted by their counts (Guo et al., "On Calibration of Modern Neural Networks",
            ICML 2017, equation 3).
        bins: 15 bins of equal width over [0, 1].
    """

    error: float
    bins: tuple[CalibrationBin, ...]


@dataclass(frozen=True)
class Mistake:
    """A wrong answer.

    Args:
        index: The image's place in the data set.
        label: What it is.
        predicted: What was answered.
        confidence: The probability of that answer, in [0, 1].
    """

    index: int
    label: str
    predicted: str
    confidence: float


@dataclass(frozen=True)
class Evaluation:
    """The measured quality of a predictor on a data set.

    Args:
        classes: The data set's classes, then those only the predictor knows (such as `nothing`).
        n: How many images.
        accuracy: The share answered right, in [0, 1].
        interval: The 95 % Wilson score interval of the accuracy, `(low, high)`.
        loss: Mean negative log-likelihood (natural logarithm) of the true class.
        per_class: Precision, recall and count, in the order of `classes`.
        confusion: `K × K` counts; row: the true class, column: the answer.
        calibration: Expected calibration error and its bins.
        mistakes: The 36 most confident wrong answers, most confident first.
        seconds: Time spent in the predictor, without resizing images.
        milliseconds_per_image: The same for one image, averaged over batches.
    """

    classes: tuple[str, ...]
    n: int
    accuracy: float
    interval: tuple[float, float]
    loss: float
    per_class: tuple[ClassScore, ...]
    confusion: tuple[tuple[int, ...], ...]
    calibration: Calibration
    mistakes: tuple[Mistake, ...]
    seconds: float
    milliseconds_per_image: float

    def __str__(self) -> str:
        low, high = self.interval
        return (
            f"accuracy {percent(self.accuracy)} of {self.n} images "
            f"(95 % interval {percent(low)} to {percent(high)})\n"
            f"loss {self.loss:.4f}, calibration error {percent(self.calibration.error)}, "
            f"{self.milliseconds_per_image:.3f} ms an image"
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain lists, strings and numbers, ready for JSON; the inverse of `from_dict`."""
        return {
            "classes": list(self.classes),
            "n": self.n,
            "accuracy": self.accuracy,
            "interval": list(self.interval),
            "loss": self.loss,
            "per_class": [asdict(score) for score in self.per_class],
            "confusion": [list(row) for row in self.confusion],
            "calibration": {
                "error": self.calibration.error,
                "bins": [asdict(one) for one in self.calibration.bins],
            },
            "mistakes": [asdict(mistake) for mistake in self.mistakes],
            "seconds": self.seconds,
            "milliseconds_per_image": self.milliseconds_per_image,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Evaluation:
        """The inverse of `to_dict`.

        Raises:
            DataError: A key is missing, a value has the wrong type, or the parts do not fit.
        """
        with reading("an evaluation"):
            classes = tuple(str(name) for name in values["classes"])
            low, high = values["interval"]
            evaluation = cls(
                classes=classes,
                n=whole(values["n"]),
                accuracy=number(values["accuracy"]),
                interval=(number(low), number(high)),
                loss=number(values["loss"]),
                per_class=tuple(
                    ClassScore(
                        name=str(row["name"]),
                        precision=number_or_none(row["precision"]),
                        recall=number_or_none(row["recall"]),
                        count=whole(row["count"]),
                    )
                    for row in values["per_class"]
                ),
                confusion=tuple(tuple(whole(c) for c in row) for row in values["confusion"]),
                calibration=Calibration(
                    error=number(values["calibration"]["error"]),
                    bins=tuple(
                        CalibrationBin(
                            low=number(row["low"]),
                            high=number(row["high"]),
                            count=whole(row["count"]),
                            confidence=number_or_none(row["confidence"]),
                            accuracy=number_or_none(row["accuracy"]),
                        )
                        for row in values["calibration"]["bins"]
                    ),
                ),
                mistakes=tuple(
                    Mistake(
                        index=whole(row["index"]),
                        label=str(row["label"]),
                        predicted=str(row["predicted"]),
                        confidence=number(row["confidence"]),
                    )
                    for row in values["mistakes"]
                ),
                seconds=number(values["seconds"]),
                milliseconds_per_image=number(values["milliseconds_per_image"]),
            )
            sizes = {len(evaluation.per_class), len(evaluation.confusion)}
            sizes.update(len(row) for row in evaluation.confusion)
            if sizes != {len(classes)}:
                raise ValueError(f"{len(classes)} classes, but tables of other sizes")
        return evaluation


def evaluate(predictor: Predictor, dataset: Dataset, *, batch: int = 1000) -> Evaluation:
    """Ask a predictor about every image of a data set and measure its answers.

    Images that do not have the shape of the predictor's InputSpec are cropped and resized by it.
    Classes are matched by name, so their order may differ. A class that only the predictor has
    (such as `nothing`) is a possible wrong answer.

    Args:
        predictor: A Recognizer, a CoreMLModel or any other Predictor.
        dataset: Labeled images, at least one.
        batch: How many images are asked about at once.

    Raises:
        DataError: The data set is empty, or has a class that the predictor does not know.
        OptionError: `batch` is below 1, or the predictor's answers are no probabilities.
    """
    classes = shared_classes(predictor, dataset)
    size = len(classes)
    predicted = np.empty(len(dataset), np.int64)
    confidence = np.empty(len(dataset))
    likelihood = np.empty(len(dataset))
    seconds = 0.0
    for part in answers(predictor, dataset, classes, batch=batch):
        rows = np.arange(len(part.predicted))
        predicted[part.place] = part.predicted
        confidence[part.place] = part.probabilities[rows, part.predicted]
        likelihood[part.place] = part.probabilities[rows, dataset.labels[part.place]]
        seconds += part.seconds
    right = predicted == dataset.labels
    confusion = np.bincount(dataset.labels * size + predicted, minlength=size * size)
    confusion = confusion.reshape(size, size)
    return Evaluation(
        classes=classes,
        n=len(dataset),
        accuracy=float(right.mean()),
        interval=wilson_interval(int(right.sum()), len(dataset)),
        loss=float(-np.log(likelihood.clip(SMALLEST, 1)).mean()),
        per_class=_per_class(classes, confusion),
        confusion=tuple(tuple(row) for row in confusion.tolist()),
        calibration=_calibration(confidence, right),
        mistakes=_mistakes(dataset, classes, predicted, confidence),
        seconds=seconds,
        milliseconds_per_image=1000 * seconds / len(dataset),
    )


def wilson_interval(right: int, n: int, *, level: float = 0.95) -> tuple[float, float]:
    """The score interval `(low, high)` of a share, `right` of `n`, at confidence `level`.

    It holds near 0 and 1, where the usual p ± z·√(p(1−p)/n) fails.
    Source: E. B. Wilson, "Probable Inference, the Law of Succession, and Statistical Inference",
    Journal of the American Statistical Association 22 (1927), 209-212.
    """
    z = NormalDist().inv_cdf((1 + level) / 2)
    share = right / n
    center = share + z * z / (2 * n)
    reach = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    # At 0 and at n of n the ends are 0 and 1 exactly, which rounding would miss.
    low = 0.0 if right == 0 else (center - reach) / scale
    return low, 1.0 if right == n else (center + reach) / scale


class Answers(NamedTuple):
    """A predictor's answers to one batch of a data set."""

    place: slice  # of the batch in the data set
    probabilities: NDArray[np.float64]  # (n, K), columns in the order of the classes asked for
    predicted: NDArray[np.int64]  # (n,), indices into the classes asked for
    seconds: float


def shared_classes(predictor: Predictor, dataset: Dataset) -> tuple[str, ...]:
    """The data set's classes, then those only the predictor has.

    Raises:
        DataError: The data set is empty, or has a class that the predictor does not know.
    """
    if not len(dataset):
        raise DataError(f"{dataset.name} is empty; expected at least one labeled image")
    unknown = [name for name in dataset.classes if name not in predictor.classes]
    if unknown:
        raise DataError(
            f"{dataset.name} has {listed(unknown)}, which the model does not know; the model "
            f"knows {listed(predictor.classes)}; choose the data that the model was trained for"
        )
    return dataset.classes + tuple(c for c in predictor.classes if c not in dataset.classes)


def answers(
    predictor: Predictor, dataset: Dataset, classes: Sequence[str], *, batch: int
) -> Iterator[Answers]:
    """Ask a predictor about a data set, batch by batch.

    Args:
        predictor: Whom to ask.
        dataset: Whose images; those that do not fit the InputSpec are cropped and resized by it.
        classes: The order of the answers' columns; the same names as the predictor's classes.
        batch: How many images are asked about at once.

    Raises:
        OptionError: `batch` is below 1, or an answer is no probabilities.
    """
    if batch < 1:
        raise OptionError(f"batch is a whole number from 1; received: {batch}")
    known = {name: place for place, name in enumerate(predictor.classes)}
    columns = np.array([known[name] for name in classes])
    index = np.empty(len(columns), np.int64)
    index[columns] = np.arange(len(columns))
    for start in range(0, len(dataset), batch):
        place = slice(start, min(start + batch, len(dataset)))
        images = _fitting(dataset.images[place], predictor.input_spec)
        begun = time.perf_counter()
        raw = np.asarray(predictor.probabilities(images))
        seconds = time.perf_counter() - begun
        _check_probabilities(raw, (len(images), len(columns)))
        # Of equal probabilities the model's own first class wins, as in Core ML: so argmax comes
        # before the columns are reordered.
        predicted = index[raw.argmax(axis=1)]
        yield Answers(place, raw[:, columns].astype(np.float64), predicted, seconds)


def percent(share: float) -> str:
    """A share in [0, 1] as `98.70 %`; `100.00 %` is said of all, never of nearly all."""
    rounded = round(100 * share, 2)
    return f"{99.99 if rounded == 100 and share < 1 else rounded:.2f} %"


def listed(names: Sequence[str], most: int = 12) -> str:
    """Names for a message: `the class 'a'`, `the classes 'a', 'b' and 7 more`."""
    shown = ", ".join(repr(name) for name in names[:most])
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"the class {shown}" if len(names) == 1 else f"the classes {shown}{more}"


def _fitting(images: NDArray[np.uint8], spec: InputSpec) -> NDArray[np.uint8]:
    if images.shape[1:] == spec.shape:
        return images
    return np.stack([prepare(image, spec) for image in images])


def _check_probabilities(rows: NDArray[Any], shape: tuple[int, int]) -> None:
    if rows.shape != shape:
        raise OptionError(
            f"the model answered {shape[0]} images with an array of shape {rows.shape}; "
            f"expected one probability for each of its {shape[1]} classes: {shape}"
        )
    sums = rows.sum(axis=1, dtype=np.float64)
    # Written so that NaN fails too.
    good = (rows >= -SUM_TOLERANCE).all(axis=1) & (np.abs(sums - 1) <= SUM_TOLERANCE)
    if not good.all():
        worst = int(np.argmin(good))
        raise OptionError(
            "the model's answers are no probabilities: expected numbers from 0 that sum to 1; "
            f"received: a row from {rows[worst].min():.4g} to {rows[worst].max():.4g} with sum "
            f"{sums[worst]:.4g}; is its softmax missing?"
        )


def _per_class(classes: tuple[str, ...], confusion: NDArray[np.int64]) -> tuple[ClassScore, ...]:
    right, answered, there = confusion.diagonal(), confusion.sum(axis=0), confusion.sum(axis=1)
    return tuple(
        ClassScore(
            name=name,
            precision=float(right[k] / answered[k]) if answered[k] else None,
            recall=float(right[k] / there[k]) if there[k] else None,
            count=int(there[k]),
        )
        for k, name in enumerate(classes)
    )


def _calibration(confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> Calibration:
    edges = np.arange(BINS + 1) / BINS
    # Bins are open below and closed above, so a confidence of 1 is in the last.
    bins = np.searchsorted(edges, confidence, side="left").clip(1, BINS) - 1
    counts = np.bincount(bins, minlength=BINS)
    confidences = np.bincount(bins, weights=confidence, minlength=BINS)
    rights = np.bincount(bins, weights=right, minlength=BINS)
    return Calibration(
        error=float(np.abs(rights - confidences).sum() / len(right)),
        bins=tuple(
            CalibrationBin(
                low=float(edges[k]),
                high=float(edges[k + 1]),
                count=int(counts[k]),
                confidence=float(confidences[k] / counts[k]) if counts[k] else None,
                accuracy=float(rights[k] / counts[k]) if counts[k] else None,
            )
            for k in range(BINS)
        ),
    )


def _mistakes(
    dataset: Dataset,
    classes: tuple[str, ...],
    predicted: NDArray[np.int64],
    confidence: NDArray[np.float64],
) -> tuple[Mistake, ...]:
    wrong = np.flatnonzero(predicted != dataset.labels)
    worst = wrong[np.argsort(-confidence[wrong], kind="stable")][:MISTAKES]
    return tuple(
        Mistake(
            index=int(i),
            label=classes[dataset.labels[i]],
            predicted=classes[predicted[i]],
            confidence=float(confidence[i]),
        )
        for i in worst
    )

"""Measure a predictor on labeled images: accuracy, loss, confusion, calibration, mistakes."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pocketlens.data.dataset import Dataset
from pocketlens.data.large_arrays import in_memory
from pocketlens.errors import DataError, OptionError
from pocketlens.evaluation.chance import guessing, wilson_interval
from pocketlens.image import InputSpec, prepare
from pocketlens.prediction import Predictor

__all__ = ["Calibration", "CalibrationBin", "ClassScore", "Evaluation", "Mistake", "evaluate"]

BINS = 15
"""Number of bins of the calibration error, as in Guo et al. (2017)."""

MISTAKES = 36
"""How many of the most confident mistakes are kept."""

SMALLEST = 1e-7
"""Smaller probabilities are set to this before taking the logarithm, so that a probability that was
rounded to 0 does not make the loss infinite."""

SUM_TOLERANCE = 0.01
"""How much the sum of a row of probabilities may differ from 1: far more than float16 rounding."""


@dataclass(frozen=True)
class ClassScore:
    """Precision and recall of one class.

    Args:
        name: The class.
        precision: Share of the images predicted as this class that belong to it, in [0, 1]; None
            if no image was predicted as it.
        recall: Share of the images of this class that are predicted as it, in [0, 1]; None if there
            are none.
        count: Number of images of the class.
    """

    name: str
    precision: float | None
    recall: float | None
    count: int


@dataclass(frozen=True)
class CalibrationBin:
    """The predictions whose confidence is in (low, high].

    Args:
        low: Lower end, exclusive.
        high: Upper end, inclusive.
        count: Number of predictions in the bin.
        confidence: Their mean confidence in [0, 1]; None if the bin is empty.
        accuracy: The share of them that is right, in [0, 1]; None if the bin is empty.
    """

    low: float
    high: float
    count: int
    confidence: float | None
    accuracy: float | None


@dataclass(frozen=True)
class Calibration:
    """How well confidence matches accuracy: at 90 % confidence, 9 of 10 predictions are right.

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
    """A wrong prediction.

    Args:
        index: Index of the image in the data set.
        label: The true class.
        predicted: The predicted class.
        confidence: The probability of the predicted class, in [0, 1].
    """

    index: int
    label: str
    predicted: str
    confidence: float


@dataclass(frozen=True)
class Evaluation:
    """The measured quality of a predictor on a data set.

    Args:
        classes: The data set's classes, then those that only the predictor has (such as `nothing`).
        n: Number of images.
        accuracy: Share of right predictions, in [0, 1].
        interval: 95 % Wilson score interval of the accuracy, `(low, high)`.
        loss: Mean negative log-likelihood (natural logarithm) of the true class.
        per_class: Precision, recall and count, in the order of `classes`.
        confusion: `K × K` counts; row: the true class, column: the predicted class.
        calibration: Expected calibration error and its bins.
        mistakes: The 36 most confident mistakes, most confident first.
        seconds: Time spent in the predictor, without resizing images.
        milliseconds_per_image: Mean time in the predictor per image.

    Raises:
        ValueError: The tables do not have one row and column per class.
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

    def __post_init__(self) -> None:
        sizes = {len(self.per_class), len(self.confusion)}
        sizes.update(len(row) for row in self.confusion)
        if sizes != {len(self.classes)}:
            raise ValueError(f"has {len(self.classes)} classes, but tables of another size")

    @property
    def warning(self) -> str | None:
        """Why the model is no better than guessing; None if it is better."""
        table = np.array(self.confusion)
        return guessing(self.classes, table.sum(axis=1), table.sum(axis=0), table.diagonal())

    def __str__(self) -> str:
        low, high = self.interval
        warning = f"WARNING: {self.warning}\n" if self.warning else ""
        return (
            f"{warning}accuracy {percent(self.accuracy)} of {self.n} images "
            f"(95 % interval {percent(low)} to {percent(high)})\n"
            f"loss {self.loss:.4f}, calibration error {percent(self.calibration.error)}, "
            f"{self.milliseconds_per_image:.3f} ms per image"
        )

    def to_dict(self) -> dict[str, Any]:
        """A dictionary of lists, strings and numbers for JSON; the inverse of `from_dict`.

        `warning` can be computed from the rest; it is for readers of the file.
        """
        return {
            "classes": list(self.classes),
            "n": self.n,
            "warning": self.warning,
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
        from pocketlens.json_fields import read_fields

        return read_fields(cls, values, "an evaluation")


def evaluate(predictor: Predictor, dataset: Dataset, *, batch: int = 1000) -> Evaluation:
    """Run a predictor on all images of a data set and measure its predictions.

    Images of another shape than the predictor's InputSpec are cropped and resized as it says.
    Classes are matched by name, so their order may differ. Predicting a class that only the
    predictor has (such as `nothing`) counts as a mistake.

    Args:
        predictor: A Recognizer, a CoreMLModel or any other Predictor.
        dataset: Labeled images, at least one.
        batch: Number of images per call of the predictor, at least 1.

    Raises:
        DataError: The data set is empty, or has a class that the predictor lacks.
        OptionError: `batch` is below 1, or the predictor's outputs are not probabilities.
    """
    classes = shared_classes(predictor, dataset)
    size = len(classes)
    predicted = np.empty(len(dataset), np.int64)
    confidence = np.empty(len(dataset))
    likelihood = np.empty(len(dataset))
    seconds = 0.0
    for part in predictions(predictor, dataset, classes, batch=batch):
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


class Predictions(NamedTuple):
    """A predictor's outputs for one batch of a data set."""

    place: slice  # the batch's position in the data set
    probabilities: NDArray[np.float64]  # (n, K), columns in the order of the requested classes
    predicted: NDArray[np.int64]  # (n,), indices into the requested classes
    seconds: float


def shared_classes(predictor: Predictor, dataset: Dataset) -> tuple[str, ...]:
    """The data set's classes, then those that only the predictor has.

    Raises:
        DataError: The data set is empty, or has a class that the predictor lacks.
    """
    if not len(dataset):
        raise DataError(f"{dataset.name} is empty; expected at least one labeled image")
    unknown = [name for name in dataset.classes if name not in predictor.classes]
    if unknown:
        raise DataError(
            f"{dataset.name} has {listed(unknown)}, which the model does not know; the model "
            f"has {listed(predictor.classes)}; use data with the classes the model was trained on"
        )
    return dataset.classes + tuple(c for c in predictor.classes if c not in dataset.classes)


def predictions(
    predictor: Predictor, dataset: Dataset, classes: Sequence[str], *, batch: int
) -> Iterator[Predictions]:
    """Run a predictor on a data set, batch by batch.

    Args:
        predictor: The predictor.
        dataset: The images; those that do not fit its InputSpec are cropped and resized.
        classes: The order of the columns in the results; the same names as `predictor.classes`.
        batch: Number of images per call of the predictor, at least 1.

    Raises:
        OptionError: `batch` is below 1, or the outputs are not probabilities.
    """
    if batch < 1:
        raise OptionError(f"batch must be an integer of at least 1; received: {batch}")
    known = {name: place for place, name in enumerate(predictor.classes)}
    columns = np.array([known[name] for name in classes])
    index = np.empty(len(columns), np.int64)
    index[columns] = np.arange(len(columns))
    for start in range(0, len(dataset), batch):
        place = slice(start, min(start + batch, len(dataset)))
        images = _fitting(in_memory(dataset.images[place]), predictor.input_spec)
        begun = time.perf_counter()
        raw = np.asarray(predictor.probabilities(images))
        seconds = time.perf_counter() - begun
        _check_probabilities(raw, (len(images), len(columns)))
        # If probabilities are equal, the first class in the model's own order wins, as in Core ML.
        # So argmax comes before the columns are reordered.
        predicted = index[raw.argmax(axis=1)]
        yield Predictions(place, raw[:, columns].astype(np.float64), predicted, seconds)


def percent(share: float) -> str:
    """A share in [0, 1] as text, `98.70 %`. Only exactly 1 is `100.00 %`; it is not rounded up."""
    rounded = round(100 * share, 2)
    return f"{99.99 if rounded == 100 and share < 1 else rounded:.2f} %"


def listed(names: Sequence[str], most: int = 12) -> str:
    """Class names for a message: `the class 'a'` or `the classes 'a', 'b' and 7 more`."""
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
            f"the model returned an array of shape {rows.shape} for {shape[0]} images; "
            f"expected one probability per class, shape {shape}"
        )
    sums = rows.sum(axis=1, dtype=np.float64)
    # Written so that NaN is rejected too.
    good = (rows >= -SUM_TOLERANCE).all(axis=1) & (np.abs(sums - 1) <= SUM_TOLERANCE)
    if not good.all():
        worst = int(np.argmin(good))
        raise OptionError(
            "the model's outputs are not probabilities: expected numbers of at least 0 with sum 1; "
            f"received: a row from {rows[worst].min():.4g} to {rows[worst].max():.4g} with sum "
            f"{sums[worst]:.4g}; is the softmax missing?"
        )


def _per_class(classes: tuple[str, ...], confusion: NDArray[np.int64]) -> tuple[ClassScore, ...]:
    right, predicted, count = confusion.diagonal(), confusion.sum(axis=0), confusion.sum(axis=1)
    return tuple(
        ClassScore(
            name=name,
            precision=float(right[k] / predicted[k]) if predicted[k] else None,
            recall=float(right[k] / count[k]) if count[k] else None,
            count=int(count[k]),
        )
        for k, name in enumerate(classes)
    )


def _calibration(confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> Calibration:
    edges = np.arange(BINS + 1) / BINS
    # Bins exclude their lower end and include their upper end, so confidence 1 is in the last one.
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

"""Rejection of empty scenes: scores, area under the ROC curve, false positives."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pocketlens.data.dataset import Dataset
from pocketlens.errors import DataError
from pocketlens.evaluation.accuracy import predictions
from pocketlens.evaluation.robustness.result import BINS, Rejection, Share
from pocketlens.prediction import NOTHING, Predictor, Thresholds

__all__ = ["area_under_roc", "false_positives", "measure_rejection"]

KEPT = 0.95
"""The share of digits kept at which false positives are counted."""

BATCH = 500

Array = NDArray[np.float64]


@dataclass(frozen=True)
class _Outputs:
    """A predictor's outputs for `N` images.

    Args:
        score: `(N,)` probability that there is something; see `_presence`.
        shown: `(N,)` whether a label is shown.
        label: `(N,)` predicted class names.
    """

    score: Array
    shown: NDArray[np.bool_]
    label: NDArray[np.str_]


def measure_rejection(
    predictor: Predictor,
    digits: Dataset,
    nothing: Dataset,
    *,
    thresholds: Thresholds,
    note: str,
    kinds: tuple[Sequence[str], Sequence[str]],
    kept: float = KEPT,
) -> Rejection:
    """Measure how well a predictor tells digits from scenes without one.

    Args:
        predictor: It has at least one class other than `nothing`.
        digits: Images of the predictor's classes, with their labels.
        nothing: Scenes with nothing to recognize; their labels are ignored.
        thresholds: The limits for showing a label.
        note: A description of the images.
        kinds: The kind of each image in `digits` and in `nothing`; empty for no table by kind.
        kept: The share of digits kept at which false positives are counted, in (0, 1].

    Raises:
        DataError: There are no images, or the only class is `nothing`.
        OptionError: The predictor's outputs are not probabilities.
    """
    for dataset in (digits, nothing):
        if not len(dataset):
            raise DataError(f"{dataset.name} is empty; expected at least one image")
    if set(predictor.classes) <= {NOTHING}:
        raise DataError(
            f"the model has only the class {NOTHING!r}; expected at least one other class"
        )
    there = _run(predictor, digits, thresholds)
    empty = _run(predictor, nothing, thresholds)
    truth = np.array(digits.classes)[digits.labels]
    right = there.shown & (there.label == truth)
    return Rejection(
        note=note,
        threshold=thresholds.show,
        present=thresholds.present if NOTHING in predictor.classes else None,
        auroc=area_under_roc(there.score, empty.score),
        fpr=false_positives(there.score, empty.score, kept=kept),
        kept=Share.of("kept", int(there.shown.sum()), len(digits)),
        right=Share.of("kept and right", int(right.sum()), len(digits)),
        false=Share.of("false positives", int(empty.shown.sum()), len(nothing)),
        kept_by_kind=_by_kind(there.shown, kinds[0]),
        false_by_kind=_by_kind(empty.shown, kinds[1]),
        digits=_histogram(there.score),
        nothing=_histogram(empty.score),
    )


def _presence(classes: Sequence[str], probabilities: NDArray[np.float32]) -> Array:
    """The probability `(N,)` that there is something: 1 minus the probability of `nothing`.

    For a model without that class it is the largest probability.

    Args:
        classes: The model's `K` classes.
        probabilities: `(N, K)`.
    """
    if NOTHING in classes:
        nothing: Array = probabilities[:, list(classes).index(NOTHING)].astype(np.float64)
        return 1 - nothing
    return np.asarray(probabilities.max(axis=1), np.float64)


def area_under_roc(positive: Array, negative: Array) -> float:
    """The area under the ROC curve.

    It is the probability that a positive has a higher score than a negative (ties count half),
    computed with the rank sum of Mann and Whitney.
    Source: J. A. Hanley and B. J. McNeil, "The Meaning and Use of the Area under a Receiver
    Operating Characteristic (ROC) Curve", Radiology 143 (1982), 29-36.

    Args:
        positive: Scores `(P,)`, at least one.
        negative: Scores `(N,)`, at least one.
    """
    ordered = np.sort(negative)
    below = np.searchsorted(ordered, positive, side="left")
    not_above = np.searchsorted(ordered, positive, side="right")
    return float((below + not_above).mean() / 2 / len(negative))


def false_positives(positive: Array, negative: Array, *, kept: float = KEPT) -> float:
    """The share of negatives with at least the score that the share `kept` of positives reaches.

    Args:
        positive: Scores `(P,)`, at least one.
        negative: Scores `(N,)`, at least one.
        kept: Share of the positives, in (0, 1].
    """
    lowest = np.sort(positive)[len(positive) - math.ceil(kept * len(positive))]
    return float((negative >= lowest).mean())


def _run(predictor: Predictor, dataset: Dataset, thresholds: Thresholds) -> _Outputs:
    classes = predictor.classes
    parts = list(predictions(predictor, dataset, classes, batch=BATCH))
    probabilities = np.concatenate([part.probabilities for part in parts])
    best = np.concatenate([part.predicted for part in parts])
    confidence = probabilities[np.arange(len(best)), best]
    score, label = _presence(classes, probabilities), np.array(classes)[best]
    shown = (label != NOTHING) & (confidence >= thresholds.show)
    if NOTHING in classes:
        shown &= score >= thresholds.present
    return _Outputs(score, shown, label)


def _by_kind(hits: NDArray[np.bool_], kinds: Sequence[str]) -> tuple[Share, ...]:
    names, of = np.array(list(dict.fromkeys(kinds))), np.array(kinds)
    return tuple(
        Share.of(str(name), int(hits[of == name].sum()), int((of == name).sum())) for name in names
    )


def _histogram(scores: Array) -> tuple[int, ...]:
    return tuple(np.histogram(scores, bins=BINS, range=(0, 1))[0].tolist())

"""Digits against nothing: scores, the area under the ROC curve, false answers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pocketlens.data.dataset import Dataset
from pocketlens.errors import DataError
from pocketlens.evaluation.accuracy import answers
from pocketlens.evaluation.robustness.result import BINS, Rejection, Share
from pocketlens.prediction import NOTHING, Predictor, Thresholds

__all__ = ["area_under_roc", "false_positives", "measure_rejection"]

KEPT = 0.95

BATCH = 500

Array = NDArray[np.float64]


@dataclass(frozen=True)
class _Answers:
    """What a predictor says of `N` images.

    Args:
        score: `(N,)` how probable it is that there is something; see `_presence`.
        shown: `(N,)` whether an answer is shown.
        answer: `(N,)` the answers' class names.
    """

    score: Array
    shown: NDArray[np.bool_]
    answer: NDArray[np.str_]


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
    """Ask a predictor about digits and about scenes without any.

    Args:
        predictor: Of any classes; at least one besides `nothing`.
        digits: What is to be recognized; its labels tell right from wrong.
        nothing: Scenes with nothing to recognize; their labels do not matter.
        thresholds: From where on an answer is shown.
        note: Which images these are.
        kinds: The kind of each image of `digits` and of `nothing`; empty for no table by kind.
        kept: The share of digits kept at which the false positives are counted, in (0, 1].

    Raises:
        DataError: No images, or no class besides `nothing`.
        OptionError: The predictor's answers are no probabilities.
    """
    for dataset in (digits, nothing):
        if not len(dataset):
            raise DataError(f"{dataset.name} is empty; expected at least one image")
    if set(predictor.classes) <= {NOTHING}:
        raise DataError(f"the model knows only the class {NOTHING!r}; expected one besides")
    there = _ask(predictor, digits, thresholds)
    empty = _ask(predictor, nothing, thresholds)
    truth = np.array(digits.classes)[digits.labels]
    right = there.shown & (there.answer == truth)
    return Rejection(
        note=note,
        threshold=thresholds.show,
        present=thresholds.present if NOTHING in predictor.classes else None,
        auroc=area_under_roc(there.score, empty.score),
        fpr=false_positives(there.score, empty.score, kept=kept),
        kept=Share.of("kept", int(there.shown.sum()), len(digits)),
        right=Share.of("kept and right", int(right.sum()), len(digits)),
        false=Share.of("false answers to nothing", int(empty.shown.sum()), len(nothing)),
        kept_by_kind=_by_kind(there.shown, kinds[0]),
        false_by_kind=_by_kind(empty.shown, kinds[1]),
        digits=_histogram(there.score),
        nothing=_histogram(empty.score),
    )


def _presence(classes: Sequence[str], probabilities: NDArray[np.float32]) -> Array:
    """How probable it is that there is something, `(N,)`: one less the probability of `nothing`.

    Of a model without that class, the largest probability.

    Args:
        classes: The model's `K` classes.
        probabilities: `(N, K)`.
    """
    if NOTHING in classes:
        return 1 - probabilities[:, list(classes).index(NOTHING)].astype(np.float64)
    return probabilities.max(axis=1).astype(np.float64)


def area_under_roc(positive: Array, negative: Array) -> float:
    """The probability that a positive scores higher than a negative, a tie counting half.

    It is the area under the ROC curve, here by the rank sum of Mann and Whitney.
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
    """The share of negatives that score as high as the lowest of the `kept` best positives.

    Args:
        positive: Scores `(P,)`, at least one.
        negative: Scores `(N,)`, at least one.
        kept: In (0, 1].
    """
    lowest = np.sort(positive)[len(positive) - math.ceil(kept * len(positive))]
    return float((negative >= lowest).mean())


def _ask(predictor: Predictor, dataset: Dataset, thresholds: Thresholds) -> _Answers:
    classes = predictor.classes
    parts = list(answers(predictor, dataset, classes, batch=BATCH))
    probabilities = np.concatenate([part.probabilities for part in parts])
    best = np.concatenate([part.predicted for part in parts])
    confidence = probabilities[np.arange(len(best)), best]
    score, answer = _presence(classes, probabilities), np.array(classes)[best]
    shown = (answer != NOTHING) & (confidence >= thresholds.show)
    if NOTHING in classes:
        shown &= score >= thresholds.present
    return _Answers(score, shown, answer)


def _by_kind(hits: NDArray[np.bool_], kinds: Sequence[str]) -> tuple[Share, ...]:
    names, of = np.array(list(dict.fromkeys(kinds))), np.array(kinds)
    return tuple(
        Share.of(str(name), int(hits[of == name].sum()), int((of == name).sum())) for name in names
    )


def _histogram(scores: Array) -> tuple[int, ...]:
    return tuple(np.histogram(scores, bins=BINS, range=(0, 1))[0].tolist())

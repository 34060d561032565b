"""Digits against nothing: scores, the area under the ROC curve, false answers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pocketlens.data.dataset import Dataset
from pocketlens.errors import DataError
from pocketlens.evaluation import answers
from pocketlens.prediction import NOTHING, Predictor
from pocketlens.suite.result import BINS, Rejection, Share

__all__ = ["area_under_roc", "false_positives", "measure_rejection"]

KEPT = 0.95
"""The share of digits kept at which the false positives are counted."""

BATCH = 500

Array = NDArray[np.float64]


@dataclass(frozen=True)
class _Answers:
    """What a predictor says of `N` images.

    Args:
        score: `(N,)` the largest probability of a class other than `nothing`.
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
    threshold: float,
    note: str,
    kinds: tuple[Sequence[str], Sequence[str]],
) -> Rejection:
    """Ask a predictor about digits and about scenes without any.

    Args:
        predictor: Of any classes; at least one besides `nothing`.
        digits: What is to be recognised; its labels tell right from wrong.
        nothing: Scenes with nothing to recognise; their labels do not matter.
        threshold: From which probability on an answer is shown.
        note: Which images these are.
        kinds: The kind of each image of `digits` and of `nothing`; empty for no table by kind.

    Raises:
        DataError: No images, or no class besides `nothing`.
        OptionError: The predictor's answers are no probabilities.
    """
    for dataset in (digits, nothing):
        if not len(dataset):
            raise DataError(f"{dataset.name} is empty; expected at least one image")
    if set(predictor.classes) <= {NOTHING}:
        raise DataError(f"the model knows only the class {NOTHING!r}; expected one besides")
    there = _ask(predictor, digits, threshold)
    empty = _ask(predictor, nothing, threshold)
    truth = np.array(digits.classes)[digits.labels]
    right = there.shown & (there.answer == truth)
    return Rejection(
        note=note,
        threshold=threshold,
        auroc=area_under_roc(there.score, empty.score),
        fpr=false_positives(there.score, empty.score),
        kept=Share.of("kept", int(there.shown.sum()), len(digits)),
        right=Share.of("kept and right", int(right.sum()), len(digits)),
        false=Share.of("false answers to nothing", int(empty.shown.sum()), len(nothing)),
        kept_by_kind=_by_kind(there.shown, kinds[0]),
        false_by_kind=_by_kind(empty.shown, kinds[1]),
        digits=_histogram(there.score),
        nothing=_histogram(empty.score),
    )


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


def _ask(predictor: Predictor, dataset: Dataset, threshold: float) -> _Answers:
    classes = predictor.classes
    something = np.array([name != NOTHING for name in classes])
    parts = list(answers(predictor, dataset, classes, batch=BATCH))
    probabilities = np.concatenate([part.probabilities for part in parts])
    best = np.concatenate([part.predicted for part in parts])
    confidence = probabilities[np.arange(len(best)), best]
    return _Answers(
        score=probabilities[:, something].max(axis=1),
        shown=something[best] & (confidence >= threshold),
        answer=np.array(classes)[best],
    )


def _by_kind(hits: NDArray[np.bool_], kinds: Sequence[str]) -> tuple[Share, ...]:
    names, of = np.array(list(dict.fromkeys(kinds))), np.array(kinds)
    return tuple(
        Share.of(str(name), int(hits[of == name].sum()), int((of == name).sum())) for name in names
    )


def _histogram(scores: Array) -> tuple[int, ...]:
    return tuple(np.histogram(scores, bins=BINS, range=(0, 1))[0].tolist())

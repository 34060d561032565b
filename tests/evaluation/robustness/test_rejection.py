"""Rejection of empty scenes, compared with cases calculated by hand."""

from __future__ import annotations

from typing import TypedDict

import numpy as np
import pytest

from evaluation.robustness.rules import Rule, Rules
from pocketlens.data import Dataset
from pocketlens.errors import DataError
from pocketlens.evaluation.robustness.rejection import (
    area_under_roc,
    false_positives,
    measure_rejection,
)
from pocketlens.evaluation.robustness.result import Rejection
from pocketlens.image import InputSpec
from pocketlens.prediction import Thresholds

CLASSES = ("cat", "nothing", "dog")


def scores(*values: float) -> np.ndarray:
    return np.array(values)


@pytest.mark.parametrize(
    ("positive", "negative", "area"),
    [
        ((0.9, 0.8), (0.1, 0.2), 1),
        ((0.1, 0.2), (0.9, 0.8), 0),
        ((0.5,), (0.5,), 0.5),
        ((0.9, 0.4), (0.5, 0.3), 3 / 4),  # of four pairs, only 0.4 < 0.5 is in the wrong order
        ((0.9, 0.5, 0.5), (0.5, 0.1), 5 / 6),  # of six pairs, two are ties: 4 + 2 / 2
    ],
)
def test_area_under_the_roc_curve(
    positive: tuple[float, ...], negative: tuple[float, ...], area: float
) -> None:
    assert area_under_roc(scores(*positive), scores(*negative)) == pytest.approx(area)


def test_false_positives_when_95_percent_are_kept() -> None:
    digits = np.arange(1, 101) / 100  # 95 of them score 0.06 or more
    assert false_positives(digits, scores(0.05, 0.059, 0.06, 0.5)) == 0.5
    assert false_positives(digits, scores(0.0, 0.05)) == 0
    assert false_positives(scores(0.2, 0.9), scores(0.1, 0.2, 0.3, 0.4), kept=0.5) == 0
    assert false_positives(scores(0.2, 0.9), scores(0.1, 0.2, 0.3, 0.4), kept=1) == 0.75


def table(values: list[list[float]]) -> Rule:
    """A rule that returns row k for image k, whose pixels are all k."""
    return lambda images: np.array(values)[images[:, 0, 0, 0]]


def images(first: int, count: int, labels: list[int], classes: tuple[str, ...]) -> Dataset:
    planes = np.arange(first, first + count, dtype=np.uint8).reshape(-1, 1, 1, 1)
    return Dataset(np.tile(planes, (1, 2, 2, 1)), np.array(labels, np.int64), classes, "made")


ROWS = [
    [0.92, 0.04, 0.04],  # a cat: kept and right
    [0.1, 0.1, 0.8],  # a cat classified as a dog: kept, wrong
    [0.3, 0.6, 0.1],  # a dog classified as nothing: not shown
    [0.35, 0.05, 0.6],  # a dog with too low a probability: not shown
    [0.2, 0.7, 0.1],  # nothing: right
    [0.75, 0.2, 0.05],  # nothing classified as a cat
]


@pytest.fixture
def found() -> Rejection:
    return measure_rejection(
        Rules(CLASSES, table(ROWS), InputSpec(2, 2)),
        images(0, 4, [1, 1, 0, 0], ("dog", "cat")),
        images(4, 2, [0, 0], ("nothing",)),
        thresholds=Thresholds(0.7),
        note="by hand",
        kinds=(["grass", "sofa", "grass", "sofa"], ["wall", "wall"]),
    )


def test_shares_kept_right_and_false(found: Rejection) -> None:
    assert (found.kept.share, found.right.share, found.false.share) == (0.5, 0.25, 0.5)
    assert found.kept.interval[0] < 0.5 < found.kept.interval[1]
    # Scores: 0.96 0.9 0.4 0.95 against 0.3 0.8: of eight pairs, one is in the wrong order.
    assert found.auroc == pytest.approx(7 / 8)
    assert found.fpr == 0.5  # all four digits have at least 0.4
    assert sum(found.digits) == 4
    assert sum(found.nothing) == 2
    assert sum(found.digits[7:9]) == 1  # 0.4, on the border of two bins


def test_image_that_may_be_nothing_is_not_shown() -> None:
    found = measure_rejection(
        Rules(CLASSES, table(ROWS), InputSpec(2, 2)),
        images(0, 4, [1, 1, 0, 0], ("dog", "cat")),
        images(4, 2, [0, 0], ("nothing",)),
        thresholds=Thresholds(0.7, present=0.85),
        note="",
        kinds=((), ()),
    )
    assert (found.kept.share, found.right.share, found.false.share) == (0.5, 0.25, 0)
    assert "a probability of 0.7, and 0.85 that there is something, on" in str(found)


def test_shares_by_kind(found: Rejection) -> None:
    assert [(s.name, s.n, s.share) for s in found.kept_by_kind] == [
        ("grass", 2, 0.5),
        ("sofa", 2, 0.5),
    ]
    assert [(s.name, s.n, s.share) for s in found.false_by_kind] == [("wall", 2, 0.5)]


def test_model_without_the_class_nothing() -> None:
    rows = [[0.9, 0.1], [0.6, 0.4]]
    found = measure_rejection(
        Rules(("cat", "dog"), table(rows), InputSpec(2, 2)),
        images(0, 1, [0], ("cat",)),
        images(1, 1, [0], ("nothing",)),
        thresholds=Thresholds(0.7),
        note="",
        kinds=((), ()),
    )
    assert (found.kept.share, found.false.share, found.auroc) == (1, 0, 1)
    assert found.kept_by_kind == ()
    assert found.present is None
    assert "shown from a probability of 0.7 on" in str(found)


class Options(TypedDict):
    thresholds: Thresholds
    note: str
    kinds: tuple[tuple[str, ...], tuple[str, ...]]


def test_invalid_arguments_are_rejected() -> None:
    one, none = images(0, 1, [0], ("cat",)), images(0, 0, [], ("cat",))
    sure = Rules(CLASSES, table(ROWS), InputSpec(2, 2))
    options: Options = {"thresholds": Thresholds(), "note": "", "kinds": ((), ())}
    with pytest.raises(DataError, match="made is empty; expected at least one image"):
        measure_rejection(sure, none, one, **options)
    with pytest.raises(DataError, match="made is empty"):
        measure_rejection(sure, one, none, **options)
    only = Rules(("nothing",), lambda x: np.ones((len(x), 1)), InputSpec(2, 2))
    with pytest.raises(DataError, match="has only the class 'nothing'; expected at least one"):
        measure_rejection(only, one, one, **options)

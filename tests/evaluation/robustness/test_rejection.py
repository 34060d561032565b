"""Digits against nothing, held against cases worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from pocketlens.data import Dataset
from pocketlens.errors import DataError
from pocketlens.evaluation.robustness.rejection import (
    area_under_roc,
    false_positives,
    measure_rejection,
)
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
        ((0.9, 0.4), (0.5, 0.3), 3 / 4),  # only 0.4 < 0.5 is the wrong way round
        ((0.9, 0.5, 0.5), (0.5, 0.1), 5 / 6),  # of six pairs two are ties: 4 + 2 / 2
    ],
)
def test_the_area_under_the_curve(positive, negative, area: float) -> None:
    assert area_under_roc(scores(*positive), scores(*negative)) == pytest.approx(area)


def test_false_positives_where_95_percent_are_kept() -> None:
    digits = np.arange(1, 101) / 100  # 95 of them score 0.06 or more
    assert false_positives(digits, scores(0.05, 0.059, 0.06, 0.5)) == 0.5
    assert false_positives(digits, scores(0.0, 0.05)) == 0
    assert false_positives(scores(0.2, 0.9), scores(0.1, 0.2, 0.3, 0.4), kept=0.5) == 0
    assert false_positives(scores(0.2, 0.9), scores(0.1, 0.2, 0.3, 0.4), kept=1) == 0.75


def table(values: list[list[float]]):
    """A rule that answers image k, whose pixels are all k, with row k."""
    return lambda images: np.array(values)[images[:, 0, 0, 0]]


def images(first: int, count: int, labels: list[int], classes: tuple[str, ...]) -> Dataset:
    planes = np.arange(first, first + count, dtype=np.uint8).reshape(-1, 1, 1, 1)
    return Dataset(np.tile(planes, (1, 2, 2, 1)), np.array(labels, np.int64), classes, "made")


ROWS = [
    [0.92, 0.04, 0.04],  # a cat: kept and right
    [0.1, 0.1, 0.8],  # a cat taken for a dog: kept, wrong
    [0.3, 0.6, 0.1],  # a dog missed: nothing
    [0.35, 0.05, 0.6],  # a dog, but not surely enough: not shown
    [0.2, 0.7, 0.1],  # nothing, rightly
    [0.75, 0.2, 0.05],  # nothing taken for a cat
]


@pytest.fixture
def found(rules):
    return measure_rejection(
        rules(CLASSES, table(ROWS), InputSpec(2, 2)),
        images(0, 4, [1, 1, 0, 0], ("dog", "cat")),
        images(4, 2, [0, 0], ("nothing",)),
        thresholds=Thresholds(0.7),
        note="by hand",
        kinds=(["grass", "sofa", "grass", "sofa"], ["wall", "wall"]),
    )


def test_what_is_kept_right_and_false(found) -> None:
    assert (found.kept.share, found.right.share, found.false.share) == (0.5, 0.25, 0.5)
    assert found.kept.interval[0] < 0.5 < found.kept.interval[1]
    # Scores: 0.96 0.9 0.4 0.95 against 0.3 0.8: of eight pairs one is the wrong way round.
    assert found.auroc == pytest.approx(7 / 8)
    assert found.fpr == 0.5  # all four are kept from 0.4 on
    assert sum(found.digits) == 4
    assert sum(found.nothing) == 2
    assert sum(found.digits[7:9]) == 1  # 0.4, on the border of two bins


def test_what_may_be_nothing_is_not_shown(rules) -> None:
    found = measure_rejection(
        rules(CLASSES, table(ROWS), InputSpec(2, 2)),
        images(0, 4, [1, 1, 0, 0], ("dog", "cat")),
        images(4, 2, [0, 0], ("nothing",)),
        thresholds=Thresholds(0.7, present=0.85),
        note="",
        kinds=((), ()),
    )
    assert (found.kept.share, found.right.share, found.false.share) == (0.5, 0.25, 0)
    assert "a probability of 0.7, and 0.85 that there is something, on" in str(found)


def test_shares_by_kind(found) -> None:
    assert [(s.name, s.n, s.share) for s in found.kept_by_kind] == [
        ("grass", 2, 0.5),
        ("sofa", 2, 0.5),
    ]
    assert [(s.name, s.n, s.share) for s in found.false_by_kind] == [("wall", 2, 0.5)]


def test_a_model_without_the_class_nothing(rules) -> None:
    rows = [[0.9, 0.1], [0.6, 0.4]]
    found = measure_rejection(
        rules(("cat", "dog"), table(rows), InputSpec(2, 2)),
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


def test_what_cannot_be_is_refused(rules) -> None:
    one, none = images(0, 1, [0], ("cat",)), images(0, 0, [], ("cat",))
    sure = rules(CLASSES, table(ROWS), InputSpec(2, 2))
    options = {"thresholds": Thresholds(), "note": "", "kinds": ((), ())}
    with pytest.raises(DataError, match="made is empty; expected at least one image"):
        measure_rejection(sure, none, one, **options)
    with pytest.raises(DataError, match="made is empty"):
        measure_rejection(sure, one, none, **options)
    only = rules(("nothing",), lambda x: np.ones((len(x), 1)), InputSpec(2, 2))
    with pytest.raises(DataError, match="knows only the class 'nothing'; expected one besides"):
        measure_rejection(only, one, one, **options)

"""Thresholds: the lowest ones that keep the share of wrong labels small."""

from __future__ import annotations

import torch

from pocketlens.prediction import Thresholds
from pocketlens.training.thresholds import fit_thresholds


def rows(*answers: tuple[int, float]) -> torch.Tensor:
    """Probabilities of three classes; each row has the given confidence in one of them."""
    table = torch.zeros(len(answers), 3)
    for row, (label, confidence) in zip(table, answers, strict=True):
        row += (1 - confidence) / 2
        row[label] = confidence
    return table


def test_without_errors_thresholds_are_lowest() -> None:
    sure = rows(*[(0, 0.6)] * 50, *[(1, 0.9)] * 50)
    labels = torch.tensor([0] * 50 + [1] * 50)
    assert fit_thresholds(sure, labels) == Thresholds(0.5, 0.5)


def test_show_allows_three_percent_wrong_labels() -> None:
    # 23 of 300 labels are wrong; 8 of the 250 above 0.65; none above 0.75.
    answers = [(0, 0.9)] * 200 + [(0, 0.75)] * 42 + [(0, 0.65)] * 35
    answers += [(1, 0.75)] * 8 + [(1, 0.65)] * 15
    labels = torch.zeros(len(answers), dtype=torch.int64)
    assert fit_thresholds(rows(*answers), labels) == Thresholds(0.755, 0.655)


def test_present_allows_a_label_for_eight_percent_of_the_frames_of_nothing() -> None:
    # 2,000 digits, so that the share of wrong labels is always small. 12 of 100 empty frames get
    # a label; their probabilities of not being `nothing` are 0.775, 0.7875, 0.8 ... 0.9125.
    answers = [(0, 0.99)] * 2000 + [(2, 0.9)] * 88
    answers += [(1, 0.55 + 0.025 * number) for number in range(12)]
    labels = torch.tensor([0] * 2000 + [2] * 100)
    assert fit_thresholds(rows(*answers), labels, nothing=2) == Thresholds(0.5, 0.5, 0.815)


def test_present_is_fitted_on_separate_frames_of_nothing_if_given() -> None:
    answers = [(0, 0.99)] * 50 + [(2, 0.9)] * 10
    labels = torch.tensor([0] * 50 + [2] * 10)
    empty = rows(*[(2, 0.9)] * 90, *[(1, 0.9)] * 10)
    assert fit_thresholds(rows(*answers), labels, nothing=2).present == 0.5
    assert fit_thresholds(rows(*answers), labels, nothing=2, empty=empty).present == 0.955
    assert fit_thresholds(rows(*answers), labels, nothing=2, empty=empty[:0]).present == 0.5


def test_keep_is_at_most_show() -> None:
    # Nine frames of nothing and 50 digits: too many wrong labels below 0.65, unless only frames
    # that reach `present` count.
    answers = [(0, 0.99)] * 50 + [(2, 0.9)] * 91 + [(1, 0.65)] * 9
    labels = torch.tensor([0] * 50 + [2] * 100)
    assert fit_thresholds(rows(*answers), labels, nothing=2) == Thresholds(0.5, 0.5, 0.83)


def test_thresholds_are_at_most_95_percent() -> None:
    wrong = rows(*[(0, 0.99)] * 50)
    assert fit_thresholds(wrong, torch.ones(50, dtype=torch.int64)) == Thresholds(0.95, 0.95)

"""Likely wrong labels are found, and right ones left alone."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from pocketlens.data.wrong_labels import likely_wrong_labels
from pocketlens.errors import OptionError


def out_of_fold(features: NDArray[np.float64], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Probabilities by the distance to class means, each from the other four fifths."""
    fold = np.random.default_rng(1).integers(0, 5, len(labels))
    found = np.empty((len(labels), labels.max() + 1))
    for number in range(5):
        rest = fold != number
        means = [features[rest & (labels == k)].mean(0) for k in range(labels.max() + 1)]
        distances = ((features[~rest, None] - np.array(means)) ** 2).sum(-1)
        scores = np.exp(-(distances - distances.min(1, keepdims=True)) / 2)
        found[~rest] = scores / scores.sum(1, keepdims=True)
    return found


@pytest.mark.parametrize("classes", [2, 5, 20])
def test_planted_wrong_labels(classes: int) -> None:
    random = np.random.default_rng(classes)
    true = random.integers(0, classes, 2000)
    centers = random.normal(size=(classes, 32)) * 0.8
    features = centers[true] + random.normal(size=(2000, 32))
    wrong = random.choice(2000, 100, replace=False)
    labels = true.copy()
    labels[wrong] = (true[wrong] + random.integers(1, classes, 100)) % classes
    found = likely_wrong_labels(out_of_fold(features, labels), labels)
    assert len(np.intersect1d(found, wrong)) >= 80
    assert len(np.setdiff1d(found, wrong)) <= 19  # 1 % of the right ones
    assert len(np.setdiff1d(found[:50], wrong)) <= 2  # the most suspicious come first


def test_the_rule_by_hand() -> None:
    rows = np.array([[0.9, 0.1], [0.7, 0.3], [0.2, 0.8], [0.1, 0.9], [0.05, 0.95]])
    # Thresholds of the first case: 0.6 and 0.925, which 0.8 does not reach; then 0.55 and 0.85.
    assert likely_wrong_labels(rows, np.array([0, 0, 0, 1, 1])).tolist() == []
    assert likely_wrong_labels(rows, np.array([0, 0, 1, 1, 0])).tolist() == [4]
    assert likely_wrong_labels(np.zeros((0, 3)), np.zeros(0, np.int64)).tolist() == []


def test_invalid_arguments() -> None:
    with pytest.raises(OptionError, match=r"received: \(3, 2\) and \(2,\)"):
        likely_wrong_labels(np.ones((3, 2)), np.zeros(2, np.int64))
    with pytest.raises(OptionError, match="labels must be from 0 to 1; received: 0 to 2"):
        likely_wrong_labels(np.ones((2, 2)), np.array([0, 2]))

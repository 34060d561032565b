"""How sure to be: bursts are tested as a whole, and count as one."""

from __future__ import annotations

import numpy as np
import pytest

from pocketlens.evaluation.chance import wilson_interval
from pocketlens.preview.teaching.folder import Example
from pocketlens.preview.teaching.sureness import grouped, measure

LABELS = np.repeat([0, 1], 20)
GROUPS = np.concatenate([np.repeat([0, 1, 2, 3], 5), np.repeat([4], 20)])


def test_the_only_burst_of_a_class_is_cut_but_not_believed() -> None:
    found, counts = grouped(LABELS, GROUPS)
    assert counts.tolist() == [4, 1]
    assert found[:20].tolist() == GROUPS[:20].tolist()
    assert len(set(found[20:].tolist())) == 5
    assert not set(found[20:].tolist()) & set(found[:20].tolist())


def test_intervals_count_bursts() -> None:
    examples = [Example("ab"[label], str(at)) for at, label in enumerate(LABELS.tolist())]
    probabilities = np.where(LABELS[:, None] == [0, 1], 0.9, 0.1)
    probabilities[3] = [0.2, 0.8]
    found = measure(examples, ["a", "b"], LABELS, GROUPS, probabilities)
    first, second = found.classes
    assert (first.examples, first.recordings, first.accuracy) == (20, 4, 0.95)
    assert (first.low, first.high) == pytest.approx(wilson_interval(0.95 * 4, 4))
    assert first.low is not None
    assert first.low < wilson_interval(19, 20)[0]
    assert (second.recordings, second.accuracy, second.low) == (1, None, None)
    assert found.whole.accuracy is None
    (one,) = found.confused
    assert (one.label, one.name, one.said, one.confidence) == ("a", "3", "b", 0.8)


def test_photos_count_one_by_one() -> None:
    examples = [Example("ab"[label], str(at)) for at, label in enumerate(LABELS.tolist())]
    probabilities = np.where(LABELS[:, None] == [0, 1], 0.9, 0.1)
    probabilities[7] = np.nan  # never held out
    found = measure(examples, ["a", "b"], LABELS, np.arange(40), probabilities)
    assert found.whole.accuracy == 1.0
    assert (found.whole.low, found.whole.high) == pytest.approx(wilson_interval(39, 39))

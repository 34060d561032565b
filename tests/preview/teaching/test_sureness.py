"""How sure to be: bursts are tested as a whole, and count as one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import ImageEnhance

from pocketlens.evaluation.chance import wilson_interval
from pocketlens.preview.teaching.folder import Example, TaughtFolder
from pocketlens.preview.teaching.learning import COMPARED, _compared, _groups
from pocketlens.preview.teaching.sureness import grouped, measure
from preview.scenes import jpeg, scenes

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


def test_recordings_of_the_same_scene_are_one(tmp_path: Path) -> None:
    folder = TaughtFolder(tmp_path / "toys")
    folder.add_class("star")
    same, other = scenes("star", 3, seed=1), scenes("star", 3, seed=2)
    for burst, frames in (("0001", same), ("0002", same), ("0003", other)):
        for image in frames:
            darker = ImageEnhance.Brightness(image).enhance(1 - int(burst) / 50)
            folder.add("star", jpeg(darker), suffix=".jpg", burst=f"20260101-000000-{burst}")
    groups = _groups(folder, [*folder]).tolist()
    assert len(set(groups[:6])) == 1
    assert len(set(groups[6:])) == 1
    assert groups[0] != groups[6]


def test_some_frames_of_a_burst_are_compared() -> None:
    burst = [Example("a", f"20260101-000000-0001-{at:04}.jpg") for at in range(100)]
    photos = [Example("a", f"image-{at}.jpg") for at in range(20)]
    found = _compared([*burst, *photos])
    assert found[:20] == photos
    assert len(found) == 20 + COMPARED
    places = [int(one.name[-8:-4]) for one in found[20:]]
    assert places == [0, 12, 25, 37, 50, 62, 75, 87]

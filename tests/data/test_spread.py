"""Images are chosen evenly from all classes."""

from __future__ import annotations

import numpy as np
import pytest

from pocketlens.data.dataset import Dataset, spread


@pytest.mark.parametrize(
    ("counts", "count", "expected"),
    [
        ([100, 100, 100], 72, [24, 24, 24]),
        ([1000, 5, 1], 72, [66, 5, 1]),
        ([4, 0, 4], 6, [3, 0, 3]),
        ([1, 2], 72, [1, 2]),
        ([500], 10, [10]),
        ([0, 0], 5, [0, 0]),
        ([3, 3], 0, [0, 0]),
    ],
)
def test_every_class_gets_its_share(counts: list[int], count: int, expected: list[int]) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    chosen = spread(labels, count)
    assert np.bincount(labels[chosen], minlength=len(counts)).tolist() == expected
    assert len(set(chosen.tolist())) == len(chosen)
    assert (np.diff(labels[chosen]) >= 0).all()


def test_more_classes_than_images_are_chosen_from_the_whole_list() -> None:
    labels = np.repeat(np.arange(1000), 3)
    found = labels[spread(labels, 72)]
    assert len(set(found.tolist())) == 72
    assert np.diff([-1, *found, 1000]).max() < 3 * 1000 / 72


def test_the_seed_chooses_the_images_and_their_order_does_not_matter_for_the_shares() -> None:
    labels = np.random.default_rng(1).integers(0, 10, 5000)
    first = spread(labels, 72)
    assert (spread(labels, 72) == first).all()
    assert (spread(labels, 72, seed=1) != first).any()
    assert first.max() > 1000  # not simply the first images
    shares = np.bincount(labels[first])
    assert shares.min() == 7
    assert shares.max() == 8


def test_sample_is_a_data_set() -> None:
    images = np.arange(40, dtype=np.uint8).reshape(40, 1, 1, 1)
    labels = np.repeat(np.array([0, 1], np.int64), [38, 2])
    shown = Dataset(images, labels, ("common", "rare"), "some").sample(4)
    assert shown.labels.tolist() == [0, 0, 1, 1]
    assert shown.images[2:].ravel().tolist() == [38, 39]
    assert (shown.classes, shown.name) == (("common", "rare"), "some")

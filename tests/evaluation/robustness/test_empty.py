"""Scenes without a digit."""

from __future__ import annotations

import numpy as np
import pytest

from pocketlens.data import Dataset
from pocketlens.errors import DataError, OptionError
from pocketlens.evaluation.robustness import EMPTY_KINDS, empty_kind, empty_scenes
from pocketlens.evaluation.robustness.empty import PIECES, _scrambled, _wide
from pocketlens.evaluation.robustness.ranges import SIDE
from pocketlens.evaluation.robustness.scenery import LETTERS


@pytest.fixture(scope="module")
def scenes(drawings: Dataset) -> Dataset:
    return empty_scenes(2 * len(EMPTY_KINDS), seed=1, like=drawings)


def test_scenes_have_the_class_nothing(scenes: Dataset) -> None:
    assert scenes.classes == ("nothing",)
    assert scenes.images.shape == (2 * len(EMPTY_KINDS), SIDE, SIDE, 1)
    assert scenes.name == "empty scenes"


def test_same_seed_draws_the_same_scenes(scenes: Dataset, drawings: Dataset) -> None:
    again = empty_scenes(len(scenes), seed=1, like=drawings)
    assert (again.images == scenes.images).all()
    other = empty_scenes(len(EMPTY_KINDS), seed=2, like=drawings)
    assert all((a != b).any() for a, b in zip(other.images, scenes.images, strict=False))


def test_all_scenes_are_different(scenes: Dataset) -> None:
    assert len({image.tobytes() for image in scenes.images}) == len(scenes)


def test_kinds_alternate(drawings: Dataset) -> None:
    many = len(EMPTY_KINDS)
    assert [empty_kind(i, pieces=True) for i in range(many + 1)] == [*EMPTY_KINDS, EMPTY_KINDS[0]]
    without = [empty_kind(i, pieces=False) for i in range(many)]
    assert not set(PIECES) & set(without)
    # Without digits to cut into pieces, the scenes of the other kinds are the same.
    bare = empty_scenes(many - 2, seed=3).images
    assert (bare == empty_scenes(many, seed=3, like=drawings).images[: many - 2]).all()


def test_no_letter_looks_like_a_digit() -> None:
    assert not set(LETTERS) & set("0123456789OoDQIilJjSsZzBbGgqTYyLCcP?!/|\\")


def test_scrambled_digit_is_another_image_with_the_same_ink(drawings: Dataset) -> None:
    random = np.random.default_rng(0)
    for digit in drawings.images[_wide(drawings)[:5], ..., 0]:
        mixed = _scrambled(digit, random)
        assert mixed.astype(int).sum() == digit.astype(int).sum()
        side = mixed.shape[0]
        assert side < 28 or (mixed[:28, :28] != digit).any()


def test_pieces_are_not_made_from_single_lines(drawings: Dataset) -> None:
    names = {drawings.classes[label] for label in drawings.labels[_wide(drawings)]}
    assert "1" not in names
    assert len(_wide(drawings)) == len(drawings) / 2


def test_invalid_arguments_are_rejected(drawings: Dataset) -> None:
    with pytest.raises(OptionError, match="number of empty scenes must be at least 1; received: 0"):
        empty_scenes(0)
    with pytest.raises(
        DataError, match="strokes/test is empty; expected digits to cut into pieces"
    ):
        empty_scenes(1, like=drawings.subset([]))

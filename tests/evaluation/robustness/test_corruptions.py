"""Fifteen corruptions at five strengths, and affine transforms."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from pocketlens.data import Dataset
from pocketlens.errors import OptionError
from pocketlens.evaluation.robustness import CORRUPTIONS, corrupt
from pocketlens.evaluation.robustness.corruptions import STRENGTHS
from pocketlens.evaluation.robustness.drawing import rotation, scaling, translation
from pocketlens.evaluation.robustness.warp import border, warped


def distance(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a.astype(int) - b.astype(int)).mean())


def test_there_are_fifteen_corruptions() -> None:
    assert len(CORRUPTIONS) == 15
    assert len({row.change for row in CORRUPTIONS.values()}) == 15


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_corruption_increases_with_its_strength(name: str, drawings: Dataset) -> None:
    before = drawings.images.copy()
    changed = [corrupt(drawings.images, name, strength) for strength in STRENGTHS]
    assert (drawings.images == before).all()
    far = [distance(images, before) for images in changed]
    assert all(0.5 < a < b for a, b in pairwise(far)), far
    for images in changed:
        assert images.shape == before.shape
        assert images.dtype == np.uint8


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_same_seed_draws_the_same_corruption(name: str, drawings: Dataset) -> None:
    some = drawings.images[:6]
    once = corrupt(some, name, 3, seed=4)
    assert (corrupt(some, name, 3, seed=4) == once).all()
    if name not in ("scale", "brightness", "canny edges"):  # these are not random
        assert (corrupt(some, name, 3, seed=5) != once).any()


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_color_and_other_shapes(name: str) -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 20, 34, 3), np.uint8)
    changed = corrupt(images, name, 4)
    assert changed.shape == images.shape
    assert distance(changed, images) > 1


def test_invalid_arguments_are_rejected(drawings: Dataset) -> None:
    with pytest.raises(OptionError, match="'fogg' is not known; did you mean 'fog'"):
        corrupt(drawings.images, "fogg", 1)
    with pytest.raises(
        OptionError, match="strength of a corruption must be from 1 to 5; received: 6"
    ):
        corrupt(drawings.images, "fog", 6)


def spot(y: int, x: int) -> np.ndarray:
    image = np.zeros((1, 28, 28, 1), np.uint8)
    image[0, y : y + 2, x : x + 2] = 255
    return image


def middle_of(image: np.ndarray) -> tuple[float, float]:
    """Center of mass (x, y), in pixels from the middle."""
    plane = image[0, ..., 0].astype(float)
    y, x = (np.arange(n) + 0.5 - n / 2 for n in plane.shape)
    return float((plane.sum(0) * x).sum() / plane.sum()), float(
        (plane.sum(1) * y).sum() / plane.sum()
    )


def test_images_are_shifted_by_shares_of_their_side() -> None:
    x, y = middle_of(warped(spot(13, 13), translation(0.25, -0.125)))
    assert (x, y) == pytest.approx((7, -3.5), abs=0.1)


def test_images_are_rotated_clockwise_around_their_middle() -> None:
    x, y = middle_of(warped(spot(3, 13), rotation(90)))  # from the top to the right
    assert (x, y) == pytest.approx((10, 0), abs=0.1)


def test_smaller_image_keeps_its_brightness() -> None:
    small = warped(spot(13, 13), scaling(0.5, 0.5))
    assert middle_of(small) == pytest.approx((0, 0), abs=0.05)
    assert small.sum() == pytest.approx(spot(13, 13).sum() / 4, rel=0.2)


def test_image_fills_a_larger_result() -> None:
    large = warped(spot(6, 13), scaling(1, 1), size=(56, 42))
    assert large.shape == (1, 56, 42, 1)
    assert middle_of(large) == pytest.approx((0, -14), abs=0.2)


def test_area_outside_an_image_has_the_color_of_its_border() -> None:
    image = np.full((1, 10, 10, 3), (10, 200, 30), np.uint8)
    image[0, 3:7, 3:7] = 0
    assert border(image).tolist() == [[10, 200, 30]]
    assert warped(image, translation(0.5, 0))[0, :, 0].tolist() == [[10, 200, 30]] * 10

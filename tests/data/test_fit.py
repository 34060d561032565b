"""Resizing many images at once gives bit-identical results to `image.prepare` on each."""

from __future__ import annotations

import numpy as np
import pytest

from pocketlens.data import Dataset
from pocketlens.data import fit as fit_module
from pocketlens.data.fit import fit_dataset, fit_images
from pocketlens.image import CROPS, Color, Crop, InputSpec, prepare

SHAPES = [(28, 28), (12, 20), (20, 12)]
TARGETS = [(14, 14), (32, 32), (48, 48), (12, 20), (24, 40), (9, 30)]


@pytest.mark.parametrize("color", ["gray", "rgb", "bgr"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("crop", CROPS)
def test_same_result_as_prepare(
    color: Color, channels: int, crop: Crop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fit_module, "BATCH", 2)
    random = np.random.default_rng(0)
    for shape in SHAPES:
        images = random.integers(0, 256, (5, *shape, channels), np.uint8)
        for height, width in TARGETS:
            spec = InputSpec(height, width, color, crop=crop)
            expected = np.stack([prepare(image, spec) for image in images])
            fitted = fit_images(images, spec)
            np.testing.assert_array_equal(fitted, expected, err_msg=f"{shape} -> {spec}")
            assert fitted.dtype == np.uint8


def test_uniform_image_stays_uniform_and_half_size_is_the_mean() -> None:
    images = np.full((3, 8, 8, 1), 77, np.uint8)
    assert (fit_images(images, InputSpec(5, 5)) == 77).all()
    stripes = np.tile(np.array([0, 200], np.uint8), (1, 8, 4))[..., None]
    inner = fit_images(stripes, InputSpec(4, 4))[0, :, 1:-1, 0]
    assert (inner == 100).all()


def test_images_that_fit_are_not_changed() -> None:
    images = np.zeros((2, 8, 8, 1), np.uint8)
    data = Dataset(images, np.zeros(2, np.int64), ("a", "b"))
    assert fit_images(images, InputSpec(8, 8)) is images
    assert fit_dataset(data, InputSpec(8, 8)) is data
    assert fit_dataset(data, None) is data
    assert fit_dataset(data, InputSpec(8, 8, "rgb")).images.shape == (2, 8, 8, 3)


@pytest.mark.parametrize("spec", [InputSpec(4, 4), InputSpec(4, 6), InputSpec(4, 4, "rgb")])
def test_empty_array_of_images(spec: InputSpec) -> None:
    assert fit_images(np.empty((0, 8, 8, 1), np.uint8), spec).shape == (0, *spec.shape)

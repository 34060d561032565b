"""Simulated photos of drawings."""

from __future__ import annotations

import inspect
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from pocketlens.augment.camera import FAINTEST, camera
from pocketlens.data import Dataset
from pocketlens.errors import DataError
from pocketlens.evaluation.robustness import photograph, surface_of
from pocketlens.evaluation.robustness.distance_fields import distance_fields
from pocketlens.evaluation.robustness.drawing import log_triangular, triangular
from pocketlens.evaluation.robustness.pen import choose_pen
from pocketlens.evaluation.robustness.photos import inked, tones
from pocketlens.evaluation.robustness.ranges import RANGES, SIDE, SURFACES, VERSION, Surface
from pocketlens.evaluation.robustness.view import Box, random_view
from pocketlens.recipe import load_recipe

RECORDED = [117.99, 125.26, 153.73, 118.08, 51.06, 125.27, 165.86, 116.22]


@pytest.fixture(scope="module")
def photos(drawings: Dataset) -> Dataset:
    return photograph(drawings, seed=5)


def test_photos_keep_labels_and_classes(photos: Dataset, drawings: Dataset) -> None:
    assert photos.images.shape == (len(drawings), SIDE, SIDE, 1)
    assert (photos.labels == drawings.labels).all()
    assert photos.classes == drawings.classes
    assert photos.name == "photos of strokes/test"


def test_same_seed_draws_the_same_photos(photos: Dataset, drawings: Dataset) -> None:
    assert (photograph(drawings, seed=5).images == photos.images).all()
    other = photograph(drawings, seed=6).images
    assert all((a != b).any() for a, b in zip(other, photos.images, strict=True))


def test_drawings_are_not_modified(drawings: Dataset) -> None:
    before = drawings.images.copy()
    photograph(drawings.subset(range(4)))
    assert (drawings.images == before).all()


def test_every_photo_has_contrast_and_its_own_light(photos: Dataset) -> None:
    frames = photos.images[..., 0].astype(float)
    spread = np.percentile(frames, 99, axis=(1, 2)) - np.percentile(frames, 1, axis=(1, 2))
    assert spread.min() > 12
    assert frames.mean(axis=(1, 2)).std() > 15


def test_most_values_are_typical_and_few_extreme() -> None:
    random = np.random.default_rng(0)
    draws = [
        (
            triangular(random, (-25, 25)),
            triangular(random, (0, 1)),
            log_triangular(random, (1, 16)),
        )
        for _ in range(4000)
    ]
    turns, shades, sizes = np.array(draws).T
    assert np.abs(turns).max() < 25
    assert abs(turns.mean()) < 1
    assert (np.abs(turns) < 12.5).mean() == pytest.approx(0.75, abs=0.03)
    assert shades.min() >= 0
    assert (shades < 0.5).mean() == pytest.approx(0.75, abs=0.03)
    assert 1 <= sizes.min() < sizes.max() <= 16
    assert ((sizes > 2) & (sizes < 8)).mean() == pytest.approx(0.75, abs=0.03)


def test_surfaces_alternate_and_set_the_polarity(photos: Dataset) -> None:
    assert [surface_of(i).name for i in range(9)][::8] == ["white paper"] * 2
    boards = [i for i in range(len(photos)) if surface_of(i).name == "dark paper"]
    sheets = [i for i in range(len(photos)) if surface_of(i).name == "white paper"]
    frames = photos.images[..., 0].astype(float)
    skew = np.percentile(frames, [1, 50, 99], axis=(1, 2))
    lighter = (skew[2] - skew[1]) > (skew[1] - skew[0])
    assert lighter[boards].mean() > 0.7
    assert lighter[sheets].mean() < 0.5


@pytest.mark.parametrize("surface", SURFACES, ids=lambda s: s.name)
def test_ink_differs_from_its_surface(surface: Surface) -> None:
    random = np.random.default_rng(0)
    pairs = [tones(surface, random) for _ in range(200)]
    assert min(abs(paper - ink) for paper, ink in pairs) >= RANGES.contrast - 1e-9
    assert all(0 <= tone <= 1 for pair in pairs for tone in pair)


def test_digit_is_completely_inside_and_within_its_range_of_sizes(drawings: Dataset) -> None:
    fields = distance_fields(drawings.images[:8, ..., 0])
    margin = RANGES.margin * SIDE - 0.5
    heights = []
    for seed in range(200):
        random = np.random.default_rng(seed)
        box = random_view(
            inked(fields, seed % 8, choose_pen(random, float(fields.own[seed % 8]))), random
        ).box
        assert min(box.left, box.top) >= margin
        assert max(box.right, box.bottom) <= SIDE - margin
        heights.append(box.height / SIDE)
    assert 0.3 < min(heights) < 0.5
    assert 0.85 < max(heights) <= 0.96


def test_distance_of_boxes() -> None:
    box = Box(0, 0, 10, 10)
    assert box.gap(Box(13, 5, 20, 30)) == 3
    assert box.gap(Box(13, 14, 20, 30)) == 4
    assert box.gap(Box(5, 5, 20, 30)) == -5


def test_drawings_of_other_sizes_and_colors(drawings: Dataset) -> None:
    images = np.kron(drawings.images[:2], np.ones((1, 2, 2, 3), np.uint8))
    assert photograph(replace(drawings.subset([0, 1]), images=images)).images.shape[1:] == (
        SIDE,
        SIDE,
        1,
    )


def test_photo_of_a_dot(drawings: Dataset) -> None:
    images = np.zeros((24, 28, 28, 1), np.uint8)
    images[:, 14, 14] = 255
    dots = Dataset(images, np.zeros(24, np.int64), ("0",), "dots")
    assert photograph(dots).images.shape == (24, SIDE, SIDE, 1)


def test_images_that_are_not_drawings_are_rejected(drawings: Dataset) -> None:
    some = drawings.subset(range(3))
    with pytest.raises(DataError, match=r"28 × 20 pixels; expected square drawings"):
        photograph(replace(some, images=some.images[:, :20]))
    with pytest.raises(
        DataError, match=r"image 0 is not a drawing in light ink on black: its border"
    ):
        photograph(replace(some, images=255 - some.images))
    blank = some.images.copy()
    blank[2] = 0
    with pytest.raises(
        DataError, match=r"image 2 is not a drawing .* lightest pixel is 0 \(expected"
    ):
        photograph(replace(some, images=blank))


def test_noise_is_drawn_on_first_use_and_does_not_change() -> None:
    code = (
        "from pocketlens.evaluation.robustness.camera import _noise_strip as strip;"
        "assert strip.cache_info().currsize == 0;"
        "print(len(strip()), *strip()[:3].tolist())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    numbers = [float(number) for number in done.stdout.split()]
    assert numbers == pytest.approx([524288, -0.1936221, 1.0194381, 0.2171988], abs=1e-6)


def test_photos_of_a_version_do_not_change() -> None:
    # If this fails, a photo has changed: raise VERSION, record the values again, and measure the
    # recipes again. Other machines round differently.
    y, x = np.mgrid[:28, :28] - 13.5
    ring = 255 * (np.abs(np.hypot(x, 1.2 * y) - 8) < 1.5)
    bar = 255 * ((np.abs(x + 0.3 * y) < 1.4) & (np.abs(y) < 10))
    images = np.stack([ring, bar] * 4).astype(np.uint8)[..., np.newaxis]
    photos = photograph(Dataset(images, np.zeros(8, np.int64), ("any",), "drawn"), seed=7).images
    found = {1: RECORDED}[VERSION]
    np.testing.assert_allclose(photos.mean((1, 2, 3)), found, atol=0.05)


def test_the_suite_does_not_share_its_ranges_with_the_training() -> None:
    usual = {name: part.default for name, part in inspect.signature(camera).parameters.items()}
    options = usual | load_recipe("digits").augment.options
    trained = [options[name] * 20 / 28 for name in ("smallest", "largest")]
    assert trained != pytest.approx(RANGES.height, abs=0.01)
    assert RANGES.contrast != FAINTEST

"""Another reading of the images is found when it is better, and only then."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from nearest_means import Templates
from pocketlens.data import Dataset
from pocketlens.errors import DataError, OptionError
from pocketlens.evaluation.assignment import best_assignment
from pocketlens.evaluation.reading_changes import numbers_text
from pocketlens.evaluation.reading_search import mcnemar
from pocketlens.evaluation.readings import find_readings
from pocketlens.image import InputSpec
from predictors import GivenPredictor

CLASSES = ("1", "2", "3", "10")
GRAY = InputSpec(8, 8, "gray", ink="light")
RGB = InputSpec(8, 8, "rgb")


def drawings(count: int, seed: int) -> Dataset:
    """A light stroke at the left, at the top, at the right, or a corner; with noise."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % 4
    images = random.integers(0, 50, (count, 8, 8, 1)).astype(np.uint8)
    for image, label in zip(images[..., 0], labels, strict=True):
        if label == 0:
            image[2:7, 1] = 255
        elif label == 1:
            image[1, 1:6] = 255
        elif label == 2:
            image[1:5, 6] = 255
        else:
            image[4:7, 5:7] = 255
    return Dataset(images, labels.astype(np.int64), CLASSES, "drawings")


def colors(count: int, seed: int, colorful: float = 1.0) -> Dataset:
    """Red, yellow, green and blue, with noise; less colorful ones are harder to tell apart."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % 4
    tones = np.array([[200, 40, 40], [190, 180, 40], [40, 200, 40], [40, 40, 200]])
    tones = 110 + (tones - 110) * colorful
    noise = random.normal(0, 40, (count, 1, 1, 3)) + random.normal(0, 20, (count, 8, 8, 3))
    images = np.clip(tones[labels][:, None, None] + noise, 0, 255).astype(np.uint8)
    return Dataset(images, labels.astype(np.int64), CLASSES, "colors")


def tones(count: int, seed: int) -> Dataset:
    """Four shades of gray, with noise: their brightness is all that tells them apart."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % 4
    levels = np.array([60, 100, 150, 240])[labels][:, None, None, None]
    images = levels + random.normal(0, 12, (count, 1, 1, 1)) + random.normal(0, 9, (count, 8, 8, 1))
    images = np.clip(images, 0, 255).astype(np.uint8)
    return Dataset(images, labels.astype(np.int64), CLASSES, "tones")


LEARNED_TONES, TEST_TONES = tones(400, 4), tones(400, 5)
LEARNED, TEST = drawings(200, 0), drawings(400, 1)
LEARNED_RGB, TEST_RGB = colors(400, 2), colors(400, 3)


def changed(change: Callable[[NDArray[np.uint8]], NDArray[np.uint8]]) -> Dataset:
    return Dataset(
        np.ascontiguousarray(change(TEST.images)), TEST.labels, CLASSES, "changed drawings"
    )


def test_a_right_reading_is_left_alone() -> None:
    found = find_readings(Templates(LEARNED, GRAY), TEST)
    assert (found.tried, found.better, found.drawings, found.passed) == (0, None, None, True)
    assert str(found) == "reading: as given 100.00 % on 400 images"


@pytest.mark.parametrize(
    ("trained", "read", "options"),
    [
        ({"scale": 1}, {}, "--scale 1"),  # scaled twice
        ({}, {"scale": 1}, "--scale 1/255"),  # never scaled
        ({"scale": 1 / 127.5, "bias": -1}, {}, "--scale 1/127.5 --bias=-1"),
        ({}, {"scale": 1 / 127.5, "bias": -1}, "--scale 1/255 --bias 0"),
        (
            {"scale": 1 / 255 / 0.3081, "bias": -0.1307 / 0.3081},
            {},
            "--scale 0.0127282 --bias=-0.424213",
        ),
        ({"scale": -1 / 255, "bias": 1}, {}, "--scale=-1/255 --bias 1"),
        ({"scale": -1, "bias": 255}, {}, "--scale=-1 --bias 255"),
    ],
)
def test_scales(trained: dict[str, Any], read: dict[str, Any], options: str) -> None:
    model = Templates(LEARNED_TONES, GRAY.with_values(**trained), GRAY.with_values(**read))
    found = find_readings(model, TEST_TONES)
    assert found.better
    assert found.better.options == options
    assert found.better.accuracy > found.better.as_given + 0.3
    assert found.better.p_value < 1e-9
    assert not found.passed
    assert find_readings(model.with_input(**found.better.values), TEST_TONES).passed
    assert f"pass {options}" in str(found)


@pytest.mark.parametrize("colorful", [1.0, 0.35])
def test_swapped_channels(colorful: float) -> None:
    learned, test = colors(400, 2, colorful), colors(400, 3, colorful)
    model = Templates(learned, RGB, RGB.with_values(color="bgr"))
    found = find_readings(model, test)
    assert found.better
    assert found.better.options == "--color rgb"
    assert str(found.better).startswith(f"as given {100 * found.better.as_given:.2f} %; with color")


@pytest.mark.parametrize("color", ["rgb", "bgr"])
def test_the_means_of_imagenet_and_caffe(color: str) -> None:
    own = RGB.with_values(color=color)
    order = 1 if color == "rgb" else -1
    imagenet = own.with_values(
        scale=(1 / 255 / np.array([0.229, 0.224, 0.225]))[::order].tolist(),
        bias=(-np.array([0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225])[::order].tolist(),
    )
    caffe = own.with_values(scale=1, bias=(-np.array([123.68, 116.779, 103.939]))[::order].tolist())
    for trained in (imagenet, caffe):
        found = find_readings(Templates(LEARNED_RGB, trained, own.with_values(scale=1)), TEST_RGB)
        assert found.better
        mended = own.with_values(**{"scale": (1.0,), **found.better.values})
        np.testing.assert_allclose(mended.scale, trained.scale, rtol=1e-6)
        np.testing.assert_allclose(mended.bias, trained.bias, rtol=1e-6)


def test_two_changes_together() -> None:
    model = Templates(LEARNED_RGB, RGB.with_values(scale=1), RGB.with_values(color="bgr"))
    found = find_readings(model, TEST_RGB)
    assert found.better
    assert found.better.options in ("--color rgb --scale 1", "--scale 1 --color rgb")
    # One after the other: half of the labels are right as soon as the scale is.
    scaled = Templates(LEARNED_TONES, GRAY.with_values(scale=1 / 127.5, bias=-1), GRAY)
    both = find_readings(scaled.with_input(labels=("2", "1", "3", "10")), TEST_TONES).better
    assert both
    assert both.name.startswith("scale 1/127.5, bias -1, labels in the order of")
    assert both.options == "--scale 1/127.5 --bias=-1 --labels 1,2,3,10"


TURNED = changed(lambda images: np.rot90(images, 2, (1, 2)))


@pytest.mark.parametrize(
    ("model", "data", "name", "options"),
    [
        (  # scaled twice, and labels in an order that has no name
            Templates(LEARNED, GRAY.with_values(scale=1), GRAY),
            Dataset(TEST.images, (TEST.labels + 2) % 4, CLASSES, "other labels"),
            "scale 1, labels in the order that fits best",
            "--scale 1 --labels 3,10,1,2",
        ),
        (  # scaled twice, and turned images
            Templates(LEARNED, GRAY.with_values(scale=1), GRAY),
            TURNED,
            "scale 1, images turned by 180°",
            "--scale 1",
        ),
        (  # inverted images of another scale, in color
            Templates(LEARNED_RGB, RGB.with_values(scale=-1 / 127.5, bias=1), RGB),
            TEST_RGB,
            "inverted pixels",
            "--scale=-1/127.5 --bias 1",
        ),
        (  # all of it: swapped channels, not scaled, inverted, labels shifted
            Templates(
                LEARNED_RGB,
                RGB.with_values(scale=-1 / 255, bias=1),
                RGB.with_values(color="bgr", scale=1),
            ),
            Dataset(TEST_RGB.images, (TEST_RGB.labels + 1) % 4, CLASSES, "other labels"),
            "color rgb, inverted pixels",
            "--color rgb --scale=-1/255 --bias 1 --labels 2,3,10,1",
        ),
    ],
)
def test_errors_that_hide_each_other(
    model: Templates, data: Dataset, name: str, options: str
) -> None:
    found = find_readings(model, data)
    assert found.as_given < 0.5
    assert found.better
    assert name in found.better.name
    assert options in found.better.options
    assert found.better.accuracy > 0.9
    assert found.better.p_value * found.tried <= 0.01


def test_the_cost_is_bounded() -> None:
    class Counting(Templates):
        seen = 0

        def probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
            Counting.seen += len(images)
            return super().probabilities(images)

    random = np.random.default_rng(0)
    noise = random.integers(0, 256, (500, 8, 8, 3), dtype=np.uint8)
    useless = Dataset(noise, random.integers(0, 4, 500), CLASSES, "noise")
    assert find_readings(Counting(LEARNED_RGB, RGB), useless).better is None
    assert Counting.seen < 13_000
    Counting.seen = 0
    hard = colors(500, 9, 0.4)
    found = find_readings(Counting(colors(400, 2, 0.4), RGB), hard)
    assert 0.6 < found.as_given < 0.97
    assert found.better is None
    assert Counting.seen < 4_000


@pytest.mark.parametrize(
    ("order", "name"),
    [
        (("10", "3", "2", "1"), "labels reversed"),
        (("1", "10", "2", "3"), "labels in the order of their numbers"),
    ],
)
def test_labels_in_another_order(order: tuple[str, ...], name: str) -> None:
    found = find_readings(Templates(LEARNED, GRAY).with_input(labels=order), TEST)
    assert found.better
    assert (found.better.name, found.better.labels) == (name, CLASSES)
    assert found.better.options == "--labels 1,2,3,10"


def test_labels_sorted_as_text() -> None:
    sorted_data = Dataset(TEST.images, TEST.labels, ("1", "10", "2", "3"), "sorted")
    learned = Dataset(LEARNED.images, LEARNED.labels, ("1", "10", "2", "3"), "sorted")
    model = Templates(learned, GRAY).with_input(labels=CLASSES)
    found = find_readings(model, sorted_data)
    assert found.better
    assert found.better.labels == ("1", "10", "2", "3")


def test_labels_in_any_order() -> None:
    names = ("kiwi", "a,b", "fig", "plum")
    learned = Dataset(LEARNED.images, LEARNED.labels, names, "x")
    test = Dataset(TEST.images, TEST.labels, names, "x")
    model = Templates(learned, GRAY).with_input(labels=("fig", "kiwi", "plum", "a,b"))
    better = find_readings(model, test).better
    assert better
    assert better.labels == names
    assert better.n == 200  # found on one half of the images, tested on the other
    assert "--labels LABELS (a file: one name per line" in better.options  # a comma in a name


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (lambda a: np.rot90(a, 1, (1, 2)), "images turned by 270°"),
        (lambda a: np.rot90(a, 2, (1, 2)), "images turned by 180°"),
        (lambda a: np.rot90(a, 3, (1, 2)), "images turned by 90°"),
        (lambda a: a[:, :, ::-1], "mirrored images"),
        (lambda a: a[:, ::-1], "images upside down"),
        (lambda a: a.transpose(0, 2, 1, 3), "images with rows and columns swapped"),
    ],
)
def test_turned_images(change: Any, name: str) -> None:
    found = find_readings(Templates(LEARNED, GRAY), changed(change))
    assert found.better
    assert (found.better.name, found.better.options) == (name, "")
    assert "pass" not in str(found)


def test_inverted_images() -> None:
    found = find_readings(Templates(LEARNED, GRAY), changed(lambda a: 255 - a))
    assert found.better
    assert found.better.options == "--scale=-1/255 --bias 1 --ink dark"


def test_drawings_in_the_wrong_ink() -> None:
    model = Templates(LEARNED, GRAY.with_values(ink="dark"))
    found = find_readings(model, TEST)
    assert found.better is None
    assert found.drawings
    assert found.drawings.options == "--ink light"
    assert found.drawings.as_given < 0.5 < 0.99 < found.drawings.accuracy
    assert not found.passed
    # An ink that nobody has set is a remark: the images are read rightly.
    foreign = InputSpec.assuming(8, 8, "gray", scale=1 / 255, assumed=("ink",), ink="dark")
    assumed = find_readings(Templates(LEARNED, foreign), TEST)
    assert assumed.drawings
    assert assumed.passed
    assert "in the wrong ink, which is assumed" in str(assumed)
    # Photos are no drawings.
    assert find_readings(Templates(LEARNED_RGB, RGB), TEST_RGB).drawings is None


def test_no_reading_is_better_by_chance() -> None:
    """Useless models, small data sets: nothing is reported, whatever the seed."""
    for seed in range(40):
        random = np.random.default_rng(seed)
        labels = random.integers(0, 4, 60)
        noise = Dataset(
            random.integers(0, 256, (60, 8, 8, 3), dtype=np.uint8), labels, CLASSES, "noise"
        )
        found = find_readings(Templates(LEARNED_RGB, RGB), noise)
        assert found.tried > 20
        assert found.passed, found


class Untrained(Templates):
    """A model that knows none of the classes, but sees them apart: its templates are noise."""

    def __init__(self, data: Dataset, spec: InputSpec, seed: int) -> None:
        super().__init__(data, spec)
        self.means = np.random.default_rng(seed).normal(0.3, 0.1, self.means.shape)


def test_no_reading_suits_an_untrained_model() -> None:
    """Some of the hundreds of readings suit it significantly better, and yet not well."""
    random = np.random.default_rng(0)
    labels = np.arange(400) % 10
    shapes = random.integers(0, 2, (10, 8, 8, 1)) * 55
    images = (shapes[labels] + random.integers(0, 200, (400, 8, 8, 1))).astype(np.uint8)
    data = Dataset(images, labels.astype(np.int64), tuple("0123456789"), "shapes")
    for seed in range(8):
        found = find_readings(Untrained(data, GRAY, seed), data)
        assert found.passed, found


def test_a_constant_answer_is_a_warning() -> None:
    constant = Templates(LEARNED_TONES, GRAY.with_values(scale=1), GRAY.with_values(scale=1e-9))
    found = find_readings(constant, TEST_TONES)
    assert found.warning == "every one of 400 images gets the same label, '1'"
    assert str(found).startswith("WARNING: every one of 400 images")
    assert find_readings(Templates(LEARNED, GRAY), TEST).warning is None


def test_few_images_prove_nothing() -> None:
    model = Templates(LEARNED_RGB, RGB, RGB.with_values(color="bgr"))
    assert find_readings(model, TEST_RGB, limit=4).passed
    assert not find_readings(model, TEST_RGB, limit=100).passed


class Fixed(GivenPredictor):
    """A predictor of someone else: without `with_input`, and with results that are not finite."""

    def __init__(self, inner: Templates) -> None:
        super().__init__(inner.classes, inner.input_spec)
        self.inner = inner

    def probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        result = self.inner.probabilities(images)
        result[:2] = np.nan
        return result


def test_a_predictor_without_with_input() -> None:
    reversed_labels = Templates(LEARNED, GRAY).with_input(labels=CLASSES[::-1])
    better = find_readings(Fixed(reversed_labels), TEST).better
    assert better
    assert better.name == "labels reversed"
    with pytest.raises(OptionError, match="a Fixed has no with_input, so its color cannot be"):
        Fixed(reversed_labels).with_input(color="bgr")


def test_invalid_arguments() -> None:
    model = Templates(LEARNED, GRAY)
    with pytest.raises(OptionError, match="limit must be at least 1; received: 0"):
        find_readings(model, TEST, limit=0)
    with pytest.raises(DataError, match="which the model does not know"):
        find_readings(model.with_input(labels=("a", "b", "c", "d")), TEST)


def test_mcnemar_by_hand() -> None:
    before = np.array([True, False, False, False, False, True])
    after = np.array([True, True, True, True, True, False])
    # 4 gained, 1 lost: (C(5, 4) + C(5, 5)) / 2^5
    assert mcnemar(before, after) == pytest.approx(6 / 32)
    assert mcnemar(after, after) == 1


def test_best_assignment_against_every_permutation() -> None:
    from itertools import permutations

    random = np.random.default_rng(0)
    for size in (1, 2, 3, 5, 6):
        for _ in range(20):
            counts = random.integers(0, 5, (size, size))
            found = best_assignment(counts)
            assert sorted(found.tolist()) == list(range(size))
            sums = [
                sum(counts[row, column] for row, column in enumerate(order))
                for order in permutations(range(size))
            ]
            assert counts[np.arange(size), found].sum() == max(sums)
    assert best_assignment(np.zeros((4, 4), np.int64)).tolist() == [0, 1, 2, 3]
    # Very many classes: one at a time, and still a permutation.
    many = np.diag(np.arange(300))[::-1]
    assert best_assignment(many)[0] == 299


def test_numbers_as_options() -> None:
    for numbers, text in (
        ((1 / 255,) * 3, "1/255"),
        ((-1 / 127.5,), "-1/127.5"),
        ((0.5, 1.0, 1 / 255), "0.5,1,1/255"),
        ((1e308, -1e308, 0.0), "1e+308,-1e+308,0"),
    ):
        assert numbers_text(numbers) == text

"""`strokes`: the same digits from the same seed, in the form of MNIST."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from pocketlens.data.hands import HANDS
from pocketlens.data.strokes import PenPath, _ink, _write, draw_strokes
from pocketlens.errors import OptionError


@pytest.fixture(scope="module")
def sample() -> np.ndarray:
    return draw_strokes(count=3000).images[..., 0]


def test_shape_names_and_balance() -> None:
    dataset = draw_strokes("test", count=505)
    assert dataset.images.shape == (505, 28, 28, 1)
    assert dataset.classes == tuple("0123456789")
    assert set(dataset.counts.values()) == {50, 51}
    assert dataset.name == "strokes/test"
    assert dataset.labels[:20].tolist() != sorted(dataset.labels[:20].tolist())


def test_the_same_seed_gives_the_same_images() -> None:
    first, again = draw_strokes(seed=5, count=300), draw_strokes(seed=5, count=300)
    np.testing.assert_array_equal(first.images, again.images)
    np.testing.assert_array_equal(first.labels, again.labels)


def test_the_images_of_seed_0_are_known() -> None:
    # Written down once: another machine or NumPy must draw the same, to within rounding.
    dataset = draw_strokes(count=100)
    assert dataset.labels[:12].tolist() == [2, 6, 0, 5, 3, 6, 4, 2, 2, 0, 3, 3]
    ink = dataset.images[:4].sum((1, 2, 3), dtype=np.int64)
    np.testing.assert_allclose(ink, [16977, 45502, 39515, 22219], atol=4)


def test_other_seeds_and_the_other_split_give_other_images() -> None:
    sets = [
        draw_strokes(seed=0, count=300),
        draw_strokes(seed=1, count=300),
        draw_strokes("test", seed=0, count=300),
    ]
    images = [hashlib.sha256(image).hexdigest() for s in sets for image in s.images]
    assert len(set(images)) == 900


def test_ink_fills_the_box_and_is_centred_by_mass(sample: np.ndarray) -> None:
    rows, columns = sample.any(2), sample.any(1)
    spans = [28 - some[:, ::-1].argmax(1) - some.argmax(1) for some in (rows, columns)]
    extent = np.maximum(*spans)
    assert np.median(extent) == 20
    assert extent.min() >= 18
    assert extent.max() <= 20
    mass = sample.sum((1, 2), dtype=float)
    for axis in (1, 2):
        centre = (sample.sum(axis, dtype=float) * np.arange(28)).sum(1) / mass
        assert np.abs(centre - 14).max() <= 0.5 + 1e-9


def test_ink_is_as_dense_and_as_soft_as_that_of_mnist(sample: np.ndarray) -> None:
    # MNIST's training pixels: mean 33.3; of the inked ones 0.39 are from 250 and 0.11 below 32.
    assert 30 < sample.mean() < 37
    ink = sample[sample > 0]
    assert 0.3 < (ink >= 250).mean() < 0.45
    assert 0.04 < (ink < 32).mean() < 0.15


def test_the_ink_of_a_dot_and_a_line_follows_from_the_distance() -> None:
    # A dot at pixel (10, 14): full within radius - 0.6, none beyond radius + 0.6, half at it.
    dot = _ink(np.array([[[14.0, 10.0]]]), np.array([[3.0]]))[0]
    assert dot[10, 14] == dot[10, 16] == dot[8, 14] == 255
    assert dot[10, 17] == dot[7, 14] == 128
    assert dot[10, 18] == 0
    row = np.stack([np.arange(4, 24, 0.5), np.full(40, 14.0)], axis=1)
    line = _ink(row[None], np.full((1, 40), 1.0))[0]
    assert (line[14, 4:24] == 255).all()
    assert (line[[13, 15], 4:24] == 128).all()
    assert not line[:13].any()


@pytest.mark.parametrize(
    "hand", [hand for hands in HANDS.values() for hand in hands], ids=lambda hand: hand.name
)
def test_a_hand_passes_through_its_points(hand: object) -> None:
    path = PenPath.of(hand)  # type: ignore[arg-type]
    pen = path.sharp @ path.points
    for stroke in hand.strokes:  # type: ignore[attr-defined]
        for point in stroke:
            assert np.abs(pen - point).sum(1).min() < 1e-9
    # The curve moves with its points: weights of every sample sum to one.
    np.testing.assert_allclose(path.sharp.sum(1), 1)
    np.testing.assert_allclose(path.soft.sum(1), 1)
    jumps = np.linalg.norm(np.diff(pen, axis=0), axis=1)
    assert (jumps > 6).sum() <= len(hand.strokes) - 1  # type: ignore[attr-defined]


def test_the_hands_that_mnist_lacks_are_there() -> None:
    names = {digit: " ".join(hand.name for hand in hands) for digit, hands in HANDS.items()}
    for digit, name in (("1", "European"), ("1", "base"), ("7", "crossed"), ("0", "slashed")):
        assert name in names[digit]
    for name in ("open", "closed"):
        assert name in names["4"]
    assert "looped" in names["2"]
    assert "flat-topped" in names["3"]
    assert all(len({hand.name for hand in hands}) == len(hands) >= 4 for hands in HANDS.values())


def test_a_crossed_seven_is_a_seven_with_a_bar() -> None:
    # Same random stream; the bar adds ink in the middle of the stem.
    hands = {hand.name: hand for hand in HANDS["7"]}
    plain = _write(hands["plain"], 400, np.random.default_rng(0)).mean(0)
    crossed = _write(hands["crossed"], 400, np.random.default_rng(0)).mean(0)
    assert crossed[12:17, 6:22].sum() > 1.2 * plain[12:17, 6:22].sum()


def test_options() -> None:
    with pytest.raises(OptionError, match="split 'validation' is not known; expected one of"):
        draw_strokes("validation")
    with pytest.raises(OptionError, match="a count of strokes is at least 1; received: 0"):
        draw_strokes(count=0)

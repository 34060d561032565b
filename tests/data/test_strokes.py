"""`strokes`: the same seed draws the same digits, in the format of MNIST."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from pocketlens.data.loading import load_data
from pocketlens.data.pen import STEP, _fit, _ink, _trace
from pocketlens.data.populations import POPULATIONS, REGIONS, population_of
from pocketlens.data.recipe_images import errors
from pocketlens.data.stroke_templates import TEMPLATES, StrokeTemplate
from pocketlens.data.strokes import WORLD_HAND, draw_strokes, draw_template
from pocketlens.data.strokes_path import PenPath
from pocketlens.errors import OptionError
from pocketlens.recipe import DataOptions
from sampling import sampled

INK_OF_THE_WORLD = [25039, 27780, 22010, 29911]
VARIED = [template for templates in TEMPLATES.values() for template in templates if template.moves]
ALL = [
    pytest.param(template, id=f"{digit}-{template.name}")
    for digit, templates in TEMPLATES.items()
    for template in templates
]


@pytest.fixture(scope="module")
def sample() -> np.ndarray:
    return draw_strokes(count=2000).images[..., 0]


def column(*values: float) -> np.ndarray:
    """The x or y of one image, one row per sample."""
    return np.array(values, np.float32)[:, None]


def template_of(digit: str, name: str) -> StrokeTemplate:
    return next(template for template in TEMPLATES[digit] if template.name == name)


def written(name: str, digit: str, count: int = 400) -> np.ndarray:
    """Images of one template, always drawn from the same random numbers."""
    return draw_template(template_of(digit, name), count, population="mnist")[..., 0]


def test_shape_classes_and_balance() -> None:
    dataset = draw_strokes("test", count=505)
    assert dataset.images.shape == (505, 28, 28, 1)
    assert dataset.classes == tuple("0123456789")
    assert set(dataset.counts.values()) == {50, 51}
    assert dataset.name == "strokes/test"
    assert dataset.labels[:20].tolist() != sorted(dataset.labels[:20].tolist())


def test_same_seed_draws_the_same_images() -> None:
    first, again = draw_strokes(seed=5, count=100), draw_strokes(seed=5, count=100)
    np.testing.assert_array_equal(first.images, again.images)
    np.testing.assert_array_equal(first.labels, again.labels)


def test_images_of_seed_0_do_not_change() -> None:
    # Recorded once: other machines and NumPy versions must draw the same, except for rounding.
    dataset = draw_strokes(count=100)
    assert dataset.labels[:12].tolist() == [2, 6, 0, 5, 3, 6, 4, 2, 2, 0, 3, 3]
    ink = dataset.images[:4].sum((1, 2, 3), dtype=np.int64)
    np.testing.assert_allclose(ink, [29822, 26197, 19155, 32086], atol=8)


def test_a_population_draws_its_own_images() -> None:
    world = draw_strokes(population="world", count=60)
    again = draw_strokes(population="world", count=60)
    np.testing.assert_array_equal(world.images, again.images)
    assert world.name == "strokes:world/train"
    assert set(world.counts.values()) == {6}
    other = [draw_strokes(population=name, count=60) for name in ("mnist", "east-asia")]
    assert not any((found.images == world.images).all() for found in other)
    # Recorded once, as for MNIST's hands above.
    ink = world.images[:4].sum((1, 2, 3), dtype=np.int64)
    np.testing.assert_allclose(ink, INK_OF_THE_WORLD, atol=8)


def test_every_digit_is_written_in_every_region_and_a_form_only_where_it_is_usual() -> None:
    for templates in TEMPLATES.values():
        for name in POPULATIONS:
            assert sum(template.weight(name) > 0 for template in templates) >= 5
        for template in templates:
            assert set(template.regions) <= set(REGIONS)
            usual = [name for name in REGIONS if template.weight(name)]
            # A form of MNIST that people elsewhere read as another digit is drawn for it only.
            expected = list(template.regions or REGIONS) if template.world else []
            assert usual == expected
            assert template.world or template.mnist


@pytest.mark.parametrize("template", sampled(VARIED, 20))
def test_moves_shift_points_of_their_template(template: StrokeTemplate) -> None:
    path = PenPath.of(template, STEP)
    for (shares, start, end), move in zip(path.moves, template.moves, strict=True):
        assert np.flatnonzero(shares).tolist() == sorted({point for point, _ in move.shares})
        assert np.abs(shares).max() <= 1
        assert not np.array_equal(start, end)
        # A form may change, not the digit's size: no point moves by more than half its height.
        assert np.abs([start, end]).max() <= 50


def test_a_flag_of_a_1_varies_in_length() -> None:
    path = PenPath.of(template_of("1", "flag of any length"), STEP)
    x, y = _trace(path, np.random.default_rng(0), 300, WORLD_HAND)
    tip = np.hypot(x[3], y[3] - y.min(0)) / np.ptp(y, axis=0)
    assert np.quantile(tip, 0.2) < 0.65 < 0.75 < np.quantile(tip, 0.9)


def test_the_world_slants_by_up_to_35_degrees_and_fills_boxes() -> None:
    images = draw_strokes(population="world", count=1000).images[..., 0]
    wide, high = (images.max(axis).astype(bool).sum(1) for axis in (1, 2))
    filled = np.minimum(wide, high) >= 18
    plain = draw_strokes(count=1000).images[..., 0]
    usual = np.minimum(*(plain.max(axis).astype(bool).sum(1) for axis in (1, 2))) >= 18
    assert filled.mean() > 1.3 * usual.mean()
    assert max(np.abs(WORLD_HAND.steepest)) <= np.tan(np.radians(35.1))


def test_other_seed_or_split_draws_other_images() -> None:
    sets = [
        draw_strokes(seed=0, count=100),
        draw_strokes(seed=1, count=100),
        draw_strokes("test", seed=0, count=100),
    ]
    images = [hashlib.sha256(image).hexdigest() for s in sets for image in s.images]
    assert len(set(images)) == 300


@pytest.mark.parametrize("side", [28, 48])
def test_ink_fills_the_box_and_is_centered_by_mass(side: int) -> None:
    images: np.ndarray = draw_strokes(count=600, side=side).images[..., 0]
    rows, columns = images.max(2) > 0, images.max(1) > 0
    spans = [side - some[:, ::-1].argmax(1) - some.argmax(1) for some in (rows, columns)]
    extent = np.maximum(*spans) * 28 / side
    assert abs(np.median(extent) - 20) < 0.5
    assert np.quantile(extent, 0.01) > 18
    assert extent.max() <= 21.01
    mass = images.sum((1, 2), dtype=float)
    for axis in (1, 2):
        center = (images.sum(axis, dtype=float) * np.arange(side)).sum(1) / mass
        assert np.quantile(np.abs(center - side // 2), 0.99) <= 0.5


def test_ink_has_the_density_and_softness_of_mnist(sample: np.ndarray) -> None:
    # MNIST's training pixels: mean 33.3; of the pixels with ink, 39 % are at least 250 and 11 %
    # below 32.
    assert 30 < sample.mean() < 37
    ink = sample[sample > 0]
    assert 0.3 < (ink >= 250).mean() < 0.45
    assert 0.04 < (ink < 32).mean() < 0.15


def test_ink_of_a_dot_and_a_line_depends_on_the_distance() -> None:
    clean, one = np.zeros((28, 28, 1), np.float32), np.ones(1, np.float32)
    # A dot at pixel (10, 14): full within radius - 0.6, half at the radius, none beyond
    # radius + 0.6.
    dot = _ink(column(14), column(10), column(3), 3 * one, clean)[0]
    assert dot[10, 14] == dot[10, 16] == dot[8, 14] == 255
    assert dot[10, 17] == dot[7, 14] == 128
    assert dot[10, 18] == 0
    across = np.arange(4, 24, 0.5)
    line = _ink(column(*across), column(*[14] * 40), column(*[1] * 40), one, clean)[0]
    assert (line[14, 4:24] == 255).all()
    assert (line[[13, 15], 4:24] == 128).all()
    assert not line[:13].any()


def test_batch_gives_the_same_ink_as_single_images() -> None:
    random = np.random.default_rng(0)
    x, y = random.uniform(2, 25, (2, 30, 5)).astype(np.float32)
    pen = random.uniform(0.6, 3, 5).astype(np.float32)
    radii = np.repeat(pen[None], 30, axis=0)
    rough = random.normal(0, 0.2, (28, 28, 5)).astype(np.float32)
    together = _ink(x, y, radii, pen, rough)
    for n in range(5):
        part = slice(n, n + 1)
        alone = _ink(x[:, part], y[:, part], radii[:, part], pen[part], rough[..., part])
        np.testing.assert_array_equal(alone[0], together[n])


def test_digit_is_scaled_to_the_box_and_a_small_mark_is_not_enlarged() -> None:
    radius = np.ones(1, np.float32)
    x, y = _fit(column(0, 50), column(0, 100), radius, 20)
    np.testing.assert_allclose(y, column(-8.7, 8.7), rtol=1e-5)
    np.testing.assert_allclose(x, column(-4.35, 4.35), rtol=1e-5)
    x, y = _fit(column(30, 31), column(40, 42), radius, 20)
    np.testing.assert_allclose(y, column(-0.87, 0.87), rtol=1e-5)


def test_radius_sets_the_width_of_the_pen() -> None:
    ink = [
        draw_strokes(count=60, side=48, radius=radius).images.mean()
        for radius in ((0.3, 0.5), (1, 1.2), (2.5, 3))
    ]
    # The amount of ink grows with the pen's width, a little less where thick lines overlap.
    assert 2 < ink[1] / ink[0] < 4
    assert 1.5 < ink[2] / ink[1] < 3


@pytest.mark.parametrize("template", ALL)
def test_path_passes_through_the_points_of_its_template(template: StrokeTemplate) -> None:
    path = PenPath.of(template, STEP)
    count = len(path.points)
    pen = path.sharp[:, :count] @ path.points + (35, 50)
    for point in {point for stroke in template.strokes for point in stroke}:
        assert np.abs(pen - point).sum(1).min() < 1e-4
    # If all points move, the curve moves alike: the weights of each sample sum to 1.
    np.testing.assert_allclose(path.sharp[:, :count].sum(1), 1, atol=1e-5)
    np.testing.assert_allclose(path.soft[:, :count].sum(1), 0, atol=1e-5)
    jumps = np.linalg.norm(np.diff(pen, axis=0), axis=1)
    assert (jumps > 7).sum() <= len(template.strokes) - 1
    assert template.mnist > 0 or template.world > 0


def test_hooks_and_offsets_move_the_right_samples() -> None:
    template = StrokeTemplate(
        "a bar and a ring", (((0, 0), (30, 0)), ((50, 50), (60, 60), (50, 70), (50, 50)))
    )
    path = PenPath.of(template, STEP)
    hooks, moves = path.sharp[:, 5:9], path.sharp[:, 9:]
    assert path.sharp.shape[1] == len(path.points) + 3 * path.strokes == 5 + 6
    bar = 10 + 1 + 2 * 3
    # Only the bar has open ends; its hooks lead away from them.
    np.testing.assert_allclose(hooks[:3, 0], [1, 2 / 3, 1 / 3], rtol=1e-6)
    np.testing.assert_allclose(hooks[bar - 3 : bar, 1], [1 / 3, 2 / 3, 1], rtol=1e-6)
    assert np.count_nonzero(hooks) == 6
    np.testing.assert_array_equal(moves[:bar], [[1, 0]] * bar)
    np.testing.assert_array_equal(moves[bar:], [[0, 1]] * (len(moves) - bar))


def test_styles_that_mnist_lacks_have_templates() -> None:
    names = {
        digit: " ".join(template.name for template in templates)
        for digit, templates in TEMPLATES.items()
    }
    for digit, name in (("1", "European"), ("1", "base"), ("7", "crossed"), ("0", "slashed")):
        assert name in names[digit]
    for name in ("open", "closed"):
        assert name in names["4"]
    assert "looped" in names["2"]
    assert "flat-topped" in names["3"]
    assert "bar apart" in names["5"]
    for name in ("rings", "started at the waist", "s and a line back"):
        assert name in names["8"]
    for templates in TEMPLATES.values():
        assert len({template.name for template in templates}) == len(templates) >= 9


def test_crossed_seven_and_slashed_zero_have_a_bar_in_the_middle() -> None:
    plain, crossed = written("plain", "7").mean(0), written("crossed", "7").mean(0)
    assert crossed[12:17, 6:22].sum() > 1.2 * plain[12:17, 6:22].sum()
    closed, slashed = written("closed", "0").mean(0), written("slashed", "0").mean(0)
    assert slashed[11:17, 11:17].sum() > 2 * closed[11:17, 11:17].sum()


def test_invalid_options() -> None:
    with pytest.raises(OptionError, match="split 'validation' is not known; expected one of"):
        draw_strokes("validation")
    message = "count of strokes must be an integer from 1 to 1,000,000; received: "
    for count in (0, 1_000_001, 2.5):
        with pytest.raises(OptionError, match=f"{message}{count}"):
            draw_strokes(count=count)  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="side of strokes must be .* from 16 to 128; received: 8"):
        draw_strokes(count=1, side=8)
    for radius in ((0.1, 1.0), (2.0, 1.0), (1.0, 5.0), (float("nan"), 1.0)):
        with pytest.raises(
            OptionError, match=r"from 0.2 to 4 pixels of a 28 × 28 image; received: \("
        ):
            draw_strokes(count=1, radius=radius)
    with pytest.raises(OptionError, match="region 'wrld' of strokes .*; did you mean 'world'"):
        draw_strokes(population="wrld")


def test_source_names_a_population_or_region() -> None:
    assert population_of("strokes") == "mnist"
    assert population_of("strokes:latin-america") == "latin-america"
    assert population_of("mnist") is population_of("folder:strokes") is None
    assert load_data("strokes:world", split="test").name == "strokes:world/test"
    for name, hint in (("europe", "did you mean 'western-europe'"), ("", "expected one of: mnist")):
        with pytest.raises(OptionError, match=f"population or region '{name}' of .*; {hint}"):
            load_data(f"strokes:{name}")
    found = errors(DataOptions(extra="strokes:wrold"), seed=0, batch_size=1)
    assert found == ["population or region 'wrold' of strokes is not known; did you mean 'world'?"]

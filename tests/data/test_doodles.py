"""`doodles`: things drawn in several ways, from templates that are data."""

from __future__ import annotations

import numpy as np
import pytest

from pocketlens import networks
from pocketlens.data.doodles import draw_doodles, draw_sketch
from pocketlens.data.drawn_things import DrawnThings
from pocketlens.data.loading import load_data
from pocketlens.data.pen import STEP
from pocketlens.data.quickdraw_names import QUICKDRAW_THINGS
from pocketlens.data.recipe_images import count_training_images, errors
from pocketlens.data.sketches import Part, Sketch, sketches_of, things
from pocketlens.data.strokes_path import PenPath
from pocketlens.errors import OptionError
from pocketlens.image import InputSpec
from pocketlens.pipeline import default_recipe
from pocketlens.recipe import DataOptions, load_recipe


def drawn(text: str, seed: int = 0) -> list[np.ndarray]:
    """The points of the strokes of a part."""
    return [np.array(s) for s in Part.parse(text).strokes(np.random.default_rng(seed))]


def test_every_thing_has_several_ways_and_all_of_them_can_be_drawn() -> None:
    assert len(things()) >= 30
    assert {"apple", "house", "tree", "bicycle", "hot air balloon", "airplane"} <= set(things())
    # Other people's drawings of all of them exist, except of the heart.
    assert set(things()) - set(QUICKDRAW_THINGS) == {"heart"}
    random = np.random.default_rng(0)
    for thing in things():
        sketches = sketches_of(thing)
        assert len({sketch.name for sketch in sketches}) == len(sketches) >= 4, thing
        for sketch in sketches:
            assert sketch.weight > 0
            assert sketch.parts[0].chance == 1, (thing, sketch.name)
            template = sketch.template(random)
            points = np.array([point for stroke in template.strokes for point in stroke])
            assert np.abs(points - 50).max() <= 95, (thing, sketch.name)
            assert len(template.chances) == max(template.parts) + 1
            assert all(len(stroke) > 1 for stroke in template.strokes)


def test_images_have_the_format_of_quick_draw() -> None:
    names = "apple,cup,house"
    data = load_data(f"doodles:{names}@40")
    assert data.images.shape == (120, 28, 28, 1)
    assert data.classes == ("apple", "cup", "house")
    assert set(data.counts.values()) == {40}
    assert len(load_data(f"doodles:{names}@40", split="test")) == 6
    ink = data.images[..., 0] // 65
    rows, columns = ink.max(2) > 0, ink.max(1) > 0
    spans = [28 - some[:, ::-1].argmax(1) - some.argmax(1) for some in (rows, columns)]
    # The drawing fills the image but for a pixel, and its box is in the middle.
    extent = np.maximum(*spans)
    assert np.median(extent) == 26
    assert extent.min() >= 24
    low, high = columns.argmax(1), columns[:, ::-1].argmax(1)
    assert np.abs(low - high).max() <= 2
    large = load_data(f"doodles:{names}@10", input_spec=InputSpec(48, 48, "gray"))
    assert large.images.shape == (30, 48, 48, 1)
    assert load_data(f"doodles:{names}@10", input_spec=InputSpec(8, 12)).images.shape[1:3] == (
        8,
        12,
    )


def test_the_same_seed_draws_the_same_doodles() -> None:
    few = DrawnThings.parse("doodles:star,sun@20")
    first, again, other, test = (
        draw_doodles(split, drawings=few, seed=seed, count=40)
        for split, seed in (("train", 1), ("train", 1), ("train", 2), ("test", 1))
    )
    np.testing.assert_array_equal(first.images, again.images)
    np.testing.assert_array_equal(first.labels, again.labels)
    assert not (first.images == other.images).all()
    assert not (first.images == test.images).all()


def test_curves_lines_and_arcs() -> None:
    np.testing.assert_array_equal(drawn("1,2 30,40 5,6")[0], [(1, 2), (30, 40), (5, 6)])
    line = drawn("L 0,0 50,0 50,50")[0]
    np.testing.assert_array_equal(line, [(0, 0), (50, 0), (50, 0), (50, 50)])
    arc = drawn("O 50,60 40,20 180..360")[0]
    np.testing.assert_allclose(arc[[0, -1]], [(10, 60), (90, 60)])
    np.testing.assert_allclose(arc.min(0)[1], 40)  # above, as y goes down
    ring = drawn("O 50,60 40,20")[0]
    np.testing.assert_allclose(np.hypot(*((ring - (50, 60)) / (40, 20)).T), 1, atol=0.01)
    starts = {tuple(drawn("O 50,60 40,20", seed)[0][0]) for seed in range(5)}
    assert len(starts) == 5  # people start anywhere
    cloud = drawn("B 50,50 40,20 5-5")[0]
    corners = (cloud[1:] == cloud[:-1]).all(1).sum()
    assert corners == 4  # five bumps
    np.testing.assert_allclose(cloud[0], cloud[-1], atol=0.1)


def test_copies_are_mirrored_spaced_and_turned() -> None:
    assert [s[0].tolist() for s in drawn("|50 10,0 20,0")] == [[10, 0], [90, 0]]
    row = drawn("x3:60,30 0,0 5,0")
    assert [s[0].tolist() for s in row] == [[0, 0], [30, 15], [60, 30]]
    assert {len(drawn("x2-4:60,0 0,0 5,0", seed)) for seed in range(20)} == {2, 3, 4}
    rays = drawn("@4:50,50 50,10 50,20")
    np.testing.assert_allclose(
        [s[0] for s in rays], [(50, 10), (90, 50), (50, 90), (10, 50)], atol=1e-6
    )
    fan = drawn("@3:50,50:90 50,10 50,20")
    np.testing.assert_allclose(fan[-1][0], (90, 50), atol=1e-6)
    # From left to right: each copy is mirrored; shapes of one part stay together.
    assert len(drawn("x2:10,0 |50 0,0 5,0 ; O 9,9 2,2")) == 8
    assert Part.parse("70% |50 0,0 5,0").chance == 0.7


def test_parts_are_there_as_often_as_their_template_says() -> None:
    sketch = Sketch(
        "a bar, perhaps a ring", (Part.parse("L 0,90 100,90"), Part.parse("30% O 50,30 20,20"))
    )
    images = draw_sketch(sketch, 400, seed=3)[..., 0]
    with_ring = (images > 128).any(2).sum(1) > 12  # a bar alone is less high
    assert 0.22 < with_ring.mean() < 0.38


def test_parts_move_apart_and_small_ones_less() -> None:
    parts = (Part.parse("O 50,50 48,48"), Part.parse("O 50,50 2,2"))
    path = PenPath.of(Sketch("eye", parts).template(np.random.default_rng(0)), STEP)
    large, small = (path.loose[: len(path.points)][path.part_of_point == part] for part in (0, 1))
    assert large.min() == 1
    assert small.max() < 0.2
    assert path.chances.tolist() == [1, 1]
    assert len(path.blocks) == 2


def test_a_mirrored_sketch_is_drawn_both_ways() -> None:
    strokes = (Part.parse("L 0,0 0,100"), Part.parse("L 0,100 60,100"))
    left = []
    for mirrored in (False, True):
        upper = draw_sketch(Sketch("L", strokes, mirrored=mirrored), 200)[:, :10, :, 0]
        left.append((upper[..., :14].sum((1, 2)) > upper[..., 14:].sum((1, 2))).mean())
    assert left[0] > 0.85
    assert 0.35 < left[1] < 0.65


def test_names_and_numbers_of_a_source() -> None:
    found = DrawnThings.parse("doodles: Hot_Air-Balloon ,SUN")
    assert found is not None
    assert (found.things, found.count) == (("hot air balloon", "sun"), 1000)
    assert DrawnThings.parse("doodles") == DrawnThings("doodles", things(), 1000, "doodles")
    everything = DrawnThings.parse("quickdraw:all@500")
    assert everything is not None
    assert len(everything.things) == len(set(QUICKDRAW_THINGS)) == 345
    assert everything.trained_on == 450
    assert DrawnThings.parse("strokes") is DrawnThings.parse("folder:doodles") is None
    assert count_training_images(DataOptions("doodles:sun,cup@50", validation=0.1), seed=0) == 90
    options = DataOptions("doodles:sun,cup@50", extra="doodles:sun,cap")
    assert errors(options, seed=0, batch_size=1) == [
        "unknown in doodles: 'cap': did you mean 'cup'?"
    ]


def test_drawn_things_have_a_recipe_of_their_own() -> None:
    for source in ("doodles", "doodles:sun,cup@50", "quickdraw:all"):
        assert default_recipe({"data.source": source}) == "doodles"
    assert default_recipe({"data.source": "strokes"}) == "digits"
    recipe = load_recipe("doodles")
    for count in (len(things()) + 1, 346):  # with `nothing`
        network = networks.build(recipe.network, recipe.input, count)
        # In float16 the file is below 1.5 MB, also with all of Quick, Draw!'s things.
        assert 2 * sum(weights.numel() for weights in network.parameters()) < 1_300_000


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("doodles:hose,tree", "unknown in doodles: 'hose': did you mean 'house'?"),
        ("quickdraw:aple,zzz,bee", "'aple': did you mean 'apple'?; 'zzz': expected a name of"),
        ("quickdraw", "does not say what is drawn; expected, for example: quickdraw:apple,bee or"),
        ("doodles:", "does not say what is drawn"),
        ("quickdraw:apple", "has one class; expected at least 2, such as quickdraw:apple,"),
        ("doodles:sun,Sun", "'sun' is more than once"),
        ("quickdraw:all@0", "from 10 to 400,000, the drawings of each thing; received: '0'"),
        ("doodles@1e5", "from 10 to 20,000, the drawings of each thing; received: '1e5'"),
        ("quickdraw:all@99999", "has 34,499,655 drawings; expected at most 4,000,000, such as q"),
        ("doodle", "did you mean 'doodles'?"),
    ],
)
def test_invalid_sources(source: str, message: str) -> None:
    with pytest.raises(OptionError) as caught:
        load_data(source)
    assert message in str(caught.value)
    assert len(str(caught.value)) < 400


def test_invalid_options() -> None:
    with pytest.raises(OptionError, match="split 'val' is not known; expected one of: train, test"):
        draw_doodles("val")
    with pytest.raises(OptionError, match="side of doodles must be an integer from 16 to 128"):
        draw_doodles(side=8)

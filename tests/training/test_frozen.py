"""Training on frozen features: the head, what it is chosen by, and when it says `nothing`."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

import pocketlens
from command_line import run_command
from pocketlens import Callback, Dataset, Recipe, load_recipe, recipe_input
from pocketlens.errors import OptionError, RecipeError
from pocketlens.networks import backbones
from pocketlens.networks.backbone import Backbone
from pocketlens.prediction import NOTHING
from pocketlens.recognizer import Recognizer
from pocketlens.training import cross_validation, frozen, label_check, rejection
from pocketlens.training.rejection import MAX_PROTOTYPES
from small_backbone import SIZE, Squares

COLORS = {"red": (200, 40, 40), "green": (40, 200, 40), "blue": (40, 40, 200)}


@pytest.fixture(autouse=True)
def squares(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for module in (backbones, recipe_input):
        monkeypatch.setattr(module, "find_backbone", lambda name: {"squares": Squares}[name])
    monkeypatch.setenv("POCKETLENS_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def recipe() -> Recipe:
    return load_recipe("photos", ["network.backbone=squares"])


def patches(count: int, *, seed: int = 0, names: tuple[str, ...] = tuple(COLORS)) -> Dataset:
    """Noisy pictures of one color each, `count` of each name."""
    random = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(names)), count)
    images = np.empty((len(labels), SIZE, SIZE, 3), np.uint8)
    for at, label in enumerate(labels):
        color = COLORS[names[label]]
        images[at] = np.clip(random.normal(color, 25, (SIZE, SIZE, 3)), 0, 255)
    return Dataset(images, labels.astype(np.int64), names, "patches")


def test_a_head_in_a_moment(recipe: Recipe, tmp_path: Path) -> None:
    found = pocketlens.train(recipe, patches(12), folder=tmp_path)
    recognizer = found.recognizer
    assert recognizer.classes == ("red", "green", "blue", NOTHING)
    assert pocketlens.evaluate(recognizer, patches(20, seed=1)).accuracy > 0.85
    (row,) = [json.loads(line) for line in (tmp_path / "history.jsonl").read_text().splitlines()]
    assert row["validation_accuracy"] == found.history[0].validation_accuracy
    assert row["validation_accuracy"] > 0.9
    loaded = Recognizer.load(recognizer.save(tmp_path / "w.safetensors"))
    images = patches(2, seed=2).images
    np.testing.assert_array_equal(loaded.probabilities(images), recognizer.probabilities(images))
    assert loaded.thresholds == recognizer.thresholds


def test_the_same_seed_gives_the_same_weights(recipe: Recipe) -> None:
    first, second = (
        pocketlens.train(recipe, patches(8)).recognizer.network.state_dict() for _ in range(2)
    )
    assert all(torch.equal(tensor, second[name]) for name, tensor in first.items())


def test_five_pictures_of_a_class_are_enough(recipe: Recipe) -> None:
    recognizer = pocketlens.train(recipe, patches(5)).recognizer
    assert pocketlens.evaluate(recognizer, patches(20, seed=1)).accuracy > 0.9


def test_a_class_with_one_picture(recipe: Recipe) -> None:
    """It is learned, but never held out."""
    data = patches(6)
    some = data.subset([*range(12), 12])  # six, six and one
    recognizer = pocketlens.train(recipe, some).recognizer
    assert recognizer.classes[2] == "blue"
    one = data.subset([*range(0, 18, 6)])
    with pytest.raises(OptionError, match="every class has only one image"):
        pocketlens.train(recipe, one)


def test_pictures_of_something_else_are_nothing(recipe: Recipe) -> None:
    recognizer = pocketlens.train(recipe, patches(30)).recognizer
    random = np.random.default_rng(3)
    stripes = np.zeros((20, SIZE, SIZE, 3), np.uint8)
    stripes[:, ::2] = 255
    noise = random.integers(0, 256, (20, SIZE, SIZE, 3), dtype=np.uint8)
    for pictures in (stripes, noise):
        labels = [each.label for each in recognizer.predict(list(pictures))]
        assert labels == [NOTHING] * len(pictures)
    known = recognizer.predict(list(patches(30, seed=4).images))
    assert sum(each.label == NOTHING for each in known) <= 6


def white(count: int, seed: int = 0) -> NDArray[np.uint8]:
    random = np.random.default_rng(seed)
    return random.normal(225, 15, (count, SIZE, SIZE, 3)).clip(0, 255).astype(np.uint8)


def test_pictures_of_the_background(recipe: Recipe) -> None:
    """As an argument, and as a class `nothing` of the data: the same."""
    data = patches(12)
    background = frozen.train_on_features(recipe, data, background=white(10)).recognizer
    images = np.concatenate([data.images[:12], white(10), data.images[12:]])
    labels = np.concatenate([np.zeros(12), np.ones(10), data.labels[12:] + 1]).astype(np.int64)
    named = Dataset(images, labels, ("red", NOTHING, "green", "blue"), "with nothing")
    own = frozen.train_on_features(recipe, named).recognizer
    for recognizer in (background, own):
        assert recognizer.classes == ("red", "green", "blue", NOTHING)
        assert isinstance(recognizer.network, Backbone)
        assert recognizer.network.head.out_features == 4
        seen = [each.label for each in recognizer.predict(list(white(10, seed=5)))]
        assert seen.count(NOTHING) >= 9
    for name, tensor in background.network.state_dict().items():
        torch.testing.assert_close(own.network.state_dict()[name], tensor)


def test_concepts_are_left_out_where_they_mislead(
    recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_concepts = pocketlens.train(recipe, patches(8)).recognizer
    assert with_concepts.choice
    assert with_concepts.choice.options["concepts"] is True
    monkeypatch.setattr(cross_validation, "clearly_lower", lambda *_: True)
    without = pocketlens.train(recipe, patches(8)).recognizer
    assert isinstance(without.network, Backbone)
    assert without.network.rejection is not None
    head, far_and_near = without.network.head.weight, without.network.rejection.weights
    assert head[:, :24].any()
    assert not head[:, 24:].any()
    assert far_and_near[0, 4] < 0  # they still tell pictures of something else
    assert far_and_near[1, 4] == 0
    asked = recipe.replace(network={"backbone": "squares", "concepts": False})
    never = pocketlens.train(asked, patches(8)).recognizer
    assert never.choice
    assert never.choice.options["concepts"] is False
    assert not [name for name in never.network.state_dict() if "concepts.weight" in name]


def test_many_images_have_prototypes(recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cross_validation, "MOST_VALIDATED", 300)
    monkeypatch.setattr(rejection, "SUMMARIZED", 550)
    recognizer = pocketlens.train(recipe, patches(200)).recognizer
    assert recognizer.choice
    assert 500 <= recognizer.choice.options["prototypes"] <= MAX_PROTOTYPES
    assert pocketlens.evaluate(recognizer, patches(20, seed=1)).accuracy > 0.95


def test_rare_classes_weigh_as_much(recipe: Recipe) -> None:
    data = patches(40)
    rare = data.subset([*range(40), *range(40, 80), *range(80, 84)])
    recognizer = pocketlens.train(recipe, rare).recognizer
    blue = patches(20, seed=6).subset([*range(40, 60)])
    assert pocketlens.evaluate(recognizer, blue).accuracy > 0.85


def test_bursts_stay_together() -> None:
    from pocketlens.training.logistic import folds

    labels = torch.arange(60) % 3
    groups = np.arange(60) // 6 * 3 + np.arange(60) % 3  # pairs of the same class
    for train, held in folds(labels, groups, 5, seed=1):
        assert not set(groups[train.numpy()]) & set(groups[held.numpy()])
        assert set(train.tolist()) | set(held.tolist()) == set(range(60))


def test_features_are_computed_once(recipe: Recipe) -> None:
    class Count(Callback):
        def __init__(self) -> None:
            self.computed: list[int] = []

        def features(self, done: int, total: int, images_per_second: float) -> None:
            assert images_per_second > 0
            if done == total:
                self.computed.append(total)

    first, second, more = Count(), Count(), Count()
    data = patches(6)
    pocketlens.train(recipe, data, callbacks=[first])
    pocketlens.train(recipe, data, callbacks=[second])
    assert first.computed == [18, 18, frozen.SCENES]  # the images, mirrored, and the scenes
    assert second.computed == []
    changed = replace(data, images=np.concatenate([data.images[:-1], white(1)]))
    pocketlens.train(recipe, changed, callbacks=[more])
    assert more.computed == [1, 1]


def test_what_cannot_be_trained_on_features(recipe: Recipe) -> None:
    one = Dataset(white(4), np.zeros(4, np.int64), ("red",), "one class")
    with pytest.raises(OptionError, match="at least two classes besides 'nothing'; received: red"):
        pocketlens.train(recipe, one)
    plain = load_recipe(
        "quick",
        ["training.method=features", "input.color=rgb", "input.height=16", "input.width=16"],
    )
    with pytest.raises(RecipeError, match="needs network.name = \"backbone\"; received: 'strided'"):
        pocketlens.train(plain, patches(4))
    with pytest.raises(OptionError, match="network= cannot be combined with training.method"):
        pocketlens.train(recipe, patches(4), network=nn.Linear(3, 3))


@pytest.mark.parametrize("named", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_burst_is_not_divided_by_cross_validation(recipe: Recipe, named: bool) -> None:
    """Labels without meaning: only images of the same burst tell them."""
    random = np.random.default_rng(1)
    kinds = random.integers(0, 256, (24, SIZE, SIZE, 3), dtype=np.uint8)
    groups = np.repeat(np.arange(24), 4)
    noise = random.integers(0, 9, (96, SIZE, SIZE, 3), dtype=np.uint8)
    images = kinds[groups] // 2 + noise
    labels = groups % 2
    classes: tuple[str, ...] = ("one", "other")
    if named:  # the background stands before the classes and has groups, too
        images, labels = np.concatenate([white(8), images]), np.concatenate([[0] * 8, labels + 1])
        groups, classes = np.concatenate([np.arange(30, 38), groups]), (NOTHING, *classes)
    data = Dataset(images, labels.astype(np.int64), classes, "bursts", groups)
    together, apart = (
        pocketlens.train(recipe, each).history[0].validation_accuracy
        for each in (data, replace(data, groups=None))
    )
    assert together is not None
    assert apart is not None
    assert apart > together + 0.15


def test_labels_that_are_probably_wrong(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a training, and of a folder: the two that were moved to another class."""
    data = patches(15)
    labels = data.labels.copy()
    labels[[3, 20]] = [2, 0]
    files = tuple(f"{at}.png" for at in range(45))
    found = pocketlens.train(recipe, replace(data, labels=labels, files=files))
    assert found.labels is not None
    assert found.suspects is not None
    assert found.labels.checked == 45
    assert {each.file for each in found.labels.suspects} == {"3.png", "20.png"}
    for each, image in zip(found.labels.suspects, found.suspects, strict=True):
        assert each.label == data.classes[labels[each.index]]
        assert each.better == data.classes[data.labels[each.index]]
        assert each.confidence > 0.5
        np.testing.assert_array_equal(image, data.images[each.index])
    for at, label in enumerate(labels):
        place = tmp_path / "photos" / data.classes[label]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(data.images[at]).save(place / f"{at}.png")
    monkeypatch.setattr(label_check, "load_recipe", lambda _: recipe)
    _, out, _ = run_command("data", "check", tmp_path / "photos", "--labels", "--json")
    shown = json.loads(out)
    assert {each["file"] for each in shown["labels"]["suspects"]} == {"blue/3.png", "red/20.png"}
    assert shown["labels"]["checked"] == 45
    assert not shown["labels_not_checked"]


@pytest.mark.parametrize(
    ("large", "logits", "checked"),
    [(10**9, 10**9, 90), (0, 10**9, 90), (0, 3 * 80, 80)],
    ids=["five heads", "two heads", "not all fit"],
)
def test_labels_of_many_images_are_all_checked(
    large: int, logits: int, checked: int, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The head is chosen on a few of them; wrong labels may be anywhere."""
    monkeypatch.setattr(cross_validation, "MOST_VALIDATED", 30)
    monkeypatch.setattr(cross_validation, "LARGE", large)
    monkeypatch.setattr(cross_validation, "MOST_LOGITS", logits)
    data = patches(30)
    wrong = [*range(3, 90, 15)]
    labels = data.labels.copy()
    labels[wrong] = (labels[wrong] + 1) % 3
    found = pocketlens.train(recipe, replace(data, labels=labels)).labels
    assert found is not None
    assert (found.checked, found.unchecked) == (checked, 90 - checked)
    assert len(found.suspects) >= 3
    assert {each.index for each in found.suspects} <= set(wrong)

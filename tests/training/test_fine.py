"""Fine-tuning: accepted where it pays, refused where it does not; with a tiny backbone."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import pocketlens
from pocketlens import Callback, Dataset, Recipe, Step, load_recipe, recipe_input
from pocketlens.errors import OptionError, RecipeError
from pocketlens.image import InputSpec
from pocketlens.json_fields import read_fields
from pocketlens.networks import backbones
from pocketlens.networks.backbones.efficientnet_lite0 import EfficientNetLite0
from pocketlens.pipeline import check
from pocketlens.recognizer import Recognizer
from pocketlens.run_folder import Metrics
from pocketlens.training import fine, views
from pocketlens.training.views import draw_views

SIZE = 16
DIRECTIONS = ("across", "down")


class Coarse(nn.Module):
    """A backbone whose last layer keeps too little: four random numbers of an image."""

    input_spec = InputSpec(SIZE, SIZE, "rgb", scale=(1 / 128,), bias=(-127 / 128,))

    def __init__(self, input_spec: InputSpec) -> None:
        super().__init__()
        state = torch.get_rng_state()
        torch.manual_seed(0)
        self.early = nn.Sequential(nn.Conv2d(3, 24, 3, padding=1), nn.ReLU())
        self.late = nn.Sequential(nn.Conv2d(24, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())
        torch.set_rng_state(state)

    def forward(self, x: Tensor) -> Tensor:  # (N, 3, H, W) -> (N, 4, H, W)
        return self.late(self.early(x))  # type: ignore[no-any-return]

    def split(self) -> tuple[nn.Module, nn.Module]:
        return self.early, self.late


class Whole(Coarse):
    split = None  # type: ignore[assignment]


@pytest.fixture(autouse=True)
def plugins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    named = {"coarse": Coarse, "whole": Whole}
    for module in (backbones, recipe_input):
        monkeypatch.setattr(module, "find_backbone", lambda name: named[name])
    monkeypatch.setenv("POCKETLENS_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def recipe() -> Recipe:
    options = {"epochs": 20, "batch_size": 8, "learning_rate": 0.02}
    return load_recipe("photos-fine", {"network.backbone": "coarse", "training": options})


def stripes(count: int, *, seed: int = 0) -> Dataset:
    """Stripes in two directions, in any color: their mean colors tell nothing."""
    random = np.random.default_rng(seed)
    labels = np.repeat(np.arange(2), count)
    y, x = np.mgrid[:SIZE, :SIZE]
    images = np.empty((len(labels), SIZE, SIZE, 3), np.uint8)
    for at, label in enumerate(labels):
        phase = int(random.integers(4))
        on = ((y, x)[label] + phase) // 2 % 2
        light, dark = random.uniform(60, 200, 3), random.uniform(-50, 50, 3)
        picture = light + dark * (2 * on[..., None] - 1) + random.normal(0, 12, (SIZE, SIZE, 3))
        images[at] = picture.clip(0, 255)
    return Dataset(images, labels.astype(np.int64), DIRECTIONS, "stripes")


class Notes(Callback):
    def __init__(self) -> None:
        self.notes: list[str] = []
        self.steps: list[Step] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    def step(self, step: Step) -> None:
        self.steps.append(step)


def test_it_is_accepted_where_it_pays(recipe: Recipe, tmp_path: Path) -> None:
    notes = Notes()
    data, other = stripes(16), stripes(30, seed=1)
    found = pocketlens.train(recipe, data, callbacks=[notes])
    frozen = pocketlens.train(recipe.replace(training={"method": "features"}), data)
    gained = found.fine_tuning
    assert gained
    assert gained.pays
    assert notes.notes == [str(gained)]
    assert str(gained).startswith("Fine-tuning pays: in cross-validation, it raises the accuracy")
    assert gained.loss < 0.8 * gained.loss_before
    accuracies = [pocketlens.evaluate(each.recognizer, other).accuracy for each in (frozen, found)]
    assert accuracies[1] > accuracies[0] + 0.15
    # The first layers are as they were; batch norm has other weights, but the same statistics.
    old, new = (each.recognizer.network.state_dict() for each in (frozen, found))
    kept = [name for name in old if name.startswith("backbone")]
    changed = {name for name in kept if not torch.equal(old[name], new[name])}
    assert changed == {f"backbone.late.{n}" for n in ("0.weight", "0.bias", "1.weight", "1.bias")}
    assert found.curve == frozen.curve
    loaded = Recognizer.load(found.recognizer.save(tmp_path / "w.safetensors"))
    np.testing.assert_array_equal(
        loaded.probabilities(other.images), found.recognizer.probabilities(other.images)
    )
    model = pocketlens.load(pocketlens.convert(loaded, tmp_path / "Stripes.mlpackage"))
    assert pocketlens.verify(loaded, model, other).passed
    assert [step.epoch for step in notes.steps] == sorted(step.epoch for step in notes.steps)
    last = notes.steps[-1]
    assert (last.epoch, last.step) == (last.epochs, last.steps)
    assert last.seconds_left == 0
    values = asdict(Metrics("backbone", 1, "cpu", 1.0, 1, 1.0, gained))
    assert read_fields(Metrics, values, "metrics").fine_tuning == gained


def test_it_is_refused_where_it_does_not_pay(recipe: Recipe) -> None:
    """Labels without meaning: the result is the one without fine-tuning."""
    notes = Notes()
    data = stripes(8)
    labels = np.random.default_rng(2).permutation(data.labels)
    data = Dataset(data.images, labels, data.classes, data.name)
    found = pocketlens.train(recipe, data, callbacks=[notes])
    frozen = pocketlens.train(recipe.replace(training={"method": "features"}), data)
    assert found.fine_tuning
    assert not found.fine_tuning.pays
    (note,) = notes.notes
    assert note.startswith("Fine-tuning does not pay here: in cross-validation, ")
    assert note.endswith("The backbone stays as it is.")
    old, new = (each.recognizer.network.state_dict() for each in (frozen, found))
    assert old.keys() == new.keys()
    assert all(torch.equal(old[name], new[name]) for name in old)
    assert frozen.fine_tuning is None


def test_interrupted(recipe: Recipe) -> None:
    """The result is the one without fine-tuning."""

    class Stop(Notes):
        def step(self, step: Step) -> None:
            raise KeyboardInterrupt

    data = stripes(6)
    found = pocketlens.train(recipe, data, callbacks=[Stop()])
    assert found.interrupted
    assert found.fine_tuning is None
    frozen = pocketlens.train(recipe.replace(training={"method": "features"}), data)
    images = stripes(2, seed=3).images
    np.testing.assert_array_equal(
        found.recognizer.probabilities(images), frozen.recognizer.probabilities(images)
    )


def test_what_cannot_be_tuned(recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = recipe.replace(network={"backbone": "whole"})
    message = r"its last layers are \(a method split\); 'whole' has none; use the recipe photos"
    with pytest.raises(RecipeError, match=message):
        pocketlens.train(whole, stripes(4))
    with pytest.raises(RecipeError, match=message):  # before the images are loaded
        check(whole)
    with monkeypatch.context() as other, pytest.raises(RecipeError, match=message):
        for module in (backbones, recipe_input):  # of a function, only the result tells
            other.setattr(module, "find_backbone", lambda _: lambda spec: Whole(spec))
        pocketlens.train(whole, stripes(4))
    monkeypatch.setattr(fine, "MAX_IMAGES", 10)
    with pytest.raises(OptionError, match="takes at most 10 images; received: 12; with so many"):
        pocketlens.train(recipe, stripes(6))


def test_many_images_have_fewer_views(recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    images = stripes(6).images
    compute = views.Activations(Coarse(recipe.input).early, recipe.input)
    one = 2 * 24 * SIZE * SIZE  # bytes
    for together, limit, expected in (
        (1_000, 1 << 30, views.MAX_VIEWS),
        (40, 1 << 30, 3),
        (5, 1 << 30, 1),
        (1_000, 12 * 6 * one, 5),
    ):
        monkeypatch.setattr(views, "TOGETHER", together)
        monkeypatch.setattr(views, "MAX_BYTES", limit)
        found = compute.of_views(images, mirrored=False, seed=0)
        assert found.shape == (12, 1 + expected, 24, SIZE, SIZE)
        assert torch.equal(found[:, 0], compute(images))
    monkeypatch.setattr(views, "MAX_BYTES", 12 * one)
    with pytest.raises(OptionError, match="fine-tuning 12 images of 16 × 16 needs more than"):
        compute.of_views(images, mirrored=False, seed=0)


def test_views_show_most_of_an_image() -> None:
    ramp = np.tile(np.linspace(20, 200, 32), (40, 32, 1)).astype(np.uint8)[..., None]
    images = np.repeat(ramp, 3, axis=3)
    for mirrored in (False, True):
        found = draw_views(images, np.random.default_rng(0), mirrored=mirrored)
        again = draw_views(images, np.random.default_rng(0), mirrored=mirrored)
        assert np.array_equal(found, again)
        assert found.shape == images.shape
        rises = found[:, :, -1].mean((1, 2)) > found[:, :, 0].mean((1, 2))
        assert 10 < rises.sum() < 30 if mirrored else rises.all()
        assert len(np.unique(found[:, 16, 16, 0])) > 10


def test_the_two_parts_of_the_real_backbone() -> None:
    network = EfficientNetLite0(InputSpec(64, 64, "rgb")).eval()
    first, last = network.split()
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        middle = first(x)
        assert middle.shape == (2, 112, 4, 4)
        assert torch.equal(last(middle), network(x))

"""The teacher: what it remembers, and that the network in training comes to see the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pocketlens import networks
from pocketlens.data import Dataset
from pocketlens.image import InputSpec
from pocketlens.recipe import Recipe, load_recipe
from pocketlens.training import loop, train
from pocketlens.training.teacher import Teacher, features_seen, halved, teacher_recipe


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((28, 28), (28, 28)),
        ((48, 48), (24, 24)),
        ((224, 160), (28, 20)),
        ((33, 65), (16, 32)),
        ((300, 18), (300, 18)),
        ((128, 32), (64, 16)),
    ],
)
def test_its_images_are_halved_until_small(
    bars_recipe: Recipe, shape: tuple[int, int], expected: tuple[int, int]
) -> None:
    spec = InputSpec(*shape, "rgb")
    recipe = teacher_recipe(replace(bars_recipe, input=spec))
    assert recipe.input.shape == (*expected, 3)
    images = np.random.default_rng(0).integers(0, 256, (3, *shape, 3), dtype=np.uint8)
    small = halved(Dataset(images, np.zeros(3, np.int64), ("a",)), recipe.input).images
    assert small.shape == (3, *expected, 3)
    step = shape[0] // expected[0]
    for row, column in ((0, 0), (expected[0] - 1, expected[1] - 1), (3, 2)):
        square = images[:, step * row : step * row + step, step * column : step * column + step]
        assert np.abs(small[:, row, column] - square.mean((1, 2))).max() <= 1.5


def test_it_trains_where_and_as_the_recipe_does(bars_recipe: Recipe) -> None:
    settings = ["training.batch_size=7", "training.device=cpu", "seed=5", "training.teacher=3"]
    recipe = load_recipe(bars_recipe, settings)
    made = teacher_recipe(recipe)
    assert (made.seed, made.training.batch_size, made.training.device) == (5, 7, "cpu")
    assert made.training.precision == "float32"
    assert made.training.teacher == 0  # it has none itself
    assert teacher_recipe(load_recipe(recipe, ["training.precision=auto"])).training.precision == (
        "auto"
    )


def test_every_network_has_a_head_whose_features_are_seen() -> None:
    for name in ("classic", "plain", "residual", "strided"):
        choice = load_recipe("quick", [f"network={{name='{name}'}}"]).network
        network = networks.build(choice, InputSpec(28, 28), 10)
        with features_seen(network) as features:
            logits = network(torch.rand(2, 1, 28, 28))
        assert torch.allclose(network.head(features[0]), logits, atol=1e-6)  # type: ignore[operator]
        network(torch.rand(1, 1, 28, 28))
        assert len(features) == 1  # only meanwhile


def test_the_loss_is_of_frames_of_something(bars_recipe: Recipe, bars_train: Dataset) -> None:
    recipe = teacher_recipe(bars_recipe)
    pupil = networks.build(bars_recipe.network, bars_recipe.input, 3)
    teacher = Teacher(recipe, 3, pupil)
    teacher.look(bars_train.images)
    features = teacher.features.float()
    assert len(features) == len(bars_train)
    assert features.mean(0).abs().max() < 1e-3
    width = teacher.projection.in_features
    seen = torch.randn(4, width)
    told = teacher.projection(seen)
    cosine = torch.nn.functional.cosine_similarity(told, features[[3, 3, 5, 0]])
    sources = torch.tensor([3, -1, 5, -1])
    assert torch.isclose(teacher.loss(seen, sources), 1 - cosine[[0, 2]].mean(), atol=1e-5)
    same = torch.stack([features[3], features[5]])
    teacher.projection = torch.nn.Identity()  # type: ignore[assignment]
    assert teacher.loss(same, torch.tensor([3, 5])).item() == pytest.approx(0, abs=1e-5)
    assert teacher.loss(-same, torch.tensor([3, 5])).item() == pytest.approx(2, abs=1e-5)


def test_the_network_comes_to_see_what_it_sees(
    bars_recipe: Recipe, bars_train: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = load_recipe(bars_recipe, ["training.teacher=2", "training.learning_rate=0.02"])
    found: list[float] = []
    inner = Teacher.loss

    def told(this: Teacher, seen: torch.Tensor, sources: torch.Tensor) -> torch.Tensor:
        loss = inner(this, seen, sources)
        found.append(float(loss.detach()))
        return loss

    monkeypatch.setattr(Teacher, "loss", told)
    train(recipe, bars_train)
    assert len(found) == 3 * (480 // 30)
    assert sum(found[-10:]) < 0.5 * sum(found[:10])


def test_ctrl_c_while_it_learns_is_one_of_the_training(
    bars_recipe: Recipe, bars_train: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = load_recipe(bars_recipe, ["training.teacher=1"])
    inner = loop._Loop.step

    def stop(this: loop._Loop, *args: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        if this.recipe.name.startswith("teacher of"):
            raise KeyboardInterrupt
        return inner(this, *args)

    monkeypatch.setattr(loop._Loop, "step", stop)
    found = train(recipe, bars_train, folder=tmp_path)
    assert found.interrupted
    assert found.history == ()
    assert not (tmp_path / "checkpoint").exists()

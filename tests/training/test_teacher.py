"""The teacher: its images, its features, and that the student learns to reproduce them."""

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
from pocketlens.training.batches import Batch
from pocketlens.training.teacher import Teacher, head_inputs, shrink, teacher_recipe


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
def test_images_are_halved_until_small(
    bars_recipe: Recipe, shape: tuple[int, int], expected: tuple[int, int]
) -> None:
    spec = InputSpec(*shape, "rgb")
    recipe = teacher_recipe(replace(bars_recipe, input=spec))
    assert recipe.input.shape == (*expected, 3)
    images = np.random.default_rng(0).integers(0, 256, (3, *shape, 3), dtype=np.uint8)
    small = shrink(Dataset(images, np.zeros(3, np.int64), ("a",)), recipe.input).images
    assert small.shape == (3, *expected, 3)
    step = shape[0] // expected[0]
    for row, column in ((0, 0), (expected[0] - 1, expected[1] - 1), (3, 2)):
        square = images[:, step * row : step * row + step, step * column : step * column + step]
        assert np.abs(small[:, row, column] - square.mean((1, 2))).max() <= 1.5


def test_the_teacher_uses_the_device_and_precision_of_the_recipe(bars_recipe: Recipe) -> None:
    settings = ["training.batch_size=7", "training.device=cpu", "seed=5", "training.teacher=3"]
    recipe = load_recipe(bars_recipe, settings)
    teacher = teacher_recipe(recipe)
    assert (teacher.seed, teacher.training.batch_size, teacher.training.device) == (5, 7, "cpu")
    assert teacher.training.precision == "float32"
    assert teacher.training.teacher == 0  # the teacher has no teacher
    assert teacher_recipe(load_recipe(recipe, ["training.precision=auto"])).training.precision == (
        "auto"
    )


def test_the_inputs_of_every_networks_head_are_collected() -> None:
    for name in ("classic", "plain", "residual", "strided"):
        choice = load_recipe("quick", [f"network={{name='{name}'}}"]).network
        network = networks.build(choice, InputSpec(28, 28), 10)
        with head_inputs(network) as features:
            logits = network(torch.rand(2, 1, 28, 28))
        head = network.head
        assert isinstance(head, torch.nn.Linear)
        assert torch.allclose(head(features[0]), logits, atol=1e-6)
        network(torch.rand(1, 1, 28, 28))
        assert len(features) == 1  # the hook is removed


def test_the_loss_ignores_frames_of_nothing(bars_recipe: Recipe, bars_train: Dataset) -> None:
    recipe = teacher_recipe(bars_recipe)
    student = networks.build(bars_recipe.network, bars_recipe.input, 3)
    teacher = Teacher(recipe, 3, student)
    teacher.compute_features(bars_train.images)
    features = teacher.features.float()
    assert len(features) == len(bars_train)
    assert features.mean(0).abs().max() < 1e-3
    width = teacher.projection.in_features
    torch.manual_seed(0)
    own = torch.randn(4, width)
    projected = teacher.projection(own)
    cosine = torch.nn.functional.cosine_similarity(projected, features[[3, 3, 5, 0]])
    sources = torch.tensor([3, -1, 5, -1])
    assert torch.isclose(teacher.loss(own, sources), 1 - cosine[[0, 2]].mean(), atol=1e-5)
    same = torch.stack([features[3], features[5]])
    # Any module will do here.
    teacher.projection = torch.nn.Identity()  # type: ignore[assignment]
    assert teacher.loss(same, torch.tensor([3, 5])).item() == pytest.approx(0, abs=1e-5)
    assert teacher.loss(-same, torch.tensor([3, 5])).item() == pytest.approx(2, abs=1e-5)


def test_the_student_learns_the_features_of_the_teacher(
    bars_recipe: Recipe, bars_train: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = load_recipe(bars_recipe, ["training.teacher=2", "training.learning_rate=0.02"])
    losses: list[float] = []
    inner = Teacher.loss

    def recorded(this: Teacher, features: torch.Tensor, sources: torch.Tensor) -> torch.Tensor:
        loss = inner(this, features, sources)
        losses.append(float(loss.detach()))
        return loss

    monkeypatch.setattr(Teacher, "loss", recorded)
    train(recipe, bars_train)
    assert len(losses) == 3 * (480 // 30)
    assert sum(losses[-10:]) < 0.5 * sum(losses[:10])


def test_ctrl_c_while_the_teacher_trains_interrupts_the_training(
    bars_recipe: Recipe, bars_train: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = load_recipe(bars_recipe, ["training.teacher=1"])
    inner = loop._Loop.step

    def stop(this: loop._Loop, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        if this.recipe.name.startswith("teacher of"):
            raise KeyboardInterrupt
        return inner(this, batch)

    monkeypatch.setattr(loop._Loop, "step", stop)
    training = train(recipe, bars_train, folder=tmp_path)
    assert training.interrupted
    assert training.history == ()
    assert not (tmp_path / "checkpoint").exists()

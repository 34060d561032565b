"""Training learns, is repeatable, resumes, and stops with a clear error."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pocketlens.callbacks import Callback
from pocketlens.data import Dataset, load_data
from pocketlens.errors import OptionError, RunError, TrainingError
from pocketlens.history import Epoch, Step
from pocketlens.recipe import Recipe, load_recipe
from pocketlens.recognizer import Recognizer
from pocketlens.training import train


class Recorder(Callback):
    """Stores the arguments of all calls."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.epochs: list[Epoch] = []

    def step(self, step: Step) -> None:
        self.steps.append(step)

    def epoch(self, epoch: Epoch) -> None:
        self.epochs.append(epoch)


class Raise(Callback):
    """Raises an exception after an epoch, or after the first step."""

    def __init__(self, error: BaseException, *, after_epoch: int = 0) -> None:
        self.error = error
        self.after_epoch = after_epoch

    def step(self, step: Step) -> None:
        if not self.after_epoch:
            raise self.error

    def epoch(self, epoch: Epoch) -> None:
        if epoch.epoch == self.after_epoch:
            raise self.error


def weights(recognizer: Recognizer) -> dict[str, torch.Tensor]:
    return dict(recognizer.network.state_dict())


def equal(a: Recognizer, b: Recognizer) -> bool:
    ours, theirs = weights(a), weights(b)
    same = all(torch.equal(ours[name], theirs[name]) for name in ours)
    return same and ours.keys() == theirs.keys() and a.temperature == b.temperature


def accuracy(recognizer: Recognizer, data: Dataset) -> float:
    return float((recognizer.probabilities(data.images).argmax(1) == data.labels).mean())


VARIANTS = [
    ["training.optimizer=adamw", "training.learning_rate=0.02"],
    ["training.optimizer=muon", "training.learning_rate=0.02"],
    ["training.optimizer=sgd", "training.learning_rate=0.05", "training.channels_last=false"],
    ["training.optimizer=adadelta", "training.learning_rate=1", "training.schedule=constant"],
    ["training.echo=3", "training.learning_rate=0.02"],
    ["training.precision=bfloat16", "training.learning_rate=0.02"],
    ["augment.name=shift", "augment.pixels=1", "training.learning_rate=0.02"],
    ["network={name='classic'}", "training.learning_rate=0.003"],  # has dropout
    ["training.teacher=2", "training.echo=2", "training.learning_rate=0.02"],
]


@pytest.mark.parametrize("settings", VARIANTS, ids=lambda s: s[0])
def test_training_learns_repeats_and_resumes(
    bars_recipe: Recipe, bars_train: Dataset, bars_test: Dataset, tmp_path: Path,
    settings: list[str],
) -> None:  # fmt: skip
    recipe = load_recipe(bars_recipe, [*settings, "training.epochs=5"])
    full = train(recipe, bars_train)
    assert accuracy(full.recognizer, bars_test) > 0.9
    assert equal(full.recognizer, train(recipe, bars_train).recognizer)

    stop = Raise(KeyboardInterrupt(), after_epoch=2)
    cut = train(recipe, bars_train, folder=tmp_path, callbacks=[stop])
    assert cut.interrupted
    assert len(cut.history) == 2
    rest = train(recipe, bars_train, folder=tmp_path, resume=True)
    assert not rest.interrupted
    assert equal(rest.recognizer, full.recognizer)
    assert [row.train_loss for row in rest.history] == [row.train_loss for row in full.history]


def test_another_seed_gives_other_weights(bars_recipe: Recipe, bars_train: Dataset) -> None:
    a = train(bars_recipe, bars_train).recognizer
    b = train(load_recipe(bars_recipe, ["seed=1"]), bars_train).recognizer
    assert not equal(a, b)


def test_the_callers_random_numbers_do_not_change(bars_recipe: Recipe, bars_train: Dataset) -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    train(bars_recipe, bars_train)
    assert torch.equal(torch.rand(2), expected)


def test_history_and_progress(bars_recipe: Recipe, bars_train: Dataset, tmp_path: Path) -> None:
    recorder = Recorder()
    done = train(bars_recipe, bars_train, folder=tmp_path, callbacks=[recorder])
    steps = recorder.steps
    assert recorder.epochs == list(done.history)
    rows = [json.loads(line) for line in (tmp_path / "history.jsonl").read_text().splitlines()]
    assert rows == [vars(row) for row in done.history]
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert all(row["validation_accuracy"] is not None for row in rows)
    assert steps[-1].step == steps[-1].steps == 480 // 30
    assert steps[-1].seconds_left == 0
    assert done.seconds == sum(row.seconds for row in done.history)


def test_the_best_epoch_has_the_lowest_validation_loss(
    bars_recipe: Recipe, bars_train: Dataset
) -> None:
    recipe = load_recipe(bars_recipe, ["training.learning_rate=3", "training.schedule=constant"])
    done = train(recipe, bars_train)
    losses = [row.validation_loss for row in done.history if row.validation_loss is not None]
    assert len(losses) == len(done.history)
    assert done.best_epoch == 1 + int(np.argmin(losses))
    _, held = bars_train.split(recipe.data.validation, seed=recipe.seed)
    logits = done.recognizer.logits(held.images)
    loss = torch.nn.functional.cross_entropy(logits, torch.from_numpy(held.labels))
    assert float(loss) == pytest.approx(min(losses), rel=1e-5)


@pytest.mark.parametrize("share", [1.0, 0.5, 2.5])
def test_a_share_of_a_second_source_is_added(
    bars_recipe: Recipe, bars_train: Dataset, picture_folder: Path, share: float
) -> None:
    source = f"folder:{picture_folder}"
    settings = [f"data.extra={source}", f"data.extra_share={share}", "training.epochs=1"]
    more = load_data(source, split="all", input_spec=bars_recipe.input)
    added = sum(round(share * count) for count in more.counts.values())
    recorder = Recorder()
    train(load_recipe(bars_recipe, settings), bars_train, callbacks=[recorder])
    assert 0 < added <= len(more) * (share + 0.1)
    assert recorder.steps[-1].steps == (480 + added) // 30


def test_a_share_of_the_first_source_is_used(bars_recipe: Recipe, bars_train: Dataset) -> None:
    recorder = Recorder()
    settings = ["data.share=0.25", "training.epochs=1"]
    train(load_recipe(bars_recipe, settings), bars_train, callbacks=[recorder])
    assert recorder.steps[-1].steps == 480 // 4 // 30


def test_training_starts_from_the_weights_of_another_run(
    bars_recipe: Recipe, bars_train: Dataset, tmp_path: Path
) -> None:
    first = train(bars_recipe, bars_train).recognizer
    first.save(tmp_path / "weights.safetensors")
    settings = ["training.learning_rate=1e-8", "training.epochs=1", "training.weight_decay=0"]
    settings += [f"training.start={tmp_path}", "input.ink=dark"]
    second = train(load_recipe(bars_recipe, settings), bars_train).recognizer
    ours, theirs = dict(first.network.named_parameters()), second.network.named_parameters()
    for name, weight in theirs:
        torch.testing.assert_close(weight, ours[name], rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["network.channels=[4, 9]"], "it has the network Choice.*; start from a run of the same"),
        (["input.scale=1"], r"it has the input InputSpec.*the recipe has InputSpec"),
        (["training.start=nowhere"], "nowhere does not exist; train first"),
    ],
)
def test_invalid_start_weights_are_rejected(
    bars_recipe: Recipe, bars_train: Dataset, tmp_path: Path, settings: list[str], words: str
) -> None:
    once = load_recipe(bars_recipe, ["training.epochs=1"])
    train(once, bars_train).recognizer.save(tmp_path / "weights.safetensors")
    recipe = load_recipe(once, [f"training.start={tmp_path / 'weights.safetensors'}", *settings])
    with pytest.raises(RunError, match=words):
        train(recipe, bars_train)


def test_without_validation_the_last_epoch_is_the_best(
    bars_recipe: Recipe, bars_train: Dataset
) -> None:
    done = train(load_recipe(bars_recipe, ["data.validation=0"]), bars_train)
    assert done.best_epoch == 3
    assert done.history[-1].validation_loss is None
    assert done.recognizer.temperature == 1


def test_ctrl_c_in_the_first_epoch_keeps_its_weights(
    bars_recipe: Recipe, bars_train: Dataset, tmp_path: Path
) -> None:
    start = train(replace(bars_recipe, training=replace(bars_recipe.training, epochs=1)),
                  bars_train.subset(slice(0, 90)))  # fmt: skip
    done = train(bars_recipe, bars_train, folder=tmp_path, callbacks=[Raise(KeyboardInterrupt())])
    assert done.interrupted
    assert done.best_epoch == 0
    assert not (tmp_path / "checkpoint").exists()
    assert done.recognizer.parameters == start.recognizer.parameters


def test_a_loss_that_is_not_finite_is_an_error(bars_recipe: Recipe, bars_train: Dataset) -> None:
    settings = ["training.optimizer=sgd", "training.learning_rate=100", "network.name=classic"]
    recipe = load_recipe(bars_recipe, ["network={name='classic'}", *settings])
    with pytest.raises(TrainingError, match=r"the loss is (nan|inf) in epoch 1, step \d+ of 16, at "
                       r"learning rate .*; start again with a lower one, such as "
                       r"training.learning_rate=10$"):  # fmt: skip
        train(recipe, bars_train)


def test_unsuitable_images_are_rejected(bars_recipe: Recipe, bars_train: Dataset) -> None:
    with pytest.raises(
        OptionError,
        match=r"input is .* \(28, 28, 1\); received images of \(12, 12, 1\); load the images with "
        r"load_data\(\.\.\., input_spec=recipe\.input\)",
    ):
        train("quick", bars_train)
    empty = Dataset(bars_train.images, np.zeros(600, np.int64), bars_train.classes)
    with pytest.raises(OptionError, match="classes without a training image: lies, slants; add"):
        train(bars_recipe, empty)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this computer has a GPU")
def test_a_missing_device_is_an_error(bars_recipe: Recipe, bars_train: Dataset) -> None:
    with pytest.raises(TrainingError, match="device 'cuda' is not available to PyTorch here; avai"):
        train(load_recipe(bars_recipe, ["training.device=cuda"]), bars_train)


def test_invalid_resumes_are_rejected(
    bars_recipe: Recipe, bars_train: Dataset, tmp_path: Path
) -> None:
    with pytest.raises(OptionError, match="resume needs the folder that contains the checkpoint"):
        train(bars_recipe, bars_train, resume=True)
    with pytest.raises(RunError, match="checkpoint does not exist, so there is nothing to resume"):
        train(bars_recipe, bars_train, folder=tmp_path, resume=True)
    train(bars_recipe, bars_train, folder=tmp_path)
    other = load_recipe(bars_recipe, ["training.epochs=9"])
    with pytest.raises(RunError, match=r"belongs to another recipe \(training.epochs: 9, not 3\)"):
        train(other, bars_train, folder=tmp_path, resume=True)
    content = (tmp_path / "checkpoint").read_bytes()
    for damage in (b"", content[:7], content[: len(content) // 2], b"\x80\x04" + content):
        (tmp_path / "checkpoint").write_bytes(damage)
        with pytest.raises(
            RunError, match="cannot be read as a checkpoint: .*start again without resume"
        ):
            train(bars_recipe, bars_train, folder=tmp_path, resume=True)


@pytest.mark.parametrize(("weights_of", "share"), [("none", 0.8), ("balanced", 0.5)])
def test_weights_of_classes(weights_of: str, share: float, bars_recipe: Recipe) -> None:
    """All images are the same, so that a network can learn the weight of each class only."""
    labels = (np.arange(100) % 5 == 0).astype(np.int64)  # 80 and 20
    data = Dataset(np.full((100, 12, 12, 1), 90, np.uint8), labels, ("often", "rare"), "same")
    recipe = bars_recipe.replace(
        data={"validation": 0.0},
        training={"class_weights": weights_of, "epochs": 150, "batch_size": 100},
    )
    torch.manual_seed(0)
    linear = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12 * 12, 2))
    found = train(recipe, data, network=linear).recognizer.probabilities(data.images[:1])
    assert found[0, 0] == pytest.approx(share, abs=0.05)

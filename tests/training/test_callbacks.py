"""Callbacks: what they receive, and what happens when they raise."""

from __future__ import annotations

import math
import threading
from pathlib import Path

import pytest
import torch

from pocketlens.callbacks import Callback
from pocketlens.data import Dataset
from pocketlens.errors import OptionError
from pocketlens.history import Epoch, Step
from pocketlens.recipe import Recipe
from pocketlens.training import train
from pocketlens.training.batches import Batches
from pocketlens.training.checkpoint import Checkpoint


class Log(Callback):
    """Appends its name and the event to a list that callbacks share."""

    def __init__(self, name: str, events: list[tuple[str, str]]) -> None:
        self.name = name
        self.events = events

    def step(self, step: Step) -> None:
        self.events.append((self.name, f"step {step.epoch}"))

    def epoch(self, epoch: Epoch) -> None:
        self.events.append((self.name, f"epoch {epoch.epoch}"))


class Fail(Callback):
    """Raises after an epoch, or after the first report of a step in it."""

    def __init__(self, error: BaseException, *, epoch: int, in_step: bool = False) -> None:
        self.error = error
        self.number = epoch
        self.in_step = in_step

    def step(self, step: Step) -> None:
        if self.in_step and step.epoch == self.number:
            raise self.error

    def epoch(self, epoch: Epoch) -> None:
        if not self.in_step and epoch.epoch == self.number:
            raise self.error


def test_the_base_class_does_nothing(bars_recipe: Recipe, bars_train: Dataset) -> None:
    plain = train(bars_recipe, bars_train)
    watched = train(bars_recipe, bars_train, callbacks=[Callback()])
    ours, theirs = (t.recognizer.network.state_dict() for t in (plain, watched))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours | theirs)


def test_callbacks_are_called_in_order(bars_recipe: Recipe, bars_train: Dataset) -> None:
    events: list[tuple[str, str]] = []
    train(bars_recipe, bars_train, callbacks=iter([Log("a", events), Log("b", events)]))
    assert events[0::2] == [("a", event) for _, event in events[1::2]]
    assert {name for name, _ in events[1::2]} == {"b"}
    epochs = [event for name, event in events if name == "a" and event.startswith("epoch")]
    assert epochs == ["epoch 1", "epoch 2", "epoch 3"]
    for number in (1, 2, 3):
        assert events.index(("b", f"step {number}")) < events.index(("a", f"epoch {number}"))


def test_what_a_step_reports(bars_recipe: Recipe, bars_train: Dataset) -> None:
    steps: list[Step] = []

    class Keep(Callback):
        def step(self, step: Step) -> None:
            steps.append(step)

    train(bars_recipe, bars_train, callbacks=[Keep()])
    assert {step.epochs for step in steps} == {3}
    assert {step.steps for step in steps} == {480 // 30}
    order = [(step.epoch, step.step) for step in steps]
    assert order == sorted(set(order))
    for step in steps:
        assert step.images_per_second > 0
        assert math.isfinite(step.loss)
        last = step.epoch == 3 and step.step == step.steps
        assert (step.seconds_left == 0) == last


@pytest.mark.parametrize("in_step", [True, False])
def test_an_exception_ends_the_training_and_the_checkpoint_is_kept(
    bars_recipe: Recipe, bars_train: Dataset, tmp_path: Path, in_step: bool
) -> None:
    error = ValueError("enough")
    fail = Fail(error, epoch=2, in_step=in_step)
    with pytest.raises(ValueError, match="enough") as caught:
        train(bars_recipe, bars_train, folder=tmp_path, callbacks=[fail])
    assert caught.value is error
    finished = 1 if in_step else 2
    checkpoint = Checkpoint.read(tmp_path / "checkpoint")
    assert [row["epoch"] for row in checkpoint.history] == list(range(1, finished + 1))
    resumed = train(bars_recipe, bars_train, folder=tmp_path, resume=True)
    full = train(bars_recipe, bars_train)
    ours, theirs = (t.recognizer.network.state_dict() for t in (resumed, full))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours | theirs)


def test_keyboard_interrupt_stops_and_keeps_the_best_weights(
    bars_recipe: Recipe, bars_train: Dataset
) -> None:
    stop = Fail(KeyboardInterrupt(), epoch=2)
    training = train(bars_recipe, bars_train, callbacks=[stop])
    assert training.interrupted
    assert len(training.history) == 2
    losses = [row.validation_loss for row in training.history]
    assert losses[training.best_epoch - 1] == min(loss for loss in losses if loss is not None)


@pytest.mark.usefixtures("three_threads")
def test_the_second_thread_ends_although_the_exception_is_kept(
    bars_recipe: Recipe, bars_train: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The traceback of a kept exception must not keep the unfinished epoch alive."""
    monkeypatch.setattr(Batches, "_overlaps", True)
    running = threading.active_count()
    fail = Fail(ValueError("enough"), epoch=1, in_step=True)
    with pytest.raises(ValueError, match="enough") as caught:
        train(bars_recipe, bars_train, callbacks=[fail])
    assert caught.value.__traceback__ is not None
    assert torch.get_num_threads() == 3
    assert threading.active_count() == running


@pytest.mark.parametrize(
    ("callbacks", "received"),
    [
        (print, "<built-in function print>"),
        ([print], "<built-in function print>"),
        ([Callback], "<class 'pocketlens.callbacks.Callback'>"),
        (Callback(), "<pocketlens.callbacks.Callback object at"),
    ],
)
def test_other_objects_are_rejected(
    bars_recipe: Recipe, bars_train: Dataset, callbacks: object, received: str
) -> None:
    with pytest.raises(OptionError) as caught:
        train(bars_recipe, bars_train, callbacks=callbacks)  # type: ignore[arg-type] # the error
    message = str(caught.value)
    start = f"callbacks must be a list of pocketlens.Callback objects; received: {received}"
    assert message.startswith(start)
    assert message.endswith("write a subclass of Callback and pass callbacks=[YourCallback()]")

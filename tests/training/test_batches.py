"""Batches: every image once per epoch, augmented, and repeated by an echo."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from pocketlens.data import Dataset
from pocketlens.recipe import Recipe, load_recipe
from pocketlens.training.batches import Batches

CPU = torch.device("cpu")


def make_batches(recipe: Recipe, data: Dataset, *settings: str) -> Batches:
    return Batches(load_recipe(recipe, ["training.batch_size=16", *settings]), data, CPU)


def contents(batches: Batches, epoch: int) -> list[bytes]:
    """The images of every batch of the epoch, in a form that can be compared."""
    return [images.numpy().tobytes() for images, _, _ in batches.epoch(epoch)]


def test_an_epoch_has_each_image_once_with_its_label(
    bars_recipe: Recipe, bars_train: Dataset
) -> None:
    pairs = {
        image.tobytes(): label
        for image, label in zip(bars_train.channels_first(), bars_train.labels, strict=True)
    }
    batches = make_batches(bars_recipe, bars_train)
    steps = list(batches.epoch(1))
    assert len(steps) == batches.steps == len(bars_train) // 16
    seen = [
        (image.numpy().tobytes(), int(label))
        for images, labels, _ in steps
        for image, label in zip(images, labels, strict=True)
    ]
    assert all(pairs[image] == label for image, label in seen)
    most = Counter(image.tobytes() for image in bars_train.channels_first())
    assert all(count <= most[image] for image, count in Counter(i for i, _ in seen).items())


def test_the_order_differs_between_epochs_and_is_repeatable(
    bars_recipe: Recipe, bars_train: Dataset
) -> None:
    settings = ("augment.name=shift", "training.echo=2")
    first, again = (make_batches(bars_recipe, bars_train, *settings) for _ in range(2))
    assert contents(first, 1) == contents(again, 1)
    assert contents(first, 2) == contents(again, 2) != contents(again, 1)


@pytest.mark.parametrize("echo", [1, 2, 5])
def test_an_echo_repeats_each_augmented_batch(
    bars_recipe: Recipe, bars_train: Dataset, echo: int
) -> None:
    batches = make_batches(bars_recipe, bars_train, "augment.name=shift", f"training.echo={echo}")
    seen = contents(batches, 3)
    assert len(seen) == batches.steps == echo * (len(bars_train) // 16)
    assert set(Counter(seen).values()) == {echo}
    once = make_batches(bars_recipe, bars_train, "augment.name=shift")
    assert set(contents(once, 3)) == set(seen) if echo == 1 else len(seen) > len(set(seen))


def test_the_memory_for_repetition_is_bounded(
    bars_recipe: Recipe, bars_train: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = make_batches(bars_recipe, bars_train, "training.echo=3")
    one = 16 * batches.images[0].nbytes
    monkeypatch.setattr("pocketlens.training.batches.KEPT_BYTES", 2 * one)
    seen = contents(batches, 1)
    open_ = most = 0
    for place, name in enumerate(seen):
        before, after = seen[:place].count(name), seen[place + 1 :].count(name)
        open_ += (before == 0) - (after == 0)
        most = max(most, open_)
    assert 2 <= most <= 5  # two batches kept twice each, and a new one


def test_a_small_share_of_nothing_is_at_least_one_frame(
    bars_recipe: Recipe, bars_train: Dataset
) -> None:
    settings = ["augment={name='camera'}", "input.height=16", "input.width=16"]
    images = np.pad(bars_train.images, ((0, 0), (2, 2), (2, 2), (0, 0)))
    recipe = load_recipe(bars_recipe, [*settings, "data.nothing=0.01"])
    batches = make_batches(recipe, replace(bars_train, images=images))
    assert batches.empty == 1
    _, labels, sources = next(iter(batches.epoch(1)))
    assert labels.tolist().count(batches.classes.index("nothing")) == 1
    assert sources.tolist().index(-1) == labels.tolist().index(batches.classes.index("nothing"))


def test_there_are_a_thousand_frames_of_nothing_to_choose_thresholds_on(
    bars_recipe: Recipe, bars_train: Dataset
) -> None:
    settings = ["augment={name='camera'}", "input.height=16", "input.width=16"]
    images = np.pad(bars_train.images, ((0, 0), (2, 2), (2, 2), (0, 0)))[:7]
    held = replace(bars_train, images=images, labels=bars_train.labels[:7])
    recipe = load_recipe(bars_recipe, [*settings, "data.nothing=0.1"])
    batches = make_batches(recipe, held, "training.batch_size=4")
    again = make_batches(recipe, held, "training.batch_size=4")
    frames, repeated = batches.nothing_frames(held), again.nothing_frames(held)
    assert frames is not None
    assert repeated is not None
    assert frames.shape == (1000, 1, 16, 16)
    assert frames.dtype == torch.uint8
    assert len({frame.numpy().tobytes() for frame in frames}) > 990
    assert torch.equal(frames, repeated)


def test_sources_are_the_indices_of_the_clean_images(
    bars_recipe: Recipe, bars_train: Dataset
) -> None:
    for images, labels, sources in make_batches(bars_recipe, bars_train, "training.echo=2").epoch(
        1
    ):
        assert np.array_equal(images.numpy(), bars_train.channels_first()[sources])
        assert np.array_equal(labels.numpy(), bars_train.labels[sources])


@pytest.mark.usefixtures("three_threads")
def test_augmenting_in_a_second_thread_gives_the_same_batches(
    bars_recipe: Recipe, bars_train: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = make_batches(bars_recipe, bars_train, "augment.name=warp", "training.echo=2")
    threads = torch.get_num_threads()
    monkeypatch.setattr(Batches, "_overlaps", False)
    alone = contents(batches, 2)
    monkeypatch.setattr(Batches, "_overlaps", True)
    assert contents(batches, 2) == alone
    steps = batches.epoch(2)
    next(steps)
    steps.close()  # a training that stops in the middle of an epoch
    assert torch.get_num_threads() == threads


@pytest.mark.usefixtures("three_threads")
def test_an_error_in_the_second_thread_is_raised(
    bars_recipe: Recipe, bars_train: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = make_batches(bars_recipe, bars_train, "augment.name=warp")
    monkeypatch.setattr(Batches, "_overlaps", True)

    def fails(*_args: object) -> None:
        raise MemoryError("no room")

    monkeypatch.setattr(batches, "augmentation", fails)
    with pytest.raises(MemoryError, match="no room"):
        next(batches.epoch(1))

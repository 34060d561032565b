"""Batches: each image once an epoch, augmented, and as often again as asked."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from pocketlens.data import Dataset
from pocketlens.recipe import Recipe, load_recipe
from pocketlens.training import batches
from pocketlens.training.batches import Batches

CPU = torch.device("cpu")


def made(recipe: Recipe, data: Dataset, *settings: str) -> Batches:
    return Batches(load_recipe(recipe, ["training.batch_size=16", *settings]), data, CPU)


def names(found: Batches, epoch: int) -> list[bytes]:
    """What the epoch's batches hold, as something to compare."""
    return [images.numpy().tobytes() for images, _, _ in found.epoch(epoch)]


def test_each_image_comes_once_with_its_label(bars_recipe: Recipe, bars_train: Dataset) -> None:
    pairs = {
        image.tobytes(): label
        for image, label in zip(bars_train.channels_first(), bars_train.labels, strict=True)
    }
    found = made(bars_recipe, bars_train)
    steps = list(found.epoch(1))
    assert len(steps) == found.steps == len(bars_train) // 16
    seen = [
        (image.numpy().tobytes(), int(label))
        for images, labels, _ in steps
        for image, label in zip(images, labels, strict=True)
    ]
    assert all(pairs[image] == label for image, label in seen)
    most = Counter(image.tobytes() for image in bars_train.channels_first())
    assert all(count <= most[image] for image, count in Counter(i for i, _ in seen).items())


def test_an_epoch_has_its_own_order_and_repeats_it(
    bars_recipe: Recipe, bars_train: Dataset
) -> None:
    settings = ("augment.name=shift", "training.echo=2")
    found, again = (made(bars_recipe, bars_train, *settings) for _ in range(2))
    assert names(found, 1) == names(again, 1)
    assert names(found, 2) == names(again, 2) != names(again, 1)


@pytest.mark.parametrize("echo", [1, 2, 5])
def test_an_echo_gives_each_augmented_batch_so_often(
    bars_recipe: Recipe, bars_train: Dataset, echo: int
) -> None:
    found = made(bars_recipe, bars_train, "augment.name=shift", f"training.echo={echo}")
    seen = names(found, 3)
    assert len(seen) == found.steps == echo * (len(bars_train) // 16)
    assert set(Counter(seen).values()) == {echo}
    once = made(bars_recipe, bars_train, "augment.name=shift")
    assert set(names(once, 3)) == set(seen) if echo == 1 else len(seen) > len(set(seen))


def test_what_is_kept_for_later_is_bounded(
    bars_recipe: Recipe, bars_train: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = made(bars_recipe, bars_train, "training.echo=3")
    one = 16 * found.images[0].nbytes
    monkeypatch.setattr(batches, "KEPT_BYTES", 2 * one)
    seen = names(found, 1)
    open_ = most = 0
    for place, name in enumerate(seen):
        before, after = seen[:place].count(name), seen[place + 1 :].count(name)
        open_ += (before == 0) - (after == 0)
        most = max(most, open_)
    assert 2 <= most <= 5  # two batches, each to come twice, lie in at most four and a new one


def test_a_small_share_of_nothing_is_still_shown(bars_recipe: Recipe, bars_train: Dataset) -> None:
    settings = ["augment={name='camera'}", "input.height=16", "input.width=16"]
    images = np.pad(bars_train.images, ((0, 0), (2, 2), (2, 2), (0, 0)))
    recipe = load_recipe(bars_recipe, [*settings, "data.nothing=0.01"])
    found = made(recipe, replace(bars_train, images=images))
    assert found.empty == 1
    _, labels, sources = next(iter(found.epoch(1)))
    assert labels.tolist().count(found.classes.index("nothing")) == 1
    assert sources.tolist().index(-1) == labels.tolist().index(found.classes.index("nothing"))


def test_thresholds_are_chosen_on_a_thousand_frames_of_nothing(
    bars_recipe: Recipe, bars_train: Dataset
) -> None:
    settings = ["augment={name='camera'}", "input.height=16", "input.width=16"]
    images = np.pad(bars_train.images, ((0, 0), (2, 2), (2, 2), (0, 0)))[:7]
    held = replace(bars_train, images=images, labels=bars_train.labels[:7])
    recipe = load_recipe(bars_recipe, [*settings, "data.nothing=0.1"])
    found = made(recipe, held, "training.batch_size=4")
    frames = found.nothing(held)
    assert frames.shape == (1000, 1, 16, 16)
    assert frames.dtype == torch.uint8
    assert len(frames.unique(dim=0)) > 990
    assert torch.equal(frames, made(recipe, held, "training.batch_size=4").nothing(held))


def test_sources_say_what_each_frame_was_made_of(bars_recipe: Recipe, bars_train: Dataset) -> None:
    for images, labels, sources in made(bars_recipe, bars_train, "training.echo=2").epoch(1):
        assert np.array_equal(images.numpy(), bars_train.channels_first()[sources])
        assert np.array_equal(labels.numpy(), bars_train.labels[sources])


def test_augmenting_on_another_core_changes_nothing(
    bars_recipe: Recipe, bars_train: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = made(bars_recipe, bars_train, "augment.name=warp", "training.echo=2")
    threads = torch.get_num_threads()
    monkeypatch.setattr(Batches, "_overlaps", False)
    alone = names(found, 2)
    monkeypatch.setattr(Batches, "_overlaps", True)
    assert names(found, 2) == alone
    steps = found.epoch(2)
    next(steps)
    steps.close()  # type: ignore[attr-defined] # a training that stops half-way
    assert torch.get_num_threads() == threads


def test_what_goes_wrong_on_another_core_is_told(
    bars_recipe: Recipe, bars_train: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = made(bars_recipe, bars_train, "augment.name=warp")
    monkeypatch.setattr(Batches, "_overlaps", True)

    def fails(*_args: object) -> None:
        raise MemoryError("no room")

    monkeypatch.setattr(found, "augmentation", fails)
    with pytest.raises(MemoryError, match="no room"):
        next(found.epoch(1))

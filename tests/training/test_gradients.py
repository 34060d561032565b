"""The gradients of a batch that two threads divide."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from pocketlens import Dataset, Recipe, train
from pocketlens.callbacks import Callback
from pocketlens.history import Epoch
from pocketlens.recipe import load_recipe
from pocketlens.training.batches import Batch, Batches
from pocketlens.training.gradients import Gradients


@pytest.fixture
def other() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as executor:
        yield executor


@pytest.fixture
def divided(monkeypatch: pytest.MonkeyPatch, three_threads: None) -> None:
    """A second thread that computes the gradients of a third of each batch."""
    monkeypatch.setattr(Batches, "_overlaps", True)
    monkeypatch.setattr(Batches, "second_share", 0.34)


def plain_network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(144, 20), nn.Tanh(), nn.Linear(20, 4))


def random_batch(count: int = 60) -> Batch:
    random = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (count, 1, 12, 12), generator=random).to(torch.uint8)
    labels = torch.randint(0, 4, (count,), generator=random)
    return images, labels, torch.arange(count)


def gradients_of(network: nn.Module, recipe: Recipe) -> Gradients:
    return Gradients(
        network.train(),
        recipe.training,
        recipe.input,
        teacher=None,
        class_weights=None,
        bfloat16=False,
    )


def test_two_threads_compute_the_gradients_of_one(
    bars_recipe: Recipe, other: ThreadPoolExecutor
) -> None:
    network, batch = plain_network(), random_batch()
    gradients = gradients_of(network, bars_recipe)
    gradients.begin_epoch(divide=False)
    loss, correct = gradients.compute(batch, other, 0.34)
    expected = [parameter.grad for parameter in network.parameters()]
    gradients.begin_epoch(divide=True)
    divided_loss, divided_correct = gradients.compute(batch, other, 0.34)
    assert gradients.second is not None
    for parameter, grad in zip(network.parameters(), expected, strict=True):
        assert parameter.grad is not grad
        torch.testing.assert_close(parameter.grad, grad)
    torch.testing.assert_close(divided_loss, loss)
    assert int(divided_correct) == int(correct)


def test_both_parts_have_images_of_the_whole_batch(
    bars_recipe: Recipe, other: ThreadPoolExecutor
) -> None:
    seen: list[Tensor] = []

    class Records(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = plain_network()

        def forward(self, x: Tensor) -> Tensor:
            if len(x) > 2:  # not the trial
                seen.append(x[:, 0, 0, 0] * 255)
            return self.network(x)  # type: ignore[no-any-return]

    images, labels, sources = random_batch(100)
    images[:, 0, 0, 0] = torch.arange(100)
    gradients = gradients_of(Records(), bars_recipe)
    gradients.begin_epoch(divide=True)
    gradients.compute((images, labels, sources), other, 0.34)
    assert sorted(len(part) for part in seen) == [34, 66]
    assert sorted(torch.cat(seen).round().int().tolist()) == list(range(100))
    for part in seen:  # frames of `nothing` are the last ones of a batch
        assert float(part.max()) > 95


@pytest.mark.parametrize(
    ("network", "count"),
    [
        (nn.Sequential(plain_network(), nn.Dropout(0.5)), 60),  # draws random numbers
        (plain_network(), 44),  # 15 images are too few for batch normalization
    ],
    ids=["dropout", "small batch"],
)
def test_what_stays_on_one_thread(
    bars_recipe: Recipe, other: ThreadPoolExecutor, network: nn.Module, count: int
) -> None:
    sizes: list[int] = []
    gradients = gradients_of(network, bars_recipe)
    state = torch.get_rng_state()
    gradients.begin_epoch(divide=True)
    assert torch.equal(torch.get_rng_state(), state)
    inner = gradients._part

    def recorded(network: nn.Module, images: Tensor, *rest: Tensor) -> object:
        sizes.append(len(images))
        return inner(network, images, *rest)

    gradients._part = recorded  # type: ignore[method-assign, assignment]
    gradients.compute(random_batch(count), other, 0.34)
    assert sizes == [count]


def test_parameters_without_an_effect_get_no_gradient(bars_recipe: Recipe) -> None:
    class Unused(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.unused = plain_network(), nn.Linear(3, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.used(x)  # type: ignore[no-any-return]

    network = Unused()
    gradients = gradients_of(network, bars_recipe)
    gradients.begin_epoch(divide=False)
    gradients.compute(random_batch(), None, 0)
    assert network.unused.weight.grad is None
    assert all(parameter.grad is not None for parameter in network.used.parameters())


@pytest.mark.usefixtures("divided")
def test_a_divided_training_repeats_and_resumes_to_the_bit(
    bars_recipe: Recipe, bars_train: Dataset, tmp_path: Path
) -> None:
    settings = ["training.batch_size=60", "training.epochs=2", "augment.name=warp"]
    recipe = load_recipe(bars_recipe, settings)
    expected = train(recipe, bars_train).recognizer.network.state_dict()

    class Stops(Callback):
        def epoch(self, row: Epoch) -> None:
            raise KeyboardInterrupt

    train(recipe, bars_train, folder=tmp_path, callbacks=[Stops()])
    resumed = train(recipe, bars_train, folder=tmp_path, resume=True)
    assert len(resumed.history) == 2
    for name, tensor in resumed.recognizer.network.state_dict().items():
        assert torch.equal(tensor, expected[name]), name


@pytest.mark.usefixtures("divided")
def test_an_error_in_the_second_thread_ends_the_training(
    bars_recipe: Recipe, bars_train: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = Gradients._part

    def fails(this: Gradients, network: nn.Module, *batch: Tensor) -> object:
        if network is this.second:
            raise MemoryError("no room")
        return inner(this, network, *batch)

    monkeypatch.setattr(Gradients, "_part", fails)
    recipe = load_recipe(bars_recipe, ["training.batch_size=60", "augment.name=warp"])
    with pytest.raises(MemoryError, match="no room"):
        train(recipe, bars_train)


def test_the_second_thread_gets_less_of_a_batch_if_it_augments_more(
    bars_recipe: Recipe, bars_train: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    def share(threads: int, echo: int = 1) -> float:
        recipe = load_recipe(bars_recipe, ["augment.name=warp", f"training.echo={echo}"])
        batches = Batches(recipe, bars_train, torch.device("cpu"))
        batches.threads = threads
        return batches.second_share

    monkeypatch.setattr(Batches, "_overlaps", True)
    assert share(2) == pytest.approx(0.325)
    assert share(4) == pytest.approx(0.325)
    assert 0 < share(3) < share(2) < share(2, echo=2) < 0.5
    monkeypatch.setattr(Batches, "_overlaps", False)
    assert share(2) == 0

"""A network of the caller's own: it is checked, trained, saved, converted and evaluated."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pocketlens.callbacks import Callback
from pocketlens.conversion import convert
from pocketlens.coreml import load
from pocketlens.data import Dataset
from pocketlens.errors import OptionError, RunError
from pocketlens.evaluation.accuracy import evaluate
from pocketlens.evaluation.parity import verify
from pocketlens.history import Epoch
from pocketlens.recipe import Recipe, load_recipe
from pocketlens.recognizer import Recognizer
from pocketlens.training import train


class OwnNetwork(nn.Module):
    """A small network with batch norm and dropout, whose last layer is not called `head`."""

    def __init__(self, width: int = 8, classes: int = 3) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, width, 3, stride=2, padding=1),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Dropout(0.1),
            nn.Flatten(),
        )
        self.last = nn.Linear(width * 6 * 6, classes)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.last(self.body(x))
        return logits


def own_network(width: int = 8, classes: int = 3) -> OwnNetwork:
    torch.manual_seed(1)
    return OwnNetwork(width, classes)


def weights(recognizer: Recognizer) -> dict[str, Tensor]:
    return dict(recognizer.network.state_dict())


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return all(torch.equal(a[name], b[name]) for name in a | b)


def test_it_learns_is_repeatable_and_the_original_does_not_change(
    bars_recipe: Recipe, bars_train: Dataset, bars_test: Dataset
) -> None:
    network = own_network().train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    training = train(bars_recipe, bars_train, network=network)
    recognizer = training.recognizer
    assert isinstance(recognizer.network, OwnNetwork)
    assert recognizer.choice is None
    assert same(network.state_dict(), before)
    assert network.training
    assert evaluate(recognizer, bars_test).accuracy > 0.95
    assert recognizer.predict(bars_test.images[0]).label == bars_test.classes[bars_test.labels[0]]
    again = train(bars_recipe, bars_train, network=own_network())
    assert same(weights(recognizer), weights(again.recognizer))


def test_it_starts_from_the_weights_of_the_module(bars_recipe: Recipe, bars_train: Dataset) -> None:
    settings = ["training.learning_rate=1e-8", "training.weight_decay=0", "training.epochs=1"]
    network = own_network()
    training = train(load_recipe(bars_recipe, settings), bars_train, network=network)
    for name, parameter in training.recognizer.network.named_parameters():
        torch.testing.assert_close(parameter, network.get_parameter(name), rtol=0, atol=1e-5)


def test_it_resumes_to_the_same_weights(
    bars_recipe: Recipe, bars_train: Dataset, tmp_path: Path
) -> None:
    class Stop(Callback):
        def epoch(self, epoch: Epoch) -> None:
            raise KeyboardInterrupt

    full = train(bars_recipe, bars_train, network=own_network())
    network, stop = own_network(), Stop()
    part = train(bars_recipe, bars_train, folder=tmp_path, network=network, callbacks=[stop])
    assert (part.interrupted, len(part.history)) == (True, 1)
    with pytest.raises(RunError, match=r"does not fit the network 'strided': .* the same network"):
        train(bars_recipe, bars_train, folder=tmp_path, resume=True)
    rest = train(bars_recipe, bars_train, folder=tmp_path, network=own_network(), resume=True)
    assert same(weights(rest.recognizer), weights(full.recognizer))


def test_it_converts_to_core_ml(
    bars_recipe: Recipe, bars_train: Dataset, bars_test: Dataset, tmp_path: Path
) -> None:
    recognizer = train(bars_recipe, bars_train, network=own_network()).recognizer
    model = load(convert(recognizer, tmp_path / "Own.mlpackage"))
    assert model.classes == bars_train.classes
    assert verify(recognizer, model, bars_test).passed


def test_its_weights_are_saved_and_loaded_into_a_module(
    bars_recipe: Recipe, bars_train: Dataset, bars_test: Dataset, tmp_path: Path
) -> None:
    recognizer = train(bars_recipe, bars_train, network=own_network()).recognizer
    file = recognizer.save(tmp_path / "weights.safetensors")
    module = OwnNetwork()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    loaded = Recognizer.load(tmp_path, network=module)
    assert same(module.state_dict(), before)
    assert loaded.choice is None
    assert (loaded.temperature, loaded.thresholds) == (
        recognizer.temperature,
        recognizer.thresholds,
    )
    expected = recognizer.probabilities(bars_test.images)
    assert np.array_equal(loaded.probabilities(bars_test.images), expected)

    with pytest.raises(OptionError) as caught:
        Recognizer.load(file)
    assert str(caught.value).startswith(f"{file} contains the weights of ")
    assert str(caught.value).endswith(
        "OwnNetwork, a module that was passed to train(network=...), but not its code; received: "
        f"no network; pass the module too: Recognizer.load({str(file)!r}, "
        "network=OwnNetwork(...))"
    )
    with pytest.raises(OptionError, match=r"received: <class '.*OwnNetwork'>; pass the module too"):
        Recognizer.load(file, network=OwnNetwork)  # type: ignore[arg-type] # the error
    with pytest.raises(RunError, match=r"weights in .* do not fit the network OwnNetwork: .*size"):
        Recognizer.load(file, network=OwnNetwork(width=4))


def test_a_file_of_a_recipes_network_takes_no_module(
    bars_recipe: Recipe, bars_train: Dataset, tmp_path: Path
) -> None:
    once = load_recipe(bars_recipe, ["training.epochs=1"])
    file = train(once, bars_train).recognizer.save(tmp_path / "weights.safetensors")
    with pytest.raises(OptionError, match=r"contains the network 'strided' of a recipe, which nee"):
        Recognizer.load(file, network=OwnNetwork())


def test_tensors_that_share_memory_are_saved(
    bars_recipe: Recipe, bars_train: Dataset, tmp_path: Path
) -> None:
    class Tied(OwnNetwork):
        def __init__(self) -> None:
            super().__init__()
            self.again = self.last

    once = load_recipe(bars_recipe, ["training.epochs=1"])
    recognizer = train(once, bars_train, network=Tied()).recognizer
    recognizer.save(tmp_path / "weights.safetensors")
    loaded = Recognizer.load(tmp_path, network=Tied())
    assert same(weights(loaded), weights(recognizer))


class TwoResults(OwnNetwork):
    """Returns a second result while it trains, as networks with an auxiliary head do."""

    def forward(self, x: Tensor) -> Tensor:
        logits = super().forward(x)
        # Two results, against the annotation: that is the error.
        return (logits, logits) if self.training else logits  # type: ignore[return-value]


class Uncopied(OwnNetwork):
    def __deepcopy__(self, memo: object) -> OwnNetwork:
        raise TypeError("cannot pickle this")


class Extra(OwnNetwork):
    def get_extra_state(self) -> object:
        return {"version": 3}

    def set_extra_state(self, state: object) -> None:
        raise NotImplementedError


def frozen() -> nn.Module:
    return own_network().requires_grad_(False)


def not_finite() -> nn.Module:
    network = own_network()
    nn.init.constant_(network.last.weight, float("nan"))
    return network


LOGITS = r"for a batch of 30 images in {} mode; expected logits \(30, 3\), one per class: "


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (OwnNetwork, r"must be a torch\.nn\.Module object, .*received: the class OwnNetwork"),
        ("strided", r"must be a torch\.nn\.Module object, .*received: 'strided'"),
        (frozen(), r"OwnNetwork has no parameters to train; expected .* requires_grad is True"),
        (nn.Flatten(), r"Flatten has no parameters to train"),
        (Uncopied(), r"Uncopied cannot be copied: TypeError: cannot pickle this; pass a network"),
        (
            nn.Conv2d(3, 3, 3),
            r"Conv2d cannot process a batch \(N, C, H, W\) of shape \(30, 1, 12, 12\), float32, in "
            r"evaluation mode: RuntimeError: .*; change the network or the \[input\] of the recipe",
        ),
        (
            own_network().double(),
            r"OwnNetwork cannot process a batch .*float32, in evaluation mode",
        ),
        (
            own_network(classes=4),
            r"OwnNetwork returns \(30, 4\) "
            + LOGITS.format("evaluation")
            + "stands, lies, slants; change its last layer",
        ),
        (nn.Conv2d(1, 3, 3), r"returns \(30, 3, 10, 10\) " + LOGITS.format("evaluation")),
        (nn.LSTM(12, 3), r"LSTM cannot process a batch"),
        (TwoResults(), r"TwoResults returns tuple " + LOGITS.format("training")),
        (not_finite(), r"OwnNetwork returns values that are not finite in evaluation mode; check"),
        (
            Extra(),
            r"state of the network Extra has a dict at '_extra_state'; expected tensors only",
        ),
        (
            nn.Sequential(own_network(), nn.Softmax(1)),
            r"Sequential returns probabilities \(they sum to 1 for every image\); expected logits: "
            "remove the softmax",
        ),
    ],
    ids=lambda value: value[:12] if isinstance(value, str) else type(value).__name__,
)
def test_unsuitable_networks_are_rejected(
    bars_recipe: Recipe, bars_train: Dataset, tmp_path: Path, network: nn.Module, message: str
) -> None:
    with pytest.raises(OptionError, match=message) as caught:
        train(bars_recipe, bars_train, network=network, folder=tmp_path)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("training.teacher=1", r"last layer is an nn\.Linear called 'head'; OwnNetwork has none"),
        (
            "training.start=runs/a",
            r"training\.start cannot be combined with network=; received: 'r",
        ),
    ],
)
def test_options_that_do_not_go_with_a_network(
    bars_recipe: Recipe, bars_train: Dataset, setting: str, message: str
) -> None:
    with pytest.raises(OptionError, match=message):
        train(load_recipe(bars_recipe, [setting]), bars_train, network=own_network())


def test_a_network_with_a_head_can_have_a_teacher(
    bars_recipe: Recipe, bars_train: Dataset, bars_test: Dataset
) -> None:
    class WithHead(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Conv2d(1, 8, 3, stride=2), nn.ReLU(), nn.Flatten())
            self.head = nn.Linear(8 * 5 * 5, 3)

        def forward(self, x: Tensor) -> Tensor:
            logits: Tensor = self.head(self.body(x))
            return logits

    torch.manual_seed(0)
    recipe = load_recipe(bars_recipe, ["training.teacher=1"])
    recognizer = train(recipe, bars_train, network=WithHead()).recognizer
    assert evaluate(recognizer, bars_test).accuracy > 0.9


def test_lazy_layers_get_their_shapes(bars_recipe: Recipe, bars_train: Dataset) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(3))
    once = load_recipe(bars_recipe, ["training.epochs=1"])
    recognizer = train(once, bars_train, network=network).recognizer
    last = recognizer.network.get_submodule("3")
    assert isinstance(last, nn.Linear)
    assert last.in_features == 4 * 10 * 10


def test_the_trial_batch_does_not_change_the_statistics(
    bars_recipe: Recipe, bars_train: Dataset
) -> None:
    class Stop(Callback):
        def step(self, step: object) -> None:
            raise KeyboardInterrupt

    network = own_network()
    one = load_recipe(bars_recipe, ["training.batch_size=480", "training.epochs=1"])
    training = train(one, bars_train, network=network, callbacks=[Stop()])
    norm = training.recognizer.network.get_submodule("body.1")
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.num_batches_tracked is not None
    assert int(norm.num_batches_tracked) == 1

"""Features of a frozen backbone: ONNX Runtime where it agrees, the cache, another backbone."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pocketlens.callbacks import Callback
from pocketlens.image import InputSpec
from pocketlens.networks.backbone import Backbone
from pocketlens.registry import BACKBONES
from pocketlens.training import feature_cache
from pocketlens.training.features import BATCH, Embedder

SPEC = InputSpec(8, 8, "bgr", scale=(0.01, 0.02, 0.03), bias=(-1, 0, 1))


class Means(nn.Module):
    """The mean of each channel, times a weight."""

    def __init__(self, input_spec: InputSpec) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1, input_spec.channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:  # (N, 3, H, W) -> (N, 3, H, W)
        return x * self.weight


class InOneBatch(Means):
    """The number of images is a constant of the exported graph."""

    def forward(self, x: Tensor) -> Tensor:
        return (x * self.weight).reshape(len(x), 3, 8, 8)


class NotExportable(Means):
    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = torch.special.bessel_j0(x * self.weight)
        return found


class Different(Means):
    """Not the same when it is exported."""

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight * (2 if torch.onnx.is_in_onnx_export() else 1)


class Notes(Callback):
    def __init__(self) -> None:
        self.notes: list[str] = []
        self.computed = 0

    def note(self, text: str) -> None:
        self.notes.append(text)

    def features(self, done: int, total: int, images_per_second: float) -> None:
        self.computed = done


@pytest.fixture(autouse=True)
def backbones(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = {kind.__name__: kind for kind in (Means, InOneBatch, NotExportable, Different)}
    monkeypatch.setattr(type(BACKBONES), "names", lambda _: sorted(found))
    monkeypatch.setattr(type(BACKBONES), "find", lambda _, name: found[name])
    monkeypatch.setenv("POCKETLENS_CACHE", str(tmp_path))


def images(count: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)


def means(pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    found: NDArray[np.float32] = SPEC.network_input(pictures).mean((2, 3))
    return found


def embed(name: str, pictures: NDArray[np.uint8]) -> tuple[NDArray[np.float32], Notes]:
    notes = Notes()
    network = Backbone(SPEC, 2, backbone=name)
    return Embedder(network, SPEC, [notes])(pictures), notes


def test_features_of_any_number_of_images() -> None:
    for count in (1, 2, BATCH + 1):
        found, notes = embed("Means", images(count))
        assert notes.notes == []
        np.testing.assert_allclose(found, means(images(count)), atol=1e-5)
    assert embed("Means", images(0))[0].shape == (0, 3)


@pytest.mark.parametrize(
    ("name", "reason"),
    [("NotExportable", "UnsupportedOperatorError: .*bessel"), ("Different", "its features differ")],
)
def test_pytorch_computes_what_onnx_runtime_cannot(name: str, reason: str) -> None:
    found, notes = embed(name, images(BATCH + 2))
    assert len(notes.notes) == 1
    expected = "the backbone runs in PyTorch, not in the faster ONNX Runtime, because " + reason
    assert re.match(expected, notes.notes[0])
    planes = torch.from_numpy(SPEC.network_input(images(BATCH + 2)))
    wanted = torch.special.bessel_j0(planes) if name == "NotExportable" else planes
    np.testing.assert_allclose(found, wanted.mean((2, 3)), atol=1e-5)


def test_a_graph_for_one_number_of_images_is_not_used() -> None:
    found, notes = embed("InOneBatch", images(BATCH + 3))
    np.testing.assert_allclose(found, means(images(BATCH + 3)), atol=1e-5)
    assert len(notes.notes) <= 1


def test_only_what_is_new_is_computed() -> None:
    pictures = images(10)
    assert embed("Means", pictures[:6])[1].computed == 6
    found, notes = embed("Means", pictures)
    assert notes.computed == 4
    np.testing.assert_allclose(found, means(pictures), atol=1e-5)


def test_other_weights_and_other_inputs_are_other_features() -> None:
    network = Backbone(SPEC, 2, backbone="Means")
    first = Embedder(network, SPEC)
    assert Embedder(Backbone(SPEC, 2, backbone="Means"), SPEC).identity == first.identity
    others = [Embedder(Backbone(SPEC, 2, backbone="InOneBatch"), SPEC).identity]
    changes: list[dict[str, object]] = [{"bias": [0, 0, 0]}, {"color": "rgb"}, {"height": 9}]
    others += [Embedder(network, SPEC.with_values(**change)).identity for change in changes]
    network.backbone.options = {"config": "{}"}  # type: ignore[assignment]
    others.append(Embedder(network, SPEC).identity)
    with torch.no_grad():
        next(network.backbone.parameters()).fill_(2)
    others.append(Embedder(network, SPEC).identity)
    assert len({first.identity, *others}) == 1 + len(others)


def test_a_cache_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / feature_cache.NAME).mkdir()
    found, notes = embed("Means", images(3))
    assert len(notes.notes) == 1
    assert notes.notes[0].startswith("features are not stored for the next run, because")
    np.testing.assert_allclose(found, means(images(3)), atol=1e-5)

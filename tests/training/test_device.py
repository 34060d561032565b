"""The choice of a device, and of bfloat16."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pocketlens.errors import TrainingError
from pocketlens.training.device import choose_device, use_bfloat16

CPU = torch.device("cpu")
BLANK = torch.zeros(1, 1, 16, 16)


def strided(stride: int = 2, padding: int = 1, kernel: int = 3) -> nn.Sequential:
    network = nn.Sequential(nn.Conv2d(1, 4, kernel, stride, padding), nn.ReLU())
    network.train()
    return network


def test_an_explicit_precision_is_used() -> None:
    assert use_bfloat16("bfloat16", CPU, strided(), BLANK)
    assert not use_bfloat16("float32", CPU, strided(), BLANK)


@pytest.mark.parametrize(
    ("amx", "avx512", "expected"),
    [(True, False, True), (False, True, True), (False, False, False)],
)
def test_auto_uses_bfloat16_where_the_cpu_multiplies_it(
    amx: bool, avx512: bool, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512)
    assert use_bfloat16("auto", CPU, strided(), BLANK) is expected
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
def test_bfloat16_is_not_used_if_gradients_would_be_wrong(
    network: nn.Sequential, width: int, narrow: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True)
    image = torch.zeros(1, 1, 8, width)
    assert use_bfloat16("auto", CPU, network, image) is not narrow
    if narrow:
        with pytest.raises(TrainingError, match=r"for a convolution .* wide; use --set training"):
            use_bfloat16("bfloat16", CPU, network, image)
    assert network.training
    assert not network[0]._forward_hooks


@pytest.mark.parametrize("width", [3, 4, 5, 12])
def test_gradients_in_bfloat16_are_correct_where_it_is_used(width: int) -> None:
    torch.manual_seed(0)
    for before, after in ((16, 32), (32, 64)):
        layer = nn.Conv2d(before, after, 3, 2, 1)
        # PyTorch's annotations lack this overload.
        layer.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        images = torch.randn(64, before, 9, width).to(memory_format=torch.channels_last)
        assert use_bfloat16("bfloat16", CPU, layer, images[:1])
        gradients = []
        for enabled in (False, True):
            layer.zero_grad()
            with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
                out = layer(images)
            torch.autograd.backward((out.float() ** 2).mean())
            assert layer.weight.grad is not None
            gradients.append(layer.weight.grad.clone())
        exact, rough = gradients
        assert (rough - exact).abs().max() < 0.05 * exact.abs().max()


def test_auto_prefers_cuda_then_mps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert choose_device("auto").type == "mps"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device("auto").type == "cuda"

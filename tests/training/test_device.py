"""Devices, and where bfloat16 is used."""

from __future__ import annotations

import pytest
import torch

from pocketlens.training.device import choose_device, use_bfloat16

CPU = torch.device("cpu")


def test_a_named_precision_is_used_as_it_is() -> None:
    assert use_bfloat16("bfloat16", CPU)
    assert not use_bfloat16("float32", CPU)


@pytest.mark.parametrize("there", [True, False])
def test_auto_uses_bfloat16_where_there_are_matrix_units(
    there: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: there)
    assert use_bfloat16("auto", CPU) is there
    assert not use_bfloat16("auto", torch.device("mps"))


def test_auto_takes_the_best_device_that_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert choose_device("auto").type == "mps"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device("auto").type == "cuda"

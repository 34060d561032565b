"""Schedules and optimizers, compared with those of PyTorch."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pocketlens.recipe import load_recipe
from pocketlens.training.schedule import SCHEDULES, make_optimizer
from pocketlens.training.temperature import fit_temperature


def test_one_cycle_matches_pytorch() -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2.0, total_steps=1001)
    for step in range(1001):
        ours = 2.0 * SCHEDULES["one-cycle"](step / 1000)
        # PyTorch's warm-up ends one step earlier than 30 % of the steps.
        assert ours == pytest.approx(theirs.get_last_lr()[0], rel=0.02, abs=1e-5)
        optimizer.step()
        theirs.step()


def test_constant_is_always_one() -> None:
    assert [SCHEDULES["constant"](x) for x in (0, 0.5, 1)] == [1, 1, 1]


@pytest.mark.parametrize("name", ["adamw", "muon", "sgd", "adadelta"])
def test_vectors_get_no_weight_decay(name: str) -> None:
    settings = [f"training.optimizer={name}", "training.weight_decay=0.1"]
    options = load_recipe("quick", settings).training
    matrices, vectors = make_optimizer(options, nn.Linear(3, 2)).param_groups
    assert (matrices["weight_decay"], len(matrices["params"])) == (0.1, 1)
    assert (vectors["weight_decay"], len(vectors["params"])) == (0.0, 1)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_a_known_temperature_is_recovered(temperature: float) -> None:
    random = torch.Generator().manual_seed(0)
    logits = torch.randn(40_000, 5, generator=random) * 2
    labels = torch.multinomial(logits.softmax(1), 1, generator=random)[:, 0]
    assert fit_temperature(logits * temperature, labels) == pytest.approx(temperature, rel=0.03)

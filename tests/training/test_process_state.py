"""Training leaves the state of the process as it was."""

from __future__ import annotations

import os
import random
import signal
import threading
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pocketlens.data import Dataset
from pocketlens.recipe import Recipe, load_recipe
from pocketlens.training import train
from pocketlens.training.batches import Batches
from pocketlens.training.random_state import restored_random_state, seed_generators


def process_state() -> dict[str, Any]:
    """Everything global that a training could change, in a form that can be compared."""
    return {
        "threads": torch.get_num_threads(),
        "threads between ops": torch.get_num_interop_threads(),
        "running threads": threading.active_count(),
        "dtype": torch.get_default_dtype(),
        "device": torch.get_default_device(),
        "gradients": torch.is_grad_enabled(),
        "inference": torch.is_inference_mode_enabled(),
        "anomalies": torch.is_anomaly_enabled(),
        "autocast": torch.is_autocast_enabled("cpu"),
        "autocast type": torch.get_autocast_dtype("cpu"),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "matmul": torch.get_float32_matmul_precision(),
        "cudnn": (torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic),
        "mkldnn": torch.backends.mkldnn.enabled,
        "torch generator": torch.get_rng_state().numpy().tobytes(),
        "numpy generator": repr(np.random.get_state(legacy=False)),
        "python generator": random.getstate(),
        "numpy errors": np.geterr(),
        "signals": {each: signal.getsignal(each) for each in signal.valid_signals()},
        "warnings": list(warnings.filters),
        "environment": dict(os.environ),
        "folder": Path.cwd(),
    }


SETTINGS = [
    [],
    ["training.optimizer=muon", "training.teacher=1", "augment.name=shift"],
    ["training.precision=bfloat16", "network={name='classic'}"],  # has dropout
    ["augment.name=warp", "training.echo=2"],
]


@pytest.mark.usefixtures("three_threads")
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_train_leaves_the_process_as_it_was(
    bars_recipe: Recipe,
    bars_train: Dataset,
    settings: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Batches, "_overlaps", True)
    recipe = load_recipe(bars_recipe, [*settings, "training.epochs=1"])
    train(recipe, bars_train)  # imports may change the state, the first time
    torch.manual_seed(11)
    before = process_state()
    train(recipe, bars_train)
    assert process_state() == before


def test_the_generators_are_restored_after_an_error() -> None:
    torch.manual_seed(11)
    before = process_state()
    with pytest.raises(RuntimeError, match="stop"), restored_random_state(torch.device("cpu")):
        seed_generators(0, torch.device("cpu"))
        raise RuntimeError("stop")
    assert process_state() == before


def test_seeds_are_those_of_torch_manual_seed() -> None:
    with restored_random_state(torch.device("cpu")):
        seed_generators(5, torch.device("cpu"))
        drawn = torch.rand(3)
        torch.manual_seed(5)
        assert torch.equal(torch.rand(3), drawn)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_generator_of_the_gpu_is_restored(bars_recipe: Recipe, bars_train: Dataset) -> None:
    torch.cuda.manual_seed(3)
    before = torch.cuda.get_rng_state()
    train(load_recipe(bars_recipe, ["training.device=cuda"]), bars_train)
    assert torch.equal(torch.cuda.get_rng_state(), before)

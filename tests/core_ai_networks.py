"""A small network as a Core AI model, for tests of several packages."""

from __future__ import annotations

import importlib.util

import pytest
import torch
from torch import nn

from pocketlens.image import InputSpec

__all__ = ["LABELS", "SPEC", "classifier", "needs_core_ai"]

needs_core_ai = pytest.mark.skipif(
    importlib.util.find_spec("coreai_torch") is None, reason="the extra coreai is not installed"
)

LABELS = ("cat", "dog", "nothing")
SPEC = InputSpec(10, 12, "bgr", (1 / 127.5, 1 / 100, 1 / 90), (-1.0, -0.9, -0.8), "fit", "light")


def classifier() -> nn.Module:
    """From planes `(N, 3, 10, 12)` to logits `(N, 3)`, with an adaptive pool of odd windows."""
    torch.manual_seed(0)
    return nn.Sequential(
        *(nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.AdaptiveMaxPool2d((5, 4))),
        *(nn.AdaptiveAvgPool2d((3, 3)), nn.Flatten(), nn.Linear(144, 40), nn.ReLU()),
        nn.Linear(40, 3),
    ).eval()

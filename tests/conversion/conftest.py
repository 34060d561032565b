"""Small untrained networks with varied outputs, as recognizers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from pocketlens.image import InputSpec
from pocketlens.recipe import Choice
from pocketlens.recognizer import Recognizer

CLASSES = ("cat", "dog", 'it\'s "quoted"', "naïve café", "☃ 🙂")


def small_network(channels: int, classes: int = 5, size: int = 12) -> nn.Sequential:
    """Conv, batch norm with random statistics, pool, linear; no class wins for all images."""
    torch.manual_seed(3)
    network = nn.Sequential(
        nn.Conv2d(channels, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(8 * (size // 2) ** 2, classes),
    )
    norm, last = network[1], network[5]
    assert isinstance(norm, nn.BatchNorm2d)
    assert isinstance(last, nn.Linear)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    norm.running_mean.normal_(std=0.2)
    norm.running_var.uniform_(0.5, 1.5)
    with torch.no_grad():
        last.weight.mul_(3)
    return network.eval()


def recognizer(spec: InputSpec, temperature: float = 1.0) -> Recognizer:
    network = small_network(spec.channels, len(CLASSES), spec.height)
    return Recognizer(network, Choice("strided"), CLASSES, spec, temperature=temperature)


@pytest.fixture(scope="session")
def make_network() -> Callable[..., nn.Sequential]:
    return small_network


@pytest.fixture(scope="session")
def make_recognizer() -> Callable[..., Recognizer]:
    return recognizer


@pytest.fixture(scope="session")
def noise() -> Callable[[InputSpec], NDArray[np.uint8]]:
    """Returns 96 images of noise with different contrasts that fit an InputSpec."""

    def images(spec: InputSpec) -> NDArray[np.uint8]:
        random = np.random.default_rng(5)
        contrast = random.uniform(0.2, 1, (96, 1, 1, 1))
        return (random.integers(0, 256, (96, *spec.shape)) * contrast).astype(np.uint8)

    return images


@pytest.fixture
def gray_recognizer() -> Recognizer:
    return recognizer(InputSpec(12, 12))

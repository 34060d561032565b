"""Optimizers and learning-rate schedules, by their names in a recipe."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import nn

from pocketlens.recipe import TrainingOptions
from pocketlens.training.muon import Muon

__all__ = ["SCHEDULES", "make_optimizer"]


def one_cycle(progress: float) -> float:
    """The learning rate as a share of its peak, at `progress` of the training in [0, 1].

    It rises from 1/25 to 1 in the first 30 %, then falls to 1/250,000, both along half a cosine.
    Source: Smith and Topin, "Super-Convergence", 2018 (arXiv 1708.07120); the numbers are those of
    PyTorch's `OneCycleLR`.
    """
    start, end, warmup = 1 / 25, 1 / 250_000, 0.3
    if progress < warmup:
        low, high, share = start, 1.0, progress / warmup
    else:
        low, high, share = 1.0, end, (progress - warmup) / (1 - warmup)
    return low + (high - low) * (1 - math.cos(math.pi * share)) / 2


def constant(_progress: float) -> float:
    """Always 1: the full learning rate."""
    return 1.0


SCHEDULES: dict[str, Callable[[float], float]] = {"one-cycle": one_cycle, "constant": constant}
"""Functions from progress in [0, 1] to a share of the learning rate, by name."""


def make_optimizer(options: TrainingOptions, network: nn.Module) -> torch.optim.Optimizer | Muon:
    """The optimizer of a recipe; biases and normalization layers get no weight decay."""
    matrices = [p for p in network.parameters() if p.ndim > 1]
    vectors = [p for p in network.parameters() if p.ndim <= 1]
    groups = [
        {"params": matrices, "weight_decay": options.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    rate = options.learning_rate
    if options.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=rate, fused=True)
    if options.optimizer == "muon":
        return Muon(groups, lr=rate)
    if options.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=rate, momentum=0.9, nesterov=True, fused=True)
    return torch.optim.Adadelta(groups, lr=rate, foreach=True)

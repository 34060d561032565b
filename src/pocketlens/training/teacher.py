"""The teacher: a small network, trained on clean images, whose features are a training target."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from pocketlens import networks
from pocketlens.data import Dataset
from pocketlens.image import InputSpec
from pocketlens.recipe import Choice, DataOptions, Recipe, TrainingOptions
from pocketlens.recognizer import planes

__all__ = ["Teacher", "head_inputs", "shrink", "teacher_recipe"]

LARGEST, LEAST = 32, 10
"""Images are halved while a side is longer than `LARGEST`, if none gets shorter than `LEAST`."""

BATCH = 1000


class Teacher(nn.Module):
    """Features of a small network for the clean images, and a loss for reproducing them.

    The label of a frame says which digit it shows, but not how that digit is written: whether a 1
    has a foot, a 2 has a loop, how open a 4 is. The features of the teacher, the inputs of its last
    layer, contain that. The network in training ("student") learns to find in an augmented frame
    the features that the teacher found in the clean image: a linear layer on the student's features
    must point in the direction of the teacher's.

    Sources: distillation, Hinton et al., 2015 (arXiv 1503.02531); of features, Romero et al.,
    "FitNets", 2014 (arXiv 1412.6550).

    Args:
        recipe: The recipe of the teacher, from `teacher_recipe`.
        classes: Number of classes of the images.
        student: The network in training; its last layer is called `head`.

    Attributes:
        features: `(N, F)` float16, centered features of all clean images; empty until
            `compute_features` is called.
    """

    features: Tensor

    def __init__(self, recipe: Recipe, classes: int, student: nn.Module) -> None:
        super().__init__()
        self.input_spec = recipe.input
        self.network = networks.build(recipe.network, recipe.input, classes)
        self.projection = nn.Linear(_head(student).in_features, _head(self.network).in_features)
        self.register_buffer("features", torch.empty(0), persistent=False)

    @torch.no_grad()
    def compute_features(self, images: NDArray[np.uint8]) -> None:
        """Compute `features` of all clean images, `(N, H, W, C)` uint8 in the teacher's size."""
        self.network.eval()
        batches = []
        for start in range(0, len(images), BATCH):
            batch = torch.from_numpy(images[start : start + BATCH]).permute(0, 3, 1, 2)
            with head_inputs(self.network) as inputs:
                self.network(planes(batch.to(self.projection.weight.device), self.input_spec))
            batches.append(inputs[0].half())
        features = torch.cat(batches)
        self.features = features - features.mean(0, dtype=torch.float32).half()

    def loss(self, features: Tensor, sources: Tensor) -> Tensor:
        """The mean of 1 - cosine between projected features and those of the teacher, in [0, 2].

        Args:
            features: `(N, F)`, features of the student.
            sources: `(N,)` int64, index of the clean image that each frame was made from; -1 for
                frames of the class `nothing`, which do not count.
        """
        known = (sources >= 0).nonzero()[:, 0]
        projected = self.projection(features[known].float())
        return (1 - F.cosine_similarity(projected, self.features[sources[known]].float())).mean()


def teacher_recipe(recipe: Recipe) -> Recipe:
    """The recipe of the teacher: one epoch of a small strided network on the clean images."""
    height, width, _ = recipe.input.shape
    while max(height, width) > LARGEST and min(height, width) >= 2 * LEAST:
        height, width = height // 2, width // 2
    options = recipe.training
    return Recipe(
        f"teacher of {recipe.name}",
        replace(recipe.input, height=height, width=width),
        Choice("strided"),
        TrainingOptions(
            epochs=1,
            batch_size=options.batch_size,
            optimizer="muon",
            learning_rate=0.05,
            label_smoothing=0.05,
            precision="auto" if options.precision != "float32" else "float32",
            device=options.device,
        ),
        recipe.seed,
        DataOptions(validation=0.0),
    )


def shrink(data: Dataset, input_spec: InputSpec) -> Dataset:
    """The images halved to the size of the teacher's input; each halving averages 2 × 2 pixels."""
    images = data.images
    while images.shape[1:] != input_spec.shape:
        height, width = (side // 2 * 2 for side in images.shape[1:3])
        even = images[:, :height, :width]
        total = np.full((len(images), height // 2, width // 2, images.shape[3]), 2, np.uint16)
        for corner in ((0, 0), (0, 1), (1, 0), (1, 1)):
            total += even[:, corner[0] :: 2, corner[1] :: 2]
        images = (total // 4).astype(np.uint8)
    return replace(data, images=images)


@contextmanager
def head_inputs(network: nn.Module) -> Iterator[list[Tensor]]:
    """Within: collect the input of the network's last layer, `head`, one entry per call."""
    collected: list[Tensor] = []

    def collect(_layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        collected.append(inputs[0])

    hook = _head(network).register_forward_pre_hook(collect)
    try:
        yield collected
    finally:
        hook.remove()


def _head(network: nn.Module) -> nn.Linear:
    head = network.head
    assert isinstance(head, nn.Linear)
    return head

"""A teacher: a small network that has learned the clean images tells what is in a frame of one."""

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

__all__ = ["Teacher", "features_seen", "halved", "teacher_recipe"]

LARGEST, LEAST = 32, 10
"""The teacher's images are halved until no side is longer, or one would become shorter."""

BATCH = 1000


class Teacher(nn.Module):
    """What a small network sees in the clean images, and how far another is from seeing the same.

    A frame's label says which digit it shows, but not how that is written: whether a 1 has a foot,
    a 2 a loop, how open a 4 is. The teacher's features, on which it decides, do. The network in
    training is to see in a frame what the teacher sees in the clean image that it was made of: a
    linear layer of its own features is to point the same way as the teacher's.

    Sources: distillation, Hinton et al., 2015 (arXiv 1503.02531); of features, Romero et al.,
    "FitNets", 2014 (arXiv 1412.6550).

    Args:
        recipe: That of the teacher, `teacher_recipe`.
        classes: How many classes the images have.
        pupil: The network in training; its last layer is called `head`.
    """

    features: Tensor

    def __init__(self, recipe: Recipe, classes: int, pupil: nn.Module) -> None:
        super().__init__()
        self.input_spec = recipe.input
        self.network = networks.build(recipe.network, recipe.input, classes)
        self.projection = nn.Linear(_head(pupil).in_features, _head(self.network).in_features)
        self.register_buffer("features", torch.empty(0), persistent=False)

    @torch.no_grad()
    def look(self, images: NDArray[np.uint8]) -> None:
        """Remember the features of all clean images, `(N, H, W, C)` uint8 of the teacher's size."""
        self.network.eval()
        seen = []
        for start in range(0, len(images), BATCH):
            batch = torch.from_numpy(images[start : start + BATCH]).permute(0, 3, 1, 2)
            with features_seen(self.network) as found:
                self.network(planes(batch.to(self.projection.weight.device), self.input_spec))
            seen.append(found[0].half())
        features = torch.cat(seen)
        self.features = features - features.mean(0, dtype=torch.float32).half()

    def loss(self, seen: Tensor, sources: Tensor) -> Tensor:
        """One less the cosine between what was seen and what the teacher saw, on average.

        Args:
            seen: `(N, F)`, the features of the network in training.
            sources: `(N,)` int64, which clean image each frame was made of; -1 for none.
        """
        known = (sources >= 0).nonzero()[:, 0]
        told = self.projection(seen[known].float())
        return (1 - F.cosine_similarity(told, self.features[sources[known]].float())).mean()


def teacher_recipe(recipe: Recipe) -> Recipe:
    """One epoch of a small strided network over the images as they are."""
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


def halved(data: Dataset, input_spec: InputSpec) -> Dataset:
    """The images as large as the teacher's input, each pixel the mean of four, or of sixteen."""
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
def features_seen(network: nn.Module) -> Iterator[list[Tensor]]:
    """What the last layer of the network, its `head`, is given meanwhile, call by call."""
    seen: list[Tensor] = []
    hook = _head(network).register_forward_pre_hook(lambda _layer, inputs: seen.append(inputs[0]))
    try:
        yield seen
    finally:
        hook.remove()


def _head(network: nn.Module) -> nn.Linear:
    head = network.head
    assert isinstance(head, nn.Linear)
    return head

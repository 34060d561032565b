"""What the weights of a model are multiplied with, on images: the second moments.

They tell which errors of a weight matter, and how the others can make up for one.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pocketlens.conversion.compression.weights import Weight
from pocketlens.coreml import CoreMLModel
from pocketlens.coreml.runtime.emulation import graph_model, runs_as_graph
from pocketlens.coreml.runtime.layer_inputs import LayerInputs

__all__ = ["Moments", "matrix", "observe"]

BLOCK = 1536
"""The most inputs whose moments are kept together; a quarter of the memory for half of it."""

SAMPLES = 48
"""Positions of a convolution, or rows of a matrix, per image."""

TOGETHER = 8
"""Images whose samples are added up at a time."""


@dataclass(frozen=True)
class Moments:
    """The mean of `x xᵀ` for the inputs `x` of a weight, with a 1 after them.

    Args:
        blocks: `(groups, inputs + 1, inputs + 1)` float64 for consecutive inputs of each group.
            Inputs in different blocks count as unrelated.
    """

    blocks: tuple[NDArray[np.float64], ...]

    @property
    def groups(self) -> int:
        """The number of groups of channels, each with its own inputs."""
        return len(self.blocks[0])

    @property
    def parts(self) -> list[slice]:
        """The inputs in each block."""
        ends = np.cumsum([0, *(block.shape[1] - 1 for block in self.blocks)]).tolist()
        return [slice(start, end) for start, end in itertools.pairwise(ends)]

    def energy(self) -> NDArray[np.float64]:
        """The mean square of each input, `(groups, inputs)`."""
        return np.concatenate([np.einsum("gii->gi", each)[:, :-1] for each in self.blocks], 1)

    def power(self, rows: NDArray[np.float64], *, centered: bool) -> float:
        """The mean square of what weights give, summed over the channels.

        Args:
            rows: The weights, `(channels, inputs)`.
            centered: Without the square of the mean, which a bias can take away.
        """
        total = 0.0
        for block, part in zip(self.blocks, self.parts, strict=True):
            inside = block[:, :-1, :-1]
            if centered:
                mean = block[:, :-1, -1:]
                inside = inside - mean @ mean.transpose(0, 2, 1)
            own = rows[:, part].reshape(self.groups, -1, inside.shape[1])
            total += float(((own @ inside) * own).sum())
        return max(total, 0.0)


def matrix(weight: Weight) -> NDArray[np.float64]:
    """The weight as `(channels, inputs)`."""
    moved = np.moveaxis(weight.array, weight.axis, 0)
    return moved.reshape(len(moved), -1).astype(np.float64)


def observe(
    model: CoreMLModel, weights: Sequence[Weight], images: NDArray[np.uint8]
) -> dict[str, Moments]:
    """The moments of the inputs of weights, by their keys.

    Args:
        model: The loaded file.
        weights: Those of the file. Weights that are not multiplied with one tensor, such as those
            of recurrent layers, are left out.
        images: Prepared images `(N, H, W, C)`.
    """
    if not len(images) or not runs_as_graph(model):
        return {}
    graph = graph_model(model, model.features_for(images[0]))
    taken = LayerInputs(graph, {place for weight in weights for place in weight.places})
    known = [
        weight
        for weight in weights
        if weight.places and all(place in taken.groups for place in weight.places)
    ]
    sums: dict[str, list[NDArray[np.float64]]] = {}
    counts: dict[str, int] = {}
    random = np.random.default_rng(0)
    for start in range(0, len(images), TOGETHER):
        runs = [
            taken.samples(model.features_for(image), SAMPLES, random)
            for image in images[start : start + TOGETHER]
        ]
        for weight in known:
            x = np.concatenate([run[place] for run in runs for place in weight.places], 1)
            x = x[:, np.isfinite(x).all((0, 2))]
            counts[weight.key] = counts.get(weight.key, 0) + x.shape[1]
            _add(sums.setdefault(weight.key, []), x)
    return {
        key: Moments(tuple(block / max(counts[key], 1) for block in blocks))
        for key, blocks in sums.items()
        if counts[key]
    }


def _add(blocks: list[NDArray[np.float64]], x: NDArray[np.float32]) -> None:
    """Add the products of samples `(groups, samples, inputs)`."""
    inputs = x.shape[2]
    parts = np.array_split(np.arange(inputs), -(-inputs // BLOCK))
    one = np.ones((*x.shape[:2], 1), np.float32)
    for number, part in enumerate(parts):
        some = np.concatenate([x[:, :, part[0] : part[-1] + 1], one], 2)
        product = (some.transpose(0, 2, 1) @ some).astype(np.float64)
        if len(blocks) == number:
            blocks.append(product)
        else:
            blocks[number] += product

"""Learn the palettes of a network with its training data.

The network is trained for a short time with the numbers of its palettes in place of its weights, to
give the same probabilities as before (distillation: Hinton, Vinyals and Dean, "Distilling the
Knowledge in a Neural Network", 2015). The gradients pass through to the weights (Bengio, Léonard
and Courville, "Estimating or Propagating Gradients Through Stochastic Neurons", 2013), and the
tables are fitted again every few steps. Statistics of batch normalization stay as they are.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

from pocketlens.conversion import convert
from pocketlens.conversion.compression import Compressor
from pocketlens.conversion.compression.encodings import Encoding, Palette, assign, fit_table
from pocketlens.conversion.compression.kinds import Kind, encode
from pocketlens.conversion.compression.weights import Weight
from pocketlens.conversion.exporting import frozen_copy
from pocketlens.data import Dataset, training_images
from pocketlens.errors import ConversionError
from pocketlens.recipe import Recipe
from pocketlens.recognizer import Recognizer, planes
from pocketlens.training.batches import Batch, Batches

__all__ = ["Learned", "learn", "write_learned"]

LARGE = 96 * 96
"""Pixels of the input from which images are large, as photos are."""

IMAGES = {False: 60_000, True: 1600}
"""The number of images that palettes are learned from, repeated if there are fewer."""

REPEATS = 20
"""How often each image is repeated at most."""

BATCH = {False: 256, True: 16}
"""Images per step, at most."""

LEARNING_RATE = 1e-3
REFIT = 10
"""After so many steps, the tables are fitted again."""

FIXED = 0.75
"""After this share of the steps, the tables stay as they are."""

ROUNDING = 2e-3
"""How far a weight of the new file may be from its table, as a share of the largest weight."""

SAME = 0.01
"""The largest difference of a weight in the file and in the network, as a share of its size."""


def write_learned(
    target: Path,
    kind: Kind,
    plain: Compressor,
    folder: Path,
    recipe: Recipe,
    training: Dataset,
) -> bool:
    """Write a candidate whose palettes are learned.

    Args:
        target: The file to write.
        kind: The kind of compression, with `bits`.
        plain: The file to compress.
        folder: The run folder, with the trained network.
        recipe: The recipe of the run.
        training: Its training images.

    Returns:
        Whether it was written; if not, the weights of the file are not those of the network.

    Raises:
        ConversionError: The new file has other numbers than the tables.
    """
    assert kind.bits is not None
    recognizer = Recognizer.load(folder)
    widths = dict.fromkeys((each.key for each in plain.weights), kind.bits)
    batches, steps = _batches(recipe, training)
    found = learn(recognizer, plain.weights, widths, batches, steps)
    if found is None:
        return False
    whole = convert(
        found.recognizer,
        target.with_name(f"learned-{target.name}"),
        precision=recipe.model.precision,
        check=False,  # it is compared with the original file
        force=True,
    )
    trained = Compressor(whole)
    trained.file.spec.description.CopyFrom(plain.file.spec.description)
    encodings: dict[str, Encoding] = {}
    for weight in trained.weights:
        table = found.tables.get(weight.name)
        if table is None:
            encodings |= encode(kind, [weight]).encodings
            continue
        palette = Palette(assign(weight.array, table), table[None], kind.bits)
        largest = float(np.abs(weight.array).max())
        if not np.allclose(palette.dense(), weight.array, rtol=0, atol=ROUNDING * largest):
            raise ConversionError(
                f"{plain.file.path}: the weight {weight.name} has other numbers than the table "
                "that was learned for it"
            )
        encodings[weight.key] = palette
    trained.write(target, kind, encodings)
    return True


def _batches(recipe: Recipe, training: Dataset) -> tuple[Iterator[Batch], int]:
    """Batches of the run's training images, augmented as in its training; and how many."""
    large = recipe.input.height * recipe.input.width > LARGE
    size = max(2, min(BATCH[large], recipe.training.batch_size, len(training)))
    recipe = recipe.replace(training={"batch_size": size})
    if not recipe.training.on_features:
        training = training_images(training, recipe.data, input_spec=recipe.input, seed=recipe.seed)
    batches = Batches(recipe, training, torch.device("cpu"))
    epochs = (batches.epoch(number) for number in itertools.count(1))
    images = min(IMAGES[large], REPEATS * len(training))
    return itertools.chain.from_iterable(epochs), math.ceil(images / size)


@dataclass(frozen=True)
class Learned:
    """A network whose weights have only the numbers of their palettes.

    Args:
        recognizer: The network, with everything else of the original.
        tables: The sorted table of each weight in the Core ML file, by the weight's name.
    """

    recognizer: Recognizer
    tables: dict[str, NDArray[Any]]


@dataclass
class _Place:
    """Where a weight of the file is in the network."""

    weight: Weight
    module: nn.Module
    name: str
    scale: Tensor
    """Per output channel: what conversion multiplies the weight with (batch normalization)."""


class _Palette(nn.Module):
    """Replaces each weight by the nearest number of the table, in units of the Core ML file."""

    table: Tensor
    scale: Tensor

    def __init__(self, table: Tensor, scale: Tensor) -> None:
        super().__init__()
        self.register_buffer("table", table)
        self.register_buffer("scale", scale)

    def forward(self, weight: Tensor) -> Tensor:
        """The weight with the numbers of the table; its gradient passes through."""
        with torch.no_grad():
            middle = (self.table[1:] + self.table[:-1]) / 2
            nearest = self.table[torch.bucketize(weight * self.scale, middle)] / self.scale
        return weight + (nearest - weight).detach()


def learn(
    recognizer: Recognizer,
    weights: Sequence[Weight],
    widths: Mapping[str, int],
    batches: Iterable[Batch],
    steps: int,
) -> Learned | None:
    """Learn palettes for the weights of a recognizer's Core ML file.

    Args:
        recognizer: The trained network; it does not change.
        weights: The weights in its Core ML file.
        widths: Bits per index, by the key of a weight.
        batches: Training images, at least `steps` batches.
        steps: Number of steps.

    Returns:
        The result; None if no weight of the file is found in the network.
    """
    teacher = frozen_copy(recognizer.network)
    student = frozen_copy(recognizer.network)
    places = _places(weights, student)
    if not places:
        return None
    palettes = []
    student.requires_grad_(False)
    for place in places:
        table = fit_table(place.weight.array, widths[place.weight.key])
        palette = _Palette(_tensor(table), place.scale)
        getattr(place.module, place.name).requires_grad_(True)
        parametrize.register_parametrization(place.module, place.name, palette)
        palettes.append(palette)
    for name, parameter in student.named_parameters():
        if name.endswith("bias"):
            parameter.requires_grad_(True)
    pairs = list(zip(places, palettes, strict=True))
    _train(recognizer, teacher, student, pairs, batches, steps)
    tables = {}
    for place, palette in zip(places, palettes, strict=True):
        parametrize.remove_parametrizations(place.module, place.name, leave_parametrized=True)
        tables[place.weight.name] = palette.table.numpy().astype(place.weight.array.dtype)
    made = Recognizer(
        student,
        recognizer.choice,
        recognizer.classes,
        recognizer.input_spec,
        temperature=recognizer.temperature,
        thresholds=recognizer.thresholds,
    )
    return Learned(made, tables)


def _train(
    recognizer: Recognizer,
    teacher: nn.Module,
    student: nn.Module,
    palettes: Sequence[tuple[_Place, _Palette]],
    batches: Iterable[Batch],
    steps: int,
) -> None:
    trained = [each for each in student.parameters() if each.requires_grad]
    optimizer = torch.optim.Adam(trained, LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for step, (images, _, _) in enumerate(batches):
        if step == steps:
            break
        x = planes(images, recognizer.input_spec)
        with torch.no_grad():
            wanted = (teacher(x) / recognizer.temperature).log_softmax(1)
        logits = (student(x) / recognizer.temperature).log_softmax(1)
        loss = F.kl_div(logits, wanted, reduction="batchmean", log_target=True)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        schedule.step()
        if step % REFIT == 0 and step < FIXED * steps:
            for place, palette in palettes:
                _refit(place, palette)


def _refit(place: _Place, palette: _Palette) -> None:
    """Move the numbers of the table to the means of the weights that they stand for."""
    original = place.module.parametrizations[place.name].original  # type: ignore[index, union-attr]
    numbers = (original.detach() * place.scale).numpy().astype(place.weight.array.dtype)
    table = fit_table(numbers, _width(palette), start=palette.table.numpy(), rounds=3)
    palette.table.copy_(_tensor(table))


def _width(palette: _Palette) -> int:
    return len(palette.table).bit_length() - 1


def _tensor(table: NDArray[Any]) -> Tensor:
    return torch.from_numpy(table.astype(np.float32))


def _places(weights: Sequence[Weight], network: nn.Module) -> list[_Place]:
    """Where the weights of a file are in the network: of equal shape, and equal but for a scale."""
    tensors = [
        (module, name, tensor)
        for module in network.modules()
        for name, tensor in (
            *module.named_parameters(recurse=False),
            *module.named_buffers(recurse=False),
        )
        if tensor.ndim >= 2 and tensor.is_floating_point()
    ]
    found, taken = [], set()
    for weight in weights:
        wanted = torch.from_numpy(weight.array.astype(np.float32))
        for module, name, tensor in tensors:
            if tensor.shape != wanted.shape or (id(module), name) in taken:
                continue
            scale = _scale_between(tensor.detach(), wanted)
            if scale is not None:
                taken.add((id(module), name))
                found.append(_Place(weight, module, name, scale))
                break
    return found


def _scale_between(own: Tensor, wanted: Tensor) -> Tensor | None:
    """The factor per output channel from one to the other; None if there is no such."""
    rest = tuple(range(1, own.ndim))
    size = own.square().sum(rest, keepdim=True)
    scale = (own * wanted).sum(rest, keepdim=True) / size.clamp(min=1e-30)
    differs = (own * scale - wanted).norm() > SAME * wanted.norm()
    if differs or not bool(scale.isfinite().all()):
        return None
    # A channel that is multiplied by nothing may have any weights.
    return torch.where(scale.abs() < 1e-12, torch.ones_like(scale), scale)

"""What an epoch trains on: the images in a new order, augmented, some batches again."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from pocketlens import augment
from pocketlens.data import Dataset
from pocketlens.prediction import NOTHING
from pocketlens.recipe import Recipe

__all__ = ["Batches"]

KEPT_BYTES, KEPT_BATCHES = 1 << 28, 64
"""How much is kept to be trained on again, at most."""

EMPTY_FRAMES = 1000

Batch: TypeAlias = tuple[Tensor, Tensor, Tensor]
"""Images `(N, C, H, W)` uint8, labels `(N,)` int64, and sources `(N,)` int64: the place, among the
training images, of the one that each was made of; -1 where it shows nothing."""


class Batches:
    """The batches of a training; each epoch has a seed of its own, so a resumed run repeats it.

    Images are uint8 and on the device that trains: a quarter of the memory traffic of float32.

    Args:
        recipe: Whose augmentation, share of `nothing`, batch size, echo and seed.
        data: Training images.
        device: What trains.

    Attributes:
        classes: Those of the data, and `nothing` when the recipe asks for it.
    """

    def __init__(self, recipe: Recipe, data: Dataset, device: torch.device) -> None:
        self.recipe = recipe
        self.device = device
        self.augmentation = augment.build(recipe.augment, nothing=recipe.data.nothing)
        self.classes = data.classes
        if self.augmentation.shows_nothing and NOTHING not in data.classes:
            self.classes += (NOTHING,)
        self.images = _tensor(data.channels_first(), device)
        self.labels = _tensor(data.labels, device)
        self.threads = torch.get_num_threads()

    @property
    def steps(self) -> int:
        """Steps an epoch: full batches only, a different rest is left out each time."""
        return self._fresh_steps * self.recipe.training.echo

    @property
    def empty(self) -> int:
        """Frames of a batch that show nothing."""
        share, size = self.recipe.data.nothing, self.recipe.training.batch_size
        return min(max(round(share * size), 1), size - 1) if share else 0

    def epoch(self, number: int) -> Iterator[Batch]:
        """Images, labels and sources of each step.

        With an echo of E each augmented batch comes E times, the later times among other batches:
        augmenting takes a good part of a step, which the later times are spared.
        Source: Choi et al., "Faster Neural Network Training with Data Echoing" (arXiv 1907.05550).
        """
        seed = self.recipe.seed * 1_000_003 + number
        order = torch.Generator().manual_seed(seed)
        again = self.recipe.training.echo - 1
        kept: list[Batch] = []
        fresh = self._fresh(seed, order)
        for batch in _ahead(fresh, self.augmenting) if self._overlaps else fresh:
            yield batch
            room = min(KEPT_BATCHES, max(1, KEPT_BYTES // batch[0].nbytes)) * again
            kept += [batch] * again
            while len(kept) > room:
                yield _drawn(kept, order)
        while kept:
            yield _drawn(kept, order)

    def held_back(self, validation: Dataset) -> tuple[Tensor, Tensor]:
        """What is validated on: the images, and with a class `nothing` also their frames.

        A recognizer that knows `nothing` is for frames like those it trains on, but is to read
        clean images as well: so the best epoch and the temperature are chosen on both.
        """
        images = _tensor(validation.channels_first(), self.device)
        labels = _tensor(validation.labels, self.device)
        if not self.augmentation.shows_nothing or not len(labels):
            return images, labels
        share = self.recipe.data.nothing
        random = torch.Generator(self.device).manual_seed(self.recipe.seed)
        frames = [
            self._augmented(part, answers, round(len(part) * share / (1 - share)), random)
            for part, answers in zip(images.split(500), labels.split(500), strict=True)
        ]
        return (
            torch.cat([images, *(part for part, _ in frames)]),
            torch.cat([labels, *(answers for _, answers in frames)]),
        )

    def nothing(self, validation: Dataset) -> Tensor | None:
        """Frames of the class `nothing`, `(1000, C, H, W)` uint8, to choose thresholds on.

        What is validated on holds few of them; of so many one can tell 3 % from 2 %. None when
        no frames of nothing are trained on.
        """
        if not self.augmentation.shows_nothing:
            return None
        images = _tensor(validation.channels_first(), self.device)
        places = torch.arange(EMPTY_FRAMES, device=self.device) % len(images)
        random = torch.Generator(self.device).manual_seed(self.recipe.seed + 1)
        parts = [
            self.augmentation(images[part], random, len(part))[len(part) :]
            for part in places.split(250)
        ]
        return torch.cat(parts)

    @property
    def _overlaps(self) -> bool:
        """Whether a processor can be spared to augment the next batch meanwhile.

        Two threads share the gradients of a small network badly: on two cores each thread at its
        own work gives as many frames a second as both at either, and none need be trained on twice.
        """
        works = self.device.type == "cpu" and self.threads > 1
        return works and self.augmentation.costly

    @property
    def augmenting(self) -> int:
        """How many of PyTorch's threads augment the next batch while a step is computed."""
        # About the share of the time that augmenting takes.
        return max(1, round(self.threads / 3)) if self._overlaps else 0

    @property
    def _fresh_steps(self) -> int:
        return max(1, len(self.labels) // (self.recipe.training.batch_size - self.empty))

    def _fresh(self, seed: int, order: torch.Generator) -> Iterator[Batch]:
        """Each image once, augmented."""
        indices = torch.randperm(len(self.labels), generator=order).to(self.device)
        random = torch.Generator(self.device).manual_seed(seed)
        size = self.recipe.training.batch_size - self.empty
        for index in indices.split(size)[: self._fresh_steps]:
            frames, labels = self._augmented(
                self.images[index], self.labels[index], self.empty, random
            )
            yield frames, labels, F.pad(index, (0, len(labels) - len(index)), value=-1)

    def _augmented(
        self, images: Tensor, labels: Tensor, empty: int, random: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """A batch as it is trained on, and after it `empty` frames of the class `nothing`."""
        frames = self.augmentation(images, random, empty)
        if added := len(frames) - len(images):
            label = self.classes.index(NOTHING)
            labels = torch.cat([labels, labels.new_full((added,), label)])
        return frames, labels


def _ahead(batches: Iterator[Batch], theirs: int) -> Iterator[Batch]:
    """The same batches, each made by another thread while the one before is trained on."""
    threads = torch.get_num_threads()
    with ThreadPoolExecutor(1) as other:
        try:
            other.submit(torch.set_num_threads, theirs).result()
            torch.set_num_threads(max(1, threads - theirs))
            coming = other.submit(next, batches, None)
            while (batch := coming.result()) is not None:
                coming = other.submit(next, batches, None)
                yield batch
        finally:
            torch.set_num_threads(threads)


def _drawn(kept: list[Batch], order: torch.Generator) -> Batch:
    place = int(torch.randint(len(kept), (), generator=order))
    kept[place], kept[-1] = kept[-1], kept[place]
    return kept.pop()


def _tensor(array: np.ndarray[Any, Any], device: torch.device) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array)).to(device)

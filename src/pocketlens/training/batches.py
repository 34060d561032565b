"""The batches of an epoch: shuffled, augmented, and repeated if the recipe has an echo."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from pocketlens import augment
from pocketlens.data import Dataset
from pocketlens.prediction import NOTHING
from pocketlens.recipe import Recipe

__all__ = ["Batch", "Batches"]

KEPT_BYTES, KEPT_BATCHES = 1 << 28, 64
"""Most memory and most batches that are kept for repetition."""

AUGMENTING = 0.35
"""Time to augment a batch, as a share of the time for its gradients (`camera`, recipe `digits`)."""

EMPTY_FRAMES = 1000
"""Frames of the class `nothing` to choose thresholds on."""

Batch: TypeAlias = tuple[Tensor, Tensor, Tensor]
"""Images `(N, C, H, W)` uint8, labels `(N,)` int64, and sources `(N,)` int64: for each image the
index of the training image that it was made from; -1 for frames of the class `nothing`."""


class Batches:
    """The batches of a training.

    Every epoch has its own seed, so a resumed training gets the same batches. Images stay uint8, on
    the device that trains, which takes a quarter of the memory traffic of float32.

    Args:
        recipe: Provides augmentation, share of `nothing`, batch size, echo and seed.
        data: Training images.
        device: The device that trains.

    Attributes:
        classes: The classes of the data, and `nothing` if the recipe has frames of it.
        other: The thread that augments the next batch, while an epoch runs and if there is one. It
            has time for more.
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
        self.other: Executor | None = None

    @property
    def steps(self) -> int:
        """Steps per epoch; the images that do not fill a batch differ from epoch to epoch."""
        return self._fresh_steps * self.recipe.training.echo

    @property
    def empty(self) -> int:
        """Number of frames of the class `nothing` in a batch."""
        share, size = self.recipe.data.nothing, self.recipe.training.batch_size
        return min(max(round(share * size), 1), size - 1) if share else 0

    def epoch(self, number: int) -> Generator[Batch]:
        """The batches of epoch `number`, counted from 1.

        With an echo of E, each augmented batch is trained on E times, mixed with other batches.
        This saves the time of augmenting it again, a large part of a step.
        Source: Choi et al., "Faster Neural Network Training with Data Echoing" (arXiv 1907.05550).
        """
        seed = self.recipe.seed * 1_000_003 + number
        order = torch.Generator().manual_seed(seed)
        again = self.recipe.training.echo - 1
        kept: list[Batch] = []
        fresh = self._fresh(seed, order)
        for batch in self._ahead(fresh) if self._overlaps else fresh:
            yield batch
            room = min(KEPT_BATCHES, max(1, KEPT_BYTES // batch[0].nbytes)) * again
            kept += [batch] * again
            while len(kept) > room:
                yield _pop_random(kept, order)
        while kept:
            yield _pop_random(kept, order)

    def validation_frames(self, validation: Dataset) -> tuple[Tensor, Tensor]:
        """Images and labels to validate on; with a class `nothing`, augmented frames of them too.

        A recognizer with a class `nothing` has to work on frames like those it trains on, and on
        clean images as well. So the best epoch and the temperature are chosen on both.
        """
        images = _tensor(validation.channels_first(), self.device)
        labels = _tensor(validation.labels, self.device)
        if not self.augmentation.shows_nothing or not len(labels):
            return images, labels
        share = self.recipe.data.nothing
        random = torch.Generator(self.device).manual_seed(self.recipe.seed)
        frames = [
            self._augmented(part, targets, round(len(part) * share / (1 - share)), random)
            for part, targets in zip(
                torch.split(images, 500), torch.split(labels, 500), strict=True
            )
        ]
        return (
            torch.cat([images, *(part for part, _ in frames)]),
            torch.cat([labels, *(targets for _, targets in frames)]),
        )

    def nothing_frames(self, validation: Dataset) -> Tensor | None:
        """Frames of the class `nothing`, `(1000, C, H, W)` uint8, to choose thresholds on.

        The validation images contain too few of them; 1000 are enough to distinguish 3 % from 2 %.
        None if the recipe has no frames of `nothing`.
        """
        if not self.augmentation.shows_nothing:
            return None
        images = _tensor(validation.channels_first(), self.device)
        indices = torch.arange(EMPTY_FRAMES, device=self.device) % len(images)
        random = torch.Generator(self.device).manual_seed(self.recipe.seed + 1)
        parts = [
            self.augmentation(images[part], random, len(part))[len(part) :]
            for part in torch.split(indices, 250)
        ]
        return torch.cat(parts)

    @property
    def _overlaps(self) -> bool:
        """Whether a second thread augments the next batch while the current one is trained on.

        OpenMP gains little on the gradients of a small network. One thread that trains and one that
        augments, and then computes gradients of its own (`Gradients`), are faster.
        """
        works = self.device.type == "cpu" and self.threads > 1
        return works and self.augmentation.costly

    @property
    def augmenting(self) -> int:
        """How many of PyTorch's threads augment the next batch while a step is computed."""
        return self.threads // 2 if self._overlaps else 0

    @property
    def second_share(self) -> float:
        """The share of a batch whose gradients the second thread has the time to compute."""
        second = self.augmenting
        first = self.threads - second
        # Both threads finish at the same time. With an echo, it augments fewer batches.
        augmenting = AUGMENTING / self.recipe.training.echo
        return max(0.0, (second - augmenting * first) / self.threads) if second else 0.0

    @property
    def _fresh_steps(self) -> int:
        return max(1, len(self.labels) // (self.recipe.training.batch_size - self.empty))

    def _fresh(self, seed: int, order: torch.Generator) -> Iterator[Batch]:
        """Batches with each image once, augmented."""
        indices = torch.randperm(len(self.labels), generator=order).to(self.device)
        random = torch.Generator(self.device).manual_seed(seed)
        size = self.recipe.training.batch_size - self.empty
        for index in torch.split(indices, size)[: self._fresh_steps]:
            frames, labels = self._augmented(
                self.images[index], self.labels[index], self.empty, random
            )
            yield frames, labels, F.pad(index, (0, len(labels) - len(index)), value=-1)

    def _ahead(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """The same batches; the thread `other` makes each while the one before is trained on."""
        threads, theirs = torch.get_num_threads(), self.augmenting
        with ThreadPoolExecutor(1) as other:
            self.other = other
            try:
                other.submit(torch.set_num_threads, theirs).result()
                torch.set_num_threads(max(1, threads - theirs))
                coming = other.submit(next, batches, None)
                while (batch := coming.result()) is not None:
                    coming = other.submit(next, batches, None)
                    yield batch
            finally:
                self.other = None
                torch.set_num_threads(threads)

    def _augmented(
        self, images: Tensor, labels: Tensor, empty: int, random: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """The augmented images and their labels, followed by `empty` frames of `nothing`."""
        frames = self.augmentation(images, random, empty)
        if added := len(frames) - len(images):
            label = self.classes.index(NOTHING)
            labels = torch.cat([labels, labels.new_full((added,), label)])
        return frames, labels


def _pop_random(kept: list[Batch], order: torch.Generator) -> Batch:
    index = int(torch.randint(len(kept), (), generator=order))
    kept[index], kept[-1] = kept[-1], kept[index]
    return kept.pop()


def _tensor(array: np.ndarray[Any, Any], device: torch.device) -> Tensor:
    owned = np.require(array, requirements=["C", "W"])  # W: images in a file are not writable
    return torch.from_numpy(owned).to(device)

"""The loss of a batch and its gradients, on one thread or divided between two."""

from __future__ import annotations

import copy
from concurrent.futures import Executor
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pocketlens.image import InputSpec
from pocketlens.recipe import TrainingOptions
from pocketlens.recognizer import planes
from pocketlens.training.batches import Batch
from pocketlens.training.teacher import Teacher, head_inputs

__all__ = ["Gradients"]

LEAST = 16
"""A batch is only divided if both parts have at least this many images: batch normalization
computes the statistics of each part."""


class _Part(NamedTuple):
    """Results for a part of a batch; the gradients are in the order of the parameters."""

    gradients: tuple[Tensor | None, ...]
    loss: Tensor
    correct: Tensor


class Gradients:
    """Computes the gradients of a network's parameters for one batch after another.

    If a second thread has time left, it computes the gradients of some of the images, with a copy
    of the network that has the same parameters and its own buffers. On two cores, a step of
    `digits` then takes about 0.7 times as long. A network that draws random numbers (dropout)
    stays on one thread, because the order of two threads is not repeatable. The means of the two
    parts, of the loss and of the teacher's, count by their numbers of images.

    Args:
        network: The network in training.
        options: `[training]` of the recipe.
        input_spec: How pixels become the network's input.
        teacher: Adds its loss, if there is one.
        class_weights: `(K,)` weights of the classes in the loss, or None.
        bfloat16: Whether to compute under bfloat16 autocast.
    """

    def __init__(
        self,
        network: nn.Module,
        options: TrainingOptions,
        input_spec: InputSpec,
        *,
        teacher: Teacher | None,
        class_weights: Tensor | None,
        bfloat16: bool,
    ) -> None:
        self.network = network
        self.options = options
        self.input_spec = input_spec
        self.teacher = teacher
        self.class_weights = class_weights
        self.bfloat16 = bfloat16
        every = [*network.parameters(), *(teacher.projection.parameters() if teacher else ())]
        self.parameters = [parameter for parameter in every if parameter.requires_grad]
        self.second: nn.Module | None = None

    def begin_epoch(self, *, divide: bool) -> None:
        """Call before each epoch, with the network in training mode.

        Args:
            divide: Whether batches will be divided; has no effect if the network draws random
                numbers.
        """
        # A new copy, so that a resumed training does what an uninterrupted one does.
        self.second = None
        if divide and not self._draws_random_numbers():
            self.second = self._twin()

    def compute(self, batch: Batch, other: Executor | None, share: float) -> tuple[Tensor, Tensor]:
        """Set `grad` of all parameters.

        Args:
            batch: The images, labels and sources.
            other: The second thread.
            share: The share of the images that it computes.

        Returns:
            The mean negative log-likelihood, without label smoothing, so that it compares with the
            validation loss; and how many labels are correct.
        """
        images, labels, sources = batch
        count = round(share * len(labels))
        if self.second is None or other is None or min(count, len(labels) - count) < LEAST:
            parts = [self._part(self.network, images, labels, sources)]
            shares = [1.0]
        else:
            # Evenly spread: the frames of `nothing` are at the end.
            place = torch.arange(len(labels)) * count % len(labels) < count
            theirs, ours = place.nonzero()[:, 0], (~place).nonzero()[:, 0]
            coming = other.submit(
                self._part, self.second, images[theirs], labels[theirs], sources[theirs]
            )
            mine = self._part(self.network, images[ours], labels[ours], sources[ours])
            parts = [mine, coming.result()]
            shares = [1 - count / len(labels), count / len(labels)]
        for parameter, *found in zip(
            self.parameters, *(part.gradients for part in parts), strict=True
        ):
            parameter.grad = None
            for gradient, weight in zip(found, shares, strict=True):
                if gradient is None:
                    continue
                if parameter.grad is None:
                    # In the layout of the parameter, as `backward` does: the last bits of an
                    # optimizer's step depend on it.
                    parameter.grad = torch.zeros_like(parameter)
                parameter.grad.add_(gradient, alpha=weight)
        loss = sum(part.loss * s for part, s in zip(parts, shares, strict=True))
        assert isinstance(loss, Tensor)
        return loss, torch.stack([part.correct for part in parts]).sum()

    def _part(self, network: nn.Module, images: Tensor, labels: Tensor, sources: Tensor) -> _Part:
        x = planes(images, self.input_spec)
        if self.options.channels_last:
            x = x.contiguous(memory_format=torch.channels_last)
        inputs: AbstractContextManager[list[Tensor]] = (
            nullcontext([]) if self.teacher is None else head_inputs(network)
        )
        with (
            torch.autocast(x.device.type, torch.bfloat16, enabled=self.bfloat16),
            inputs as features,
        ):
            logits = network(x)
        logits = logits.float()
        loss = F.cross_entropy(
            logits,
            labels,
            weight=self.class_weights,
            label_smoothing=self.options.label_smoothing,
        )
        if self.teacher is not None:
            loss = loss + self.options.teacher * self.teacher.loss(features[0], sources)
        gradients = torch.autograd.grad(loss, self.parameters, allow_unused=True)
        detached = logits.detach()
        correct = (detached.argmax(1) == labels).sum()
        return _Part(gradients, F.cross_entropy(detached, labels), correct)

    def _twin(self) -> nn.Module:
        """A copy of the network with the same parameters and its own buffers."""
        return copy.deepcopy(self.network, {id(p): p for p in self.network.parameters()})

    def _draws_random_numbers(self) -> bool:
        height, width, channels = self.input_spec.shape
        blank = torch.zeros(2, channels, height, width)
        before = torch.get_rng_state()
        with torch.no_grad():
            self._twin()(blank)
        same = torch.equal(before, torch.get_rng_state())
        torch.set_rng_state(before)
        return not same

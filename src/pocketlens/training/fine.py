"""Fine-tuning: the last blocks of a backbone learn, too, if cross-validation says that it pays.

In each of a few folds, the last blocks start with their pretrained weights, and the head with those
fitted on the fold's features. All folds are trained side by side, epoch by epoch, and the held-out
images of all of them choose one number of epochs, with which the final training runs on all images.
This choice is a little optimistic. So fine-tuning is only accepted if the held-out loss is lower
than with the backbone as it is by more than two standard errors, on the same images and folds.

Sources: mixup, Zhang et al. 2018 (arXiv 1710.09412), here on feature maps as in Verma et al. 2019
(arXiv 1806.05236); averaged weights, Polyak and Juditsky 1992.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from pocketlens.callbacks import Callback
from pocketlens.errors import OptionError, RecipeError
from pocketlens.history import FineTuning, Step
from pocketlens.networks.backbone import Backbone, pooled
from pocketlens.networks.backbones import method_errors
from pocketlens.recipe import Recipe
from pocketlens.training.cross_validation import (
    Trial,
    block_sizes,
    clearly_lower,
    head_rows,
)
from pocketlens.training.device import keep_freed_memory
from pocketlens.training.features import REPORT_SECONDS
from pocketlens.training.logistic import Linear, class_weights, fit_head, folds
from pocketlens.training.temperature import fit_temperature
from pocketlens.training.threads import Threads
from pocketlens.training.views import Activations

__all__ = ["Tuned", "check_tunable", "fine_tune"]

FOLDS = 3
MAX_IMAGES = 4_000
"""With more images, fine-tuning takes hours on a laptop."""

ERRORS = 2.0
"""Standard errors by which the held-out loss must fall. One is too few: 24 photos of cats were then
tuned, and new ones had a higher loss."""

HEAD_RATE = 3.0
"""Learning rate of the head, as a multiple of that of the blocks."""

WARM_UP = 10
"""Steps in which the learning rate rises."""

MIXED = 0.3
"""Both parameters of the beta distribution that mixup draws from: mostly little is mixed."""

AVERAGED = 2
"""Epochs over which the weights are averaged, about."""

TOGETHER = 64
"""Images whose features are computed at a time."""


@dataclass(frozen=True)
class Tuned:
    """The result of a fine-tuning that pays; the network's backbone has the new weights.

    Args:
        trial: The held-out logits and the folds, with the final head and with what each fold's own
            backbone gives.
        rows: Features and concepts of the images, `(N, 1, F + C)`, by the new backbone.
        far: The same of generated scenes, `(M, F + C)`.
    """

    trial: Trial
    rows: Tensor
    far: Tensor


def check_tunable(recipe: Recipe, network: Backbone, images: int) -> None:
    """Raise an error for what cannot be fine-tuned.

    Raises:
        RecipeError: The backbone does not say which its last layers are.
        OptionError: There are too many images.
    """
    if images > MAX_IMAGES:
        raise OptionError(
            f"fine-tuning takes at most {MAX_IMAGES:,} images; received: {images:,}; with so "
            "many, use the recipe photos, or train a network from scratch"
        )
    if errors := method_errors(recipe.training.method, recipe.network, made=network.backbone):
        raise RecipeError(errors)


def fine_tune(
    recipe: Recipe,
    network: Backbone,
    images: NDArray[np.uint8],
    labels: Tensor,
    groups: NDArray[np.int64],
    scenes: NDArray[np.uint8],
    rows: Tensor,
    trial: Trial,
    callbacks: Sequence[Callback] = (),
) -> tuple[FineTuning, Tuned | None]:
    """Train the last blocks and the head; change the network's backbone if that pays.

    Args:
        recipe: Its `training.epochs` are the most passes over the images.
        network: With pretrained weights. Its batch norm statistics stay as they are.
        images: `(N, H, W, C)` uint8.
        labels: `(N,)` int64; the background, if there are pictures of it, is the last class.
        groups: `(N,)` int64: images with the same number stay in one fold.
        scenes: Generated scenes `(M, H, W, C)` uint8.
        rows: Features and concepts `(N, V, F + C)` by the network as it is.
        trial: The head of the network as it is. If it uses mirrored views, this does, too.
        callbacks: Called as the work proceeds.

    Returns:
        What fine-tuning gains, and its result if it pays.

    Raises:
        OptionError: See `Activations.of_views`.
        KeyboardInterrupt: Ctrl-C; the network is as before.
    """
    first, last = network.backbone.split()  # type: ignore[operator] # see `check_tunable`
    keep_freed_memory()
    compute = Activations(first, recipe.input, callbacks)
    views = compute.of_views(images, mirrored=trial.views > 1, seed=recipe.seed)
    splits = list(folds(labels, groups, FOLDS, seed=recipe.seed))
    rows = head_rows(network, rows[:, : trial.views], trial.concepts)

    def start(which: Tensor) -> _Tail:
        return _Tail(recipe, network, last, views, labels, which, rows, trial)

    epochs = recipe.training.epochs
    each = sum(len(train) for train, _ in splits), len(labels)
    with Threads() as threads:
        progress = _Progress(epochs, each, threads, callbacks)
        tails = [start(train) for train, _ in splits]
        before = _held_out(tails, splits, labels, trial.logits.shape[1])
        held = before.isfinite().all(1)
        best, best_loss, found = 0, _losses(before, labels, held).mean(), before
        kept = [tail.average for tail in tails]
        for epoch in range(1, epochs + 1):
            progress.train(epoch, tails)
            logits = _held_out(tails, splits, labels, before.shape[1])
            if (loss := _losses(logits, labels, held).mean()) < best_loss:
                best, best_loss, found = epoch, loss, logits
                kept = [copy.deepcopy(tail.average) for tail in tails]
        result = _compare(before, found, labels, held, best)
        if not result.pays:
            return result, None
        by_fold = tuple(
            tail.rows(views[:, 0], average) for tail, average in zip(tails, kept, strict=True)
        )
        del tails, kept
        final = start(torch.arange(len(labels)))
        progress.last(best)
        for epoch in range(1, best + 1):
            progress.train(epoch, [final])
        every, far = final.rows(views[:, 0]), final.rows(compute(scenes))
    last.load_state_dict(final.average.last.state_dict())
    tuned = replace(
        trial,
        views=1,
        images=torch.arange(len(labels)),
        logits=found,
        losses=_losses(found, labels, held),
        splits=splits,
        head=final.average.linear,
        by_fold=by_fold,
    )
    return result, Tuned(tuned, every[:, None], far)


class _Layers(nn.Module):
    """The last layers of the backbone, and the head: what is trained."""

    def __init__(self, last: nn.Module, head: Linear) -> None:
        super().__init__()
        self.last = copy.deepcopy(last).requires_grad_(True).eval()
        classes, width = head.weight.shape
        self.head = nn.Linear(width, classes)
        self.head.load_state_dict({"weight": head.weight, "bias": head.bias})

    @property
    def linear(self) -> Linear:
        """The head."""
        return Linear(self.head.weight.detach(), self.head.bias.detach())


class _Tail:
    """One training of the last layers and the head, on some of the images."""

    def __init__(
        self,
        recipe: Recipe,
        network: Backbone,
        last: nn.Module,
        views: Tensor,
        labels: Tensor,
        which: Tensor,
        rows: Tensor,
        trial: Trial,
    ) -> None:
        self.options = recipe.training
        self.seed = recipe.seed
        self.network = network
        self.concepts = trial.concepts
        self.views, self.labels, self.which = views, labels, which
        classes = trial.logits.shape[1]
        balanced = recipe.training.class_weights == "balanced"
        self.weights = torch.zeros(len(labels))
        self.weights[which] = class_weights(labels[which], classes, balanced=balanced)
        head = fit_head(
            rows[which].flatten(0, 1),
            labels[which].repeat_interleave(rows.shape[1]),
            classes,
            trial.strength,
            sizes=block_sizes(network, rows, trial.concepts),
            balanced=balanced,
        )
        self.layers = _Layers(last, head)
        self.average = copy.deepcopy(self.layers).requires_grad_(False)
        rate = self.options.learning_rate
        self.optimizer = torch.optim.AdamW(
            [
                {"params": self.layers.last.parameters(), "peak": rate},
                {"params": self.layers.head.parameters(), "peak": HEAD_RATE * rate},
            ],
            weight_decay=self.options.weight_decay,
        )
        self.steps = -(-len(which) // self.options.batch_size)

    def _rows(self, layers: _Layers, x: Tensor) -> Tensor:
        """Features and concepts `(N, F + C)`, of what the first layers give."""
        features = pooled(layers.last(x.float()))
        return torch.cat([features, self.network.known_concepts(features)], 1)

    @torch.no_grad()
    def rows(self, x: Tensor, layers: _Layers | None = None) -> Tensor:
        """The same without derivatives, by default by the averaged weights."""
        own = layers or self.average
        return torch.cat([self._rows(own, part) for part in torch.split(x, TOGETHER)])

    def logits(self, layers: _Layers, rows: Tensor) -> Tensor:
        """Logits `(N, K)` of features and concepts."""
        found: Tensor = layers.head(head_rows(self.network, rows, self.concepts))
        return found

    def epoch(self, number: int, threads: Threads) -> Iterator[tuple[int, float, float]]:
        """Train one epoch; after each step: its images, learning rate and loss."""
        random = np.random.default_rng((self.seed, number))
        order = self.which[torch.from_numpy(random.permutation(len(self.which)))]
        kept = 1 - 1 / (AVERAGED * self.steps + 1)
        for step, some in enumerate(torch.tensor_split(order, self.steps)):
            threads.follow()
            done = (number - 1) * self.steps + step
            share = 0.5 + 0.5 * math.cos(math.pi * done / (self.options.epochs * self.steps))
            share *= min(1, (done + 1) / WARM_UP)
            for group in self.optimizer.param_groups:
                group["lr"] = share * group["peak"]
            loss = self._loss(some, random)
            self.optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call] # PyTorch does not annotate it
            self.optimizer.step()
            with torch.no_grad():
                pairs = zip(self.average.parameters(), self.layers.parameters(), strict=True)
                for average, weight in pairs:
                    average.lerp_(weight, 1 - kept)
            yield len(some), share * self.options.learning_rate, float(loss.detach())

    def _loss(self, some: Tensor, random: np.random.Generator) -> Tensor:
        """The loss of a random view of each image, mixed with that of another image (mixup)."""
        chosen = torch.from_numpy(random.integers(0, self.views.shape[1], len(some)))
        shown = self.views[some, chosen].float()
        other = torch.from_numpy(random.permutation(len(some)))
        share = float(random.beta(MIXED, MIXED))
        mixed = share * shown + (1 - share) * shown[other]
        logits = self.logits(self.layers, self._rows(self.layers, mixed))
        total = torch.zeros(())
        for part, own in ((share, some), (1 - share, some[other])):
            each = F.cross_entropy(logits, self.labels[own], reduction="none")
            total = total + part * (each * self.weights[own]).mean()
        return total


class _Progress:
    """Trains epoch by epoch, and tells callbacks how far it is.

    Args:
        epochs: The most epochs.
        images: Images of an epoch of all folds, and of one of the final training.
        threads: Follow the load of the computer.
        callbacks: Their `step` is called.
    """

    def __init__(
        self, epochs: int, images: tuple[int, int], threads: Threads, callbacks: Sequence[Callback]
    ) -> None:
        self.epochs, self.images = 2 * epochs, images
        self.threads, self.callbacks = threads, callbacks
        self.started = self.reported = time.perf_counter()
        self.seen, self.epoch, self.left = 0, 0, epochs * sum(images)

    def last(self, epochs: int) -> None:
        """Only the final training is left, of so many epochs."""
        self.epochs, self.left = self.epoch + epochs, epochs * self.images[1]

    def train(self, number: int, tails: Sequence[_Tail]) -> None:
        """Train epoch `number` of some trainings, one after the other."""
        self.epoch += 1
        total, seen, step, steps = 0.0, 0, 0, sum(tail.steps for tail in tails)
        for tail in tails:
            for images, rate, loss in tail.epoch(number, self.threads):
                total, seen, step = total + images * loss, seen + images, step + 1
                self.seen += images
                self.left -= images
                now = time.perf_counter()
                if now - self.reported < REPORT_SECONDS and step < steps:
                    continue
                self.reported, speed = now, self.seen / (now - self.started)
                left = self.left / speed
                shown = (self.epoch, self.epochs, step, steps, speed, rate, total / seen, left)
                for callback in self.callbacks:
                    callback.step(Step(*shown))


def _held_out(
    tails: Sequence[_Tail], splits: Sequence[tuple[Tensor, Tensor]], labels: Tensor, classes: int
) -> Tensor:
    """Logits `(N, K)` of each image by the training that did not have it; NaN without one."""
    found = torch.full((len(labels), classes), torch.nan)
    for tail, (_, held) in zip(tails, splits, strict=True):
        found[held] = tail.logits(tail.average, tail.rows(tail.views[held, 0])).detach()
    return found


def _losses(logits: Tensor, labels: Tensor, held: Tensor) -> Tensor:
    """The losses of the images `held`, with the temperature that suits them."""
    own, right = logits[held], labels[held]
    return F.cross_entropy(own / fit_temperature(own, right), right, reduction="none")


def _compare(
    before: Tensor, after: Tensor, labels: Tensor, held: Tensor, epochs: int
) -> FineTuning:
    """Whether held-out logits are clearly better than those before."""
    losses = [_losses(logits, labels, held) for logits in (before, after)]
    accuracies = [
        float((logits.argmax(1) == labels)[held].float().mean()) for logits in (before, after)
    ]
    pays = epochs > 0 and clearly_lower(losses[1], losses[0], errors=ERRORS)
    return FineTuning(pays, epochs, *(float(each.mean()) for each in losses), *accuracies)

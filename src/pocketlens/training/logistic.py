"""Regularized logistic regression on features, and its strength by cross-validation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

__all__ = [
    "FOLDS",
    "REPEATED",
    "Blocks",
    "Linear",
    "Problem",
    "class_weights",
    "fit_head",
    "folds",
    "held_out_logits",
    "one_thread_if_small",
    "parts",
    "repeated_folds",
]

LARGE = 20_000_000
"""Numbers in the rows from which on several threads are faster than one."""

TOGETHER = 4_000_000
"""The most weights of problems that are solved together."""

HISTORY = 10
"""Steps that L-BFGS remembers, each as large as the weights."""

BLOCK = 8_000_000
"""Numbers in the rows, or logits, that are computed at a time: what is between them is not kept for
all rows of many photos."""

STEPS, ROUGH_STEPS = 100, 30
"""The most steps of L-BFGS, for the final head and in cross-validation, where each strength starts
from the solution of the one before."""

FOLDS = 5
REPEATED = 400
"""With fewer images, a cross-validation is repeated, to depend less on the folds."""

RISEN = 1.05
"""Weaker penalties are not tried once the held-out loss is this many times the lowest one."""


@dataclass(frozen=True)
class Linear:
    """`logits = x @ weight.T + bias`: weight `(K, D)`, bias `(K,)`."""

    weight: Tensor
    bias: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        return torch.addmm(self.bias, x, self.weight.T)

    def divided(self, temperature: float) -> Linear:
        """The same, with logits divided by a temperature."""
        return Linear(self.weight / temperature, self.bias / temperature)


@dataclass(frozen=True)
class Blocks:
    """Brings blocks of features to one scale: each block has mean 0 and rows of norm 1 on average.

    Features and probabilities have different sizes, and the penalty of the regression treats all
    numbers alike.

    Args:
        mean: `(D,)`.
        scale: `(D,)`, the same number within a block.
    """

    mean: Tensor
    scale: Tensor

    @classmethod
    def fit(cls, x: Tensor, sizes: Sequence[int]) -> Blocks:
        """From rows `(N, D)`, with the number of columns of each block."""
        mean = x.mean(0)
        squares = torch.zeros(x.shape[1], dtype=torch.float64)
        for part in parts(x, x.shape[1]):
            squares += (part - mean).square().sum(0)
        norms = [
            block.sum().div(len(x)).sqrt().float().clamp(min=1e-6).expand(len(block))
            for block in torch.split(squares, list(sizes))
        ]
        return cls(mean, 1 / torch.cat(norms))

    def __call__(self, x: Tensor) -> Tensor:
        return (x - self.mean) * self.scale

    def merged(self, linear: Linear) -> Linear:
        """The same logits as `linear` on scaled rows, from rows as they are."""
        weight = linear.weight * self.scale
        return Linear(weight, linear.bias - weight @ self.mean)


class Problem:
    """Multinomial logistic regression with an L2 penalty on rows `(N, D)`.

    The loss is the weighted mean negative log-likelihood, plus `strength / 2` times the squared
    weights; the bias is free. With fewer rows than columns, the weights are sums of the rows, so
    the problem is solved in the space of the rows, which is exact.

    Several problems with the same rows and other weights of the rows, such as the folds of a
    cross-validation, are solved together: the steps are small, and most of their time is overhead.

    Many rows are not copied: `scaling` becomes a part of the weights.

    Args:
        x: Rows `(N, D)` float32.
        labels: `(N,)` int64.
        classes: `K`.
        weights: `(N,)` or, for `M` problems, `(M, N)` float32: one weight per row, with mean 1.
        scaling: The penalty is on the weights of rows that it has scaled.
    """

    def __init__(
        self,
        x: Tensor,
        labels: Tensor,
        classes: int,
        weights: Tensor,
        scaling: Blocks | None = None,
    ) -> None:
        self.labels, self.classes = labels, classes
        self.single = weights.dim() == 1
        self.weights = (weights[None] if self.single else weights).T  # (N, M)
        self.basis: Tensor | None = None
        self.x, self.scaling = x, scaling
        self.inner = scaling  # of `x`, as long as it is not scaled
        if len(x) < x.shape[1]:
            x, self.inner = x if scaling is None else scaling(x), None
            values, vectors = torch.linalg.eigh((x @ x.T).double())
            kept = values > values[-1].clamp(min=1e-12) * 1e-9
            roots = values[kept].sqrt()
            self.x = (vectors[:, kept] * roots).float()
            self.basis = (x.T.double() @ (vectors[:, kept] / roots)).float()  # (D, rank)
        problems = self.weights.shape[1]
        self.weight = torch.zeros(problems * classes, self.x.shape[1])
        self.bias = torch.zeros(problems * classes)

    def minimize(self, strength: float, *, steps: int = STEPS) -> None:
        """Find the minimum for one strength; starts from the one before."""
        weight = self.weight.clone().requires_grad_()
        bias = self.bias.clone().requires_grad_()
        optimizer = torch.optim.LBFGS(
            [weight, bias],
            max_iter=steps,
            history_size=HISTORY,
            tolerance_grad=1e-5,
            tolerance_change=1e-7,
            line_search_fn="strong_wolfe",
        )
        labels = self.labels[:, None].expand(-1, self.weights.shape[1])  # (N, M)

        def loss() -> Tensor:
            optimizer.zero_grad()
            total = strength / 2 * weight.square().sum()
            total.backward()  # type: ignore[no-untyped-call] # PyTorch does not annotate it
            total = total.detach()
            for x, own, weights in zip(
                *(parts(each, len(weight)) for each in (self.x, labels, self.weights)), strict=True
            ):
                logits = _linear(weight, bias, self.inner)(x)
                logits = logits.reshape(len(x), -1, self.classes)  # (n, M, K)
                each = F.cross_entropy(logits.transpose(1, 2), own, reduction="none")
                part = (each * weights).sum() / len(self.x)
                part.backward()
                total += part.detach()
            return total

        optimizer.step(loss)  # type: ignore[no-untyped-call, unused-ignore]
        self.weight, self.bias = weight.detach(), bias.detach()

    def solve(self, strength: float) -> Linear:
        """The solution of a single problem for one strength."""
        assert self.single
        self.minimize(strength)
        whole = self.weight if self.basis is None else self.weight @ self.basis.T
        return _linear(whole, self.bias, self.scaling)

    def logits(self, number: int) -> Tensor:
        """Logits `(N, K)` of the rows, by the solution of one problem."""
        own = slice(number * self.classes, (number + 1) * self.classes)
        return _linear(self.weight[own], self.bias[own], self.inner)(self.x)


def _linear(weight: Tensor, bias: Tensor, scaling: Blocks | None) -> Linear:
    """From rows as they are, with weights of scaled ones."""
    linear = Linear(weight, bias)
    return linear if scaling is None else scaling.merged(linear)


def parts(rows: Tensor, width: int) -> Sequence[Tensor]:
    """Rows `(N, …)` in parts that have at most `BLOCK` numbers, if each row has `width`."""
    parts: Sequence[Tensor] = torch.split(rows, max(1, BLOCK // width))
    return parts


@contextmanager
def one_thread_if_small(x: Tensor) -> Iterator[None]:
    """Within: PyTorch computes in one thread, unless the rows are large.

    Small steps gain nothing from more threads, which wait for each other; beside another busy
    process, they wait a hundred times as long as they compute.
    """
    before = torch.get_num_threads()
    if x.numel() < LARGE:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def class_weights(labels: Tensor, classes: int, *, balanced: bool) -> Tensor:
    """One weight per image `(N,)`, with mean 1: the same total for each class if `balanced`."""
    if not balanced:
        return torch.ones(len(labels))
    counts = torch.bincount(labels, minlength=classes).clamp(min=1).float()
    weights = (1 / counts)[labels]
    return weights / weights.mean()


def fit_head(
    x: Tensor,
    labels: Tensor,
    classes: int,
    strength: float,
    *,
    sizes: Sequence[int],
    balanced: bool,
) -> Linear:
    """A head on rows as they are.

    Args:
        x: `(N, D)` float32.
        labels: `(N,)` int64.
        classes: `K`.
        strength: Strength of the penalty.
        sizes: Columns of each block of `D`.
        balanced: See `class_weights`.
    """
    weights = class_weights(labels, classes, balanced=balanced)
    return Problem(x, labels, classes, weights, Blocks.fit(x, sizes)).solve(strength)


def folds(
    labels: Tensor, groups: NDArray[np.int64], count: int, *, seed: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Indices of the images to train on and to test on, `count` times.

    Each class is spread evenly. The images of a group, such as a burst, stay together. The only
    group of a class is never held out, because the class would be unknown.

    Args:
        labels: `(N,)` int64.
        groups: `(N,)` int64, the same number for images that belong together.
        count: Number of folds, at least 2.
        seed: Chooses the folds.
    """
    random = np.random.default_rng(seed)
    fold = np.full(len(labels), -1)
    for label in np.unique(labels.numpy()):
        members = np.flatnonzero(labels.numpy() == label)
        own = random.permutation(np.unique(groups[members]))
        if len(own) < 2:
            continue
        first = random.integers(count)
        place = {int(group): (first + index) % count for index, group in enumerate(own)}
        fold[members] = [place[int(group)] for group in groups[members]]
    for number in range(count):
        held = np.flatnonzero(fold == number)
        if len(held):
            yield torch.from_numpy(np.flatnonzero(fold != number)), torch.from_numpy(held)


def repeated_folds(
    labels: Tensor, groups: NDArray[np.int64], *, most: int, seed: int
) -> list[list[tuple[Tensor, Tensor]]]:
    """The folds of a cross-validation, and of its repetitions if there are few images.

    Args:
        labels: `(N,)` int64.
        groups: See `folds`.
        most: The most repetitions.
        seed: Chooses the folds.
    """
    count = max(1, min(most, REPEATED // len(labels)))
    return [list(folds(labels, groups, FOLDS, seed=seed + number)) for number in range(count)]


def held_out_logits(
    x: Tensor,
    labels: Tensor,
    classes: int,
    strengths: Sequence[float],
    repetitions: Sequence[Sequence[tuple[Tensor, Tensor]]],
    *,
    sizes: Sequence[int],
    balanced: bool,
) -> Tensor:
    """Logits of each image from a head that was not trained on it.

    Args:
        x: `(N, V, D)` float32: `V` views of each image. Training uses all views, testing the first.
        labels: `(N,)` int64.
        classes: `K`.
        strengths: Strengths of the penalty, in falling order.
        repetitions: The folds of each, from `folds`: there, an image is held out once at most.
        sizes: Columns of each block of `D`.
        balanced: See `class_weights`.

    Returns:
        `(S, repetitions, N, K)` float32, for the first `S` of the strengths; NaN for images that
        were not held out in a repetition.
    """
    views = x.shape[1]
    rows, own = x.flatten(0, 1), labels.repeat_interleave(views)
    scaling = Blocks.fit(rows, sizes)
    splits = [(at, *split) for at, every in enumerate(repetitions) for split in every]
    weights = torch.zeros(len(splits), len(labels))
    for number, (_, train, _) in enumerate(splits):
        weights[number, train] = class_weights(labels[train], classes, balanced=balanced)
    weights = weights * (len(labels) / weights.sum(1, keepdim=True))
    weights = weights.repeat_interleave(views, dim=1)
    most = max(1, TOGETHER // (classes * min(rows.shape)))
    problems = [Problem(rows, own, classes, part, scaling) for part in torch.split(weights, most)]
    found: list[Tensor] = []
    lowest = float("inf")
    for strength in strengths:
        out = torch.full((len(repetitions), len(labels), classes), torch.nan)
        losses = []
        for number, (repetition, _, held) in enumerate(splits):
            problem = problems[number // most]
            if number % most == 0:
                problem.minimize(strength, steps=ROUGH_STEPS)
            logits = problem.logits(number % most)[::views][held]
            out[repetition, held] = logits
            losses.append(F.cross_entropy(logits, labels[held]))
        found.append(out)
        loss = float(torch.stack(losses).mean())
        if loss > RISEN * lowest:
            break
        lowest = min(lowest, loss)
    return torch.stack(found)

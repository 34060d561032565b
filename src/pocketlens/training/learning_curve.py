"""The learning curve of a head on features: accuracy with fewer images than there are."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pocketlens.history import LearningCurve
from pocketlens.training.logistic import FOLDS, fit_head, repeated_folds

__all__ = ["learning_curve"]

COUNTS = (1, 2, 3, 5, 8, 12, 20, 30, 50, 80, 120, 200)
"""Images per class of the points before the last one."""

REPETITIONS = 4
"""With few images, each point is a mean over at most so many choices."""

MOST_ROWS = 600
"""Points with more images than this are left out: each would take as long as all before it."""


def learning_curve(
    x: Tensor,
    labels: Tensor,
    classes: Sequence[str],
    held_out: Tensor,
    *,
    strength: float,
    sizes: Sequence[int],
    balanced: bool,
    groups: NDArray[np.int64],
    share: float = 1 - 1 / FOLDS,
    seed: int = 0,
) -> LearningCurve:
    """Accuracy of heads that are trained on 1, 2, 3, 5, … images of each class.

    Args:
        x: What the head receives, `(N, D)` float32.
        labels: `(N,)` int64, of the classes.
        classes: The `K` class names.
        held_out: Logits `(N, K)` of each image by a head that was trained on the images of other
            folds, for the last point; NaN for images that were never held out.
        strength: Strength of the penalty with all images. With fewer, it is larger in proportion,
            so that weights of the same size cost the same.
        sizes: Columns of each block of `x`; see `logistic.Blocks`.
        balanced: See `logistic.class_weights`.
        groups: `(N,)`: images with the same number are never on both sides.
        share: Of the images, that the heads of `held_out` were trained on.
        seed: Chooses the folds and the images.
    """
    known = held_out.isfinite().all(1)
    right = held_out.argmax(1) == labels
    recalls = []
    for label in range(len(classes)):
        own = known & (labels == label)  # an only image was never held out, so it is not known
        recalls.append(float(right[own].float().mean()) if own.any() else 0.0)
    points = _points(x, labels, len(classes), strength, sizes, balanced, groups, seed)
    whole = share * len(labels) / len(classes)
    points = [(images, accuracy) for images, accuracy in points if images < 0.9 * whole]
    points.append((whole, float(right[known].float().mean())))
    images, accuracies = zip(*points, strict=True)
    return LearningCurve(images, accuracies, tuple(classes), tuple(recalls))


def _points(
    x: Tensor,
    labels: Tensor,
    classes: int,
    strength: float,
    sizes: Sequence[int],
    balanced: bool,
    groups: NDArray[np.int64],
    seed: int,
) -> list[tuple[float, float]]:
    """Images per class, and accuracy, of the points before the last one."""
    right: dict[int, list[Tensor]] = {}
    used: dict[int, list[int]] = {}
    random = np.random.default_rng(seed)
    repeated = repeated_folds(labels, groups, most=REPETITIONS, seed=seed)
    splits = list(chain.from_iterable(repeated))
    for train, held in splits:
        own = torch.from_numpy(random.permutation(train.numpy()))
        ranks = _ranks(labels[own].numpy())
        for count in COUNTS:
            some = own[torch.from_numpy(ranks < count)]
            if len(some) > MOST_ROWS or len(some) == len(own):
                break
            larger = strength * len(own) / len(some)
            head = fit_head(x[some], labels[some], classes, larger, sizes=sizes, balanced=balanced)
            right.setdefault(count, []).append(head(x[held]).argmax(1) == labels[held])
            used.setdefault(count, []).append(len(some))
    return [
        (sum(used[count]) / len(splits) / classes, float(torch.cat(found).float().mean()))
        for count, found in right.items()
        if len(found) == len(splits)  # no split had fewer images
    ]


def _ranks(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each image, how many of its class come before it."""
    ranks = np.empty(len(labels), np.int64)
    for label in np.unique(labels):
        own = np.flatnonzero(labels == label)
        ranks[own] = np.arange(len(own))
    return ranks

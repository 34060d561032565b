"""The head of a training on features, and its strength, by cross-validation.

No image has to be held back: the same held-out logits give the temperature, the thresholds and the
accuracy that is reported.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from pocketlens.data.dataset import spread
from pocketlens.errors import OptionError
from pocketlens.networks.backbone import Backbone
from pocketlens.recipe import Recipe
from pocketlens.training.logistic import (
    FOLDS,
    REPEATED,
    Linear,
    folds,
    held_out_logits,
    parts,
    repeated_folds,
)
from pocketlens.training.temperature import fit_temperature

__all__ = [
    "Trial",
    "block_sizes",
    "choose_head",
    "clearly_lower",
    "finite",
    "head_rows",
    "held_out_probabilities",
    "validate_all",
]

STRENGTHS = tuple(10 ** (-exponent / 2) for exponent in range(2, 10))
"""Strengths of the penalty that are tried, on features of norm 1: 0.1 to 0.00003."""

REPETITIONS = 3
"""Of the cross-validation, at most."""

LAST_FOLDS = 15
"""Folds of the held-out logits if there are at most `REPEATED` images: so their heads are trained
on nearly as many images as the final one, and limits that are fitted to them suit it, too."""

MOST_VALIDATED = 2_000
"""With more images, the strength is chosen on this many, or three per class if that is more; the
head is fitted on all."""

LARGE = 200_000_000
"""Above this product of images, features and classes, every second strength is tried, and labels
are checked by two heads instead of five: they take about twice as long as the final head."""

MOST_LOGITS = 50_000_000
"""The most held-out logits, 200 MB, that are computed to check labels."""


@dataclass(frozen=True)
class Trial:
    """One way to make the head, and what cross-validation says about it.

    Args:
        concepts: Whether the head uses the backbone's concepts.
        views: Views of each image: 1, or 2 with its mirror image.
        strength: The best strength of the penalty.
        images: `(N,)`, the indices of the images that were cross-validated.
        logits: `(N, K)`, by heads that were not trained on the image.
        losses: One for each image that was held out, a mean over the repetitions.
        splits: The folds of `logits`, as indices into `images`.
        head: The final head, if the last blocks of the backbone were trained together with it.
        by_fold: Features and concepts `(N, F + C)` by the backbone of each fold; empty if all folds
            have the same one.
    """

    concepts: bool
    views: int
    strength: float
    images: Tensor
    logits: Tensor
    losses: Tensor
    splits: list[tuple[Tensor, Tensor]]
    head: Linear | None = None
    by_fold: tuple[Tensor, ...] = ()


def head_rows(network: Backbone, rows: Tensor, concepts: bool) -> Tensor:
    """What the head receives: features and concepts `(..., F + C)` → `(..., D)`."""
    return rows if concepts else rows[..., : network.width]


def block_sizes(network: Backbone, x: Tensor, concepts: bool) -> list[int]:
    """How many columns of what the head receives are features, and how many concepts."""
    width = network.width
    return [width, x.shape[-1] - width] if concepts else [width]


def choose_head(
    recipe: Recipe,
    network: Backbone,
    rows: Tensor,
    labels: Tensor,
    groups: NDArray[np.int64],
) -> Trial:
    """The trial with the lowest held-out loss.

    Concepts also tell pictures of other things, so they are used unless the head is better
    without them by more than one standard error of the difference.

    Args:
        recipe: The recipe.
        network: The backbone.
        rows: Features and concepts of V views of all images, `(N, V, F + C)`.
        labels: `(N,)` int64.
        groups: `(N,)`, the same number for images that belong together.
    """
    classes = int(labels.max()) + 1
    some = np.arange(len(labels))
    if len(some) > (most := max(MOST_VALIDATED, 3 * classes)):
        some = np.sort(spread(labels.numpy(), most, seed=recipe.seed))
    splits = repeated_folds(labels[some], groups[some], most=REPETITIONS, seed=recipe.seed)
    if not splits[0]:
        raise OptionError(
            "every class has only one image (or one burst) to train on; "
            "expected at least 2 different ones in some class"
        )
    fixed = "concepts" in recipe.network.options
    best: Trial | None = None
    for views in range(1, rows.shape[1] + 1):
        trial = _try(recipe, network, rows[some, :views], labels[some], splits, classes)
        if best is None or trial.losses.mean() < best.losses.mean():
            best = trial
    assert best is not None
    if network.concepts and not fixed:
        without = _try(
            recipe,
            network,
            rows[some, : best.views],
            labels[some],
            splits,
            classes,
            concepts=False,
        )
        if clearly_lower(without.losses, best.losses):
            best = without
    if len(some) <= REPEATED:
        best = _last(recipe, network, rows[some, : best.views], labels[some], groups[some], best)
    return replace(best, images=torch.from_numpy(some))


def _last(
    recipe: Recipe,
    network: Backbone,
    rows: Tensor,
    labels: Tensor,
    groups: NDArray[np.int64],
    best: Trial,
) -> Trial:
    """The best trial, with held-out logits of more folds."""
    x = head_rows(network, rows, best.concepts)
    splits = list(folds(labels, groups, LAST_FOLDS, seed=recipe.seed))
    logits = held_out_logits(
        x,
        labels,
        best.logits.shape[1],
        [best.strength],
        [splits],
        sizes=block_sizes(network, x, best.concepts),
        balanced=recipe.training.class_weights == "balanced",
    )
    return replace(best, logits=logits[0, 0], splits=splits)


def validate_all(
    recipe: Recipe,
    network: Backbone,
    rows: Tensor,
    labels: Tensor,
    groups: NDArray[np.int64],
    best: Trial,
) -> Trial:
    """The best trial, with held-out logits of all images.

    `choose_head` validates a part of many images: enough to choose a head, but a wrong label may be
    anywhere. If even their logits are too many, it is as many images as possible.

    Args:
        recipe: The recipe.
        network: The backbone.
        rows: As for `choose_head`.
        labels: `(N,)` int64.
        groups: As for `choose_head`.
        best: The result of `choose_head`.
    """
    classes = best.logits.shape[1]
    some = np.arange(len(labels))
    if len(some) > (most := MOST_LOGITS // classes):
        some = np.sort(spread(labels.numpy(), most, seed=recipe.seed))
    if len(best.images) >= len(some):
        return best
    x = head_rows(network, rows[:, : best.views], best.concepts)
    if len(some) < len(labels):
        x, labels, groups = x[some], labels[some], groups[some]
    count = FOLDS if x.numel() * classes <= LARGE else 2
    splits = list(folds(labels, groups, count, seed=recipe.seed))
    logits = held_out_logits(
        x,
        labels,
        classes,
        [best.strength],
        [splits],
        sizes=block_sizes(network, x, best.concepts),
        balanced=recipe.training.class_weights == "balanced",
    )
    return replace(best, images=torch.from_numpy(some), logits=logits[0, 0], splits=splits)


def held_out_probabilities(trial: Trial, labels: Tensor, classes: int) -> Tensor:
    """The probabilities `(N, classes)` of held-out images, of the first classes.

    Args:
        trial: Its logits.
        labels: The labels of all images.
        classes: The number of classes without the background.
    """
    few = slice(None, None, max(1, len(trial.images) // MOST_VALIDATED))
    temperature = fit_temperature(*finite(trial.logits[few], labels[trial.images[few]]))
    found = trial.logits[:, :classes].clone()
    for some in parts(found, classes):
        some.copy_((some / temperature).softmax(1))
    return found


def clearly_lower(losses: Tensor, than: Tensor, *, errors: float = 1.0) -> bool:
    """Whether losses `(N,)` of the same images are lower by more than so many standard errors."""
    difference = than - losses
    error = difference.std() / max(1, len(difference)) ** 0.5
    return bool(difference.mean() > errors * error)


def _try(
    recipe: Recipe,
    network: Backbone,
    rows: Tensor,
    labels: Tensor,
    splits: list[list[tuple[Tensor, Tensor]]],
    classes: int,
    *,
    concepts: bool | None = None,
) -> Trial:
    """Cross-validate one way to make the head; by default with the network's concepts."""
    concepts = network.concepts if concepts is None else concepts
    x = head_rows(network, rows, concepts)
    strengths = STRENGTHS[:: 2 if x.numel() * classes > LARGE else 1]
    logits = held_out_logits(
        x,
        labels,
        classes,
        strengths,
        splits,
        sizes=block_sizes(network, x, concepts),
        balanced=recipe.training.class_weights == "balanced",
    )  # (strengths, repeats, N, K)
    each = torch.stack(
        [
            torch.stack([F.cross_entropy(one, labels, reduction="none") for one in some])
            for some in logits
        ]
    )
    losses = each.nanmean(1)  # (strengths, N); NaN for images that were never held out
    held = losses[0].isfinite()
    at = int(losses[:, held].mean(1).argmin())
    images = torch.arange(len(labels))
    return Trial(
        concepts, x.shape[1], strengths[at], images, logits[at, 0], losses[at, held], splits[0]
    )


def finite(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """The rows that were held out, and their labels."""
    held = logits.isfinite().all(1)
    return logits[held], labels[held]

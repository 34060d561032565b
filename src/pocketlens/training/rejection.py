"""Fit `networks.backbone.Rejection`: when a picture shows none of the known classes.

No pictures of anything else are needed: each class in turn plays the unknown, against a head and
prototypes that were made without it; generated scenes stand for everything that is far from all
classes. Pictures of the background, if the user has some, count most.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from pocketlens.networks.backbone import Rejection, signs
from pocketlens.training.logistic import Blocks, Linear, Problem, class_weights

__all__ = ["MAX_PROTOTYPES", "Known", "fit_rejection", "make_prototypes"]

MAX_PROTOTYPES = 512
"""With more training images, they are represented by this many cluster centers."""

KEPT = 0.975
"""Share of the known images, held out, for which `nothing` is less likely than something."""

LEFT_OUT = 12
"""The most classes that play the unknown; a random choice of them if there are more."""

NEAR, FAR, BACKGROUND = 1.0, 0.5, 2.0
"""Weight of each kind of unknown image, against 1 for the known ones."""

STRENGTH = 1e-3
ROUNDS = 8


@dataclass(frozen=True)
class Known:
    """What is known about the training images.

    Args:
        features: `(N, F)`.
        described: `(N, D)`, what the head receives.
        labels: `(N,)` int64, of the known classes.
        classes: Number of known classes.
        held_out: Logits `(N, K)` by heads that were not trained on the image; NaN for images that
            were never held out.
        splits: The folds of `held_out`.
        sizes: Columns of each block of `described`.
        strength: Strength of the penalty of the head.
        balanced: See `class_weights`.
    """

    features: Tensor
    described: Tensor
    labels: Tensor
    classes: int
    held_out: Tensor
    splits: Sequence[tuple[Tensor, Tensor]]
    sizes: Sequence[int]
    strength: float
    balanced: bool


@dataclass(frozen=True)
class Pictures:
    """Pictures that show none of the classes: features `(M, F)`, and what the head receives."""

    features: Tensor
    described: Tensor


def make_prototypes(
    features: Tensor, labels: Tensor, *, most: int = MAX_PROTOTYPES
) -> tuple[Tensor, Tensor]:
    """The center `(F,)` of features `(N, F)`, and unit vectors `(P, F)` that stand for them.

    Up to `most` images, each is its own prototype. Above, each class has its share of cluster
    centers, by k-means on the unit sphere.
    """
    center = features.mean(0)
    directions = F.normalize(features - center, dim=1)
    if len(features) <= most:
        return center, directions
    random = np.random.default_rng(0)
    found = []
    for label in torch.unique(labels):  # type: ignore[no-untyped-call]
        own = directions[labels == label]
        count = max(1, round(most * len(own) / len(features)))
        chosen = own[torch.from_numpy(random.permutation(len(own))[:count])]
        for _ in range(ROUNDS):
            nearest = (own @ chosen.T).argmax(1)
            sums = torch.zeros_like(chosen).index_add_(0, nearest, own)
            empty = sums.norm(dim=1) == 0
            chosen = torch.where(empty[:, None], chosen, F.normalize(sums, dim=1))
        found.append(chosen)
    return center, torch.cat(found)[: 2 * most]


def fit_rejection(
    known: Known, head: Linear, *, far: Pictures, background: Pictures | None, seed: int
) -> tuple[Rejection, Tensor]:
    """A Rejection module, fitted; and the log odds `(N,)` by which each known image is unknown,
    held out (NaN for images that were never held out).

    Args:
        known: The training images.
        head: The final head, for the pictures in `far` and `background`.
        far: Generated scenes.
        background: The user's pictures of the background; None without any.
        seed: Chooses the classes that play the unknown.
    """
    center, prototypes = make_prototypes(known.features, known.labels)
    every = _signs_of_known(known)
    inside = every[every.isfinite().all(1)]
    parts = [(inside, 0.0, 1.0)]
    near = _signs_of_left_out(known, seed)
    if near is not None:
        parts.append((near, 1.0, NEAR))
    for pictures, weight in ((far, FAR), (background, BACKGROUND)):
        if pictures is not None and len(pictures.features):
            found = signs(pictures.features, head(pictures.described), center, prototypes)
            parts.append((found, 1.0, weight))
    rows = torch.cat([part for part, _, _ in parts])
    unknown = torch.cat([torch.full((len(part),), value) for part, value, _ in parts])
    weights = torch.cat([torch.full((len(part),), w / len(part)) for part, _, w in parts])
    coefficients = _fit(rows, unknown.long(), weights / weights.mean())
    bias = -torch.quantile(inside @ coefficients, KEPT)
    module = Rejection(known.features.shape[1], len(prototypes))
    values = {"center": center, "prototypes": prototypes}
    module.load_state_dict({**values, "weights": coefficients, "bias": bias.reshape(1)})
    return module, every @ coefficients + bias


def _fit(rows: Tensor, unknown: Tensor, weights: Tensor) -> Tensor:
    """Coefficients `(3,)`, none above 0: a sign may only speak for a known image.

    A sign that would speak the other way, by chance, is left out.
    """
    used = [0, 1, 2]
    mean, deviation = rows.mean(0), rows.std(0).clamp(min=1e-6)
    while True:
        x = ((rows - mean) / deviation)[:, used]
        linear = Problem(x, unknown, 2, weights).solve(STRENGTH)
        found = (linear.weight[1] - linear.weight[0]) / deviation[used]
        if bool((found <= 0).all()):
            break
        used.remove(used[int(found.argmax())])
        if not used:  # nothing tells them apart: the similarity is the safest sign
            return torch.tensor([-1.0, 0.0, 0.0])
    coefficients = torch.zeros(3)
    coefficients[used] = found
    return coefficients


def _signs_of_known(known: Known) -> Tensor:
    """The signs of known images, by heads and prototypes that do not have them."""
    found = torch.full((len(known.labels), 3), torch.nan)
    for train, held in known.splits:
        center, prototypes = make_prototypes(known.features[train], known.labels[train])
        found[held] = signs(known.features[held], known.held_out[held], center, prototypes)
    return found


def _signs_of_left_out(known: Known, seed: int) -> Tensor | None:
    """The signs of classes that were left out, one at a time; None for two classes or fewer."""
    if known.classes < 3:
        return None
    random = np.random.default_rng(seed)
    found = []
    for label in random.permutation(known.classes)[:LEFT_OUT].tolist():
        out = known.labels == label
        rest = ~out
        labels = known.labels[rest]
        labels = labels - (labels > label).long()
        scaling = Blocks.fit(known.described[rest], known.sizes)
        weights = class_weights(labels, known.classes - 1, balanced=known.balanced)
        problem = Problem(scaling(known.described[rest]), labels, known.classes - 1, weights)
        logits = problem.solve(known.strength)(scaling(known.described[out]))
        center, prototypes = make_prototypes(known.features[rest], labels)
        found.append(signs(known.features[out], logits, center, prototypes))
    return torch.cat(found)

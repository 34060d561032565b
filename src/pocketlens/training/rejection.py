"""Fit `networks.backbone.Rejection`: when a picture shows none of the known classes.

No pictures of anything else are needed. Each class in turn plays the unknown, against a head and
stored features that were made without it: so pictures of the same kind as the classes are told from
them. Generated scenes stand for everything that is far from all classes. The user's own pictures
of the background, if there are some, are a class of the head instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from pocketlens.data.dataset import spread
from pocketlens.networks.backbone import Rejection
from pocketlens.training.limits import CONCEPT_SIGN, LOGIT_SIGNS, for_far, for_near
from pocketlens.training.logistic import Linear, fit_head

__all__ = ["MAX_PROTOTYPES", "Known", "Pictures", "fit_rejection"]

MAX_PROTOTYPES = 512
"""With more training images, they are represented by this many cluster centers."""

SUMMARIZED = 4_000
"""With more images, or ten per class if that is more, the cluster centers, the whitening and the
means are those of this many."""

MAX_DIMENSIONS = 128
WHITENED = 4_000
"""The most images from which the whitening is computed."""

SHRINKAGE, TUNED_SHRINKAGE = 0.1, 1.0
"""Share of the mean variance that is added to each variance, because images are few. It is larger
where the backbone was trained on the images, which draws those of a class together."""

NOISE = 0.01
"""The least deviation of a feature that means anything, as a share of its usual size. Rounding to
float16 in the layers of a backbone changes features by about a tenth of that."""

LEFT_OUT = 12
"""The most classes that play the unknown; a random choice of them if there are more."""

ROUNDS = 8
TOGETHER = 4_000_000
"""Differences to the classes' means that are computed at a time."""


@dataclass(frozen=True)
class Pictures:
    """Pictures as the backbone sees them.

    Args:
        rows: `(N, F + C)`: features, then concepts, if the backbone has them.
        width: Number of features, `F`.
    """

    rows: Tensor
    width: int

    @property
    def features(self) -> Tensor:
        """`(N, F)`."""
        return self.rows[:, : self.width]

    @property
    def concepts(self) -> Tensor:
        """`(N, C)`; `(N, 0)` without concepts."""
        return self.rows[:, self.width :]

    def __len__(self) -> int:
        return len(self.rows)

    def some(self, which: Tensor) -> Pictures:
        """Those at some indices."""
        return Pictures(self.rows[which], self.width)


@dataclass(frozen=True)
class Known:
    """What is known about the training images of a cross-validation.

    Args:
        pictures: N of them.
        labels: `(N,)` int64.
        classes: Number of classes, `K`.
        held_out: Logits `(N, K)`, divided by the temperature, by heads that were not trained on the
            image; NaN for images that were never held out.
        splits: The folds of `held_out`.
        strength: Strength of the penalty of the head.
        temperature: Divides the logits of a head.
        balanced: See `class_weights`.
        concepts: Whether the heads use the concepts.
        by_split: The N pictures as the backbone of each of the `splits` sees them; empty if all
            have the same backbone.
    """

    pictures: Pictures
    labels: Tensor
    classes: int
    held_out: Tensor
    splits: Sequence[tuple[Tensor, Tensor]]
    strength: float
    temperature: float
    balanced: bool
    concepts: bool
    by_split: Sequence[Pictures] = ()

    @property
    def shrinkage(self) -> float:
        """See `SHRINKAGE`."""
        return TUNED_SHRINKAGE if self.by_split else SHRINKAGE

    def seen(self, pictures: Pictures) -> Tensor:
        """What the head receives of pictures, `(N, D)`."""
        return pictures.rows if self.concepts else pictures.features

    @property
    def near_signs(self) -> list[int]:
        """The signs that tell other pictures of the same kind."""
        signs = [0, *LOGIT_SIGNS, 3]
        if self.classes == 2:  # the logits of a single class, which is left of two, say nothing
            signs = [0, 3]
        # Where concepts mislead the head, they would mislead here, too.
        return [*signs, CONCEPT_SIGN] if self.concepts else signs


def fit_rejection(
    known: Known, pictures: Pictures, labels: Tensor, head: Linear, *, far: Pictures, seed: int
) -> tuple[Rejection, Tensor]:
    """A Rejection module, fitted; and the log odds `(N,)` by which each known image is unknown,
    held out (NaN for images that were never held out).

    Args:
        known: The training images of a cross-validation.
        pictures: All training images of the known classes.
        labels: Their labels.
        head: The final head of the known classes.
        far: Generated scenes.
        seed: Chooses the classes that play the unknown.
    """
    module = _stored(pictures, labels, known.shrinkage)
    every = _signs_of_known(known)
    inside = every[every.isfinite().all(1)]
    scenes = _signs(module, far, head(known.seen(far)))
    random = np.random.default_rng(seed)
    left_out = random.permutation(known.classes)[:LEFT_OUT].tolist()
    near = torch.cat([_signs_of_left_out(known, label) for label in left_out])
    weights, bias = for_far(inside, scenes)
    functions = (weights, bias), for_near(inside, near, known.near_signs, inside @ weights + bias)
    module.weights.copy_(torch.stack([weights for weights, _ in functions]))
    module.bias.copy_(torch.stack([bias for _, bias in functions]))
    return module, (every @ module.weights.T + module.bias).amax(1)


def _signs(module: Rejection, pictures: Pictures, logits: Tensor) -> Tensor:
    """`Rejection.signs`, of some pictures at a time."""
    rows = max(1, TOGETHER // module.means.numel())
    parts = zip(
        *(torch.split(each, rows) for each in (pictures.features, pictures.concepts, logits)),
        strict=True,
    )
    return torch.cat([module.signs(*part) for part in parts])


def _stored(pictures: Pictures, labels: Tensor, shrinkage: float) -> Rejection:
    """A module with what is stored of some known images; its weights are 0."""
    present = torch.unique(labels).tolist()
    if len(labels) > (most := max(SUMMARIZED, 10 * len(present))):
        some = torch.from_numpy(spread(labels.numpy(), most))
        pictures, labels = pictures.some(some), labels[some]
    features, concepts = pictures.features, pictures.concepts
    center = features.mean(0)
    noise = NOISE * float(features.square().mean().sqrt()) + 1e-6
    own = features - center
    chosen, stored_concepts = _prototypes(F.normalize(own, dim=1), concepts, labels, present)
    whitening = _whitening(own, labels, present, shrinkage=shrinkage, noise=noise)
    white = own @ whitening.T
    means = torch.stack([white[labels == label].mean(0) for label in present])
    module = Rejection(
        features.shape[1], concepts.shape[1], len(present), len(chosen), len(whitening)
    )
    module.center.copy_(center)
    module.prototypes.copy_(chosen)
    module.concept_prototypes.copy_(stored_concepts)
    module.whitening.copy_(whitening)
    module.means.copy_(means)
    return module


def _prototypes(
    directions: Tensor, concepts: Tensor, labels: Tensor, present: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """Unit vectors `(P, F)` that stand for the images, and the concepts `(P, C)` of theirs.

    Up to `MAX_PROTOTYPES` images, each is its own prototype. Above, each class has its share of
    cluster centers, by k-means on the unit sphere.
    """
    if len(directions) <= MAX_PROTOTYPES:
        return directions, concepts
    random = np.random.default_rng(0)
    found, stored = [], []
    for label in present:
        own, theirs = directions[labels == label], concepts[labels == label]
        count = max(1, MAX_PROTOTYPES * len(own) // len(directions))
        chosen = own[torch.from_numpy(random.permutation(len(own))[:count])]
        for _ in range(ROUNDS):
            nearest = (own @ chosen.T).argmax(1)
            sums = torch.zeros_like(chosen).index_add_(0, nearest, own)
            empty = sums.norm(dim=1, keepdim=True) == 0
            chosen = torch.where(empty, chosen, F.normalize(sums, dim=1))
        nearest = (own @ chosen.T).argmax(1)
        sums = torch.zeros(count, concepts.shape[1]).index_add_(0, nearest, theirs)
        found.append(chosen)
        stored.append(F.normalize(sums, dim=1))
    return torch.cat(found), torch.cat(stored)


def _whitening(
    own: Tensor, labels: Tensor, present: Sequence[int], *, shrinkage: float, noise: float
) -> Tensor:
    """A matrix `(R, F)` after which the images of each class have about unit variance, shrunk.

    `noise` is the least deviation that means anything: pictures of a class that look alike must not
    turn rounding errors into distances.

    Divided by the square root of `R`, so that distances do not grow with the dimensions.
    """
    if len(own) > WHITENED:
        some = torch.from_numpy(np.random.default_rng(0).permutation(len(own))[:WHITENED])
        own, labels = own[some], labels[some]
    dimensions = min(MAX_DIMENSIONS, own.shape[1], max(1, len(own) - 1))
    axes = _main_axes(own.double(), dimensions)  # (R, F)
    inner = own.double() @ axes.T
    for label in present:
        of_class = labels == label
        if bool(of_class.any()):
            inner[of_class] -= inner[of_class].mean(0)
    spread = inner.T @ inner / len(inner)
    floor = shrinkage * spread.diagonal().mean() + noise**2
    spread += floor * torch.eye(dimensions)
    lower = torch.linalg.cholesky(torch.linalg.inv(spread))
    whitening: Tensor = lower.T @ axes / dimensions**0.5
    return whitening.float()


def _main_axes(x: Tensor, count: int) -> Tensor:
    """The orthonormal directions `(count, F)` in which rows `(N, F)` vary most."""
    if len(x) >= x.shape[1]:
        vectors: Tensor = torch.linalg.eigh(x.T @ x)[1]
        return vectors[:, -count:].T
    values, vectors = torch.linalg.eigh(x @ x.T)
    roots = values[-count:].clamp(min=1e-12).sqrt()
    axes: Tensor = x.T @ (vectors[:, -count:] / roots)
    return axes.T


def _signs_of_known(known: Known) -> Tensor:
    """The signs of known images, by heads and stored features that do not have them."""
    found: Tensor | None = None
    for number, (train, held) in enumerate(known.splits):
        own = known.by_split[number] if known.by_split else known.pictures
        module = _stored(own.some(train), known.labels[train], known.shrinkage)
        signs = _signs(module, own.some(held), known.held_out[held])
        if found is None:
            found = torch.full((len(known.labels), signs.shape[1]), torch.nan)
        found[held] = signs
    assert found is not None
    return found


def _signs_of_left_out(known: Known, label: int) -> Tensor:
    """The signs of the images of a class that is left out.

    Where each split has its own backbone, only their held-out images count. The backbones were
    trained with the class, so it looks a little less like the others than a new class would.
    """
    out = known.labels == label
    if known.by_split:
        others = torch.arange(known.classes) != label
        found = []
        for own, (train, held) in zip(known.by_split, known.splits, strict=True):
            rest, unknown = train[~out[train]], held[out[held]]
            module = _stored(own.some(rest), known.labels[rest], known.shrinkage)
            logits = known.held_out[unknown][:, others]
            found.append(_signs(module, own.some(unknown), logits))
        return torch.cat(found)
    rest = torch.nonzero(~out)[:, 0]
    labels = known.labels[rest]
    labels = labels - (labels > label).long()
    kept, left_out = known.pictures.some(rest), known.pictures.some(out)
    rows = known.seen(kept)
    blocks = [kept.width, rows.shape[1] - kept.width]
    head = fit_head(
        rows,
        labels,
        known.classes - 1,
        known.strength,
        sizes=[size for size in blocks if size],
        balanced=known.balanced,
    ).divided(known.temperature)
    logits = head(known.seen(left_out))
    return _signs(_stored(kept, labels, known.shrinkage), left_out, logits)

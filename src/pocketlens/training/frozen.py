"""Training on frozen features: a pretrained backbone, and a head that takes seconds to fit.

The backbone's features of all images are computed once. The head is a regularized logistic
regression on them. Its strength, and whether it uses the backbone's concepts and mirrored views,
are chosen by cross-validation, so no image has to be held back. The same held-out logits give the
temperature, the thresholds and the accuracy that is reported.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from pocketlens import networks
from pocketlens.callbacks import Callback
from pocketlens.data import Dataset
from pocketlens.errors import OptionError, RecipeError
from pocketlens.history import Epoch, write_history
from pocketlens.networks.backbone import Backbone, Rejection
from pocketlens.prediction import NOTHING
from pocketlens.recipe import Choice, Recipe
from pocketlens.recognizer import Recognizer
from pocketlens.training.features import Embedder
from pocketlens.training.logistic import (
    Blocks,
    Linear,
    Problem,
    class_weights,
    folds,
    held_out_logits,
    one_thread_if_small,
)
from pocketlens.training.rejection import Known, Pictures, fit_rejection
from pocketlens.training.result import Training
from pocketlens.training.scenes import draw_scenes
from pocketlens.training.temperature import fit_temperature
from pocketlens.training.thresholds import fit_thresholds

__all__ = ["train_on_features"]

STRENGTHS = tuple(10 ** (-exponent / 2) for exponent in range(1, 10))
"""Strengths of the penalty that are tried, on features of norm 1: 0.3 to 0.00003."""

FOLDS = 5
REPEATED = 400
"""With fewer images, the cross-validation is repeated, to depend less on the folds."""

MIRRORED = 400
"""Up to this many images, their mirror images are tried, too; their features take as long again."""

MOST_VALIDATED = 4_000
"""With more images, the strength is chosen on this many; the head is fitted on all."""

SCENES = 60


@dataclass(frozen=True)
class Trial:
    """One way to make the head, and what cross-validation says about it.

    Args:
        concepts: Whether the head uses the backbone's concepts.
        views: Views of each image: 1, or 2 with its mirror image.
        strength: The best strength of the penalty.
        logits: `(N, K)`, by heads that were not trained on the image.
        losses: `(N,)`, mean over the repetitions.
        splits: The folds of `logits`.
    """

    concepts: bool
    views: int
    strength: float
    logits: Tensor
    losses: Tensor
    splits: list[tuple[Tensor, Tensor]]


def train_on_features(
    recipe: Recipe,
    data: Dataset,
    *,
    background: NDArray[np.uint8] | None = None,
    groups: NDArray[np.int64] | None = None,
    folder: str | Path | None = None,
    callbacks: Sequence[Callback] = (),
) -> Training:
    """Train the head of a network `backbone` on the features of its backbone.

    Args:
        recipe: A recipe with `training.method = "features"`.
        data: The training images. Those of a class `nothing` are pictures of the background.
        background: More of them, `(M, *input.shape)` uint8.
        groups: `(N,)` int64: images with the same number stay together in cross-validation; by
            default each image is a group of its own.
        folder: Where the history is written; None to write nothing.
        callbacks: Called as the work proceeds.

    Raises:
        RecipeError: The network is not a `backbone`.
        OptionError: Fewer than two classes besides `nothing`.
        MissingExtraError, RunError: The pretrained weights cannot be loaded.
    """
    started = time.perf_counter()
    data, background, groups = _without_background(data, background, groups)
    if len(data.classes) < 2:
        raise OptionError(
            f"a recognizer needs at least two classes besides '{NOTHING}'; "
            f"received: {', '.join(data.classes)}"
        )
    torch.manual_seed(recipe.seed)
    network = _frozen(recipe, len(data.classes))
    embed = Embedder(network, recipe.input, callbacks)
    labels = torch.from_numpy(data.labels)
    features = torch.from_numpy(embed(data.images))[:, None]  # (N, views, F)
    if len(data) <= MIRRORED:
        mirrored = torch.from_numpy(embed(np.ascontiguousarray(data.images[:, :, ::-1])))
        features = torch.cat([features, mirrored[:, None]], 1)
    scenes = draw_scenes(SCENES, recipe.input.shape, seed=recipe.seed)
    far = torch.from_numpy(embed(scenes))
    behind = None if background is None else torch.from_numpy(embed(background))

    with one_thread_if_small(features):
        best = _choose(recipe, network, features, labels, groups, len(data.classes))
        network = _with_options(network, concepts=best.concepts)
        described = _described(network, features[:, : best.views], best.concepts)  # (N, views, D)
        sizes = _sizes(network, described, best.concepts)
        balanced = recipe.training.class_weights == "balanced"
        head = _fit(described, labels, len(data.classes), best.strength, sizes, balanced)
        temperature = fit_temperature(*_finite(best.logits, labels))
        head = Linear(head.weight / temperature, head.bias / temperature)
        known = Known(
            features[:, 0],
            described[:, 0],
            labels,
            len(data.classes),
            best.logits / temperature,
            best.splits,
            sizes,
            best.strength,
            balanced,
        )
        pictures = [
            None if each is None else Pictures(each, _described(network, each, best.concepts))
            for each in (far, behind)
        ]
        assert pictures[0] is not None
        rejection, odds = fit_rejection(
            known, head, far=pictures[0], background=pictures[1], seed=recipe.seed
        )

    options = {**recipe.network.options, "concepts": best.concepts}
    options |= getattr(network.backbone, "options", {})
    choice = Choice(recipe.network.name, {**options, "prototypes": len(rejection.prototypes)})
    final = networks.build(choice, recipe.input, len(data.classes) + 1)
    assert isinstance(final, Backbone)
    assert isinstance(final.rejection, Rejection)
    final.backbone.load_state_dict(network.backbone.state_dict())
    final.rejection.load_state_dict(rejection.state_dict())
    with torch.no_grad():
        final.head.weight.copy_(head.weight)
        final.head.bias.copy_(head.bias)
    logits, own = _finite(best.logits / temperature, labels)
    unknown = odds[odds.isfinite()].sigmoid()[:, None]
    probabilities = torch.cat([logits.softmax(1) * (1 - unknown), unknown], 1)
    nothing = len(data.classes)
    thresholds = fit_thresholds(
        # `present` stays at one half, where the rejection was fitted to.
        probabilities,
        own,
        nothing=nothing,
        empty=torch.zeros(0, nothing + 1),
    )
    recognizer = Recognizer(
        final, choice, (*data.classes, NOTHING), recipe.input, thresholds=thresholds
    )
    trained = head(described[:, 0])
    accuracy = float((logits.argmax(1) == own).float().mean())
    seconds = time.perf_counter() - started
    row = Epoch(
        1,
        1,
        seconds,
        len(data) / seconds,
        0.0,
        float(F.cross_entropy(trained, labels)),
        float((trained.argmax(1) == labels).float().mean()),
        float(F.cross_entropy(logits, own)),
        accuracy,
    )
    if folder is not None:
        write_history(Path(folder), [row], parents=True)
    for callback in callbacks:
        callback.epoch(row)
    return Training(recognizer, (row,), 1, "cpu", interrupted=False)


def _without_background(
    data: Dataset, background: NDArray[np.uint8] | None, groups: NDArray[np.int64] | None
) -> tuple[Dataset, NDArray[np.uint8] | None, NDArray[np.int64]]:
    """The images of the classes, and all pictures of the background."""
    groups = np.arange(len(data)) if groups is None else groups
    if NOTHING not in data.classes:
        return data, background, groups
    at = data.classes.index(NOTHING)
    own, rest = (np.flatnonzero(which) for which in (data.labels == at, data.labels != at))
    pictures = data.images[own]
    if background is not None:
        pictures = np.concatenate([pictures, background])
    labels = data.labels[rest]
    classes = tuple(name for name in data.classes if name != NOTHING)
    return (
        Dataset(data.images[rest], labels - (labels > at), classes, data.name),
        pictures,
        groups[rest],
    )


def _frozen(recipe: Recipe, classes: int) -> Backbone:
    """The network with its pretrained weights; with the layer of its concepts, if it has one."""
    if recipe.network.name != "backbone":
        raise RecipeError(
            [
                'training.method = "features" needs network.name = "backbone"; '
                f"received: {recipe.network.name!r}"
            ]
        )
    options = {k: v for k, v in recipe.network.options.items() if k != "prototypes"}
    try:
        network = networks.build(
            Choice("backbone", {"concepts": True, **options}), recipe.input, classes
        )
    except RecipeError:
        if options.get("concepts"):
            raise
        network = networks.build(Choice("backbone", options), recipe.input, classes)
    assert isinstance(network, Backbone)
    load = getattr(network.backbone, "load_pretrained", None)
    if callable(load):
        load()
    return network.eval()


def _with_options(network: Backbone, *, concepts: bool) -> Backbone:
    """The same network, which uses its concepts or has none."""
    if network.concepts and not concepts:
        network.concepts = False
        del network.backbone.concepts
    return network


@torch.inference_mode()
def _described(network: Backbone, features: Tensor, concepts: bool) -> Tensor:
    """What the head receives: features `(..., F)` → `(..., D)`."""
    if not concepts:
        return features.clone()
    found = network.described(features.flatten(0, -2))
    return found.reshape(*features.shape[:-1], found.shape[1]).clone()


def _sizes(network: Backbone, described: Tensor, concepts: bool) -> list[int]:
    width = network.width
    return [width, described.shape[-1] - width] if concepts else [width]


def _choose(
    recipe: Recipe,
    network: Backbone,
    features: Tensor,
    labels: Tensor,
    groups: NDArray[np.int64],
    classes: int,
) -> Trial:
    """The trial with the lowest held-out loss.

    Concepts make the file larger, so they must be better by more than chance: by more than one
    standard error of the difference.
    """
    random = np.random.default_rng(recipe.seed)
    some = np.arange(len(labels))
    if len(some) > MOST_VALIDATED:
        some = np.sort(random.permutation(len(some))[:MOST_VALIDATED])
    repeats = max(1, min(4, REPEATED // len(some)))
    splits = [
        list(folds(labels[some], groups[some], FOLDS, seed=recipe.seed + number))
        for number in range(repeats)
    ]
    if not splits[0]:
        raise OptionError(
            "every class has only one image (or one burst) to train on; "
            "expected at least 2 different ones in some class"
        )
    ways = [False, True] if network.concepts and "concepts" not in recipe.network.options else []
    ways = ways or [network.concepts]
    best: Trial | None = None
    for concepts in ways:
        own: Trial | None = None
        for views in range(1, features.shape[1] + 1):
            trial = _try(
                recipe,
                network,
                features[some, :views],
                labels[some],
                splits,
                classes,
                concepts=concepts,
            )
            if own is None or trial.losses.mean() < own.losses.mean():
                own = trial
        assert own is not None
        if best is None or _clearly_lower(own.losses, best.losses):
            best = own
    assert best is not None
    return _for_all(best, some, labels)


def _clearly_lower(losses: Tensor, than: Tensor) -> bool:
    difference = than - losses
    error = difference.std() / max(1, len(difference)) ** 0.5
    return bool(difference.mean() > error)


def _try(
    recipe: Recipe,
    network: Backbone,
    features: Tensor,
    labels: Tensor,
    splits: list[list[tuple[Tensor, Tensor]]],
    classes: int,
    *,
    concepts: bool,
) -> Trial:
    described = _described(network, features, concepts)
    sizes = _sizes(network, described, concepts)
    balanced = recipe.training.class_weights == "balanced"
    logits = torch.stack(
        [
            held_out_logits(
                described, labels, classes, STRENGTHS, one, sizes=sizes, balanced=balanced
            )
            for one in splits
        ]
    )  # (repeats, strengths, N, K)
    held = logits[0, 0].isfinite().all(1)
    losses = torch.stack(
        [
            torch.stack([F.cross_entropy(rows[held], labels[held], reduction="none") for rows in a])
            for a in logits
        ]
    ).mean(0)  # (strengths, held)
    at = int(losses.mean(1).argmin())
    return Trial(concepts, features.shape[1], STRENGTHS[at], logits[0, at], losses[at], splits[0])


def _for_all(trial: Trial, some: NDArray[np.int64], labels: Tensor) -> Trial:
    """The trial with indices into all images, not only those of the cross-validation."""
    if len(some) == len(labels):
        return trial
    place = torch.from_numpy(some)
    logits = torch.full((len(labels), trial.logits.shape[1]), torch.nan)
    logits[place] = trial.logits
    splits = [(place[train], place[held]) for train, held in trial.splits]
    return Trial(trial.concepts, trial.views, trial.strength, logits, trial.losses, splits)


def _fit(
    described: Tensor,
    labels: Tensor,
    classes: int,
    strength: float,
    sizes: list[int],
    balanced: bool,
) -> Linear:
    """The head, from all images."""
    rows = described.flatten(0, 1)
    own = labels.repeat_interleave(described.shape[1])
    scaling = Blocks.fit(rows, sizes)
    weights = class_weights(own, classes, balanced=balanced)
    return scaling.merged(Problem(scaling(rows), own, classes, weights).solve(strength))


def _finite(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """The rows that were held out, and their labels."""
    held = logits.isfinite().all(1)
    return logits[held], labels[held]

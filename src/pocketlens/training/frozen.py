"""Training on frozen features: a pretrained backbone, and a head that takes seconds to fit.

The backbone's features of all images are computed once. The head is a regularized logistic
regression on them. Its strength, and whether it uses the backbone's concepts and mirrored views,
are chosen by cross-validation, so no image has to be held back. The same held-out logits give the
temperature, the thresholds and the accuracy that is reported.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from pocketlens import networks
from pocketlens.callbacks import Callback
from pocketlens.data import Dataset
from pocketlens.data.dataset import spread
from pocketlens.data.large_arrays import concatenate
from pocketlens.data.wrong_labels import check_held_out
from pocketlens.errors import OptionError, RecipeError
from pocketlens.history import Epoch, LearningCurve, write_history
from pocketlens.networks.backbone import Backbone, Rejection
from pocketlens.prediction import NOTHING, Thresholds
from pocketlens.recipe import Choice, Recipe
from pocketlens.recognizer import Recognizer
from pocketlens.training.features import Embedder
from pocketlens.training.learning_curve import learning_curve
from pocketlens.training.logistic import (
    Linear,
    fit_head,
    folds,
    held_out_logits,
    one_thread_if_small,
)
from pocketlens.training.rejection import Known, Pictures, fit_rejection
from pocketlens.training.result import Training
from pocketlens.training.scenes import draw_scenes
from pocketlens.training.temperature import fit_temperature
from pocketlens.training.thresholds import SHOWN_WRONG, fit_thresholds

__all__ = ["train_on_features"]

STRENGTHS = tuple(10 ** (-exponent / 2) for exponent in range(2, 10))
"""Strengths of the penalty that are tried, on features of norm 1: 0.1 to 0.00003."""

FOLDS = 5
REPEATED = 400
"""With fewer images, the cross-validation is repeated, to depend less on the folds."""

MIRRORED = 400
"""Up to this many images, their mirror images are tried, too; their features take as long again."""

MOST_VALIDATED = 2_000
"""With more images, the strength is chosen on this many, or three per class if that is more; the
head is fitted on all."""

MAX_CLASSES = 2_000
"""The head is fitted in one piece: with more classes, that takes hours on a laptop."""

LARGE = 200_000_000
"""Above this product of images, features and classes, every second strength is tried."""

SCENES = 60

SUSPECTS = 12
"""Images with probably wrong labels that are kept to be shown."""

FITTED = ("prototypes", "dimensions", "background")
"""Options of the network that are results of the training."""


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
    folder: str | Path | None = None,
    callbacks: Sequence[Callback] = (),
) -> Training:
    """Train the head of a network `backbone` on the features of its backbone.

    Args:
        recipe: A recipe with `training.method = "features"`.
        data: The training images. Those of a class `nothing` are pictures of the background.
            Images of the same group stay together in cross-validation.
        background: More of them, `(M, *input.shape)` uint8.
        folder: Where the history is written; None to write nothing.
        callbacks: Called as the work proceeds.

    Raises:
        RecipeError: The network is not a `backbone`.
        OptionError: Fewer than two classes besides `nothing`.
        MissingExtraError, RunError: The pretrained weights cannot be loaded.
    """
    started = time.perf_counter()
    data, background = _without_background(data, background)
    if len(data.classes) > MAX_CLASSES:
        raise OptionError(
            f"training on features takes at most {MAX_CLASSES} classes; received: "
            f'{len(data.classes)}; train a network from scratch instead: training.method = "epochs"'
        )
    if len(data.classes) < 2:
        raise OptionError(
            f"a recognizer needs at least two classes besides '{NOTHING}'; "
            f"received: {', '.join(data.classes)}"
        )
    torch.manual_seed(recipe.seed)
    known = len(data.classes)
    network = _frozen(recipe, known)
    embed = Embedder(network, recipe.input, callbacks)
    images, labels = data.images, torch.from_numpy(data.labels)
    groups = np.arange(len(data)) if data.groups is None else data.groups
    if background is not None:  # one more class of the head, after the others
        images = concatenate([images, background])
        labels = torch.cat([labels, torch.full((len(background),), known)])
        groups = np.concatenate([groups, groups.max() + 1 + np.arange(len(background))])
    features = _with_mirrored(embed, images, len(data) <= MIRRORED)
    far = torch.from_numpy(embed(draw_scenes(SCENES, recipe.input.shape, seed=recipe.seed)))
    with one_thread_if_small(features):
        best = _choose(recipe, network, features, labels, groups)
        fitted = _fit(recipe, network, features, labels, far, best)
    recognizer = _recognizer(recipe, network, (*data.classes, NOTHING), best, fitted)
    logits, own = _finite(best.logits / fitted.temperature, labels)
    trained = fitted.head(_described(network, features[:, 0], best.concepts))
    curve = _curve(recipe, network, features, labels, best, data.classes, groups)
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
        float((logits.argmax(1) == own).float().mean()),
    )
    if folder is not None:
        write_history(Path(folder), [row], parents=True)
    for callback in callbacks:
        callback.epoch(row)
    held_out = (best.logits[: len(data), :known] / fitted.temperature).softmax(1)
    checked = check_held_out(data, held_out.numpy())
    shown = [suspect.index for suspect in checked.suspects[:SUSPECTS]]
    return Training(
        recognizer,
        (row,),
        1,
        "cpu",
        interrupted=False,
        curve=curve,
        labels=checked,
        suspects=data.subset(shown).images,
    )


def _curve(
    recipe: Recipe,
    network: Backbone,
    features: Tensor,
    labels: Tensor,
    best: Trial,
    classes: tuple[str, ...],
    groups: NDArray[np.int64],
) -> LearningCurve:
    """The learning curve of the classes; pictures of the background are left out."""
    inside = labels < len(classes)
    described = _described(network, features[inside, 0], best.concepts)
    with one_thread_if_small(described):
        return learning_curve(
            described,
            labels[inside],
            classes,
            best.logits[inside, : len(classes)],
            strength=best.strength,
            sizes=_sizes(network, described, best.concepts),
            balanced=recipe.training.class_weights == "balanced",
            groups=groups[inside.numpy()],
            seed=recipe.seed,
        )


def _with_mirrored(embed: Embedder, images: NDArray[np.uint8], mirrored: bool) -> Tensor:
    """Features `(N, V, F)` of the images and, as a second view, of their mirror images."""
    views = [images, np.ascontiguousarray(images[:, :, ::-1])] if mirrored else [images]
    return torch.stack([torch.from_numpy(embed(view)) for view in views], 1)


@dataclass(frozen=True)
class Fitted:
    """What was fitted on the features, with the best way of `_choose`.

    Args:
        head: Logits of the classes and, if there are pictures of it, of the background; divided by
            the temperature.
        temperature: That number.
        rejection: When a picture shows none of the classes.
        thresholds: When a label is shown.
    """

    head: Linear
    temperature: float
    rejection: Rejection
    thresholds: Thresholds


def _fit(
    recipe: Recipe, network: Backbone, features: Tensor, labels: Tensor, far: Tensor, best: Trial
) -> Fitted:
    """Fit the head on all images, and everything else on the logits of held-out ones."""
    classes = best.logits.shape[1]
    known = network.head.out_features
    described = _described(network, features[:, : best.views], best.concepts)
    sizes = _sizes(network, described, best.concepts)
    balanced = recipe.training.class_weights == "balanced"
    rows, own = described.flatten(0, 1), labels.repeat_interleave(best.views)
    temperature = fit_temperature(*_finite(best.logits, labels))
    head = fit_head(rows, own, classes, best.strength, sizes=sizes, balanced=balanced).divided(
        temperature
    )
    logits = best.logits / temperature

    of_class = labels < known  # not the background
    inside = torch.nonzero(of_class)[:, 0]
    place = torch.full((len(labels),), -1)
    place[inside] = torch.arange(len(inside))
    splits = [
        (place[train][of_class[train]], place[held][of_class[held]]) for train, held in best.splits
    ]
    pictures, scenes = (
        Pictures(each, _described(network, each, best.concepts)[:, each.shape[1] :])
        for each in (features[inside, 0], far)
    )
    rejection, odds = fit_rejection(
        Known(
            pictures,
            labels[inside],
            known,
            logits[inside, :known],
            [(train, held) for train, held in splits if len(held)],
            sizes,
            best.strength,
            temperature,
            balanced,
        ),
        Linear(head.weight[:known], head.bias[:known]),
        far=scenes,
        seed=recipe.seed,
    )
    size = logits[inside, :known].logsumexp(1, keepdim=True)
    nothing = torch.cat([odds[:, None] + size, logits[inside, known:]], 1)
    whole = torch.cat([logits[inside, :known], nothing.logsumexp(1, keepdim=True)], 1)
    held_out, right = _finite(whole, labels[inside])
    errors = float((held_out.argmax(1) != right).float().mean())
    thresholds = fit_thresholds(
        held_out.softmax(1),
        right,
        nothing=known,
        empty=torch.zeros(0, known + 1),  # `present` stays at 0.5, which the rejection is fitted to
        wrong=max(SHOWN_WRONG, errors / 2),
    )
    return Fitted(head, temperature, rejection, thresholds)


def _recognizer(
    recipe: Recipe, network: Backbone, classes: tuple[str, ...], best: Trial, fitted: Fitted
) -> Recognizer:
    """The finished network, with everything that was fitted."""
    options: dict[str, Any] = {**recipe.network.options, "concepts": best.concepts}
    options |= getattr(network.backbone, "options", {})
    options["prototypes"], _ = fitted.rejection.prototypes.shape
    options["dimensions"], _ = fitted.rejection.whitening.shape
    options["background"] = fitted.head.weight.shape[0] == len(classes)
    choice = Choice(recipe.network.name, options)
    final = networks.build(choice, recipe.input, len(classes))
    assert isinstance(final, Backbone)
    assert final.rejection is not None
    own = final.backbone.state_dict()
    weights = network.backbone.state_dict()
    final.backbone.load_state_dict({name: weights[name] for name in own})
    final.rejection.load_state_dict(fitted.rejection.state_dict())
    final.head.load_state_dict({"weight": fitted.head.weight, "bias": fitted.head.bias})
    return Recognizer(final, choice, classes, recipe.input, thresholds=fitted.thresholds)


def _without_background(
    data: Dataset, background: NDArray[np.uint8] | None
) -> tuple[Dataset, NDArray[np.uint8] | None]:
    """The images of the classes, and all pictures of the background."""
    if NOTHING not in data.classes:
        return data, background
    at = data.classes.index(NOTHING)
    pictures = data.subset(np.flatnonzero(data.labels == at)).images
    if background is not None:
        pictures = concatenate([pictures, background])
    known = data.subset(np.flatnonzero(data.labels != at))
    classes = tuple(name for name in data.classes if name != NOTHING)
    return replace(known, labels=known.labels - (known.labels > at), classes=classes), pictures


def _frozen(recipe: Recipe, classes: int) -> Backbone:
    """The network with its pretrained weights; with the layer of its concepts, if it has one."""
    if recipe.network.name != "backbone":
        raise RecipeError(
            [
                'training.method = "features" needs network.name = "backbone"; '
                f"received: {recipe.network.name!r}"
            ]
        )
    options = {k: v for k, v in recipe.network.options.items() if k not in FITTED}
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


@torch.inference_mode()
def _described(network: Backbone, features: Tensor, concepts: bool) -> Tensor:
    """What the head receives: features `(..., F)` → `(..., D)`."""
    if not concepts:
        return features.clone()
    found = network.known_concepts(features.flatten(0, -2))
    return torch.cat([features, found.reshape(*features.shape[:-1], found.shape[1])], -1)


def _sizes(network: Backbone, described: Tensor, concepts: bool) -> list[int]:
    width = network.width
    return [width, described.shape[-1] - width] if concepts else [width]


def _choose(
    recipe: Recipe,
    network: Backbone,
    features: Tensor,
    labels: Tensor,
    groups: NDArray[np.int64],
) -> Trial:
    """The trial with the lowest held-out loss.

    Concepts also tell pictures of other things, so they are used unless the head is better
    without them by more than one standard error of the difference.
    """
    classes = int(labels.max()) + 1
    some = np.arange(len(labels))
    if len(some) > (most := max(MOST_VALIDATED, 3 * classes)):
        some = np.sort(spread(labels.numpy(), most, seed=recipe.seed))
    repeats = max(1, min(3, REPEATED // len(some)))
    splits = [
        list(folds(labels[some], groups[some], FOLDS, seed=recipe.seed + number))
        for number in range(repeats)
    ]
    if not splits[0]:
        raise OptionError(
            "every class has only one image (or one burst) to train on; "
            "expected at least 2 different ones in some class"
        )
    fixed = "concepts" in recipe.network.options
    best: Trial | None = None
    for views in range(1, features.shape[1] + 1):
        trial = _try(recipe, network, features[some, :views], labels[some], splits, classes)
        if best is None or trial.losses.mean() < best.losses.mean():
            best = trial
    assert best is not None
    if network.concepts and not fixed:
        without = _try(
            recipe,
            network,
            features[some, : best.views],
            labels[some],
            splits,
            classes,
            concepts=False,
        )
        if _clearly_lower(without.losses, best.losses):
            best = without
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
    concepts: bool | None = None,
) -> Trial:
    """Cross-validate one way to make the head; by default with the network's concepts."""
    concepts = network.concepts if concepts is None else concepts
    described = _described(network, features, concepts)
    strengths = STRENGTHS[:: 2 if described.numel() * classes > LARGE else 1]
    logits = held_out_logits(
        described,
        labels,
        classes,
        strengths,
        [split for one in splits for split in one],
        sizes=_sizes(network, described, concepts),
        balanced=recipe.training.class_weights == "balanced",
    )  # (strengths, repeats * folds, N, K)
    each = F.cross_entropy(
        logits.flatten(0, 2), labels.repeat(logits.shape[0] * logits.shape[1]), reduction="none"
    ).reshape(logits.shape[:3])
    losses = each.nanmean(1)  # (strengths, N); NaN for images that were never held out
    held = losses[0].isfinite()
    at = int(losses[:, held].mean(1).argmin())
    first = logits[at, : len(splits[0])].nanmean(0)  # each image is held out once in a repetition
    return Trial(concepts, features.shape[1], strengths[at], first, losses[at, held], splits[0])


def _for_all(trial: Trial, some: NDArray[np.int64], labels: Tensor) -> Trial:
    """The trial with indices into all images, not only those of the cross-validation."""
    if len(some) == len(labels):
        return trial
    place = torch.from_numpy(some)
    logits = torch.full((len(labels), trial.logits.shape[1]), torch.nan)
    logits[place] = trial.logits
    splits = [(place[train], place[held]) for train, held in trial.splits]
    return Trial(trial.concepts, trial.views, trial.strength, logits, trial.losses, splits)


def _finite(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """The rows that were held out, and their labels."""
    held = logits.isfinite().all(1)
    return logits[held], labels[held]

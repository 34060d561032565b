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
from pocketlens.data.large_arrays import concatenate
from pocketlens.data.wrong_labels import check_held_out
from pocketlens.errors import OptionError, RecipeError
from pocketlens.history import Epoch, LearningCurve, write_history
from pocketlens.networks.backbone import Backbone, Rejection
from pocketlens.prediction import NOTHING, Thresholds
from pocketlens.recipe import Choice, Recipe
from pocketlens.recognizer import Recognizer
from pocketlens.training.cross_validation import (
    Trial,
    block_sizes,
    choose_head,
    finite,
    head_rows,
)
from pocketlens.training.features import Embedder
from pocketlens.training.learning_curve import learning_curve
from pocketlens.training.logistic import Linear, fit_head, one_thread_if_small
from pocketlens.training.rejection import Known, Pictures, fit_rejection
from pocketlens.training.result import Training
from pocketlens.training.scenes import draw_scenes
from pocketlens.training.temperature import fit_temperature
from pocketlens.training.thresholds import SHOWN_WRONG, fit_thresholds

__all__ = ["train_on_features"]

MIRRORED = 400
"""Up to this many images, their mirror images are tried, too; their features take as long again."""

MAX_CLASSES = 2_000
"""The head is fitted in one piece: with more classes, that takes hours on a laptop."""

SCENES = 60

SUSPECTS = 12
"""Images with probably wrong labels that are kept to be shown."""

FITTED = ("prototypes", "dimensions", "background")
"""Options of the network that are results of the training."""


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
        best = choose_head(recipe, network, features, labels, groups)
        fitted = _fit(recipe, network, features, labels, far, best)
    recognizer = _recognizer(recipe, network, (*data.classes, NOTHING), best, fitted)
    logits, own = finite(best.logits / fitted.temperature, labels)
    trained = fitted.head(head_rows(network, features[:, 0], best.concepts))
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
    described = head_rows(network, features[inside, 0], best.concepts)
    with one_thread_if_small(described):
        return learning_curve(
            described,
            labels[inside],
            classes,
            best.logits[inside, : len(classes)],
            strength=best.strength,
            sizes=block_sizes(network, described, best.concepts),
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
    """What was fitted on the features, with the best way of `choose_head`.

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
    described = head_rows(network, features[:, : best.views], best.concepts)
    sizes = block_sizes(network, described, best.concepts)
    balanced = recipe.training.class_weights == "balanced"
    rows, own = described.flatten(0, 1), labels.repeat_interleave(best.views)
    temperature = fit_temperature(*finite(best.logits, labels))
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
        Pictures(each, head_rows(network, each, best.concepts)[:, each.shape[1] :])
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
    held_out, right = finite(whole, labels[inside])
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

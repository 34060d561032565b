"""Training on features: a pretrained backbone, and a head that takes seconds to fit.

The backbone's features of all images are computed once. The head is a regularized logistic
regression on them. Its strength, and whether it uses the backbone's concepts and mirrored views,
are chosen by cross-validation, so no image has to be held back. The same held-out logits give the
temperature, the thresholds and the accuracy that is reported.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from pocketlens.callbacks import Callback
from pocketlens.data import Dataset
from pocketlens.data.large_arrays import concatenate
from pocketlens.data.wrong_labels import check_held_out
from pocketlens.errors import OptionError
from pocketlens.history import Epoch, FineTuning, LearningCurve, write_history
from pocketlens.networks.backbone import Backbone
from pocketlens.prediction import NOTHING
from pocketlens.recipe import Recipe
from pocketlens.training.cross_validation import (
    Trial,
    block_sizes,
    choose_head,
    finite,
    head_rows,
    held_out_probabilities,
    validate_all,
)
from pocketlens.training.features import Embedder
from pocketlens.training.fine import check_tunable, fine_tune
from pocketlens.training.fitted import build_recognizer, fit, frozen_network
from pocketlens.training.learning_curve import learning_curve
from pocketlens.training.logistic import Linear, one_thread_if_small, parts
from pocketlens.training.result import Training
from pocketlens.training.scenes import draw_scenes

__all__ = ["train_on_features"]

MIRRORED = 400
"""Up to this many images, their mirror images are tried, too; their features take as long again."""

MAX_CLASSES = 2_000
"""The head is fitted in one piece: with more classes, that takes hours on a laptop."""

SCENES = 60

SUSPECTS = 12
"""Images with probably wrong labels that are kept to be shown."""


def train_on_features(
    recipe: Recipe,
    data: Dataset,
    *,
    background: NDArray[np.uint8] | None = None,
    folder: str | Path | None = None,
    callbacks: Sequence[Callback] = (),
) -> Training:
    """Train the head of a network `backbone` on the features of its backbone.

    With `training.method = "fine-tune"`, the last blocks of the backbone are trained, too, if
    cross-validation says that it pays; see `fine`.

    Args:
        recipe: A recipe with `training.method = "features"` or `"fine-tune"`.
        data: The training images. Those of a class `nothing` are pictures of the background.
            Images of the same group stay together in cross-validation.
        background: More of them, `(M, *input.shape)` uint8.
        folder: Where the history is written; None to write nothing.
        callbacks: Called as the work proceeds.

    Returns:
        The result. Ctrl-C during the fine-tuning gives the one without it, `interrupted`.

    Raises:
        RecipeError: The network is not a `backbone`, or cannot be fine-tuned.
        OptionError: Fewer than two classes besides `nothing`, or too many images.
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
    network = frozen_network(recipe, known)
    embed = Embedder(network, recipe.input, callbacks)
    images, labels = data.images, torch.from_numpy(data.labels)
    groups = np.arange(len(data)) if data.groups is None else data.groups
    if background is not None:  # one more class of the head, after the others
        images = concatenate([images, background])
        labels = torch.cat([labels, torch.full((len(background),), known)])
        groups = np.concatenate([groups, groups.max() + 1 + np.arange(len(background))])
    fine = recipe.training.method == "fine-tune"
    if fine:
        check_tunable(recipe, network, len(images))  # the error comes before the work
    rows = _rows(network, embed, images, mirrored=len(data) <= MIRRORED)
    scenes = draw_scenes(SCENES, recipe.input.shape, seed=recipe.seed)
    far = _rows(network, embed, scenes, mirrored=False)[:, 0]
    with one_thread_if_small(rows):
        best = choose_head(recipe, network, rows, labels, groups)
        every = validate_all(recipe, network, rows, labels, groups, best)
    # Of the network as it is: to another one, the images that it was tuned on look too easy.
    curve = _curve(recipe, network, rows, labels, best, data.classes, groups)
    gained: FineTuning | None = None
    interrupted = False
    if fine:
        try:
            gained, tuned = fine_tune(
                recipe, network, images, labels, groups, scenes, rows, best, callbacks
            )
        except KeyboardInterrupt:
            interrupted = True
        else:
            if tuned is not None:
                every = tuned.trial if every is best else every
                best, rows, far = tuned.trial, tuned.rows, tuned.far
            for callback in callbacks:
                callback.note(str(gained))
    with one_thread_if_small(rows):
        fitted = fit(recipe, network, rows, labels, far, best, known)
    recognizer = build_recognizer(recipe, network, (*data.classes, NOTHING), fitted)
    logits, own = finite(best.logits / fitted.temperature, labels[best.images])
    loss, accuracy = _of_head(fitted.head, head_rows(network, rows[:, 0], best.concepts), labels)
    seconds = time.perf_counter() - started
    row = Epoch(
        1,
        1,
        seconds,
        len(data) / seconds,
        0.0,
        loss,
        accuracy,
        float(F.cross_entropy(logits, own)),
        float((logits.argmax(1) == own).float().mean()),
    )
    if folder is not None:
        write_history(Path(folder), [row], parents=True)
    for callback in callbacks:
        callback.epoch(row)
    inside = every.images < len(data)
    held_out = held_out_probabilities(every, labels, known)[inside]
    checked = check_held_out(data, every.images[inside].numpy(), held_out.numpy())
    shown = [suspect.index for suspect in checked.suspects[:SUSPECTS]]
    return Training(
        recognizer,
        (row,),
        1,
        "cpu",
        interrupted=interrupted,
        curve=curve,
        fine_tuning=gained,
        labels=checked,
        suspects=data.subset(shown).images,
    )


def _curve(
    recipe: Recipe,
    network: Backbone,
    rows: Tensor,
    labels: Tensor,
    best: Trial,
    classes: tuple[str, ...],
    groups: NDArray[np.int64],
) -> LearningCurve:
    """The learning curve of the classes; pictures of the background are left out."""
    inside = labels[best.images] < len(classes)
    images = best.images[inside]
    x = head_rows(network, rows[images, 0], best.concepts)
    with one_thread_if_small(x):
        return learning_curve(
            x,
            labels[images],
            classes,
            best.logits[inside, : len(classes)],
            strength=best.strength,
            sizes=block_sizes(network, x, best.concepts),
            balanced=recipe.training.class_weights == "balanced",
            groups=groups[images.numpy()],
            share=sum(len(train) for train, _ in best.splits)
            / (len(best.splits) * len(best.images)),
            seed=recipe.seed,
        )


@torch.no_grad()
def _rows(
    network: Backbone, embed: Embedder, images: NDArray[np.uint8], *, mirrored: bool
) -> Tensor:
    """Features and concepts `(N, V, F + C)` of the images and, as a second view, of their mirror
    images. Of many photos, they are the largest thing in memory, so there is no copy of all."""
    views = [images, np.ascontiguousarray(images[:, :, ::-1])] if mirrored else [images]
    width, concepts = network.width, network.head.in_features - network.width
    rows = np.empty((len(images), len(views), width + concepts), np.float32)
    for number, view in enumerate(views):
        embed(view, into=rows[:, number, :width])
    found = torch.from_numpy(rows)
    for some in parts(found.flatten(0, 1), width + concepts):
        some[:, width:] = network.known_concepts(some[:, :width])
    return found


def _of_head(head: Linear, x: Tensor, labels: Tensor) -> tuple[float, float]:
    """The mean loss and the accuracy of a head, on rows `(N, D)`."""
    loss = right = 0.0
    for some, own in zip(parts(x, x.shape[1]), parts(labels, x.shape[1]), strict=True):
        logits = head(some)
        loss += float(F.cross_entropy(logits, own, reduction="sum"))
        right += float((logits.argmax(1) == own).sum())
    return loss / len(x), right / len(x)


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

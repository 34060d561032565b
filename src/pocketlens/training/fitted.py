"""What is fitted on the features of a frozen backbone, and the recognizer that it makes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from pocketlens import networks
from pocketlens.errors import RecipeError
from pocketlens.networks.backbone import Backbone, Rejection, nothing_logit
from pocketlens.networks.backbones import method_errors
from pocketlens.prediction import Thresholds
from pocketlens.recipe import Choice, Recipe
from pocketlens.recognizer import Recognizer
from pocketlens.training.cross_validation import Trial, block_sizes, finite, head_rows
from pocketlens.training.logistic import Linear, fit_head
from pocketlens.training.rejection import Known, Pictures, fit_rejection
from pocketlens.training.temperature import fit_temperature
from pocketlens.training.thresholds import SHOWN_WRONG, fit_thresholds

__all__ = ["Fitted", "build_recognizer", "fit", "frozen_network"]

FITTED = ("prototypes", "dimensions", "background")
"""Options of the network that are results of the training."""


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


def fit(
    recipe: Recipe,
    network: Backbone,
    rows: Tensor,
    labels: Tensor,
    far: Tensor,
    best: Trial,
    known: int,
) -> Fitted:
    """Fit the head on all images, and everything else on the logits of held-out ones.

    Args:
        recipe: The recipe.
        network: The backbone.
        rows: Features and concepts of V views of all images, `(N, V, F + C)`; the images of the
            background are the last ones.
        labels: `(N,)` int64; that of the background is `known`.
        far: Features and concepts of generated scenes, `(S, F + C)`.
        best: The result of `choose_head`.
        known: The number of classes without the background.
    """
    classes = best.logits.shape[1]
    x = head_rows(network, rows[:, : best.views], best.concepts)
    sizes = block_sizes(network, x, best.concepts)
    balanced = recipe.training.class_weights == "balanced"
    every, own = x.flatten(0, 1), labels.repeat_interleave(best.views)
    validated = labels[best.images]
    temperature = fit_temperature(*finite(best.logits, validated))
    head = best.head or fit_head(every, own, classes, best.strength, sizes=sizes, balanced=balanced)
    head = head.divided(temperature)
    logits = best.logits / temperature

    of_class = validated < known  # not the background, whose images are the last ones
    place = torch.full((len(validated),), -1)
    place[of_class] = torch.arange(int(of_class.sum()))
    splits = [
        (place[train][of_class[train]], place[held][of_class[held]]) for train, held in best.splits
    ]
    inside, right = logits[of_class], validated[of_class]
    used = [number for number, (_, held) in enumerate(splits) if len(held)]
    by_fold = [Pictures(each, network.width) for each in best.by_fold]
    count = int((labels < known).sum())
    pictures = Pictures(rows[:count, 0], network.width)
    rejection, odds = fit_rejection(
        Known(
            pictures.some(best.images[of_class]),
            right,
            known,
            inside[:, :known],
            [splits[number] for number in used],
            best.strength,
            temperature,
            balanced,
            best.concepts,
            [by_fold[number].some(best.images[of_class]) for number in used if by_fold],
        ),
        pictures,
        labels[:count],
        Linear(head.weight[:known], head.bias[:known]),
        far=Pictures(far, network.width),
        seed=recipe.seed,
    )
    unknown = nothing_logit(odds[:, None], inside[:, :known])
    nothing = torch.cat([unknown, inside[:, known:]], 1)
    whole = torch.cat([inside[:, :known], nothing.logsumexp(1, keepdim=True)], 1)
    held_out, right = finite(whole, right)
    errors = float((held_out.argmax(1) != right).float().mean())
    thresholds = fit_thresholds(
        held_out.softmax(1),
        right,
        nothing=known,
        empty=torch.zeros(0, known + 1),  # `present` stays at 0.5, which the rejection is fitted to
        wrong=max(SHOWN_WRONG, errors / 2),
    )
    return Fitted(head, temperature, rejection, thresholds)


def build_recognizer(
    recipe: Recipe, network: Backbone, classes: tuple[str, ...], fitted: Fitted
) -> Recognizer:
    """The finished network, with everything that was fitted."""
    options: dict[str, Any] = {**recipe.network.options, "concepts": network.concepts}
    options |= getattr(network.backbone, "options", {})
    options["prototypes"], _ = fitted.rejection.prototypes.shape
    options["dimensions"], _ = fitted.rejection.whitening.shape
    options["background"] = fitted.head.weight.shape[0] == len(classes)
    choice = Choice(recipe.network.name, options)
    final = networks.build(choice, recipe.input, len(classes))
    assert isinstance(final, Backbone)
    # A head that does not use the concepts has weights of 0: they still tell what is far.
    weight = fitted.head.weight
    weight = F.pad(weight, (0, final.head.in_features - weight.shape[1]))
    assert final.rejection is not None
    own = final.backbone.state_dict()
    weights = network.backbone.state_dict()
    final.backbone.load_state_dict({name: weights[name] for name in own})
    final.rejection.load_state_dict(fitted.rejection.state_dict())
    final.head.load_state_dict({"weight": weight, "bias": fitted.head.bias})
    return Recognizer(final, choice, classes, recipe.input, thresholds=fitted.thresholds)


def frozen_network(recipe: Recipe, classes: int) -> Backbone:
    """The network with its pretrained weights; with the layer of its concepts, if it has one."""
    if errors := method_errors(recipe.training.method, recipe.network):
        raise RecipeError(errors)
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

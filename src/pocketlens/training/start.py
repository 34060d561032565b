"""Training that goes on from what another run has learned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from torch import nn

from pocketlens.errors import RunError
from pocketlens.recipe import Recipe
from pocketlens.recognizer import Recognizer

__all__ = ["start_from"]


def start_from(path: str, network: nn.Module, recipe: Recipe, classes: Sequence[str]) -> None:
    """Put the weights of the recognizer at `path` into `network`.

    Args:
        path: A run folder or a file of weights.
        network: What the recipe's `[network]` builds.
        recipe: The recipe.
        classes: What the network is to tell apart, in its order.

    Raises:
        RunError: There is no recognizer, or it is of another network, input or classes.
    """
    found = Recognizer.load(Path(path).expanduser())
    # How a drawing is made for it does not change what it sees.
    spec = replace(found.input_spec, ink=recipe.input.ink)
    differences = [
        f"{name} {theirs}; the recipe has {ours}"
        for name, theirs, ours in (
            ("network", found.choice, recipe.network),
            ("input", spec, recipe.input),
            ("classes", ", ".join(found.classes), ", ".join(classes)),
        )
        if theirs != ours
    ]
    if differences:
        raise RunError(
            f"training cannot start from {path}: it has the {' and the '.join(differences)}; "
            "start from a run of the same recipe, or leave out training.start"
        )
    network.load_state_dict(found.network.state_dict())

"""Start a training from the weights of another run: `training.start` of a recipe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from torch import nn

from pocketlens.errors import RunError
from pocketlens.recipe import Recipe
from pocketlens.recognizer import Recognizer

__all__ = ["load_start_weights"]


def load_start_weights(
    path: str, network: nn.Module, recipe: Recipe, classes: Sequence[str]
) -> None:
    """Load the weights of the Recognizer at `path` into `network`.

    Args:
        path: A run folder or a weights file.
        network: The network that the recipe's `[network]` describes.
        recipe: The recipe of the new training.
        classes: The class names of the new training, in the order of the network's outputs.

    Raises:
        RunError: There is no Recognizer, or its network, input or classes differ.
    """
    other = Recognizer.load(Path(path).expanduser())
    # `ink` only says how drawings are rendered; it does not change the network's input.
    spec = replace(other.input_spec, ink=recipe.input.ink)
    differences = [
        f"{name} {theirs}; the recipe has {ours}"
        for name, theirs, ours in (
            ("network", other.choice, recipe.network),
            ("input", spec, recipe.input),
            ("classes", ", ".join(other.classes), ", ".join(classes)),
        )
        if theirs != ours
    ]
    if differences:
        raise RunError(
            f"training cannot start from {path}: it has the {' and the '.join(differences)}; "
            "start from a run of the same recipe, or leave out training.start"
        )
    network.load_state_dict(other.network.state_dict())

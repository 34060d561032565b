"""Network architectures: one a file, each readable whole.

A network takes normalized planes `(N, C, H, W)` float and gives logits `(N, K)`. Scaling is the
InputSpec's, softmax and temperature are the Recognizer's; neither is in here. Its last layer is a
linear one and called `head`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pocketlens import registry
from pocketlens.errors import OptionError, RecipeError
from pocketlens.image import InputSpec
from pocketlens.recipe import Choice

if TYPE_CHECKING:
    from torch import nn

__all__ = ["build", "faults"]


def faults(choice: Choice, input_spec: InputSpec | None) -> list[str]:
    """What is wrong with a recipe's `[network]`: its name, its options, a size it cannot take.

    Args:
        choice: The table.
        input_spec: What the network is to eat. It is built to find out whether it can, without
            memory for its weights; None, where the input has faults itself, to leave that.
    """
    if input_spec is None:
        return registry.faults(__name__, choice, "network")
    import torch

    try:
        with torch.device("meta"):
            build(choice, input_spec, 2)
    except RecipeError as error:
        return list(error.faults)
    return []


def build(choice: Choice, input_spec: InputSpec, classes: int) -> nn.Module:
    """A new network with random weights, drawn from PyTorch's global generator.

    Args:
        choice: `[network]` of a recipe.
        input_spec: What it eats; only its shape matters here.
        classes: How many logits it gives.

    Raises:
        RecipeError: An unknown name or option, or a size that the network cannot take.
    """
    if found := registry.faults(__name__, choice, "network"):
        raise RecipeError(found)
    try:
        network: nn.Module = registry.find(__name__, choice.name)(
            input_spec, classes, **choice.options
        )
    except OptionError as error:
        raise RecipeError([str(error)]) from error
    return network

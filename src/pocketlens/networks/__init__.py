"""Network architectures: one a file, each readable whole.

A network takes normalised planes `(N, C, H, W)` float and gives logits `(N, K)`. Scaling is the
InputSpec's, softmax and temperature are the Recognizer's; neither is in here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pocketlens import named
from pocketlens.errors import OptionError, RecipeError
from pocketlens.image import InputSpec
from pocketlens.recipe import Choice

if TYPE_CHECKING:
    from torch import nn

__all__ = ["build", "faults"]


def faults(choice: Choice) -> list[str]:
    """What is wrong with a recipe's `[network]`: an unknown name or unknown options."""
    return named.faults(__name__, choice, "network")


def build(choice: Choice, input_spec: InputSpec, classes: int) -> nn.Module:
    """A new network with random weights, drawn from PyTorch's global generator.

    Args:
        choice: `[network]` of a recipe.
        input_spec: What it eats; only its shape matters here.
        classes: How many logits it gives.

    Raises:
        RecipeError: An unknown name or option, or a size that the network cannot take.
    """
    if found := faults(choice):
        raise RecipeError(found)
    try:
        network: nn.Module = named.find(__name__, choice.name)(
            input_spec, classes, **choice.options
        )
    except OptionError as error:
        raise RecipeError([str(error)]) from error
    return network

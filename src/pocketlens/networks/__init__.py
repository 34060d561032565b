"""Network architectures, one per file.

A network maps normalized planes `(N, C, H, W)` float to logits `(N, K)`. It does no scaling (the
InputSpec does) and no softmax or temperature (the Recognizer does). Its last layer is linear and
is called `head`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pocketlens.errors import OptionError, PluginError, RecipeError
from pocketlens.image import InputSpec
from pocketlens.recipe import Choice
from pocketlens.registry import NETWORKS

if TYPE_CHECKING:
    from torch import nn

__all__ = ["build", "errors"]


def errors(choice: Choice, input_spec: InputSpec | None) -> list[str]:
    """List the errors in a recipe's `[network]`: unknown name, invalid options, unsuitable input.

    Args:
        choice: The table.
        input_spec: The recipe's input. The network is built without memory for its weights, to see
            whether it accepts this input; None (if the input itself has errors) skips this test.

    Returns:
        One message per error; empty if there are none.
    """
    if input_spec is None:
        return NETWORKS.errors(choice, "network")
    import torch

    try:
        with torch.device("meta"):
            build(choice, input_spec, 2)
    except RecipeError as error:
        return list(error.errors)
    return []


def build(choice: Choice, input_spec: InputSpec, classes: int) -> nn.Module:
    """Build a network with random weights, drawn from PyTorch's global generator.

    Args:
        choice: A recipe's `[network]`.
        input_spec: The input; only its shape matters here.
        classes: The number of logits.

    Raises:
        RecipeError: The name or an option is unknown, or the input has an unsuitable size.
    """
    if found := NETWORKS.errors(choice, "network"):
        raise RecipeError(found)
    try:
        network: nn.Module = NETWORKS.find(choice.name)(input_spec, classes, **choice.options)
    except (OptionError, PluginError) as error:
        raise RecipeError([str(error)]) from error
    if not _is_module(network):
        raise RecipeError(
            [
                f"the network '{choice.name}' must be a torch.nn.Module; "
                f"received: {type(network).__name__}"
            ]
        )
    return network


def _is_module(network: object) -> bool:
    from torch import nn

    return isinstance(network, nn.Module)

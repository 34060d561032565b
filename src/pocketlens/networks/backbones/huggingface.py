"""`hf:NAME`: an image network of the Hugging Face hub, from this computer's cache or a folder.

Nothing is downloaded here, no code of a model is run, and weights are read from safetensors files
only, never from pickle. The architectures are those of the package `transformers`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pocketlens.errors import OptionError, PocketlensError, require
from pocketlens.hub import (
    CONFIG,
    INSTEAD,
    find_folder,
    parse_json,
    quiet,
    read_json,
    short,
)
from pocketlens.image import InputSpec

if TYPE_CHECKING:
    from torch import nn

__all__ = ["build_hub_network"]

MAX_LAYERS = 1_000
"""The most layers that a description may ask for."""

MAX_PARAMETERS = 1_500_000_000
"""The most parameters that a description may ask for: 6 GB in float32."""


def build_hub_network(name: str, input_spec: InputSpec, *, config: str = "") -> nn.Module:
    """Build a network without its head, with random weights; `load_pretrained` loads them.

    Args:
        name: `hf:NAME`, or `hf:./path` for a local folder.
        input_spec: The input; the network decides which sizes it accepts.
        config: The architecture as JSON, as in the module's `options`; empty to read it from the
            folder. With it, no file is read.

    Raises:
        MissingExtraError: The package `transformers` is not installed.
        OptionError: The network is not on this computer, is not an image network, or does not
            accept the input.
    """
    require("transformers", purpose=f"the backbone '{name}'")
    if config:
        try:
            values = parse_json(config)
        except ValueError as error:
            raise OptionError(f"network.config is damaged: {error}; train again") from error
    else:
        values = read_json(find_folder(name) / CONFIG)
    with quiet():
        return _build(name, input_spec, values)


def _build(name: str, input_spec: InputSpec, values: dict[str, Any]) -> nn.Module:
    import torch

    from pocketlens.networks.backbones._hub_network import HubNetwork

    _check_depth(name, values)
    try:
        with torch.device("meta"):  # without memory, because nothing is known about it
            blank = HubNetwork(name, values)
            channels = blank.channels
    except PocketlensError:
        raise
    except Exception as error:  # transformers raises anything for a description that is damaged
        raise OptionError(
            f"the backbone '{name}' cannot be built from its {CONFIG}: {short(error)}; "
            f"download it again, or {INSTEAD}"
        ) from error
    count = sum(parameter.numel() for parameter in blank.parameters())
    if count > MAX_PARAMETERS:
        raise OptionError(
            f"the backbone '{name}' has {count:,} parameters; the most is {MAX_PARAMETERS:,}; "
            f"{INSTEAD}"
        )
    if input_spec.channels != channels:
        raise OptionError(
            f"the backbone '{name}' needs an input of {channels} channels; received: "
            f"{input_spec.color}; set input.color to {'rgb' if channels == 3 else 'gray'}"
        )
    height, width, _ = input_spec.shape
    own = blank.image_size or (height, width)
    try:
        with torch.no_grad(), torch.device("meta"):
            if min(height, width) <= blank.patch < max(own):
                # The positions of more patches would be added to the only one.
                raise ValueError(f"its patches are of {blank.patch} × {blank.patch}")
            found = blank.eval()(torch.zeros(2, channels, height, width))
            if len(found) != 2 or found.dim() not in (2, 4):
                raise ValueError(f"its output has the shape {tuple(found.shape)}")
    except Exception as error:  # whatever the network's own code raises
        raise OptionError(
            f"the backbone '{name}' does not accept an input of {height} × {width}: "
            f"{short(error)}; "
            + (
                f"set input.height to {own[0]} and input.width to {own[1]}"
                if own != (height, width)
                else INSTEAD
            )
        ) from error
    return HubNetwork(name, values)


def _check_depth(name: str, values: object) -> None:
    """Refuse a description of so many layers that building it would not end."""
    layers = 0
    left: list[tuple[str, object]] = [("", values)]
    while left:
        key, value = left.pop()
        if isinstance(value, dict):
            left += [(str(inner), each) for inner, each in value.items()]
        elif isinstance(value, list) and len(value) <= MAX_LAYERS:
            left += [(key, each) for each in value]
        elif isinstance(value, list):
            layers += len(value) if key not in ("id2label", "label2id") else 0
        elif isinstance(value, (int, float)) and any(
            word in key for word in ("layer", "depth", "block", "stage", "repeat")
        ):
            layers += int(min(max(value, 0), MAX_LAYERS + 1)) if value == value else 0
    if layers > MAX_LAYERS:
        raise OptionError(
            f"the backbone '{name}' has a description of more than {MAX_LAYERS} layers; {INSTEAD}"
        )

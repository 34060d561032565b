"""The `[input]` of a recipe whose network is a backbone: what the backbone was trained with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pocketlens.errors import OptionError, PocketlensError, did_you_mean
from pocketlens.hub import HUB, read_input_spec
from pocketlens.image import InputSpec
from pocketlens.registry import BACKBONES

__all__ = [
    "DEFAULT_BACKBONE",
    "KEYS",
    "backbone_of",
    "complete_input",
    "find_backbone",
    "input_spec_of",
]

DEFAULT_BACKBONE = "efficientnet-lite0"

KEYS = ("height", "width", "color", "scale", "bias")
"""The keys of `[input]` that a backbone may decide."""


def backbone_of(tables: Mapping[str, Any]) -> str | None:
    """The backbone that a recipe names in its tables; None if it has another network."""
    network = tables.get("network")
    if not isinstance(network, Mapping) or network.get("name") != "backbone":
        return None
    return str(network.get("backbone", DEFAULT_BACKBONE))


def complete_input(tables: Mapping[str, Any]) -> tuple[Mapping[str, Any], str]:
    """The tables with what `[input]` lacks from the backbone, and why that was not possible."""
    name, own = backbone_of(tables), tables.get("input", {})
    if name is None or not isinstance(own, Mapping) or all(key in own for key in KEYS):
        return tables, ""
    try:
        spec = input_spec_of(name)
    except PocketlensError as error:
        return tables, f"network.backbone: {error}"
    if spec is None:
        lacking = ", ".join(f"input.{key}" for key in KEYS if key not in own)
        return tables, (
            f"network.backbone: '{name}' does not say which input it was trained with; "
            f"set {lacking}"
        )
    known = spec.to_dict()
    return {**tables, "input": {key: known[key] for key in KEYS} | dict(own)}, ""


def input_spec_of(name: str) -> InputSpec | None:
    """The input that a backbone was trained with; None if it does not say.

    Raises:
        OptionError: There is no such backbone, or its description cannot be read.
        PluginError: The backbone of another package cannot be imported.
    """
    if name.startswith(HUB):
        return read_input_spec(name)
    spec = getattr(find_backbone(name), "input_spec", None)
    if spec is not None and not isinstance(spec, InputSpec):
        raise OptionError(
            f"input_spec of the backbone '{name}' must be an InputSpec; "
            f"received: {type(spec).__name__}"
        )
    return spec


def find_backbone(name: str) -> Callable[[InputSpec], object]:
    """The function or class of a backbone of this package or of another one.

    Raises:
        OptionError: There is no such backbone.
        PluginError: The backbone of another package cannot be imported.
    """
    if name not in BACKBONES.names():
        raise OptionError(
            f"unknown backbone '{name}'; {did_you_mean(name, BACKBONES.names())}; or {HUB}NAME, an "
            "image network of the Hugging Face hub that is in this computer's cache"
        )
    return BACKBONES.find(name)

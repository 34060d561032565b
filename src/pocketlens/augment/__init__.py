"""Augmentation: batches of uint8 planes in, batches of uint8 planes out, seeded.

Each file of this room is one augmentation: a function
`name(images, generator, *, options) -> images` over `(N, C, H, W)` uint8 tensors, on the device
that trains. One that can also show the class `nothing` has a second function,
`nothing(images, generator) -> images`, of frames without what the images show.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, TypeAlias

from pocketlens import named
from pocketlens.errors import RecipeError
from pocketlens.recipe import Recipe

if TYPE_CHECKING:
    import torch

__all__ = ["Augmentation", "build", "faults"]

Change: TypeAlias = "Callable[[torch.Tensor, torch.Generator], torch.Tensor]"

NONE = "none"


@dataclass(frozen=True)
class Augmentation:
    """What a recipe's `[augment]` does to a batch `(N, C, H, W)` uint8.

    Args:
        change: The images, changed; None to leave them as they are.
        nothing: Frames of the class `nothing` made from the images; None without that class.
    """

    change: Change | None = None
    nothing: Change | None = None


def faults(recipe: Recipe) -> list[str]:
    """What is wrong with a recipe's `[augment]`, and with a class `nothing` that it cannot show."""
    choice = recipe.augment
    found = [] if choice.name == NONE else named.faults(__name__, choice, "augment")
    if choice.name == NONE and choice.options:
        found.append(f"augment.{min(choice.options)} is not an option of 'none'; it takes none")
    if recipe.data.nothing and not found and _find_nothing(choice.name) is None:
        found.append(
            f"data.nothing is {recipe.data.nothing}, but augment '{choice.name}' has no frames "
            f"without a class; those that have: {', '.join(with_nothing())}"
        )
    return found


def with_nothing() -> list[str]:
    """The augmentations that can show the class `nothing`."""
    return [name for name in named.names(__name__) if _find_nothing(name)]


def build(recipe: Recipe) -> Augmentation:
    """The augmentation of a recipe.

    Raises:
        RecipeError: An unknown name or option, or no frames for the class `nothing`.
    """
    if found := faults(recipe):
        raise RecipeError(found)
    choice = recipe.augment
    if choice.name == NONE:
        return Augmentation()
    change = partial(named.find(__name__, choice.name), **choice.options)
    return Augmentation(change, _find_nothing(choice.name) if recipe.data.nothing else None)


def _find_nothing(name: str) -> Change | None:
    if name == NONE:
        return None
    found: Change | None = getattr(import_module(f"{__name__}.{name}"), "nothing", None)
    return found

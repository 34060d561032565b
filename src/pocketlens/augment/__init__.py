"""Augmentation: batches of uint8 planes in, batches of uint8 planes out, seeded.

Each file of this room is one augmentation: a function
`name(images, generator, *, options) -> images` over `(N, C, H, W)` uint8 tensors, on the device
that trains.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from pocketlens import named
from pocketlens.errors import RecipeError
from pocketlens.recipe import Choice

if TYPE_CHECKING:
    import torch

__all__ = ["Augmentation", "build", "faults"]

Augmentation: TypeAlias = "Callable[[torch.Tensor, torch.Generator], torch.Tensor]"

NONE = "none"


def faults(choice: Choice) -> list[str]:
    """What is wrong with a recipe's `[augment]`: an unknown name or unknown options."""
    if choice == Choice(NONE):
        return []
    return named.faults(__name__, choice, "augment")


def build(choice: Choice) -> Augmentation | None:
    """The augmentation of a recipe's `[augment]`; None for the name `none`.

    Raises:
        RecipeError: An unknown name or option.
    """
    if found := faults(choice):
        raise RecipeError(found)
    if choice.name == NONE:
        return None
    return partial(named.find(__name__, choice.name), **choice.options)

"""Augmentation: batches of uint8 planes in, batches of uint8 planes out, seeded.

Each file of this room is one augmentation: a function
`name(images, generator, *, options) -> images` over `(N, C, H, W)` uint8 tensors, on the device
that trains. One that can also show the class `nothing` has a third argument, `empty`: how many
frames, without what the images show, it adds after them.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from pocketlens import registry
from pocketlens.data.dataset import Dataset
from pocketlens.errors import OptionError, RecipeError
from pocketlens.image import InputSpec
from pocketlens.prediction import NOTHING
from pocketlens.recipe import Choice

if TYPE_CHECKING:
    import torch

__all__ = ["Augmentation", "build", "faults", "sample"]

NONE = "none"
COSTLY = ("camera",)
"""Those that take about half as long as training on what they give; others take a hundredth."""


@dataclass(frozen=True)
class Augmentation:
    """What a recipe's `[augment]` does to a batch.

    Args:
        change: The file's function with the recipe's options; None to leave images as they are.
        shows_nothing: Whether frames of the class `nothing` are wanted.
        costly: Whether it is worth a processor of its own.
    """

    change: Callable[..., torch.Tensor] | None = None
    shows_nothing: bool = False
    costly: bool = False

    def __call__(
        self, images: torch.Tensor, generator: torch.Generator, empty: int = 0
    ) -> torch.Tensor:
        """The images `(N, C, H, W)` uint8, changed, and after them `empty` frames of nothing."""
        if self.change is None:
            return images
        return self.change(images, generator, empty) if empty else self.change(images, generator)


def faults(
    choice: Choice, *, nothing: float = 0.0, input_spec: InputSpec | None = None
) -> list[str]:
    """What is wrong with a recipe's `[augment]`.

    Args:
        choice: The table.
        nothing: The recipe's `data.nothing`.
        input_spec: The recipe's input: two blank images of it are augmented to find options that
            cannot be; None to leave that.
    """
    if choice.name == NONE:
        found = [
            f"augment.{key} is not an option of 'none'; it takes none" for key in choice.options
        ]
    else:
        found = registry.faults(__name__, choice, "augment")
    if nothing and not found and not _shows_nothing(choice.name):
        able = [name for name in registry.names(__name__) if _shows_nothing(name)]
        found.append(
            f"data.nothing is {nothing}, but augment '{choice.name}' has no frames without a "
            f"class; those that have: {', '.join(able)}"
        )
    if input_spec is None or found:
        return found
    import torch

    height, width, channels = input_spec.shape
    blank = torch.zeros((2, channels, height, width), dtype=torch.uint8)
    try:
        build(choice, nothing=nothing)(blank, torch.Generator())
    except OptionError as error:
        return [str(error)]
    return []


def build(choice: Choice, *, nothing: float = 0.0) -> Augmentation:
    """The augmentation of a recipe.

    Args:
        choice: The recipe's `[augment]`.
        nothing: Its `data.nothing`; above 0, frames of the class `nothing` are wanted too.

    Raises:
        RecipeError: An unknown name or option, or no frames for the class `nothing`.
    """
    if found := faults(choice, nothing=nothing):
        raise RecipeError(found)
    if choice.name == NONE:
        return Augmentation()
    change = partial(registry.find(__name__, choice.name), **choice.options)
    return Augmentation(change, shows_nothing=nothing > 0, costly=choice.name in COSTLY)


def sample(dataset: Dataset, augmentation: Augmentation, *, seed: int, count: int = 72) -> Dataset:
    """What training sees of the first images of a data set, to be looked at.

    Args:
        dataset: The images before the change.
        augmentation: What is done to them.
        seed: Seed of the change.
        count: How many images; the last third of them show nothing if the augmentation can.

    Raises:
        OptionError: Images that the augmentation cannot take.
    """
    import torch

    empty = count // 3 if augmentation.shows_nothing else 0
    shown = dataset.subset(slice(count - empty))
    images = torch.from_numpy(shown.channels_first().copy())
    frames = augmentation(images, torch.Generator().manual_seed(seed), empty)
    added = (NOTHING,) if empty and NOTHING not in dataset.classes else ()
    classes = dataset.classes + added
    labels = shown.labels
    if empty:
        labels = np.concatenate([labels, np.full(empty, classes.index(NOTHING))])
    return Dataset(
        frames.permute(0, 2, 3, 1).numpy(), labels, classes, f"{dataset.name}, augmented"
    )


def _shows_nothing(name: str) -> bool:
    if name == NONE:
        return False
    return "empty" in inspect.signature(registry.find(__name__, name)).parameters

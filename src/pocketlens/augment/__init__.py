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

import numpy as np

from pocketlens import named
from pocketlens.data.dataset import Dataset
from pocketlens.errors import RecipeError
from pocketlens.prediction import NOTHING
from pocketlens.recipe import Choice

if TYPE_CHECKING:
    import torch

__all__ = ["Augmentation", "build", "faults", "sample"]

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

    def frames(self, images: torch.Tensor, empty: int, random: torch.Generator) -> torch.Tensor:
        """The images `(N, C, H, W)`, changed, and after them `empty` frames of nothing."""
        import torch

        changed = self.change(images, random) if self.change else images
        if self.nothing is None or not empty:
            return changed
        source = images[torch.arange(empty, device=images.device) % len(images)]
        return torch.cat([changed, self.nothing(source, random)])


def faults(choice: Choice, *, nothing: float = 0.0) -> list[str]:
    """What is wrong with a recipe's `[augment]`, given its `data.nothing`."""
    if choice.name == NONE:
        found = [
            f"augment.{key} is not an option of 'none'; it takes none" for key in choice.options
        ]
    else:
        found = named.faults(__name__, choice, "augment")
    if nothing and not found and _find_nothing(choice.name) is None:
        able = [name for name in named.names(__name__) if _find_nothing(name)]
        found.append(
            f"data.nothing is {nothing}, but augment '{choice.name}' has no frames without a "
            f"class; those that have: {', '.join(able)}"
        )
    return found


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
    change = partial(named.find(__name__, choice.name), **choice.options)
    return Augmentation(change, _find_nothing(choice.name) if nothing else None)


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

    empty = count // 3 if augmentation.nothing else 0
    shown = dataset.subset(slice(count - empty))
    images = torch.from_numpy(shown.channels_first().copy())
    frames = augmentation.frames(images, empty, torch.Generator().manual_seed(seed))
    added = (NOTHING,) if empty and NOTHING not in dataset.classes else ()
    classes = dataset.classes + added
    labels = shown.labels
    if empty:
        labels = np.concatenate([labels, np.full(empty, classes.index(NOTHING))])
    return Dataset(
        frames.permute(0, 2, 3, 1).numpy(), labels, classes, f"{dataset.name}, augmented"
    )


def _find_nothing(name: str) -> Change | None:
    if name == NONE:
        return None
    found: Change | None = getattr(import_module(f"{__name__}.{name}"), "nothing", None)
    return found

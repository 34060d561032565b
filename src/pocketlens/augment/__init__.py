"""Augmentation: seeded random changes to batches of uint8 images.

Each file in this folder is one augmentation: a function
`name(images, generator, *, options) -> images` on `(N, C, H, W)` uint8 tensors, on the device used
for training. An augmentation that can also show the class `nothing` has a third parameter, `empty`:
the number of frames without any class to add after the images.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from pocketlens.data.dataset import Dataset
from pocketlens.errors import OptionError, PluginError, RecipeError
from pocketlens.image import InputSpec
from pocketlens.prediction import NOTHING
from pocketlens.recipe import Choice
from pocketlens.registry import AUGMENTATIONS

if TYPE_CHECKING:
    import torch

__all__ = ["Augmentation", "build", "errors", "sample"]

NONE = "none"
COSTLY = ("camera",)
"""Augmentations that take about half as long as training on their output; others take 1 %."""


@dataclass(frozen=True)
class Augmentation:
    """The augmentation that a recipe's `[augment]` describes.

    Args:
        change: The augmentation function with the recipe's options; None leaves images unchanged.
        shows_nothing: Whether to add frames of the class `nothing`.
        costly: Whether it is slow enough to run in a process of its own.
    """

    change: Callable[..., torch.Tensor] | None = None
    shows_nothing: bool = False
    costly: bool = False

    def __call__(
        self, images: torch.Tensor, generator: torch.Generator, empty: int = 0
    ) -> torch.Tensor:
        """Augment a batch.

        Args:
            images: `(N, C, H, W)` uint8.
            generator: Source of all randomness, on the images' device.
            empty: Number of frames of the class `nothing` to add.

        Returns:
            `(N + empty, C, H, W)` uint8.
        """
        if self.change is None:
            return images
        return self.change(images, generator, empty) if empty else self.change(images, generator)


def errors(
    choice: Choice, *, nothing: float = 0.0, input_spec: InputSpec | None = None
) -> list[str]:
    """List the errors in a recipe's `[augment]`.

    Args:
        choice: The table.
        nothing: The recipe's `data.nothing`.
        input_spec: The recipe's input. Two blank images of this shape are augmented to find invalid
            options; None skips this test.

    Returns:
        One message per error; empty if there are none.
    """
    if choice.name == NONE:
        found = [
            f"augment.{key} is not an option of 'none'; it has no options" for key in choice.options
        ]
    else:
        found = AUGMENTATIONS.errors(choice, "augment")
    if nothing and not found and not _shows_nothing(choice.name):
        # Plug-ins are not listed: that would import them all.
        builtin = set(AUGMENTATIONS.names()) - set(AUGMENTATIONS.plugins())
        able = sorted(name for name in builtin if _shows_nothing(name))
        found.append(
            f"data.nothing is {nothing}, but augment '{choice.name}' cannot make frames without a "
            f"class; augmentations that can: {', '.join(able)}"
        )
    if input_spec is None or found:
        return found
    import torch

    height, width, channels = input_spec.shape
    blank = torch.zeros((2, channels, height, width), dtype=torch.uint8)
    try:
        result = build(choice, nothing=nothing)(blank, torch.Generator())
    except (OptionError, PluginError) as error:
        return [str(error)]
    if not isinstance(result, torch.Tensor) or (result.shape, result.dtype) != (
        blank.shape,
        blank.dtype,
    ):
        return [
            f"the augmentation '{choice.name}' must return uint8 images of the same shape, "
            f"{tuple(blank.shape)}; received: {type(result).__name__} "
            f"{tuple(getattr(result, 'shape', ()))}"
        ]
    return []


def build(choice: Choice, *, nothing: float = 0.0) -> Augmentation:
    """Build the augmentation of a recipe.

    Args:
        choice: The recipe's `[augment]`.
        nothing: The recipe's `data.nothing`; if above 0, frames of the class `nothing` are added.

    Raises:
        RecipeError: The name or an option is unknown, or the augmentation cannot make frames of the
            class `nothing`.
    """
    if found := errors(choice, nothing=nothing):
        raise RecipeError(found)
    if choice.name == NONE:
        return Augmentation()
    change = partial(AUGMENTATIONS.find(choice.name), **choice.options)
    return Augmentation(change, shows_nothing=nothing > 0, costly=choice.name in COSTLY)


def sample(dataset: Dataset, augmentation: Augmentation, *, seed: int, count: int = 72) -> Dataset:
    """Augment images of all classes of a data set, to look at what training sees.

    Args:
        dataset: The original images.
        augmentation: The augmentation.
        seed: Seed of the choice of the images, and of the random changes.
        count: Number of images in total. If the augmentation shows the class `nothing`, the last
            third are frames of it.

    Returns:
        The augmented images with their labels.

    Raises:
        OptionError: The augmentation does not accept images of this shape.
    """
    import torch

    empty = count // 3 if augmentation.shows_nothing else 0
    shown = dataset.sample(count - empty, seed=seed)
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
    return "empty" in inspect.signature(AUGMENTATIONS.find(name)).parameters

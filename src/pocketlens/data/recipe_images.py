"""The training images of a recipe's `[data]`: how many there are, what is wrong, and themselves."""

from __future__ import annotations

import numpy as np

from pocketlens.data.catalog import CATALOG
from pocketlens.data.dataset import Dataset
from pocketlens.data.drawn_things import DrawnThings
from pocketlens.data.file_sources import FileSource
from pocketlens.data.idx_sets import DIGITS, SETS
from pocketlens.data.loading import from_plugin, load_data, resolve
from pocketlens.data.members import ALL
from pocketlens.data.populations import STROKES, population_of
from pocketlens.errors import DataError, OptionError, PluginError
from pocketlens.image import InputSpec
from pocketlens.recipe import DataOptions
from pocketlens.registry import SOURCES

__all__ = ["count_training_images", "errors", "training_images"]

SHOWN = 12
"""The most class names that an error message lists."""


def errors(options: DataOptions, *, seed: int, batch_size: int) -> list[str]:
    """List the errors in a recipe's `[data]` that can be found without opening an image.

    Args:
        options: The table.
        seed: The recipe's seed; it splits a folder.
        batch_size: `training.batch_size`; there must be at least this many training images.

    Returns:
        One message per error; empty if there are none.
    """
    found, counts = [], []
    sources = ((options.source, "train", seed), (options.extra, _extra_split(options), seed + 1))
    for source, split, drawn in sources:
        try:
            counts.append(_training_counts(source, split, drawn) if source else {})
        except (OptionError, DataError, PluginError) as error:
            found.append(str(error))
    if found:
        return found
    first, second = counts
    if unknown := [name for name in second if name not in first]:
        found.append(
            f"data.extra has classes that data.source has not: {', '.join(unknown[:SHOWN])}; "
            f"those of data.source are: {', '.join([*first][:SHOWN])}"
        )
    images = _used(options, first, second)
    if images < batch_size:
        found.append(
            f"training.batch_size is at most the number of training images, {images}; "
            f"received: {batch_size}"
        )
    return found


def count_training_images(options: DataOptions, *, seed: int) -> int:
    """About how many images `training_images` gives, at least; opens none of them.

    Raises:
        OptionError, DataError, PluginError: As `load_data`.
    """
    first = _training_counts(options.source, "train", seed)
    extra = options.extra
    second = _training_counts(extra, _extra_split(options), seed + 1) if extra else {}
    return _used(options, first, second)


def _used(options: DataOptions, first: dict[str, int], second: dict[str, int]) -> int:
    """The number of training images, from those of each class in both sources."""
    images = sum(round(options.share * (n - round(options.validation * n))) for n in first.values())
    return images + sum(round(options.extra_share * n) for n in second.values())


def training_images(
    data: Dataset, options: DataOptions, *, input_spec: InputSpec, seed: int
) -> Dataset:
    """The images that a recipe trains on: a share of its source, plus its second source.

    Args:
        data: The source's training images, without the validation images.
        options: The recipe's `[data]` table.
        input_spec: The recipe's input.
        seed: The recipe's seed.
    """
    if options.share < 1:
        data = data.split(options.share, seed=seed)[1]
    if not options.extra:
        return data
    # A different seed: if both sources are `strokes`, their images must differ.
    more = load_data(
        options.extra, split=_extra_split(options), input_spec=input_spec, seed=seed + 1
    )
    times, share = divmod(options.extra_share, 1)
    data = data.joined(more.subset(np.tile(np.arange(len(more)), int(times))))
    return data.joined(more.split(share, seed=seed)[1]) if share else data


def _extra_split(options: DataOptions) -> str:
    """The split of `data.extra` to train on: all of a folder, as none of it is used for testing."""
    return ALL if FileSource.parse(options.extra) else "train"


def _training_counts(source: str, split: str, seed: int) -> dict[str, int]:
    """About how many images each class has, at least. Raises the same errors as `load_data`."""
    SOURCES.is_plugin(source)  # raises PluginError if another package has the same name
    sizes = {entry.name: entry.train for entry in CATALOG if entry.train}
    name = source if source == "auto" else resolve(source).name
    if files := FileSource.parse(name):
        from pocketlens.data.folder import count_images

        return count_images(files, split, seed=seed)
    if SOURCES.is_plugin(name):  # only the images themselves tell; they are loaded again later
        return from_plugin(name, split, None, seed).counts
    if drawings := DrawnThings.parse(name):
        return dict.fromkeys(drawings.things, drawings.trained_on)
    sizes["auto"] = min(sizes["mnist"], sizes[STROKES])
    images = sizes[STROKES if population_of(name) else name]
    classes = SETS[name].classes if name in SETS else DIGITS
    return dict.fromkeys(classes, images // len(classes))

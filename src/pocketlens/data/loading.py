"""`load_data`: from the name of a source to a `Dataset`."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pocketlens.data.catalog import CATALOG
from pocketlens.data.dataset import Dataset
from pocketlens.data.download import Progress
from pocketlens.data.fit import fit_dataset
from pocketlens.data.location import data_folder
from pocketlens.errors import (
    DataError,
    DataNotFoundError,
    OptionError,
    OutputError,
    did_you_mean,
)
from pocketlens.image import InputSpec
from pocketlens.recipe import DataOptions

__all__ = [
    "SPLITS",
    "Resolved",
    "download_data",
    "faults",
    "load_data",
    "resolve",
    "training_images",
]

SPLITS = ("train", "test")
ALL = "all"
FOLDER = "folder:"
SHOWN = 12
"""How many class names an error lists."""


@dataclass(frozen=True)
class Resolved:
    """The source that will be used.

    Args:
        name: `mnist`, `strokes` or `folder:PATH`; never `auto`.
        note: What the user must be told about the choice; None when there is nothing to tell.
    """

    name: str
    note: str | None = None


def resolve(
    source: str = "auto",
    *,
    folder: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
) -> Resolved:
    """Which source `source` means here and now; for `auto`, fetch MNIST or fall back to strokes.

    Args:
        source: `auto`, `mnist`, `strokes` or `folder:PATH`.
        folder: The data folder; default: `POCKETLENS_DATA`, else the user's cache folder.
        progress: Called while downloading.

    Raises:
        OptionError: An unknown source.
    """
    if not isinstance(source, str):
        raise OptionError(
            f"a data source is a name; received: {source!r}; "
            "expected, for your own pictures: 'folder:PATH'"
        )
    if source == "auto":
        return _resolve_auto(folder, progress)
    if source.startswith(FOLDER):
        if source == FOLDER:
            raise OptionError("data source 'folder:' names no folder; expected: folder:PATH")
        return Resolved(source)
    known = [entry.name for entry in CATALOG]
    if source not in known or source == "folder:PATH":
        raise OptionError(
            f"data source {source!r} is not known; {did_you_mean(source, known)} "
            "(more about them: pocketlens data list)"
        )
    return Resolved(source)


def _resolve_auto(folder: str | os.PathLike[str] | None, progress: Progress | None) -> Resolved:
    from pocketlens.data.mnist import download_mnist, missing_files

    place = data_folder(folder) / "mnist"
    if missing_files(place):
        try:
            download_mnist(place, progress=progress)
        except (DataNotFoundError, OutputError):
            # What stood in the way is told in full by the command that the note names.
            return Resolved(
                "strokes",
                f"real MNIST is neither in {place} nor downloadable: using the built-in strokes "
                "digits, so figures are not those of MNIST; for MNIST go online and type: "
                "pocketlens data download mnist",
            )
    return Resolved("mnist")


def load_data(
    source: str = "auto",
    *,
    split: str = "train",
    input_spec: InputSpec | None = None,
    seed: int = 0,
    folder: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
) -> Dataset:
    """Load labeled images.

    Args:
        source: `mnist`, `strokes`, `folder:PATH` (one folder a class), or `auto`: mnist if it is
            here or can be downloaded, else strokes with a warning.
        split: `train` or `test`; of a folder also `all`.
        input_spec: The size and colors wanted; default: those of the source. A folder needs it.
        seed: Draws the strokes and splits a folder; nothing else depends on it.
        folder: The data folder; default: `POCKETLENS_DATA`, else the user's cache folder.
        progress: Called with (file name, bytes so far, bytes in all or None) while downloading.

    Raises:
        OptionError: An unknown source or split, or a folder without an `input_spec`.
        DataNotFoundError: Data that is not here and cannot be downloaded.
        DataError: Damaged or inconsistent data.
        OutputError: The data folder cannot be written, and data is missing.

    Examples:
        >>> load_data("strokes", split="test").images.shape
        (2000, 28, 28, 1)
    """
    splits = (*SPLITS, ALL) if str(source).startswith(FOLDER) else SPLITS
    if split not in splits:
        raise OptionError(f"split {split!r} is not known; {did_you_mean(split, splits)}")
    if type(seed) is not int or seed < 0:
        raise OptionError(f"a seed is a whole number from 0; received: {seed!r}")
    resolved = resolve(source, folder=folder, progress=progress)
    if resolved.note:
        warnings.warn(resolved.note, stacklevel=2)
    if resolved.name == "mnist":
        from pocketlens.data.mnist import load_mnist

        place = data_folder(folder) / "mnist"
        return fit_dataset(load_mnist(place, split, progress=progress), input_spec)
    if resolved.name == "strokes":
        from pocketlens.data.strokes import draw_strokes

        return fit_dataset(draw_strokes(split, seed=seed), input_spec)
    if input_spec is None:
        raise OptionError(
            f"{source} needs an input_spec, the size its pictures are made; "
            "expected, for example: input_spec=InputSpec(64, 64, 'rgb')"
        )
    from pocketlens.data.folder import load_folder

    return load_folder(_folder(resolved.name), split, input_spec, seed=seed)


def _folder(name: str) -> Path:
    return Path(name.removeprefix(FOLDER)).expanduser()


def faults(options: DataOptions, *, seed: int, batch_size: int) -> list[str]:
    """What is wrong with a recipe's `[data]`, as far as no image need be opened to find it.

    Args:
        options: The table.
        seed: The recipe's; it splits a folder.
        batch_size: `training.batch_size`: more images than there are cannot be had in a step.
    """
    found, counts = [], []
    sources = ((options.source, "train", seed), (options.extra, _extra_split(options), seed + 1))
    for source, split, drawn in sources:
        try:
            counts.append(_training_counts(source, split, drawn) if source else {})
        except (OptionError, DataError) as error:
            found.append(str(error))
    if found:
        return found
    first, second = counts
    if unknown := [name for name in second if name not in first]:
        found.append(
            f"data.extra has classes that data.source has not: {', '.join(unknown[:SHOWN])}; "
            f"those of data.source are: {', '.join([*first][:SHOWN])}"
        )
    images = sum(round(options.share * (n - round(options.validation * n))) for n in first.values())
    images += sum(round(options.extra_share * n) for n in second.values())
    if images < batch_size:
        found.append(
            f"training.batch_size is at most the number of training images, {images}; "
            f"received: {batch_size}"
        )
    return found


def training_images(
    data: Dataset, options: DataOptions, *, input_spec: InputSpec, seed: int
) -> Dataset:
    """What a recipe trains on: a share of its source's images, and its second source.

    Args:
        data: The source's training images, without those held back.
        options: The table.
        input_spec: The recipe's input.
        seed: The recipe's.
    """
    if options.share < 1:
        data = data.split(options.share, seed=seed)[1]
    if not options.extra:
        return data
    # Another seed than the source's: should both be `strokes`, their images differ.
    more = load_data(
        options.extra, split=_extra_split(options), input_spec=input_spec, seed=seed + 1
    )
    times, share = divmod(options.extra_share, 1)
    data = data.joined(more.subset(np.tile(np.arange(len(more)), int(times))))
    return data.joined(more.split(share, seed=seed)[1]) if share else data


def _extra_split(options: DataOptions) -> str:
    """Which images of `data.extra` are trained on: of a folder all, none is tested on."""
    return ALL if options.extra.startswith(FOLDER) else "train"


def _training_counts(source: str, split: str, seed: int) -> dict[str, int]:
    """Images of each class, at least about so many. Raises as `load_data` does."""
    sizes = {entry.name: entry.train for entry in CATALOG if entry.train}
    name = source if source == "auto" else resolve(source).name
    if name.startswith(FOLDER):
        from pocketlens.data.folder import count_pictures

        return count_pictures(_folder(name), split, seed=seed)
    from pocketlens.data.mnist import CLASSES

    images = min(sizes.values()) if name == "auto" else sizes[name]
    return dict.fromkeys(CLASSES, images // len(CLASSES))


def download_data(
    source: str,
    *,
    folder: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
) -> Path:
    """Fetch a source's missing or damaged files into the data folder.

    Returns:
        The folder of its files.

    Raises:
        OptionError: A source that has nothing to download.
        DataNotFoundError: No mirror gave a file.
        OutputError: The folder cannot be written.
    """
    downloadable = [entry.name for entry in CATALOG if entry.download_bytes]
    if source not in downloadable:
        raise OptionError(
            f"data source {source!r} has nothing to download; {did_you_mean(source, downloadable)}"
        )
    from pocketlens.data.mnist import download_mnist

    place = data_folder(folder) / "mnist"
    download_mnist(place, progress=progress)
    return place

"""`load_data` and `load_folder`: load a `Dataset` from the name of a source or from a folder."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass
from pathlib import Path

from pocketlens.commands import command
from pocketlens.data.catalog import CATALOG
from pocketlens.data.dataset import Dataset
from pocketlens.data.download import Progress
from pocketlens.data.drawn_things import QUICKDRAW, DrawnThings
from pocketlens.data.file_sources import FOLDER, FileSource
from pocketlens.data.fit import fit_dataset
from pocketlens.data.idx_sets import SETS
from pocketlens.data.members import ALL
from pocketlens.data.populations import population_of
from pocketlens.data.prepared import Decoded
from pocketlens.errors import (
    DataNotFoundError,
    OptionError,
    OutputError,
    PluginError,
    did_you_mean,
)
from pocketlens.image import InputSpec
from pocketlens.locations import data_folder
from pocketlens.registry import SOURCES

__all__ = [
    "SPLITS",
    "Resolved",
    "download_data",
    "from_plugin",
    "load_data",
    "load_folder",
    "resolve",
]

SPLITS = ("train", "test")


@dataclass(frozen=True)
class Resolved:
    """The source that `auto` or another name stands for.

    Args:
        name: The name of a source, such as `mnist` or `folder:PATH`; never `auto`.
        note: A warning for the user about the choice; None if there is none.
    """

    name: str
    note: str | None = None


def resolve(
    source: str = "auto",
    *,
    folder: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
) -> Resolved:
    """Find out which source to use; for `auto`, download MNIST or fall back to strokes.

    Args:
        source: `auto`, a built-in source, `folder:PATH`, `csv:PATH` or an installed plug-in.
        folder: The data folder; default: `POCKETLENS_DATA`, else the cache folder.
        progress: Called during a download.

    Raises:
        OptionError: The source, the population of strokes or a thing that is drawn is unknown.
        PluginError: Several packages provide the source.
    """
    if not isinstance(source, str):
        raise OptionError(
            f"a data source must be a string; received: {source!r}; "
            "for your own images, use 'folder:PATH' or load_folder(PATH)"
        )
    if source == "auto":
        return _resolve_auto(folder, progress)
    drawn = FileSource.parse(source) or DrawnThings.parse(source)
    if drawn or (":" in source and population_of(source)):
        return Resolved(source)
    known = [*(entry.name for entry in CATALOG), *SOURCES.plugins()]
    if not SOURCES.is_plugin(source) and (source not in known or ":" in source):
        raise OptionError(
            f"data source {source!r} is not known; {did_you_mean(source, known)} "
            f"(more about them: {command('data', 'list')})"
            + (f"; there is no folder {source!r} either" if source and ":" not in source else "")
        )
    return Resolved(source)


def _resolve_auto(folder: str | os.PathLike[str] | None, progress: Progress | None) -> Resolved:
    from pocketlens.data.idx_loading import download_idx_set, missing_files

    place = data_folder(folder)
    if missing_files("mnist", place):
        try:
            download_idx_set("mnist", place, progress=progress)
        except (DataNotFoundError, OutputError):
            # The command in the note reports the full reason.
            return Resolved(
                "strokes",
                f"MNIST is not in {place / 'mnist'} and cannot be downloaded: using the built-in "
                "strokes digits instead, so results differ from MNIST's; when online, download "
                f"MNIST with: {command('data', 'download', 'mnist')}",
            )
    return Resolved("mnist")


def load_data(
    source: str = "auto",
    *,
    split: str = "train",
    input_spec: InputSpec | None = None,
    seed: int = 0,
    strict: bool = False,
    folder: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
    decoded: Decoded | None = None,
) -> Dataset:
    """Load labeled images.

    Images of a folder or CSV file that need more than 128 MB are kept in a file in the cache folder
    (`POCKETLENS_CACHE`, else the user's) instead of in memory.

    Args:
        source: `mnist`, `fashion-mnist`, `kmnist`, `emnist-digits`, `emnist-letters`, `strokes`
            (or `strokes:world`, `strokes:REGION`), `doodles` (or `doodles:apple,bee`),
            `quickdraw:apple,bee` (or `quickdraw:all`, `quickdraw:all@500` for 500 of each),
            `folder:PATH` (one folder per class, see
            `load_folder`), `csv:PATH` (a table with the columns path, label and optionally split;
            paths are relative to its folder and must not leave it, except with `csv-outside:PATH`),
            an installed plug-in, or `auto`: MNIST if it is on this computer or can be downloaded,
            else strokes with a warning.
        split: `train` or `test`; for a folder or CSV file also `all`.
        input_spec: Size and colors of the images; default: those of the source. Required for a
            folder or CSV file.
        seed: At least 0. It draws the strokes, and splits a folder or CSV file without splits.
        strict: Whether a file of a folder or CSV file that cannot be read is an error. If not, it
            is left out, with a warning.
        folder: The data folder; default: `POCKETLENS_DATA`, else the user's cache folder.
        progress: Called with (file name, bytes so far, total bytes or None) during a download.
        decoded: Called with (images so far, all images) while files are decoded.

    Returns:
        The images of one split.

    Raises:
        OptionError: The source, split or seed is invalid, or `input_spec` is missing.
        DataNotFoundError: The data is not on this computer and cannot be downloaded.
        DataError: The data is damaged or inconsistent.
        PluginError: A plug-in cannot be used.
        OutputError: The data folder, or for many images the cache folder, cannot be written to.

    Examples:
        >>> load_data("strokes", split="test").images.shape
        (2000, 28, 28, 1)
    """
    return _load(source, split, input_spec, seed, folder, progress, strict=strict, decoded=decoded)


def load_folder(
    path: str | os.PathLike[str],
    *,
    split: str = "train",
    input_spec: InputSpec | None = None,
    seed: int = 0,
    strict: bool = False,
) -> Dataset:
    """Load labeled images from a folder of your own; the same as `load_data("folder:PATH")`.

    Each folder directly inside `path` is a class; the image files anywhere below it belong to the
    class. If `path` contains both `train` and `test`, these are the two splits. Otherwise `seed`
    chooses a fifth of each class as the test split; images that show nearly the same stay together.
    Files in the folder's `quarantine.csv` are left out, see `check_data`.

    Args:
        path: The folder; `~` stands for the home folder.
        split: `train`, `test` or `all`.
        input_spec: Size, colors and crop of the images. Required, though it has a default: the
            files may have many sizes.
        seed: Chooses the test images; at least 0.
        strict: Whether a file that cannot be read is an error. If not, it
            is left out, with a warning.

    Returns:
        Images `(N, *input_spec.shape)`, sorted by class, classes in natural order (2 before 10).

    Raises:
        OptionError: `path` is empty or not a path, the split or seed is invalid, or `input_spec` is
            missing.
        DataNotFoundError: `path` is not a folder.
        DataError: There are too few classes or images, the splits have different classes, an image
            is in two classes, or files cannot be read.

    Examples:
        >>> load_folder("photos", split="test", input_spec=InputSpec(64, 64, "rgb"))
    """
    if not isinstance(path, str | os.PathLike):
        raise OptionError(
            f"the path of a folder must be a string or a Path; received: {path!r}; "
            "expected, for example: load_folder('photos', input_spec=InputSpec(64, 64, 'rgb'))"
        )
    return _load(f"{FOLDER}{os.fspath(path)}", split, input_spec, seed, strict=strict)


def _load(
    source: str,
    split: str,
    input_spec: InputSpec | None,
    seed: int,
    folder: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
    *,
    strict: bool = False,
    decoded: Decoded | None = None,
) -> Dataset:
    splits = (*SPLITS, ALL) if FileSource.parse(str(source)) else SPLITS
    if split not in splits:
        raise OptionError(f"split {split!r} is not known; {did_you_mean(split, splits)}")
    if type(seed) is not int or seed < 0:
        raise OptionError(f"a seed must be an integer of at least 0; received: {seed!r}")
    resolved = resolve(source, folder=folder, progress=progress)
    if resolved.note:
        warnings.warn(resolved.note, stacklevel=3)
    if resolved.name in SETS:
        from pocketlens.data.idx_loading import load_idx_set

        found = load_idx_set(resolved.name, data_folder(folder), split, progress=progress)
        return fit_dataset(found, input_spec)
    if writers := population_of(resolved.name):
        from pocketlens.data.strokes import draw_strokes

        return fit_dataset(draw_strokes(split, population=writers, seed=seed), input_spec)
    if drawings := DrawnThings.parse(resolved.name):
        from pocketlens.data.drawings import load_drawings

        return load_drawings(
            drawings, data_folder(folder), split, input_spec, seed=seed, progress=progress
        )
    if SOURCES.is_plugin(resolved.name):
        return from_plugin(resolved.name, split, input_spec, seed)
    if input_spec is None:
        raise OptionError(
            f"{source} needs the size to which its images are scaled; add --size, such as "
            "--size 64; in Python, pass input_spec=InputSpec(64, 64, 'rgb')"
        )
    from pocketlens.data.folder import read_files

    files = FileSource.parse(resolved.name)
    assert files is not None  # `resolve` knows no other sources
    return read_files(files, split, input_spec, seed=seed, strict=strict, decoded=decoded)


def from_plugin(name: str, split: str, input_spec: InputSpec | None, seed: int) -> Dataset:
    """Load a data source of another package (entry point group `pocketlens.sources`).

    It is called as `source(split, seed=..., input_spec=...)` with the split `train` or `test`, and
    returns a Dataset, which is then scaled to `input_spec`.
    """
    found = SOURCES.find(name)(split, seed=seed, input_spec=input_spec)
    if not isinstance(found, Dataset):
        raise PluginError(
            f"the data source '{name}' of another package must return a Dataset; "
            f"received: {type(found).__name__}"
        )
    return fit_dataset(found, input_spec)


def download_data(
    source: str,
    *,
    folder: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
) -> Path:
    """Download the missing or damaged files of a source into the data folder.

    Args:
        source: `mnist`, `fashion-mnist`, `kmnist`, `emnist-digits`, `emnist-letters` or
            `quickdraw:NAMES`.
        folder: The data folder; default: `POCKETLENS_DATA`, else the user's cache folder.
        progress: Called with (file name, bytes so far, total bytes or None).

    Returns:
        The folder with the files of the source.

    Raises:
        OptionError: The source has nothing to download.
        DataNotFoundError: A file could not be downloaded from any mirror.
        OutputError: The folder cannot be written to.
    """
    drawings = DrawnThings.parse(source) if isinstance(source, str) else None
    if drawings is not None and drawings.kind == QUICKDRAW:
        from pocketlens.data.quickdraw import download_quickdraw

        return download_quickdraw(drawings, data_folder(folder), progress=progress)
    downloadable = [entry.name for entry in CATALOG if entry.download_bytes]
    if source not in downloadable:
        raise OptionError(
            f"data source {source!r} has nothing to download; {did_you_mean(source, downloadable)}"
        )
    from pocketlens.data.idx_loading import download_idx_set

    place = data_folder(folder)
    download_idx_set(source, place, progress=progress)
    return place / SETS[source].folder

"""`folder:PATH` and `csv:PATH`: your own images, in a folder per class or listed in a file."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pocketlens.data.csv_table import csv_parts
from pocketlens.data.dataset import Dataset
from pocketlens.data.file_sources import CSV_OUTSIDE, FOLDER, FileSource
from pocketlens.data.large_arrays import take
from pocketlens.data.members import ALL, SHOWN, Classes, Parts, folder_parts, listed
from pocketlens.data.near_duplicates import Pairs, group
from pocketlens.data.prepared import Decoded, prepare_files
from pocketlens.data.quarantine import read_quarantine
from pocketlens.data.splitting import choose
from pocketlens.data.survey import Survey, survey
from pocketlens.errors import DataError
from pocketlens.image import InputSpec

__all__ = [
    "count_images",
    "decode_files",
    "find_parts",
    "near_groups",
    "read_files",
    "read_folder",
    "relative",
]

ATTEMPTS = 5
"""How often a folder is read whose files are removed or moved meanwhile."""


def read_folder(
    path: Path, split: str, input_spec: InputSpec, *, seed: int = 0, strict: bool = False
) -> Dataset:
    """Load one split of the images in `path`, resized and cropped to fit `input_spec`.

    Each folder directly inside `path` is a class; the files anywhere below it are its images. If
    `path` contains both `train` and `test`, these are the splits. Otherwise `seed` chooses a fifth
    of each class as the test split; each split gets at least one image. Identical copies of a
    image go to the same split, so that no test image is also a training image. Hidden files and
    folders are ignored, and so are links that point outside `path`. The split `all` has all
    images; for it, one class is enough.

    Args:
        path: The folder.
        split: `train`, `test` or `all`.
        input_spec: Size, colors and crop of the images.
        seed: Chooses the test images.
        strict: See `read_files`.

    Returns:
        Images `(N, *input_spec.shape)`, sorted by class, classes in natural order (2 before 10).

    Raises:
        DataNotFoundError: `path` is not a folder.
        DataError: There are fewer than two classes, a class has no images, the splits have
            different classes, an image is in two classes, or no file of a class can be read.
    """
    return read_files(FileSource(FOLDER, path), split, input_spec, seed=seed, strict=strict)


def read_files(
    source: FileSource,
    split: str,
    input_spec: InputSpec,
    *,
    seed: int = 0,
    strict: bool = False,
    decoded: Decoded | None = None,
) -> Dataset:
    """Load one split of a folder or a CSV file; see `read_folder` and `csv_parts`.

    Args:
        source: The folder or the CSV file.
        split: `train`, `test` or `all`.
        input_spec: Size, colors and crop of the images.
        seed: Chooses the test images.
        strict: Whether a file that cannot be read is an error. If not, it is left out, with a
            warning that counts such files.
        decoded: See `prepare_files`.

    Raises:
        DataNotFoundError: There is no such folder or file.
        DataError: See `read_folder` and `csv_parts`.
    """
    path = source.path
    for attempt in range(1, ATTEMPTS + 1):
        classes, files, labels, groups = _members(source, split, seed, strict=strict)
        images, errors = prepare_files(files, input_spec, decoded)
        if not errors or attempt == ATTEMPTS or all(file.is_file() for file in files):
            break  # else a preview removes or moves corrections meanwhile: read it again
    if errors:
        _leave_out(path, [*errors.values()], strict=strict)
        kept = np.array([index for index in range(len(files)) if index not in errors], np.int64)
        images, labels, groups = take(images, kept), labels[kept], groups[kept]
        files = [files[index] for index in kept]
        if missing := [name for at, name in enumerate(classes) if at not in labels]:
            raise DataError(f"{path} has no readable images of: {listed(missing)}")
    name = f"{source.kind}{path.resolve().name}/{split}"
    return Dataset(images, labels, classes, name, groups, tuple(map(str, files)))


def _leave_out(path: Path, errors: Sequence[str], *, strict: bool) -> None:
    """Tell which files are left out, or raise an error if none may be."""
    rest = f"; and {len(errors) - SHOWN} more" if len(errors) > SHOWN else ""
    text = f"{'; '.join(errors[:SHOWN])}{rest}"
    if strict:
        raise DataError(
            f"{path} has {len(errors)} file(s) that cannot be used: {text}; repair or remove them"
        )
    warnings.warn(
        f"{path}: {len(errors)} file(s) cannot be read and are left out: {text}", stacklevel=3
    )


def count_images(source: FileSource, split: str = "train", *, seed: int = 0) -> dict[str, int]:
    """The number of images per class that `read_files` would load; decodes none of them.

    Raises:
        DataNotFoundError: As in `read_files`.
        DataError: As in `read_files`, except for files that cannot be decoded.
    """
    chosen = _chosen(source, _listed_parts(source, complete=split != ALL), split, seed, {})
    return {name: len(files) for name, files in chosen.items()}


def find_parts(source: FileSource, *, complete: bool = True) -> Parts:
    """The files of a source by split and class.

    Args:
        source: A folder or a CSV file.
        complete: Whether the classes are those to learn: at least two, each with images.

    Raises:
        DataNotFoundError: There is no such folder or file.
        DataError: The classes or files cannot be used.
    """
    path = source.path
    try:
        if source.kind == FOLDER:
            return folder_parts(path, complete=complete)
        return csv_parts(path, outside=source.kind == CSV_OUTSIDE, complete=complete)
    except OSError as error:
        raise DataError(
            f"{error.filename or path} cannot be read: {error.strerror or error}"
        ) from error


def _listed_parts(source: FileSource, *, complete: bool) -> Parts:
    """The files of a source that are not in its quarantine list."""
    parts = find_parts(source, complete=complete)
    root = source.root
    listed_files = read_quarantine(root)
    if not listed_files:
        return parts
    return _without(parts, lambda file: relative(file, root) in listed_files, "in quarantine")


def _without(parts: Parts, left_out: Callable[[Path], bool], why: str) -> Parts:
    """The files that are not left out; a class must keep at least one."""
    kept: Parts = {}
    for split, classes in parts.items():
        kept[split] = {
            name: [file for file in files if not left_out(file)] for name, files in classes.items()
        }
        if empty := [name for name, files in kept[split].items() if not files]:
            raise DataError(
                f"all images of {listed(empty)} are {why}; add images, or remove the class"
            )
    return kept


def relative(file: Path, root: Path) -> str:
    """The path of a file as a quarantine list has it."""
    for base in (root, root.resolve()):
        if file.is_relative_to(base):
            return file.relative_to(base).as_posix()
    return file.as_posix()


def _members(
    source: FileSource, split: str, seed: int, *, strict: bool
) -> tuple[tuple[str, ...], list[Path], NDArray[np.int64], NDArray[np.int64]]:
    """The classes, and the files, labels and groups of `split`."""
    parts = _listed_parts(source, complete=split != ALL)
    groups: dict[Path, int] = {}
    if split != ALL:
        looked = survey([f for classes in parts.values() for fs in classes.values() for f in fs])
        unreadable = {each.path for each in looked.pictures if each.error and each.path.is_file()}
        if unreadable:
            errors = [each.error for each in looked.pictures if each.path in unreadable]
            _leave_out(source.path, errors, strict=strict)
            parts = _without(parts, unreadable.__contains__, "unreadable")
        groups = near_groups(parts, looked)
    chosen = _chosen(source, parts, split, seed, groups)
    files = [file for members in chosen.values() for file in members]
    labels = [label for label, members in enumerate(chosen.values()) for _ in members]
    numbers = [groups.get(file, len(groups) + at) for at, file in enumerate(files)]
    return tuple(chosen), files, np.array(labels, np.int64), np.array(numbers, np.int64)


def near_groups(parts: Parts, looked: Survey) -> dict[Path, int]:
    """A number for each readable picture; near-duplicates of one class and split have the same."""
    owner = {
        file: (split, name)
        for split, classes in parts.items()
        for name, files in classes.items()
        for file in files
    }
    files = [picture.path for picture in looked.readable]
    pairs = looked.near_duplicates()
    same = np.array(
        [
            owner.get(files[one]) == owner.get(files[other])
            for one, other in zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)
        ],
        bool,
    )
    kept = Pairs(pairs.first[same], pairs.second[same], pairs.similarity[same])
    return dict(zip(files, group(len(files), kept).tolist(), strict=True))


def _chosen(
    source: FileSource, parts: Parts, split: str, seed: int, groups: dict[Path, int]
) -> Classes:
    try:
        return choose(parts, split, seed, groups)
    except OSError as error:
        raise DataError(
            f"{error.filename or source.path} cannot be read: {error.strerror or error}"
        ) from error


def decode_files(path: Path, files: Sequence[Path], spec: InputSpec) -> NDArray[np.uint8]:
    """The images `(N, *spec.shape)` of the files that can be read; a warning counts the others.

    Args:
        path: Where the files are; it is named in messages.
        files: The files.
        spec: Size, colors and crop of the images.

    Raises:
        DataError: None of them can be read.
        OutputError: See `prepare_files`.
    """
    images, errors = prepare_files(files, spec)
    if not errors:
        return images
    _leave_out(path, [*errors.values()], strict=len(errors) == len(files))
    kept = [index for index in range(len(files)) if index not in errors]
    return take(images, np.array(kept, np.int64))

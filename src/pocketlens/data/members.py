"""Which files belong to which class, and how they are split: for folders and CSV files."""

from __future__ import annotations

import hashlib
import os
import re
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np

from pocketlens.errors import DataError, DataNotFoundError
from pocketlens.prediction import class_name_errors

__all__ = [
    "ALL",
    "SHOWN",
    "Classes",
    "Parts",
    "choose",
    "files_below",
    "folder_parts",
    "has_splits",
    "listed",
    "natural",
]

Classes: TypeAlias = dict[str, list[Path]]
"""The files of each class, both in natural order."""

Parts: TypeAlias = dict[str, Classes]
"""The classes of the splits `train` and `test`, or of `all` if the data has no splits."""

ALL = "all"
TEST_FRACTION = 0.2

SYSTEM_FILES = frozenset(
    ["Thumbs.db", "ehthumbs.db", "desktop.ini", "Icon\r", "__MACOSX", "@eaDir"]
)
"""Files and folders that file managers and archives add without being asked. Hidden ones, such as
`.DS_Store`, are ignored anyway."""

SHOWN = 5
"""The most names that an error message lists."""


def has_splits(path: Path) -> bool:
    """Whether the folder has its own splits, `train` and `test`."""
    return (path / "train").is_dir() and (path / "test").is_dir()


def folder_parts(path: Path, *, complete: bool = True) -> Parts:
    """The files of a folder with one folder per class.

    Args:
        path: The folder.
        complete: See `_scan`.

    Raises:
        DataNotFoundError: `path` is not a folder.
        DataError: There are too few classes, or a class has no images or no valid name.
        OSError: The folder cannot be read.
    """
    if not path.is_dir():
        raise DataNotFoundError(
            f"{path} is not a folder; expected a folder with one subfolder of images per class"
        )
    inside = path.resolve()
    if not has_splits(path):
        return {ALL: _scan(path, inside, complete=complete)}
    parts = {part: _scan(path / part, inside) for part in ("train", "test")}
    odd = sorted(set(parts["train"]) ^ set(parts["test"]), key=natural)
    if odd:
        raise DataError(
            f"{path / 'train'} and {path / 'test'} have different classes: only one of them "
            f"has {listed(odd)}; expected the same folders in both"
        )
    return parts


def choose(parts: Parts, split: str, seed: int) -> Classes:
    """The files of a split: `train`, `test` or `all`.

    Raises:
        DataError: An image is in two classes, or a class has too few images to be split.
    """
    if ALL in parts and split != ALL:
        return _split(parts[ALL], split, seed)
    if split in parts:
        chosen = parts[split]
    else:
        chosen = {name: files + parts["test"][name] for name, files in parts["train"].items()}
    _find_copies(chosen)
    return chosen


def _scan(path: Path, inside: Path, *, complete: bool = True) -> dict[str, list[Path]]:
    """The files of each class folder in `path`, both in natural order.

    Args:
        path: The folder of the class folders.
        inside: The whole data set; links that point outside it are ignored.
        complete: Whether the classes are those to learn: at least two, each with images. If not,
            as for corrections, class folders without images are left out with a warning.
    """
    least = 2 if complete else 1
    folders = sorted(
        (entry for entry in path.iterdir() if entry.is_dir() and _counts(entry, inside)),
        key=lambda entry: natural(entry.name),
    )
    if len(folders) < least:
        raise DataError(
            f"{path} has {len(folders)} class folder(s) ({listed([f.name for f in folders])}); "
            f"expected at least {least}, each named after a class and with its images"
        )
    if errors := class_name_errors([folder.name for folder in folders]):
        raise DataError(
            f"{path} has class folders that cannot be used: {'; '.join(errors[:3])}; rename them"
        )
    found = {folder.name: files_below(folder, inside) for folder in folders}
    empty = [name for name, files in found.items() if not files]
    if empty and (complete or len(empty) == len(found)):
        raise DataError(
            f"{path} has class folders without images: {listed(empty)}; "
            "add images to them or remove them"
        )
    if empty:
        warnings.warn(
            f"{path} has class folders without images: {listed(empty)}; they are left out",
            stacklevel=2,
        )
    return {name: files for name, files in found.items() if files}


def _find_copies(found: dict[str, list[Path]]) -> dict[Path, Path]:
    """Map each file to the first file with the same content (to itself unless it is a copy).

    Raises:
        DataError: A image and a copy of it are in different classes.
    """
    owner = {file: name for name, files in found.items() for file in files}
    sizes = Counter(file.stat().st_size for file in owner)
    first: dict[Path, Path] = {}
    seen: dict[str, Path] = {}
    for file, name in owner.items():
        first[file] = file
        if sizes[file.stat().st_size] == 1:
            continue  # no other file has this size, so there is no copy
        with file.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        first[file] = original = seen.setdefault(digest, file)
        if owner[original] != name:
            raise DataError(
                f"the same image is in two classes: {original} and {file}; remove the wrong one"
            )
    return first


def files_below(folder: Path, inside: Path) -> list[Path]:
    """The files in a folder and below it, in natural order; without hidden and system files, and
    without links that point outside the folder `inside`."""
    found: list[Path] = []

    def refuse(error: OSError) -> None:
        raise error

    # os.walk does not follow links to folders, so a link cannot cause an endless loop.
    for place, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = [n for n in folders if not (n.startswith(".") or n in SYSTEM_FILES)]
        entries = (Path(place) / name for name in names)
        found.extend(entry for entry in entries if entry.is_file() and _counts(entry, inside))
    return sorted(found, key=lambda file: natural(file.relative_to(folder).as_posix()))


def _counts(entry: Path, inside: Path) -> bool:
    """Whether `entry` is neither hidden nor a link that points outside the data set."""
    if entry.name.startswith(".") or entry.name in SYSTEM_FILES:
        return False
    return not entry.is_symlink() or entry.resolve().is_relative_to(inside)


def _split(found: dict[str, list[Path]], split: str, seed: int) -> dict[str, list[Path]]:
    """Choose a split at random, stratified by class; each class is seeded with its own name too.

    So adding a class, or images to a class, does not change the splits of the other classes.
    """
    first = _find_copies(found)
    chosen = {}
    for name, files in found.items():
        different = [file for file in files if first[file] == file]
        if len(different) < 2:
            raise DataError(
                f"class {name!r} has only one image and cannot be split; expected at least 2 "
                "different images per class, or folders train and test"
            )
        random = np.random.default_rng([seed, *name.encode()])
        held = max(1, round(TEST_FRACTION * len(different)))
        test = {different[index] for index in random.permutation(len(different))[:held]}
        chosen[name] = [file for file in files if (first[file] in test) == (split == "test")]
    return chosen


def natural(name: str) -> list[tuple[int, int, str]]:
    """A sort key that compares the numbers in names as numbers: 2 before 10."""
    parts = re.split(r"(\d+)", name)
    key = [(0, int(p), "") if p.isdecimal() else (1, 0, p.casefold()) for p in parts if p]
    return [*key, (2, 0, name)]


def listed(names: Sequence[str]) -> str:
    """The first names, and how many more there are; `none` if there is none."""
    shown = ", ".join(names[:SHOWN]) or "none"
    return f"{shown} and {len(names) - SHOWN} more" if len(names) > SHOWN else shown

"""Which files belong to which class, and how they are split: for folders and CSV files."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias

from pocketlens.errors import DataError, DataNotFoundError
from pocketlens.prediction import class_name_errors

__all__ = [
    "ALL",
    "SHOWN",
    "Classes",
    "Parts",
    "class_folders",
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

SYSTEM_FILES = frozenset(
    [
        "thumbs.db",
        "ehthumbs.db",
        "desktop.ini",
        "icon\r",
        "__macosx",
        "@eadir",
        "$recycle.bin",
        "system volume information",
    ]
)
"""Files and folders that file managers and archives add without being asked. Hidden ones, such as
`.DS_Store` and `._1.jpg`, are ignored anyway. In lower case."""

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
        problem = "is not a folder" if path.exists() else "does not exist"
        raise DataNotFoundError(
            f"{path} {problem}; expected a folder with one subfolder of images per class"
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


def _scan(path: Path, inside: Path, *, complete: bool = True) -> dict[str, list[Path]]:
    """The files of each class folder in `path`, both in natural order.

    Args:
        path: The folder of the class folders.
        inside: The whole data set; links that point outside it are ignored.
        complete: Whether the classes are those to learn: at least two, each with images. If not,
            as for corrections, class folders without images are left out with a warning.
    """
    least = 2 if complete else 1
    found = class_folders(path, inside)
    if len(found) < least:
        raise DataError(
            f"{path} has {len(found)} class folder(s) ({listed([*found])}); "
            f"expected at least {least}, each named after a class and with its images"
            f"{_files_instead(path) if not found else ''}"
        )
    if errors := class_name_errors([*found]):
        raise DataError(
            f"{path} has class folders that cannot be used: {'; '.join(errors[:3])}; rename them"
        )
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


def _files_instead(path: Path) -> str:
    """What to do if a folder has files and no class folders: the end of an error message."""
    files = sum(entry.is_file() and not entry.name.startswith(".") for entry in path.iterdir())
    if not files:
        return ""
    above = path.absolute().parent
    with suppress(OSError):  # it may be unreadable
        beside = [each for each in above.iterdir() if each.is_dir() and each.name[:1] != "."]
        if len(beside) > 1:
            return f"; its {files} file(s) look like one class: pass the folder above it, {above}"
    return f"; put its {files} file(s) into folders, one for each class"


def class_folders(path: Path, inside: Path) -> Classes:
    """The files of each class folder in `path`, whatever their number; see `_scan`."""
    folders = sorted(
        (entry for entry in path.iterdir() if entry.is_dir() and _counts(entry, inside)),
        key=lambda entry: natural(entry.name),
    )
    return {folder.name: files_below(folder, inside) for folder in folders}


def files_below(folder: Path, inside: Path) -> list[Path]:
    """The files in a folder and below it, in natural order; without hidden and system files, and
    without links that point outside the folder `inside`."""
    found: list[Path] = []

    def refuse(error: OSError) -> None:
        raise error

    # os.walk does not follow links to folders, so a link cannot cause an endless loop.
    for place, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = [n for n in folders if not (n.startswith(".") or n.lower() in SYSTEM_FILES)]
        entries = (Path(place) / name for name in names)
        found.extend(entry for entry in entries if entry.is_file() and _counts(entry, inside))
    return sorted(found, key=lambda file: natural(file.relative_to(folder).as_posix()))


def _counts(entry: Path, inside: Path) -> bool:
    """Whether `entry` is neither hidden nor a link that points outside the data set."""
    if entry.name.startswith(".") or entry.name.lower() in SYSTEM_FILES:
        return False
    return not entry.is_symlink() or entry.resolve().is_relative_to(inside)


def natural(name: str) -> list[tuple[int, int, str]]:
    """A sort key that compares the numbers in names as numbers: 2 before 10."""
    parts = re.split(r"(\d+)", name)
    key = [(0, int(p), "") if p.isdecimal() else (1, 0, p.casefold()) for p in parts if p]
    return [*key, (2, 0, name)]


def listed(names: Sequence[str]) -> str:
    """The first names, and how many more there are; `none` if there is none."""
    shown = ", ".join(names[:SHOWN]) or "none"
    return f"{shown} and {len(names) - SHOWN} more" if len(names) > SHOWN else shown

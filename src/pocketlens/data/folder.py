"""`folder:PATH`: your own images, one folder per class."""

from __future__ import annotations

import hashlib
import os
import re
import warnings
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pocketlens.data.dataset import Dataset
from pocketlens.errors import DataError, DataNotFoundError, ImageError
from pocketlens.image import InputSpec, prepare
from pocketlens.prediction import class_name_errors

__all__ = ["MAX_BYTES", "count_images", "has_splits", "read_folder"]

TEST_FRACTION = 0.2

MAX_BYTES = 8 << 30
"""The most memory that the loaded images may need: 8 GiB."""

THREADS = 4
"""Pillow releases the GIL while it decodes. More threads would only use more memory."""

SYSTEM_FILES = frozenset(
    ["Thumbs.db", "ehthumbs.db", "desktop.ini", "Icon\r", "__MACOSX", "@eaDir"]
)
"""Files and folders that file managers and archives add without being asked. Hidden ones, such as
`.DS_Store`, are ignored anyway."""

ATTEMPTS = 5
"""How often a folder is read whose files are removed or moved meanwhile."""

SHOWN = 5
"""The most names that an error message lists."""


def read_folder(path: Path, split: str, input_spec: InputSpec, *, seed: int = 0) -> Dataset:
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

    Returns:
        Images `(N, *input_spec.shape)`, sorted by class, classes in natural order (2 before 10).

    Raises:
        DataNotFoundError: `path` is not a folder.
        DataError: There are fewer than two classes, a class has no images, the splits have
            different classes, a image is in two classes, files cannot be read (the message has
            their number and the first few names), or there are too many images.
    """
    for attempt in range(1, ATTEMPTS + 1):
        classes, files, labels = _members(path, split, seed)
        try:
            images = _decode(path, files, input_spec)
            break
        except DataError:
            # A preview may remove or move corrections meanwhile: then the folder is read again.
            if attempt == ATTEMPTS or all(file.is_file() for file in files):
                raise
    name = f"folder:{path.resolve().name}/{split}"
    return Dataset(images, np.array(labels, np.int64), classes, name)


def has_splits(path: Path) -> bool:
    """Whether the folder has its own splits, `train` and `test`."""
    return (path / "train").is_dir() and (path / "test").is_dir()


def count_images(path: Path, split: str = "train", *, seed: int = 0) -> dict[str, int]:
    """The number of images per class that `read_folder` would load; decodes none of them.

    Raises:
        DataNotFoundError: As in `read_folder`.
        DataError: As in `read_folder`, except for files that cannot be decoded.
    """
    classes, _, labels = _members(path, split, seed)
    return {name: labels.count(label) for label, name in enumerate(classes)}


def _members(path: Path, split: str, seed: int) -> tuple[tuple[str, ...], list[Path], list[int]]:
    """The classes, and the files and labels of `split`."""
    try:
        if not path.is_dir():
            raise DataNotFoundError(
                f"{path} is not a folder; expected a folder with one subfolder of images per class"
            )
        chosen = _chosen(path, split, seed)
    except OSError as error:
        raise DataError(
            f"{error.filename or path} cannot be read: {error.strerror or error}"
        ) from error
    files = [file for members in chosen.values() for file in members]
    labels = [label for label, members in enumerate(chosen.values()) for _ in members]
    return tuple(chosen), files, labels


def _chosen(path: Path, split: str, seed: int) -> dict[str, list[Path]]:
    """The files of `split`, by class."""
    inside = path.resolve()
    if has_splits(path):
        both = {part: _scan(path / part, inside) for part in ("train", "test")}
        odd = sorted(set(both["train"]) ^ set(both["test"]), key=_natural)
        if odd:
            raise DataError(
                f"{path / 'train'} and {path / 'test'} have different classes: only one of them "
                f"has {_listed(odd)}; expected the same folders in both"
            )
        if split == "all":
            chosen = {name: files + both["test"][name] for name, files in both["train"].items()}
        else:
            chosen = both[split]
        _find_copies(chosen)
        return chosen
    if split == "all":
        chosen = _scan(path, inside, complete=False)
        _find_copies(chosen)
        return chosen
    return _split(_scan(path, inside), split, seed)


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
        key=lambda entry: _natural(entry.name),
    )
    if len(folders) < least:
        raise DataError(
            f"{path} has {len(folders)} class folder(s) ({_listed([f.name for f in folders])}); "
            f"expected at least {least}, each named after a class and with its images"
        )
    if errors := class_name_errors([folder.name for folder in folders]):
        raise DataError(
            f"{path} has class folders that cannot be used: {'; '.join(errors[:3])}; rename them"
        )
    found = {folder.name: _files(folder, inside) for folder in folders}
    empty = [name for name, files in found.items() if not files]
    if empty and (complete or len(empty) == len(found)):
        raise DataError(
            f"{path} has class folders without images: {_listed(empty)}; "
            "add images to them or remove them"
        )
    if empty:
        warnings.warn(
            f"{path} has class folders without images: {_listed(empty)}; they are left out",
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


def _files(folder: Path, inside: Path) -> list[Path]:
    found: list[Path] = []

    def refuse(error: OSError) -> None:
        raise error

    # os.walk does not follow links to folders, so a link cannot cause an endless loop.
    for place, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = [n for n in folders if not (n.startswith(".") or n in SYSTEM_FILES)]
        entries = (Path(place) / name for name in names)
        found.extend(entry for entry in entries if entry.is_file() and _counts(entry, inside))
    return sorted(found, key=lambda file: _natural(file.relative_to(folder).as_posix()))


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


def _decode(path: Path, files: Sequence[Path], spec: InputSpec) -> NDArray[np.uint8]:
    size = len(files) * spec.height * spec.width * spec.channels
    if size > MAX_BYTES:
        raise DataError(
            f"{path} has {len(files)} images, which need {size} bytes at {spec.height} × "
            f"{spec.width}; expected at most {MAX_BYTES}: use a smaller input or fewer images"
        )
    images = np.empty((len(files), *spec.shape), np.uint8)

    def place(index: int) -> str | None:
        try:
            images[index] = prepare(files[index], spec)
        except ImageError as error:
            return str(error)
        return None

    with ThreadPoolExecutor(THREADS) as pool:
        errors = [error for error in pool.map(place, range(len(files))) if error]
    if errors:
        rest = f"; and {len(errors) - SHOWN} more" if len(errors) > SHOWN else ""
        raise DataError(
            f"{path} has {len(errors)} file(s) that cannot be used: "
            f"{'; '.join(errors[:SHOWN])}{rest}; repair or remove them"
        )
    return images


def _natural(name: str) -> list[tuple[int, int, str]]:
    """A sort key that compares the numbers in names as numbers: 2 before 10."""
    parts = re.split(r"(\d+)", name)
    key = [(0, int(p), "") if p.isdecimal() else (1, 0, p.casefold()) for p in parts if p]
    return [*key, (2, 0, name)]


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:SHOWN]) or "none"
    return f"{shown} and {len(names) - SHOWN} more" if len(names) > SHOWN else shown

"""`folder:PATH`: pictures of your own, one folder a class."""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pocketlens.data.dataset import Dataset
from pocketlens.errors import DataError, DataNotFoundError, ImageError
from pocketlens.image import InputSpec, prepare

__all__ = ["MAX_BYTES", "count_pictures", "load_folder"]

TEST_FRACTION = 0.2

MAX_BYTES = 8 << 30
"""The most memory that the prepared pictures may take: 8 GiB."""

THREADS = 4
"""Pillow lets go of the interpreter while it decodes; more threads only hold more pictures."""

SHOWN = 5
"""How many names an error lists."""


def load_folder(path: Path, split: str, input_spec: InputSpec, *, seed: int = 0) -> Dataset:
    """One split of the pictures in `path`, each made to fit `input_spec`.

    A class is a folder directly in `path`; its pictures are the files anywhere within. If `path`
    holds both `train` and `test`, they are the splits; else a fifth of every class, chosen by
    `seed`, is the test split, at least one picture, and at least one stays for training. Copies of
    one picture stay on one side, so that no test picture was trained on. Hidden files and folders
    are passed over, as are links that lead out of `path`. The split `all` is every picture; a
    single class is enough for it.

    Args:
        path: The folder.
        split: `train`, `test` or `all`.
        input_spec: Size, colors and crop of the prepared images.
        seed: Chooses the test pictures.

    Returns:
        Images `(N, *input_spec.shape)`, class by class, classes in natural order (2 before 10).

    Raises:
        DataNotFoundError: `path` is not a folder.
        DataError: Fewer than two classes, a class without pictures, splits whose classes differ,
            one picture in two classes, pictures that cannot be read (all are counted, the first
            are named), or too many of them.
    """
    classes, files, labels = _members(path, split, seed)
    images = _decode(path, files, input_spec)
    name = f"folder:{path.resolve().name}/{split}"
    return Dataset(images, np.array(labels, np.int64), classes, name)


def count_pictures(path: Path, split: str = "train", *, seed: int = 0) -> dict[str, int]:
    """How many pictures of each class `load_folder` would take, without decoding one.

    Raises:
        DataNotFoundError: As `load_folder`.
        DataError: As `load_folder`, but for pictures that cannot be read.
    """
    classes, _, labels = _members(path, split, seed)
    return {name: labels.count(label) for label, name in enumerate(classes)}


def _members(path: Path, split: str, seed: int) -> tuple[tuple[str, ...], list[Path], list[int]]:
    """The classes, and the files and labels of `split`."""
    if not path.is_dir():
        raise DataNotFoundError(
            f"{path} is not a folder; expected a folder with one folder of pictures for each class"
        )
    try:
        chosen = _chosen(path, split, seed)
    except OSError as error:
        raise DataError(
            f"{error.filename or path} cannot be read: {error.strerror or error}"
        ) from error
    files = [file for members in chosen.values() for file in members]
    labels = [label for label, members in enumerate(chosen.values()) for _ in members]
    return tuple(chosen), files, labels


def _chosen(path: Path, split: str, seed: int) -> dict[str, list[Path]]:
    """The files of `split` by class."""
    inside = path.resolve()
    if (path / "train").is_dir() and (path / "test").is_dir():
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
        _same_pictures(chosen)
        return chosen
    if split == "all":
        chosen = _scan(path, inside, least=1)
        _same_pictures(chosen)
        return chosen
    return _split(_scan(path, inside), split, seed)


def _scan(path: Path, inside: Path, *, least: int = 2) -> dict[str, list[Path]]:
    """The files of each class folder in `path`, both in natural order."""
    folders = sorted(
        (entry for entry in path.iterdir() if entry.is_dir() and _counts(entry, inside)),
        key=lambda entry: _natural(entry.name),
    )
    if len(folders) < least:
        raise DataError(
            f"{path} has {len(folders)} class folder(s) ({_listed([f.name for f in folders])}); "
            f"expected at least {least}, each named as its class and full of its pictures"
        )
    found = {folder.name: _files(folder, inside) for folder in folders}
    empty = [name for name, files in found.items() if not files]
    if empty:
        raise DataError(
            f"{path} has class folders without pictures: {_listed(empty)}; "
            "add pictures to them or remove them"
        )
    return found


def _same_pictures(found: dict[str, list[Path]]) -> dict[Path, Path]:
    """For each file, the first file with the same bytes: itself, unless it is a copy.

    Raises:
        DataError: A picture and its copy are in different classes.
    """
    owner = {file: name for name, files in found.items() for file in files}
    sizes = Counter(file.stat().st_size for file in owner)
    first: dict[Path, Path] = {}
    seen: dict[str, Path] = {}
    for file, name in owner.items():
        first[file] = file
        if sizes[file.stat().st_size] == 1:
            continue  # nothing else can be a copy of it
        with file.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        first[file] = original = seen.setdefault(digest, file)
        if owner[original] != name:
            raise DataError(
                f"one picture is in two classes: {original} and {file} are the same; "
                "remove the wrong one"
            )
    return first


def _files(folder: Path, inside: Path) -> list[Path]:
    found: list[Path] = []

    def refuse(error: OSError) -> None:
        raise error

    # os.walk does not enter linked folders, so a link cannot make it go round for ever.
    for place, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        entries = (Path(place) / name for name in names)
        found.extend(entry for entry in entries if entry.is_file() and _counts(entry, inside))
    return sorted(found, key=lambda file: _natural(file.relative_to(folder).as_posix()))


def _counts(entry: Path, inside: Path) -> bool:
    """Whether `entry` is neither hidden nor a link out of the data set."""
    if entry.name.startswith("."):
        return False
    return not entry.is_symlink() or entry.resolve().is_relative_to(inside)


def _split(found: dict[str, list[Path]], split: str, seed: int) -> dict[str, list[Path]]:
    """A seeded, stratified choice; each class draws from a stream of its own name.

    So another class, or more pictures in one, does not move the pictures of the others.
    """
    first = _same_pictures(found)
    chosen = {}
    for name, files in found.items():
        different = [file for file in files if first[file] == file]
        if len(different) < 2:
            raise DataError(
                f"class {name!r} has a single picture and cannot be split; expected at least 2 "
                "different pictures a class, or folders train and test"
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
            f"{path} has {len(files)} pictures, which take {size} bytes at {spec.height} × "
            f"{spec.width}; expected at most {MAX_BYTES}: choose a smaller input or fewer pictures"
        )
    images = np.empty((len(files), *spec.shape), np.uint8)

    def place(index: int) -> str | None:
        try:
            images[index] = prepare(files[index], spec)
        except ImageError as error:
            return str(error)
        return None

    with ThreadPoolExecutor(THREADS) as pool:
        faults = [fault for fault in pool.map(place, range(len(files))) if fault]
    if faults:
        rest = f"; and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
        raise DataError(
            f"{path} has {len(faults)} file(s) that cannot be used: "
            f"{'; '.join(faults[:SHOWN])}{rest}; repair or remove them"
        )
    return images


def _natural(name: str) -> list[tuple[int, int, str]]:
    """A sort key by which numbers within names count as numbers: 2 before 10."""
    parts = re.split(r"(\d+)", name)
    key = [(0, int(p), "") if p.isdecimal() else (1, 0, p.casefold()) for p in parts if p]
    return [*key, (2, 0, name)]


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:SHOWN]) or "none"
    return f"{shown} and {len(names) - SHOWN} more" if len(names) > SHOWN else shown

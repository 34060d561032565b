"""Which files are in which split; pictures that show the same stay together."""

from __future__ import annotations

import hashlib
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pocketlens.data.members import ALL, Classes, Parts
from pocketlens.data.quarantine import QUARANTINE
from pocketlens.errors import DataError

__all__ = ["choose", "find_copies", "hold_out", "same_content"]

TEST_FRACTION = 0.2

MOST_ALIKE = 2 / 3
"""If a larger share of a class is one group, its images are split one by one."""


def choose(parts: Parts, split: str, seed: int, groups: Mapping[Path, int]) -> Classes:
    """The files of a split: `train`, `test` or `all`.

    Args:
        parts: All files.
        split: `train`, `test` or `all`.
        seed: Chooses the test images.
        groups: A number for each file; files of a class with the same number stay together. A file
            that is missing here is alone.

    Raises:
        DataError: An image is in two classes, or a class has too few images to be split.
        OSError: A file cannot be read.
    """
    if ALL in parts and split != ALL:
        return _split(parts[ALL], split, seed, groups)
    if split in parts:
        chosen = parts[split]
    else:
        chosen = {name: files + parts["test"][name] for name, files in parts["train"].items()}
    find_copies(chosen)
    return chosen


def find_copies(found: Classes) -> dict[Path, Path]:
    """Map each file to the first file with the same content (to itself unless it is a copy).

    Raises:
        DataError: An image and a copy of it are in different classes.
        OSError: A file cannot be read.
    """
    owner = {file: name for name, files in found.items() for file in files}
    first = {file: file for file in owner}
    for group in same_content([*owner]):
        for file in group:
            first[file] = group[0]
            if owner[file] != owner[group[0]]:
                raise DataError(
                    f"the same image is in two classes: {group[0]} and {file}; remove the wrong "
                    f"one, or list it in {QUARANTINE} in the data folder"
                )
    return first


def same_content(files: Sequence[Path]) -> list[list[Path]]:
    """The groups of two or more files with the same content, in the order of `files`.

    Raises:
        OSError: A file cannot be read.
    """
    sizes = {file: file.stat().st_size for file in files}
    counts = Counter(sizes.values())
    groups: dict[str, list[Path]] = {}
    for file in files:
        if counts[sizes[file]] == 1:
            continue  # no other file has this size, so there is no copy
        with file.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        groups.setdefault(digest, []).append(file)
    return [group for group in groups.values() if len(group) > 1]


def _split(found: Classes, split: str, seed: int, groups: Mapping[Path, int]) -> Classes:
    """Choose a split at random, stratified by class; each class is seeded with its own name too.

    So adding a class, or images to a class, does not change the splits of the other classes.
    """
    first = find_copies(found)
    chosen = {}
    for name, files in found.items():
        different = [file for file in files if first[file] == file]
        if len(different) < 2:
            raise DataError(
                f"class {name!r} has only one image and cannot be split; expected at least 2 "
                "different images per class, or folders train and test"
            )
        # A group has the number of its first picture; one without a group gets a new number.
        listed = [groups.get(file, -1 - at) for at, file in enumerate(different)]
        units = np.array(listed, np.int64)
        if np.unique(units, return_counts=True)[1].max() > MOST_ALIKE * len(different):
            warnings.warn(
                f"most images of class {name!r} are nearly the same, so those for testing are much "
                "like those for training: its results will be too good",
                stacklevel=2,
            )
            units = np.arange(len(different))
        random = np.random.default_rng([seed, *name.encode()])
        held = max(1, round(TEST_FRACTION * len(different)))
        mask = hold_out(units, held, random.permutation(len(different)))
        test = {file for file, chosen in zip(different, mask, strict=True) if chosen}
        chosen[name] = [file for file in files if (first[file] in test) == (split == "test")]
    return chosen


def hold_out(groups: NDArray[np.int64], count: int, order: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Choose about `count` of N members, of each group all or none.

    Groups are taken in the order of their members as long as they fit. If none fits, the smallest
    one is taken, unless it has all members.

    Args:
        groups: `(N,)`, the group of each member.
        count: How many are wanted.
        order: A permutation of the members. Without larger groups, its first `count` are chosen.

    Returns:
        `(N,)`, whether a member is chosen.
    """
    _, numbers, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    taken, left = np.zeros(len(sizes), bool), count
    for number in dict.fromkeys(numbers[order].tolist()):
        if sizes[number] <= left:
            taken[number] = True
            left -= int(sizes[number])
    if count > 0 and not taken.any() and len(sizes) > 1:
        taken[sizes.argmin()] = True
    mask: NDArray[np.bool_] = taken[numbers]
    return mask

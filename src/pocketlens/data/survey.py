"""Opens every picture of a data set once, at a reduced size: what it is, and its fingerprint."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pocketlens.data.fingerprints import LUMA, Fingerprints, fingerprint
from pocketlens.data.near_duplicates import Pairs, find_near_duplicates
from pocketlens.decoding import open_with_facts
from pocketlens.errors import ImageError

__all__ = ["TINY", "Picture", "Survey", "survey"]

TINY = 32
"""The side in pixels below which a picture is tiny."""

MAX_KEPT = 200_000
"""The most pictures that are remembered: 600 MB."""

Key = tuple[str, int, int]


@dataclass(frozen=True, eq=False)
class Picture:
    """One file.

    Args:
        path: The file.
        error: Why it cannot be read; empty if it can.
        width: In pixels, as stored.
        height: In pixels, as stored.
        animated: Whether it has more frames than the one that is used.
        fingerprint: `(2816,)` uint8; None if it cannot be read.
        key: Path, size and time.
    """

    path: Path
    error: str
    width: int = 0
    height: int = 0
    animated: bool = False
    fingerprint: NDArray[np.uint8] | None = None
    key: Key = ("", 0, 0)


@dataclass(frozen=True, eq=False)
class Survey:
    """The pictures of a data set, in the order in which they were passed."""

    pictures: tuple[Picture, ...]

    @property
    def readable(self) -> list[Picture]:
        """The pictures that can be read."""
        return [picture for picture in self.pictures if picture.fingerprint is not None]

    def near_duplicates(self) -> Pairs:
        """The pairs of near-duplicates; indices into `readable`.

        Pictures with a side below `TINY` are in no pair: too little of them can be compared.
        """
        readable = self.readable
        keys = tuple(picture.key for picture in readable)
        if keys not in _pairs:
            sides = np.array([min(each.width, each.height) for each in readable], np.int64)
            large = np.flatnonzero(sides >= TINY)
            every = self.fingerprints()
            found = find_near_duplicates(Fingerprints(every.luma[large], every.chroma[large]))
            _pairs.clear()  # only the last data set is remembered
            _pairs[keys] = Pairs(large[found.first], large[found.second], found.similarity)
        return _pairs[keys]

    def fingerprints(self) -> Fingerprints:
        """The fingerprints of the readable pictures."""
        rows = [each.fingerprint for each in self.pictures if each.fingerprint is not None]
        return Fingerprints.stacked(rows)


_pairs: dict[tuple[Key, ...], Pairs] = {}
_known: dict[Key, Picture] = {}
"""What this process has opened: a run loads its training images, and then its test images."""


def survey(files: Sequence[Path], *, progress: Callable[[int, int], None] | None = None) -> Survey:
    """Open all files with as many threads as there are processors.

    A file that this process has opened before, and that has the same size and time since, is not
    opened again.

    Args:
        files: The files.
        progress: Called with the number of files that are done, and of all.

    Returns:
        A picture for each file; one that cannot be read has an error.
    """
    found = []
    with ThreadPoolExecutor(os.cpu_count() or 2) as pool:
        for done, picture in enumerate(pool.map(_open, files), start=1):
            found.append(picture)
            if progress:
                progress(done, len(files))
    return Survey(tuple(found))


def _open(path: Path) -> Picture:
    try:
        info = path.stat()
    except OSError as error:
        return Picture(path, f"{path} cannot be read: {error.strerror or error}")
    key = (str(path), info.st_size, info.st_mtime_ns)
    if (known := _known.get(key)) is not None:
        return known
    try:
        file, image = open_with_facts(path, side=2 * LUMA)
    except ImageError as error:
        return Picture(path, str(error))
    width, height = (file.width, file.height) if file.width else image.size
    picture = Picture(path, "", width, height, file.animated, fingerprint(image), key)
    if len(_known) < MAX_KEPT:
        _known[key] = picture
    return picture

"""Opens every picture of a data set once, at a reduced size: what it is, and its fingerprint.

What was found is kept on disk, so a second check of the same files does not open them again, nor
compare them.
"""

from __future__ import annotations

import hashlib
import os
import struct
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pocketlens.data.disk_cache import DiskCache
from pocketlens.data.fingerprints import CHROMA, LUMA, Fingerprints, fingerprint
from pocketlens.data.near_duplicates import Pairs, find_near_duplicates
from pocketlens.decoding import open_with_facts
from pocketlens.errors import ImageError

__all__ = ["TINY", "Picture", "Survey", "survey"]

TINY = 32
"""The side in pixels below which a picture is tiny."""

MAX_KEPT = 200_000
"""The most pictures that are remembered: 600 MB."""

NAME = "pictures-1.sqlite"
"""The number is the version, also of how pictures are decoded and compared."""

WHAT = "facts about pictures"

FACTS = struct.Struct("<II?")
"""Width, height, and whether it is animated; the fingerprint follows."""

PAIR = np.dtype([("first", "<i8"), ("second", "<i8"), ("similarity", "<f4")])

STORED = 64
"""Pictures that are stored at a time, so that a kill loses little."""

SETTLED = 3_000_000_000
"""Nanoseconds since the last change from which on a file is stored. The clocks of file systems go
in steps: a file may change again right after it was read, and keep its time."""

Key = tuple[str, int, int, int, int, int]


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
        key: Path, device, number, size and times of the file; empty if it has changed since.
    """

    path: Path
    error: str
    width: int = 0
    height: int = 0
    animated: bool = False
    fingerprint: NDArray[np.uint8] | None = None
    key: Key | None = None


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
        keys = tuple(picture.key for picture in readable if picture.key is not None)
        if len(keys) < len(readable):
            return self._pairs()
        if keys not in _pairs:
            _pairs.clear()  # only the last data set is remembered
            _pairs[keys] = self._stored_pairs(keys)
        return _pairs[keys]

    def _stored_pairs(self, keys: Sequence[Key]) -> Pairs:
        every = hashlib.blake2b(b"pairs", digest_size=16)
        for key in keys:
            every.update(_digest(key))
        with DiskCache(NAME, WHAT) as cache:
            if (stored := cache.read([every.digest()]).get(every.digest())) is not None:
                rows = np.frombuffer(stored, PAIR)
                return Pairs(*(rows[name].copy() for name in ("first", "second", "similarity")))
            found = self._pairs()
            if all(map(_is_settled, keys)):
                rows = np.empty(len(found.first), PAIR)
                rows["first"], rows["second"] = found.first, found.second
                rows["similarity"] = found.similarity
                cache.write({every.digest(): rows.tobytes()})
        return found

    def _pairs(self) -> Pairs:
        readable = self.readable
        sides = np.array([min(each.width, each.height) for each in readable], np.int64)
        large = np.flatnonzero(sides >= TINY)
        every = self.fingerprints()
        found = find_near_duplicates(Fingerprints(every.luma[large], every.chroma[large]))
        return Pairs(large[found.first], large[found.second], found.similarity)

    def fingerprints(self) -> Fingerprints:
        """The fingerprints of the readable pictures."""
        rows = [each.fingerprint for each in self.pictures if each.fingerprint is not None]
        return Fingerprints.stacked(rows)


_pairs: dict[tuple[Key, ...], Pairs] = {}
_known: dict[Key, Picture] = {}
"""What this process has opened: a run loads its training images, and then its test images."""


def survey(files: Sequence[Path], *, progress: Callable[[int, int], None] | None = None) -> Survey:
    """Open all files with as many threads as there are processors.

    A file that was opened before, by this process or another one, and that has not changed since,
    is not opened again.

    Args:
        files: The files.
        progress: Called with the number of files that are done, and of all.

    Returns:
        A picture for each file; one that cannot be read has an error.
    """
    keys = [_key(path) for path in files]
    known = {key: _known[key] for key in keys if key is not None and key in _known}
    found, new = [], {}
    with DiskCache(NAME, WHAT) as cache:
        missing = {_digest(key): key for key in keys if key is not None and key not in known}
        for digest, value in cache.read([*missing]).items():
            known[missing[digest]] = _unpacked(value, missing[digest])
        with ThreadPoolExecutor(os.cpu_count() or 2) as pool:
            opened = pool.map(lambda path, key: _open(path, key, known), files, keys)
            for done, picture in enumerate(opened, start=1):
                found.append(picture)
                if (key := picture.key) is not None:
                    if len(_known) < MAX_KEPT:
                        _known[key] = picture
                    if key not in known and _is_settled(key):
                        new[_digest(key)] = _packed(picture)
                if len(new) >= STORED or done == len(files):
                    cache.write(new)
                    new = {}
                if progress:
                    progress(done, len(files))
    if cache.problem:
        warnings.warn(cache.problem, stacklevel=2)
    return Survey(tuple(found))


def _open(path: Path, key: Key | None, known: Mapping[Key, Picture]) -> Picture:
    if key is not None and key in known:
        return replace(known[key], path=path)
    try:
        file, image = open_with_facts(path, side=2 * LUMA)
    except ImageError as error:
        return Picture(path, str(error))
    width, height = (file.width, file.height) if file.width else image.size
    same = key if _key(path) == key else None  # it may change while it is read
    return Picture(path, "", width, height, file.animated, fingerprint(image), same)


def _key(path: Path) -> Key | None:
    """What changes when the file does; None if there is no such file.

    Programs may set the time of the last change, but not that of the last change of the entry.
    """
    try:
        info = path.stat()
    except (OSError, ValueError):  # ValueError: a path with a null character
        return None
    times = info.st_mtime_ns, info.st_ctime_ns
    return (str(path.absolute()), info.st_dev, info.st_ino, info.st_size, *times)


def _is_settled(key: Key) -> bool:
    return time.time_ns() - max(key[-2:]) > SETTLED


def _digest(key: Key) -> bytes:
    import PIL

    path, *numbers = key
    text = os.fsencode(path) + f"\0{numbers} {PIL.__version__}".encode()
    return hashlib.blake2b(text, digest_size=16).digest()


SIZE = FACTS.size + LUMA**2 + 2 * CHROMA**2


def _packed(picture: Picture) -> bytes:
    assert picture.fingerprint is not None
    facts = FACTS.pack(picture.width, picture.height, picture.animated)
    return facts + picture.fingerprint.tobytes()


def _unpacked(value: bytes, key: Key) -> Picture:
    content = np.frombuffer(value, np.uint8, offset=FACTS.size)
    width, height, animated = FACTS.unpack_from(value)
    return Picture(Path(key[0]), "", width, height, animated, content, key)

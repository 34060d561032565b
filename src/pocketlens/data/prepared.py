"""Image files, prepared for a network: decoded by several threads, and large sets kept in a file.

The file is in the cache folder, in a folder named after the images' paths, sizes and times and the
input. It is written block by block, and only gets its name when it is complete. A journal beside it
has a digest of each block, so that work is continued after a kill, and only what is whole is used.
"""

from __future__ import annotations

import hashlib
import math
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from pocketlens.data.large_arrays import IN_MEMORY, block_slices, cache_error
from pocketlens.errors import DataError, ImageError, OutputError
from pocketlens.files import open_nofollow, size_on_disk
from pocketlens.image import InputSpec, prepare
from pocketlens.locations import CACHE_VARIABLE, cache_folder
from pocketlens.locking import locked, owned

__all__ = ["Decoded", "prepare_files"]

Decoded = Callable[[int, int], None]
"""Called with the number of images that are decoded, and of all."""

VERSION = 1
"""Part of the folder's name: another version of these files, or of `prepare`, is another folder."""

IMAGES, PART, JOURNAL = "images.u8", "images.u8.part", "journal.txt"

MAX_BYTES = 32 << 30
"""Above this size of all cached images, those that were used longest ago make room."""

WAIT = 24 * 3600.0
"""Seconds to wait for another process that prepares the same images."""

THREADS = 4
"""Pillow releases the GIL while it decodes. More threads would only use more memory."""

Key = tuple[str, int, int]


def prepare_files(
    files: Sequence[Path], spec: InputSpec, decoded: Decoded | None = None
) -> tuple[NDArray[np.uint8], dict[int, str]]:
    """The images `(N, *spec.shape)` of files, and what is wrong with those that cannot be read.

    Above `IN_MEMORY` bytes, the images are an `np.memmap` of a file in the cache folder, which is
    used again as long as the files stay the same.

    Args:
        files: The files.
        spec: Size, colors and crop of the images.
        decoded: Called as the work proceeds; not for images that are in the cache.

    Returns:
        The images, and errors by index; the image of a file with an error is black.

    Raises:
        DataError: A file was changed while it was read into the cache.
        OutputError: The cache folder cannot be written, or its disk is full.
    """
    with _decoder(files, spec, decoded) as decode:
        size = len(files) * math.prod(spec.shape)
        return decode(slice(0, len(files))) if size <= IN_MEMORY else _cached(files, spec, decode)


Decode = Callable[[slice], tuple[NDArray[np.uint8], dict[int, str]]]


@contextmanager
def _decoder(files: Sequence[Path], spec: InputSpec, decoded: Decoded | None) -> Iterator[Decode]:
    """A function that gives the images of a slice of the files, and their errors."""
    with ThreadPoolExecutor(THREADS) as pool:

        def decode(part: slice) -> tuple[NDArray[np.uint8], dict[int, str]]:
            images = np.zeros((part.stop - part.start, *spec.shape), np.uint8)

            def place(index: int) -> str:
                try:
                    images[index - part.start] = prepare(files[index], spec)
                except ImageError as error:
                    return str(error)
                return ""

            indices, errors = range(part.start, part.stop), {}
            for index, error in zip(indices, pool.map(place, indices), strict=True):
                if error:
                    errors[index] = error
                if decoded:
                    decoded(index + 1, len(files))
            return images, errors

        yield decode


def _cached(
    files: Sequence[Path], spec: InputSpec, decode: Decode
) -> tuple[NDArray[np.uint8], dict[int, str]]:
    keys = [_key(file) for file in files]
    place = cache_folder() / f"images-{VERSION}" / _digest(keys, spec)
    shape = (len(files), *spec.shape)
    size = math.prod(shape)
    errors: dict[int, str] = {}
    hint = f"set {CACHE_VARIABLE} to a folder that can be written to"
    with owned(place, wait=WAIT, hint=hint):
        try:
            path = place / IMAGES
            if not path.is_file() or path.stat().st_size != size:
                _make_room(place, size - _written(place / PART))
                errors = _Building(place, files, keys, size).fill(decode)
                path = place / PART if errors else path
            os.utime(place)
            with open_nofollow(path) as stream:
                return np.memmap(stream, np.uint8, "r", shape=shape), errors
        except OSError as error:
            raise cache_error(place, size, error) from error


class _Building:
    """Writes the file of a cache.

    Args:
        place: The folder, locked.
        files: The image files.
        keys: Their keys, as they were when `place` got its name.
        size: The size of the whole file in bytes.
    """

    def __init__(self, place: Path, files: Sequence[Path], keys: Sequence[Key], size: int) -> None:
        self.place = place
        self.files = files
        self.keys = keys
        self.size = size
        self.each = size // len(files)

    def fill(self, decode: Decode) -> dict[int, str]:
        """Decode what is missing. If there are no errors, the file is complete afterwards."""
        part, journal, found = self.place / PART, self.place / JOURNAL, {}
        if not part.is_file() or part.stat().st_size != self.size:
            for path in (part, journal):
                path.unlink(missing_ok=True)
            with open_nofollow(part, "xb") as file:
                file.truncate(self.size)
        with open_nofollow(part, "r+b") as file, journal.open("a", encoding="ascii") as lines:
            known = self._known(file)
            for block in block_slices(len(self.files), self.each):
                if block.start in known:
                    continue
                images, errors = decode(block)
                if not errors:
                    self._check_unchanged(block)
                file.seek(block.start * self.each)
                file.write(images.data)
                if not errors:
                    file.flush()
                    lines.write(f"{block.start} {_blake(images.data)}\n")
                    lines.flush()
                found.update(errors)
            file.flush()
            os.fsync(file.fileno())
        if not found:
            part.replace(self.place / IMAGES)
            journal.unlink()
        return found

    def _known(self, file: BinaryIO) -> set[int]:
        """The first images of the blocks that are in the file already, and whole."""
        lines = (self.place / JOURNAL).read_text("ascii", errors="replace").splitlines()
        digests = dict(line.split(" ") for line in lines if line.count(" ") == 1)
        known = set()
        for block in block_slices(len(self.files), self.each):
            if expected := digests.get(str(block.start)):
                file.seek(block.start * self.each)
                if _blake(file.read((block.stop - block.start) * self.each)) == expected:
                    known.add(block.start)
        return known

    def _check_unchanged(self, block: slice) -> None:
        for file, key in zip(self.files[block], self.keys[block], strict=True):
            if _key(file) != key:
                raise DataError(
                    f"{file} was changed while the images were read; run the same command again"
                )


def _key(file: Path) -> Key:
    """Path, size and time; a file that cannot be read has neither, and fails when it is decoded."""
    try:
        info = file.stat()
    except (OSError, ValueError):
        return (str(file.absolute()), -1, -1)
    return (str(file.absolute()), info.st_size, info.st_mtime_ns)


def _digest(keys: Sequence[Key], spec: InputSpec) -> str:
    import PIL

    found = hashlib.blake2b(
        f"{PIL.__version__} {spec.shape} {spec.crop}\0".encode(), digest_size=16
    )
    for path, size, time in keys:
        found.update(os.fsencode(path) + f"\0{size} {time}\0".encode())
    return found.hexdigest()


def _blake(content: bytes | memoryview) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def _written(path: Path) -> int:
    """The bytes that a file takes up on the disk so far; 0 where the system does not say."""
    return getattr(path.stat(), "st_blocks", 0) * 512 if path.is_file() else 0


def _make_room(place: Path, needed: int) -> None:
    """Remove what was used longest ago, of any version, until `needed` bytes have room."""
    folders = [each for each in place.parent.parent.glob("images-*/*") if each.is_dir()]
    others = {each: size_on_disk(each) for each in folders if each != place}
    total = sum(others.values()) + needed
    for folder in sorted(others, key=lambda each: each.stat().st_mtime):
        if total <= MAX_BYTES and shutil.disk_usage(place).free >= needed:
            break
        with suppress(OutputError), locked(folder):  # unless another process works in it
            shutil.rmtree(folder, ignore_errors=True)
            total -= others[folder]
    if shutil.disk_usage(place).free < needed:
        raise cache_error(place, needed)

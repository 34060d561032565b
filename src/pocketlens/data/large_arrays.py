"""Images that need more memory than they should: kept in files, and read in blocks.

Above `IN_MEMORY` bytes, the images of a folder are an `np.memmap`. What is read of it is counted as
memory of this process until it is given back, so it is read through `in_memory`.
"""

from __future__ import annotations

import math
import mmap
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pocketlens.errors import OutputError
from pocketlens.files import size_text
from pocketlens.locations import CACHE_VARIABLE, cache_folder

__all__ = [
    "IN_MEMORY",
    "block_slices",
    "cache_error",
    "concatenate",
    "in_memory",
    "rows",
    "take",
]

IN_MEMORY = 128 << 20
"""The most bytes of prepared images that are kept in memory."""

BLOCK = 16 << 20
"""The bytes of the images that are read or written at a time."""

Images = NDArray[np.uint8]


def block_slices(count: int, image_bytes: int) -> Iterator[slice]:
    """Slices of `BLOCK` bytes, at least one image each, of `count` images."""
    step = max(1, BLOCK // max(1, image_bytes))
    for start in range(0, count, step):
        yield slice(start, min(start + step, count))


def in_memory(images: Images) -> Images:
    """Some images as an array in memory: those of a file are copied, others returned as they are.

    The file's pages are given back. They stay in the cache of the operating system.
    """
    if not isinstance(images, np.memmap):
        return images
    copy = np.array(images)
    _give_back(images)
    return copy


def take(images: Images, indices: NDArray[np.int64]) -> Images:
    """The images at `indices`, in that order; of images in a file, in a file as well if large.

    Raises:
        OutputError: The disk is full, or the cache folder cannot be written.
    """
    if len(indices) and (np.diff(indices) == 1).all() and indices[0] >= 0:
        return images[indices[0] : indices[-1] + 1]  # a view
    each = math.prod(images.shape[1:])
    if not isinstance(images, np.memmap) or len(indices) * each <= IN_MEMORY:
        return images[indices]
    parts = (rows(images, indices[part]) for part in block_slices(len(indices), each))
    return _in_file((len(indices), *images.shape[1:]), parts)


def concatenate(arrays: Sequence[Images]) -> Images:
    """All images, one array after the other; in a file if they are large and one of them is.

    Raises:
        OutputError: The disk is full, or the cache folder cannot be written.
    """
    size = sum(each.nbytes for each in arrays)
    if size <= IN_MEMORY or not any(isinstance(each, np.memmap) for each in arrays):
        return np.concatenate(arrays)
    shape = arrays[0].shape[1:]
    parts = (
        in_memory(each[part])
        for each in arrays
        for part in block_slices(len(each), math.prod(shape))
    )
    return _in_file((sum(len(each) for each in arrays), *shape), parts)


def rows(images: Images, indices: NDArray[np.int64]) -> Images:
    """The images at `indices`, in memory; the file's pages are given back."""
    chosen = images[indices]
    _give_back(images)
    return chosen


def _give_back(images: Images) -> None:
    base: object = images
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        base.madvise(mmap.MADV_DONTNEED)


def _in_file(shape: tuple[int, ...], parts: Iterable[Images]) -> Images:
    """The images of all parts, in a file without a name: it ends with the last array on it."""
    folder, size = cache_folder(), math.prod(shape)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if shutil.disk_usage(folder).free < size:
            raise cache_error(folder, size)
        with tempfile.TemporaryFile(dir=folder) as file:
            for part in parts:
                file.write(np.ascontiguousarray(part).data)
            file.flush()
            return np.memmap(file, np.uint8, "r", shape=shape)
    except OSError as error:
        raise cache_error(folder, size, error) from error


def cache_error(folder: Path, size: int, error: OSError | None = None) -> OutputError:
    """The error for images of `size` bytes that do not fit into, or cannot be written to, a folder.

    They are not written through the map, because a full disk would then end the process.
    """
    if error is None:
        free = size_text(shutil.disk_usage(folder).free)
        reason = f"has only {free} of free space; free some disk space"
    else:
        reason = f"cannot be written: {error.strerror or error}; free some disk space"
    return OutputError(
        f"the prepared images need {size_text(size)} in {folder}, which {reason}, set "
        f"{CACHE_VARIABLE} to a folder on another disk, or use a smaller input or fewer images"
    )

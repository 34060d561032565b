"""`folder:PATH` and `csv:PATH`: your own images, in a folder per class or listed in a file."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pocketlens.data.csv_table import csv_parts
from pocketlens.data.dataset import Dataset
from pocketlens.data.file_sources import CSV_OUTSIDE, FOLDER, FileSource
from pocketlens.data.members import ALL, SHOWN, Parts, choose, folder_parts
from pocketlens.errors import DataError, ImageError
from pocketlens.image import InputSpec, prepare

__all__ = ["MAX_BYTES", "count_images", "decode_files", "find_parts", "read_files", "read_folder"]

MAX_BYTES = 8 << 30
"""The most memory that the loaded images may need: 8 GiB."""

THREADS = 4
"""Pillow releases the GIL while it decodes. More threads would only use more memory."""

ATTEMPTS = 5
"""How often a folder is read whose files are removed or moved meanwhile."""


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
    return read_files(FileSource(FOLDER, path), split, input_spec, seed=seed)


def read_files(source: FileSource, split: str, input_spec: InputSpec, *, seed: int = 0) -> Dataset:
    """Load one split of a folder or a CSV file; see `read_folder` and `csv_parts`.

    Raises:
        DataNotFoundError: There is no such folder or file.
        DataError: See `read_folder` and `csv_parts`.
    """
    path = source.path
    for attempt in range(1, ATTEMPTS + 1):
        classes, files, labels = _members(source, split, seed)
        try:
            images = decode_files(path, files, input_spec)
            break
        except DataError:
            # A preview may remove or move corrections meanwhile: then the folder is read again.
            if attempt == ATTEMPTS or all(file.is_file() for file in files):
                raise
    name = f"{source.kind}{path.resolve().name}/{split}"
    return Dataset(images, np.array(labels, np.int64), classes, name)


def count_images(source: FileSource, split: str = "train", *, seed: int = 0) -> dict[str, int]:
    """The number of images per class that `read_files` would load; decodes none of them.

    Raises:
        DataNotFoundError: As in `read_files`.
        DataError: As in `read_files`, except for files that cannot be decoded.
    """
    classes, _, labels = _members(source, split, seed)
    return {name: labels.count(label) for label, name in enumerate(classes)}


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


def _members(
    source: FileSource, split: str, seed: int
) -> tuple[tuple[str, ...], list[Path], list[int]]:
    """The classes, and the files and labels of `split`."""
    parts = find_parts(source, complete=split != ALL)
    try:
        chosen = choose(parts, split, seed)
    except OSError as error:
        raise DataError(
            f"{error.filename or source.path} cannot be read: {error.strerror or error}"
        ) from error
    files = [file for members in chosen.values() for file in members]
    labels = [label for label, members in enumerate(chosen.values()) for _ in members]
    return tuple(chosen), files, labels


def decode_files(path: Path, files: Sequence[Path], spec: InputSpec) -> NDArray[np.uint8]:
    """The images `(N, *spec.shape)` of files; `path`, where they are, is named in errors.

    Raises:
        DataError: Files that cannot be read, or too many images.
    """
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

"""MNIST: 70,000 handwritten digits, 28 × 28 gray, from four IDX files in the data folder.

Source: Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, "Gradient-based learning applied to document
recognition", Proceedings of the IEEE 86(11), 1998.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pocketlens.commands import command
from pocketlens.data.dataset import Dataset
from pocketlens.data.download import Progress, fetch
from pocketlens.data.idx import read_idx
from pocketlens.errors import DataError, DataNotFoundError
from pocketlens.locking import owned

__all__ = ["MIRRORS", "SPLITS", "download_mnist", "load_mnist", "missing_files"]

MIRRORS: tuple[str, ...] = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)

CLASSES = tuple("0123456789")

WAIT_SECONDS = 3600.0
"""How long to wait for another process that downloads the same files."""

GZIP_OVERHEAD = 1024
"""Bytes by which a gzipped file may be larger than its content (names, poor compression)."""


@dataclass(frozen=True)
class IdxFile:
    """One published file: its name, and the size and sha256 of its decompressed content."""

    name: str
    dimensions: int
    size: int
    sha256: str

    def find(self, folder: Path) -> Path | None:
        """The path of the file in `folder`, plain or gzipped; None if it is missing."""
        plain, zipped = folder / self.name, folder / f"{self.name}.gz"
        if plain.is_file():
            return plain
        return zipped if zipped.is_file() else None

    def read(self, path: Path) -> tuple[NDArray[np.uint8], str]:
        """The values and the checksum of the file at `path`; reads at most `size` bytes."""
        return read_idx(path, dimensions=self.dimensions, limit=self.size)

    def check(self, path: Path, received: str | None = None) -> None:
        """Check that the file at `path` has the published content.

        Args:
            path: The file.
            received: Its checksum, if known already.

        Raises:
            DataError: The content is different.
        """
        received = self.read(path)[1] if received is None else received
        if received != self.sha256:
            raise DataError(
                f"{path} is not the published {self.name}: its sha256 is {received}; "
                f"expected: {self.sha256} (of the decompressed bytes)"
            )


SPLITS: dict[str, tuple[IdxFile, IdxFile]] = {
    "train": (
        IdxFile(
            "train-images-idx3-ubyte",
            3,
            16 + 60_000 * 28 * 28,
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        ),
        IdxFile(
            "train-labels-idx1-ubyte",
            1,
            8 + 60_000,
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        ),
    ),
    "test": (
        IdxFile(
            "t10k-images-idx3-ubyte",
            3,
            16 + 10_000 * 28 * 28,
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        ),
        IdxFile(
            "t10k-labels-idx1-ubyte",
            1,
            8 + 10_000,
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        ),
    ),
}
"""The images and the labels of each split."""


def missing_files(folder: Path, splits: Sequence[str] = tuple(SPLITS)) -> list[IdxFile]:
    """The files of `splits` that are missing in `folder`, both plain and gzipped."""
    return [file for split in splits for file in SPLITS[split] if file.find(folder) is None]


def load_mnist(folder: Path, split: str, *, progress: Progress | None = None) -> Dataset:
    """Load one split of MNIST. Missing files are downloaded into `folder` first.

    Args:
        folder: The folder with the four files. It is only written to if a file is missing.
        split: `train` (60,000 images) or `test` (10,000).
        progress: Called during the download.

    Returns:
        Images `(N, 28, 28, 1)`, white ink on black, classes `0` to `9`.

    Raises:
        DataNotFoundError: Files are missing and could not be downloaded.
        DataError: A file is damaged or is not the published one.
        OutputError: The folder cannot be written to.
    """
    if missing_files(folder, [split]):
        _download(missing_files(folder), folder, progress)
    try:
        return _read(folder, split)
    except DataError as error:
        raise DataError(
            f"{error}; download it again with: {command('data', 'download', 'mnist')}"
        ) from error


def _read(folder: Path, split: str) -> Dataset:
    paths, arrays, checksums = [], [], []
    for file in SPLITS[split]:
        path = file.find(folder)
        if path is None:
            raise DataError(f"{folder / file.name} was removed while it was read")
        values, checksum = file.read(path)
        paths.append(path)
        arrays.append(values)
        checksums.append(checksum)
    images, labels = arrays
    if len(images) != len(labels):
        raise DataError(
            f"{paths[0]} has {len(images)} images but {paths[1]} has {len(labels)} labels; "
            "expected one label per image"
        )
    for file, path, checksum in zip(SPLITS[split], paths, checksums, strict=True):
        file.check(path, checksum)
    return Dataset(images[..., np.newaxis], labels.astype(np.int64), CLASSES, f"mnist/{split}")


def download_mnist(folder: Path, *, progress: Progress | None = None) -> list[Path]:
    """Download the missing files into `folder`, and replace damaged ones.

    Returns:
        The files that were downloaded.

    Raises:
        DataNotFoundError: A file could not be downloaded from any mirror.
        OutputError: The folder cannot be written to.
    """
    wanted = [file for pair in SPLITS.values() for file in pair if not _is_complete(file, folder)]
    return _download(wanted, folder, progress)


def _is_complete(file: IdxFile, folder: Path) -> bool:
    path = file.find(folder)
    if path is None:
        return False
    try:
        file.check(path)
    except DataError:
        return False
    return True


def _download(files: Sequence[IdxFile], folder: Path, progress: Progress | None) -> list[Path]:
    hint = "set POCKETLENS_DATA to a folder that can be written to"
    with owned(folder, wait=WAIT_SECONDS, hint=hint):
        # Another process may have downloaded them while this one waited.
        return _fetch([file for file in files if not _is_complete(file, folder)], folder, progress)


def _fetch(files: Sequence[IdxFile], folder: Path, progress: Progress | None) -> list[Path]:
    fetched: list[Path] = []
    for file in files:
        try:
            path = fetch(
                f"{file.name}.gz",
                folder,
                mirrors=MIRRORS,
                limit=file.size + GZIP_OVERHEAD,
                check=file.check,
                progress=progress,
            )
        except DataNotFoundError as error:
            names = ", ".join(f"{needed.name}.gz" for needed in files[len(fetched) :])
            raise DataNotFoundError(
                f"MNIST is incomplete in {folder}: missing {names}; {error}; "
                f"when online, download it with: {command('data', 'download', 'mnist')}; "
                "or set POCKETLENS_DATA to the folder that contains mnist/ with these files"
            ) from error
        fetched.append(path)
        # `find` prefers a plain file, and this one was damaged.
        (folder / file.name).unlink(missing_ok=True)
    return fetched

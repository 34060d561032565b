"""Loading and downloading the IDX sets of `idx_sets`."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pocketlens.archives import opened_zip
from pocketlens.commands import command
from pocketlens.data.dataset import Dataset
from pocketlens.data.download import Progress, fetch
from pocketlens.data.idx_sets import SETS, IdxFile, IdxSet
from pocketlens.errors import DataError, DataNotFoundError
from pocketlens.files import aside
from pocketlens.locking import owned

__all__ = ["download_idx_set", "load_idx_set", "missing_files"]

WAIT_SECONDS = 3600.0
"""How long to wait for another process that downloads the same files."""

COPY_BYTES = 1 << 20


def missing_files(name: str, folder: Path, split: str | None = None) -> list[IdxFile]:
    """The files of a set that are missing in the data folder `folder`, both plain and gzipped."""
    place = folder / SETS[name].folder
    return [file for file in SETS[name].files(split) if file.find(place) is None]


def load_idx_set(
    name: str, folder: Path, split: str, *, progress: Progress | None = None
) -> Dataset:
    """Load one split of a set. Missing files are downloaded first.

    Args:
        name: One of `SETS`.
        folder: The data folder. It is only written to if a file is missing.
        split: `train` or `test`.
        progress: Called during the download.

    Returns:
        Images `(N, 28, 28, 1)`, white on black.

    Raises:
        DataNotFoundError: Files are missing and could not be downloaded.
        DataError: A file is damaged or is not the published one.
        OutputError: The folder cannot be written to.
    """
    if missing_files(name, folder, split):
        _download(SETS[name], missing_files(name, folder), folder, progress)
    try:
        return _read(SETS[name], folder / SETS[name].folder, split)
    except DataError as error:
        raise DataError(
            f"{error}; download it again with: {command('data', 'download', name)}"
        ) from error


def _read(idx_set: IdxSet, folder: Path, split: str) -> Dataset:
    paths, arrays, checksums = [], [], []
    for file in idx_set.files(split):
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
    for file, path, checksum in zip(idx_set.files(split), paths, checksums, strict=True):
        file.check(path, checksum)
    if idx_set.transposed:
        images = np.ascontiguousarray(images.transpose(0, 2, 1))
    indices = labels.astype(np.int64) - idx_set.first_label
    return Dataset(images[..., np.newaxis], indices, idx_set.classes, f"{idx_set.name}/{split}")


def download_idx_set(name: str, folder: Path, *, progress: Progress | None = None) -> list[Path]:
    """Download the missing files into the data folder `folder`, and replace damaged ones.

    Returns:
        The files that were downloaded.

    Raises:
        DataNotFoundError: A file could not be downloaded from any mirror.
        OutputError: The folder cannot be written to.
    """
    idx_set = SETS[name]
    place = folder / idx_set.folder
    wanted = [file for file in idx_set.files() if not _is_complete(file, place)]
    return _download(idx_set, wanted, folder, progress)


def _is_complete(file: IdxFile, folder: Path) -> bool:
    path = file.find(folder)
    if path is None:
        return False
    try:
        file.check(path)
    except DataError:
        return False
    return True


def _download(
    idx_set: IdxSet, files: Sequence[IdxFile], folder: Path, progress: Progress | None
) -> list[Path]:
    place = folder / idx_set.folder
    hint = "set POCKETLENS_DATA to a folder that can be written to"
    with owned(place, wait=WAIT_SECONDS, hint=hint):
        # Another process may have downloaded them while this one waited.
        files = [file for file in files if not _is_complete(file, place)]
        fetched: list[Path] = []
        try:
            if idx_set.archive and files:
                fetched = _fetch_archive(idx_set, place, progress)
            else:
                for file in files:
                    fetched.append(_fetch(idx_set, file, place, progress))
        except DataNotFoundError as error:
            names = ", ".join(f"{file.name}.gz" for file in files[len(fetched) :])
            raise DataNotFoundError(
                f"{idx_set.title} is incomplete in {place}: missing {names}; {error}; when online, "
                f"download it with: {command('data', 'download', idx_set.name)}; or set "
                f"POCKETLENS_DATA to the folder that contains {idx_set.folder}/ with these files"
            ) from error
        return fetched


def _fetch(idx_set: IdxSet, file: IdxFile, folder: Path, progress: Progress | None) -> Path:
    path = fetch(
        f"{file.name}.gz",
        folder,
        mirrors=idx_set.mirrors,
        limit=file.limit,
        check=file.check,
        progress=progress,
    )
    # `find` prefers a plain file, and this one was damaged.
    (folder / file.name).unlink(missing_ok=True)
    return path


def _fetch_archive(idx_set: IdxSet, folder: Path, progress: Progress | None) -> list[Path]:
    """Download the archive, unpack the files of all sets that are in it, and remove it."""
    wanted = [
        file
        for each in SETS.values()
        if (each.archive, each.folder) == (idx_set.archive, idx_set.folder)
        for file in each.files()
    ]
    written: list[Path] = []

    def unpack(archive: Path) -> None:
        try:
            with opened_zip(archive) as opened:
                written[:] = [_unpack(opened, file, folder) for file in wanted]
        except zipfile.BadZipFile as error:
            raise DataError(f"{archive} is not the published archive: {error}") from error

    fetch(
        idx_set.archive,
        folder,
        mirrors=idx_set.mirrors,
        limit=idx_set.archive_limit,
        check=unpack,
        progress=progress,
    ).unlink()
    return written


def _unpack(archive: zipfile.ZipFile, file: IdxFile, folder: Path) -> Path:
    """Write one file of the archive, in whichever folder of the archive it is."""
    target = folder / f"{file.name}.gz"
    found = [info for info in archive.infolist() if info.filename.endswith(f"{file.name}.gz")]
    if len(found) != 1 or found[0].file_size > file.limit:
        raise DataError(f"the archive has no usable {target.name}")
    with aside(target) as new:
        with archive.open(found[0]) as packed, new.open("wb") as stream:
            left = file.limit
            while left > 0 and (piece := packed.read(min(COPY_BYTES, left))):
                stream.write(piece)
                left -= len(piece)
        file.check(new)
    return target

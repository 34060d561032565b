"""`quickdraw:...`: drawings of Google's Quick, Draw!, bitmaps of 28 × 28 pixels or strokes.

Files in the folder `quickdraw` of the data folder are found first: of a thing such as `ice cream`,
`full_numpy_bitmap_ice cream.npy` or `ice cream.npy`; `ice cream.ndjson`, `full_simplified_ice
cream.ndjson` or `full_raw_ice cream.ndjson`; an array `ice cream` in `bitmaps.npz`; drawings with
that `word` in `sample.ndjson`. Otherwise as much of Google's bitmaps is downloaded as is needed.
Every tenth drawing is for testing.

Source: J. Jongejan, H. Rowley, T. Kawashima, J. Kim, N. Fox-Gieg, "The Quick, Draw! Dataset",
github.com/googlecreativelab/quickdraw-dataset, CC BY 4.0.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pocketlens.commands import command
from pocketlens.data.dataset import Dataset
from pocketlens.data.download import Progress, fetch
from pocketlens.data.drawn_things import QUICKDRAW, DrawnThings
from pocketlens.data.quickdraw_files import (
    PIXELS,
    names_in,
    read_bitmaps,
    read_member,
    read_strokes,
    words_in,
)
from pocketlens.errors import DataError, DataNotFoundError
from pocketlens.locking import owned

__all__ = ["download_quickdraw", "load_quickdraw"]

MIRRORS: tuple[str, ...] = ("https://storage.googleapis.com/quickdraw_dataset/full/numpy_bitmap",)
"""The address that Google documents."""

HEADER_BYTES = 128
"""At least as many bytes as are before the pixels in Google's files: 80."""

LIMIT = 400_000 * PIXELS
"""The most bytes of one file; the largest published one, the snowman's, has 266,582,816."""

TESTED = 10
"""One drawing in so many is for testing."""

WAIT_SECONDS = 3600.0
"""How long to wait for another process that downloads the same files."""

Reader = Callable[[], NDArray[np.uint8]]


def load_quickdraw(
    drawings: DrawnThings, folder: Path, split: str, *, progress: Progress | None = None
) -> Dataset:
    """Load one split. What is missing is downloaded first.

    Args:
        drawings: The things, and how many drawings of each. Files that the user put into the folder
            may have fewer.
        folder: The data folder.
        split: `train` or `test`.
        progress: Called during the download.

    Returns:
        Images `(N, 28, 28, 1)`, white lines on black, sorted by class.

    Raises:
        DataNotFoundError: A file is missing and could not be downloaded.
        DataError: A file is damaged, or has too few drawings.
        OutputError: The folder cannot be written to.
    """
    place = folder / QUICKDRAW
    download_quickdraw(drawings, folder, progress=progress)
    images, labels = [], []
    for label, thing in enumerate(drawings.things):
        path, read = _find(place, thing, drawings.count) or _removed(place, thing)
        found = read()
        if len(found) < TESTED:
            raise DataError(
                f"{path} has {len(found)} drawings of {thing!r}; expected at least {TESTED}"
            )
        tested = np.arange(len(found)) % TESTED == TESTED - 1
        images.append(found[tested == (split == "test")])
        labels.append(np.full(len(images[-1]), label))
    return Dataset(
        np.concatenate(images)[..., np.newaxis],
        np.concatenate(labels).astype(np.int64),
        drawings.things,
        f"{drawings.name}/{split}",
    )


def download_quickdraw(
    drawings: DrawnThings, folder: Path, *, progress: Progress | None = None
) -> Path:
    """Download the drawings of those things that have too few; returns the folder of the files.

    Raises:
        DataNotFoundError: A file could not be downloaded.
        OutputError: The folder cannot be written to.
    """
    place, count = folder / QUICKDRAW, drawings.count
    if not _missing(place, drawings):
        return place
    hint = "set POCKETLENS_DATA to a folder that can be written to"
    with owned(place, wait=WAIT_SECONDS, hint=hint):
        # Another process may have downloaded them while this one waited.
        for thing in _missing(place, drawings):
            try:
                fetch(
                    f"{thing}.npy",
                    place,
                    mirrors=MIRRORS,
                    limit=LIMIT,
                    first=HEADER_BYTES + count * PIXELS,
                    check=lambda path: _check(path, count),
                    progress=progress,
                )
            except DataNotFoundError as error:
                raise DataNotFoundError(
                    f"no drawings of {thing!r} in {place}; {error}; when online, download them "
                    f"with: {command('data', 'download', drawings.name)}; or put {thing}.npy or "
                    f"{thing}.ndjson of Quick, Draw! there"
                ) from error
    return place


def _check(path: Path, count: int) -> None:
    read_bitmaps(path, count, whole=path.stat().st_size < HEADER_BYTES + count * PIXELS)


def _missing(place: Path, drawings: DrawnThings) -> list[str]:
    return [thing for thing in drawings.things if not _find(place, thing, drawings.count)]


def _removed(place: Path, thing: str) -> tuple[Path, Reader]:
    raise DataError(f"the drawings of {thing!r} in {place} were removed while they were read")


def _find(place: Path, thing: str, count: int) -> tuple[Path, Reader] | None:
    """The file with the drawings of a thing, and what reads at most `count` of them."""
    for name in (thing, thing.replace(" ", "_")):
        for prefix in ("full_numpy_bitmap_", ""):
            path = place / f"{prefix}{name}.npy"
            if path.is_file():
                return path, partial(read_bitmaps, path, count)
        for prefix in ("", "full_simplified_", "full_raw_"):
            path = place / f"{prefix}{name}.ndjson"
            if path.is_file():
                return path, partial(read_strokes, path, thing, count)
    path = place / "bitmaps.npz"
    if path.is_file() and thing in names_in(path):
        return path, partial(read_member, path, thing, count)
    path = place / "sample.ndjson"
    if path.is_file() and thing in words_in(path):
        return path, partial(read_strokes, path, thing, count)
    # What was downloaded so far.
    path = place / f"{thing}.npy.part"
    if path.is_file() and path.stat().st_size >= HEADER_BYTES + count * PIXELS:
        return path, partial(read_bitmaps, path, count, whole=False)
    return None

"""The files of Quick, Draw!: bitmaps (`.npy`, `.npz`) and strokes (`.ndjson`), from anyone.

Sizes are checked before memory is allocated, nothing is unpickled, and lines, strokes and points
are limited. Sources of the formats: numpy.lib.format; the README of
github.com/googlecreativelab/quickdraw-dataset.
"""

from __future__ import annotations

import json
import math
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from pocketlens.errors import DataError, instead_of_file

__all__ = [
    "PIXELS",
    "SIDE",
    "names_in",
    "read_bitmaps",
    "read_member",
    "read_strokes",
    "render_strokes",
    "strokes_in",
    "words_in",
]

SIDE = 28
PIXELS = SIDE * SIDE

LONGEST_LINE = 1 << 22
"""The most bytes of a line of strokes."""

MOST_STROKES, MOST_POINTS = 2_000, 50_000
"""The most strokes and points of a drawing; of a million real ones, none has a tenth of that."""

LARGEST = 1e6
"""The largest coordinate."""

MOST_MEMBERS, MOST_BYTES = 1_000, 400_000 * PIXELS
"""The most arrays in an `.npz` file, and the most bytes of one."""

BOX, LINE = 26 / 28, 1.47 / 28
"""Size of the drawing and width of the line, as shares of the side, in Google's bitmaps."""

FINER = 8
"""Pixels are drawn this many times as fine in each direction."""

Strokes = list[tuple[list[float], list[float]]]
"""x and y of the points of each stroke."""


def read_bitmaps(path: Path, count: int, *, whole: bool = True) -> NDArray[np.uint8]:
    """At most the first `count` images `(N, 28, 28)` of a `.npy` file.

    Args:
        path: The file.
        count: The most images.
        whole: Whether the file must be as long as its header says; if not, it must have `count`
            images.

    Raises:
        DataError: The file cannot be read, is damaged, or has no images of 28 × 28 bytes.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            if (instead := instead_of_file(file.read(100))) is not None:
                raise DataError(f"{path} {instead}")
            file.seek(0)
            images, end = _read_npy(file, count, str(path))
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    if whole and size != end:
        raise DataError(f"{path} has {size} bytes; expected {end}, as its header says")
    return images


def _read_npy(file: IO[bytes], count: int, what: str) -> tuple[NDArray[np.uint8], int]:
    """At most `count` images, and the size of the file according to its header."""
    try:
        form: Any = np.lib.format  # without types
        version = form.read_magic(file)
        if version not in ((1, 0), (2, 0)):
            raise ValueError(f"version {version} of the format")
        read = form.read_array_header_1_0 if version == (1, 0) else form.read_array_header_2_0
        shape, by_column, kind = read(file)
    # The header is a Python literal, whose reader raises these for what is none.
    except (ValueError, EOFError, SyntaxError, TypeError, RecursionError, MemoryError) as error:
        raise DataError(f"{what} is not a .npy file that can be read: {error!s:.200}") from error
    images = shape[1:] in ((PIXELS,), (SIDE, SIDE)) and shape[0] >= 0
    if kind != np.uint8 or by_column or not images:
        raise DataError(
            f"{what} has {kind} values of shape {shape!s:.60}; expected uint8 of shape "
            f"(N, {PIXELS}) or (N, {SIDE}, {SIDE}), as in Quick, Draw!'s bitmaps"
        )
    wanted = min(count, shape[0]) * PIXELS
    content = file.read(wanted)
    if len(content) < wanted:
        raise DataError(
            f"{what} is truncated: expected {wanted} bytes of pixels; received: {len(content)}"
        )
    end = file.tell() - wanted + shape[0] * PIXELS
    return np.frombuffer(content, np.uint8).reshape(-1, SIDE, SIDE), end


def names_in(path: Path) -> tuple[str, ...]:
    """The names of the arrays in an `.npz` file.

    Raises:
        DataError: The file cannot be read.
    """
    with _opened(path) as archive:
        found = archive.namelist()
    return tuple(name.removesuffix(".npy") for name in found)


def read_member(path: Path, name: str, count: int) -> NDArray[np.uint8]:
    """At most the first `count` images `(N, 28, 28)` of the array `name` in an `.npz` file.

    Raises:
        DataError: The file cannot be read, is damaged, or has no images of 28 × 28 bytes.
    """
    with _opened(path) as archive, archive.open(f"{name}.npy") as file:
        return _read_npy(file, count, f"{name} in {path}")[0]


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """A zip file with few members of moderate size; what is wrong with it is a DataError."""
    damaged = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError)
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            if len(members) > MOST_MEMBERS or any(m.file_size > MOST_BYTES for m in members):
                raise DataError(
                    f"{path} has more than {MOST_MEMBERS:,} arrays, or one of more than "
                    f"{MOST_BYTES:,} bytes"
                )
            yield archive
    except (*damaged, OSError, ValueError) as error:
        raise DataError(f"{path} is not an .npz file that can be read: {error}") from error


@lru_cache(maxsize=4)
def _words(path: Path, _changed: tuple[int, int]) -> frozenset[str]:
    return frozenset(str(entry.get("word")) for _, entry in _entries(path))


def words_in(path: Path) -> frozenset[str]:
    """The words that are drawn in a file of strokes.

    Raises:
        DataError: The file cannot be read, or a line is not valid.
    """
    state = path.stat()
    return _words(path, (state.st_mtime_ns, state.st_size))


def read_strokes(path: Path, word: str, count: int) -> NDArray[np.uint8]:
    """At most the first `count` drawings of a word, rendered as Google's bitmaps `(N, 28, 28)`.

    Raises:
        DataError: The file cannot be read, or a line is not valid.
    """
    images = [render_strokes(each) for each in islice(strokes_in(path, word), count)]
    return np.stack(images) if images else np.empty((0, SIDE, SIDE), np.uint8)


def strokes_in(path: Path, word: str) -> Iterator[Strokes]:
    """The drawings of a word.

    Args:
        path: An `.ndjson` file: one JSON object a line, with `drawing` and, optionally, `word`.
        word: What is drawn.

    Raises:
        DataError: The file cannot be read, or a line is not valid.
    """
    for number, entry in _entries(path):
        if entry.get("word", word) == word:
            try:
                yield _strokes(entry.get("drawing"))
            except ValueError as error:
                raise DataError(f"line {number} of {path} is not a drawing: {error}") from error


def _entries(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Number and content of each line of an `.ndjson` file."""
    try:
        with path.open("rb") as file:
            number = 0
            while line := file.readline(LONGEST_LINE + 1):
                number += 1
                if len(line) > LONGEST_LINE:
                    raise DataError(
                        f"line {number} of {path} has more than {LONGEST_LINE:,} bytes; expected "
                        "one drawing a line"
                    )
                if line.isspace():
                    continue
                try:
                    entry = json.loads(line)
                except (ValueError, RecursionError) as error:
                    instead = instead_of_file(line[:100].ljust(100))
                    problem = f"line {number} of {path} is not JSON: {error!s:.100}"
                    raise DataError(f"{path} {instead}" if instead else problem) from error
                if not isinstance(entry, dict):
                    raise DataError(
                        f"line {number} of {path} is not a drawing; expected an object with the "
                        "keys word and drawing"
                    )
                yield number, entry
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error


def _strokes(drawing: object) -> Strokes:
    """The strokes of a drawing. Raises ValueError if it is none."""
    if not isinstance(drawing, list) or not 1 <= len(drawing) <= MOST_STROKES:
        raise ValueError(f"expected a list of 1 to {MOST_STROKES:,} strokes")
    strokes: Strokes = []
    left = MOST_POINTS
    for stroke in drawing:
        if not isinstance(stroke, list) or len(stroke) < 2:
            raise ValueError("expected x and y of each stroke")
        x, y = stroke[:2]
        if not isinstance(x, list) or not isinstance(y, list) or not len(x) == len(y) > 0:
            raise ValueError("expected as many y as x in a stroke, at least one")
        left -= len(x)
        if left < 0:
            raise ValueError(f"expected at most {MOST_POINTS:,} points")
        for value in (*x, *y):
            if type(value) not in (int, float) or not -LARGEST <= value <= LARGEST:
                raise ValueError(
                    f"expected numbers from -{LARGEST:,.0f} to {LARGEST:,.0f}; received: "
                    f"{str(value)[:40]}"
                )
        strokes.append((x, y))
    return strokes


def render_strokes(
    strokes: Strokes, *, side: int = SIDE, box: float = BOX, line: float = LINE
) -> NDArray[np.uint8]:
    """A drawing as an image `(side, side)`, white on black, its box in the middle.

    Args:
        strokes: x and y of the points of each stroke, in any unit.
        side: Height and width of the image in pixels.
        box: Height or width of the drawing, whichever is larger, as a share of the side.
        line: Width of the line, as a share of the side.
    """
    from PIL import Image, ImageDraw

    points = np.array([np.concatenate([np.array(s[axis]) for s in strokes]) for axis in (0, 1)])
    low, high = points.min(1), points.max(1)
    whole, width = side * FINER, max(1, round(line * side * FINER))
    scale = (box * whole - width) / max(float((high - low).max()), 1e-6)
    if not math.isfinite(scale) or (high - low).max() < 1e-6:
        scale = 0.0  # a dot
    image = Image.new("L", (whole, whole))
    draw = ImageDraw.Draw(image)
    radius = (width - 1) / 2
    for stroke in strokes:
        path = (np.array(stroke).T - (low + high) / 2) * scale + (whole - 1) / 2
        row = [(x, y) for x, y in path.tolist()]
        if len(row) > 1:
            draw.line(row, fill=255, width=width, joint="curve")
        for x, y in (row[0], row[-1]):
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
    return np.asarray(image.reduce(FINER))

"""Arrays to run a model on, from an .npz, an .npy or a CSV file, or a folder of such files."""

from __future__ import annotations

import csv
import io
import math
import os
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from pocketlens.archives import opened_zip
from pocketlens.errors import DataError
from pocketlens.evaluation.arrays import ArrayInput
from pocketlens.files import read_limited, size_text

__all__ = ["MAX_ARRAY_BYTES", "load_arrays"]

MAX_ARRAY_BYTES = 1 << 30
"""The most bytes of arrays that are read."""

MAX_CSV_BYTES = 200_000_000
MAX_FILES = 10_000
DELIMITERS = (",", ";", "\t")

Set = dict[str, NDArray[Any]]


def load_arrays(
    path: str | os.PathLike[str], inputs: Sequence[ArrayInput]
) -> list[dict[str, NDArray[Any]]]:
    """The arrays in a file or a folder, as sets with one array for each input.

    - `.npz`: one array for each input, under its name.
    - `.npy`: the array of a model with one input.
    - `.csv`: one row for each line. Columns that are named like the inputs; or, for a model with
      one input, as many columns as it takes. An empty cell is NaN.
    - a folder: `.npz` files, each of them a set; or one `.npy` file for each input.

    Args:
        path: The file or the folder.
        inputs: The inputs of the model.

    Raises:
        DataError: It is none of these, is damaged, contains Python objects, or is too large.
    """
    path = Path(path)
    if path.is_dir():
        return _folder(path)
    if not path.is_file():
        raise DataError(f"{path} does not exist; expected an .npz, .npy or .csv file, or a folder")
    try:
        match path.suffix.lower():
            case ".npz":
                return [_npz(path)]
            case ".npy":
                return [{path.stem: _npy(path)}]
            case ".csv":
                return [_csv(path, inputs)]
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, KeyError) as error:
        raise DataError(f"{path} cannot be read: {error}; save or copy it again") from error
    raise DataError(
        f"{path} is not a file of arrays; expected one that ends in .npz, .npy or .csv, or a "
        "folder of such files"
    )


def _folder(path: Path) -> list[Set]:
    sets = sorted(path.glob("*.npz"))
    single = sorted(path.glob("*.npy"))
    if len(sets) + len(single) > MAX_FILES:
        raise DataError(f"{path} has more than {MAX_FILES} files of arrays; use a part of them")
    if bool(sets) == bool(single):
        raise DataError(
            f"{path} has {len(sets)} .npz and {len(single)} .npy files; expected .npz files, each "
            "with an array for every input, or one .npy file for every input, named after it"
        )
    total, found = 0, []
    for each in sets or single:
        found.append(load_arrays(each, ())[0])
        total += sum(array.nbytes for array in found[-1].values())
        _check_size(path, total)
    if sets:
        return found
    return [{name: array for each in found for name, array in each.items()}]


def _npz(path: Path) -> Set:
    with opened_zip(path) as archive:
        total = 0
        for name in archive.namelist():
            with archive.open(name) as file:
                total += _header_bytes(path, file)
        _check_size(path, total)
        arrays = {}
        for name in archive.namelist():
            with archive.open(name) as file:
                arrays[name.removesuffix(".npy")] = _array(file)
    if not arrays:
        raise DataError(f"{path} has no arrays; expected one for each input of the model")
    return arrays


def _npy(path: Path) -> NDArray[Any]:
    with path.open("rb") as file:
        _check_size(path, _header_bytes(path, file))
        file.seek(0)
        return _array(file)


def _array(file: IO[bytes]) -> NDArray[Any]:
    array: NDArray[Any] = np.lib.format.read_array(file)  # type: ignore[no-untyped-call]
    return array


def _header_bytes(path: Path, file: IO[bytes]) -> int:
    """The size of an array that a file declares."""
    layout: Any = np.lib.format
    first = layout.read_magic(file) == (1, 0)
    read = layout.read_array_header_1_0 if first else layout.read_array_header_2_0
    shape, _, dtype = read(file)
    if dtype.hasobject:
        raise DataError(
            f"{path} contains Python objects, which are read by running code; save arrays of "
            "numbers or texts"
        )
    return int(math.prod(shape) * dtype.itemsize)


def _check_size(path: Path, size: int) -> None:
    if size > MAX_ARRAY_BYTES:
        raise DataError(
            f"{path} has arrays of {size_text(size)}; expected at most "
            f"{size_text(MAX_ARRAY_BYTES)}; use a part of them"
        )


def _csv(path: Path, inputs: Sequence[ArrayInput]) -> Set:
    try:
        text = read_limited(path, MAX_CSV_BYTES).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text; save it as CSV UTF-8") from error
    first = text.split("\n", 1)[0]
    delimiter = max(DELIMITERS, key=first.count)
    try:
        rows = [row for row in csv.reader(io.StringIO(text), delimiter=delimiter) if row]
    except csv.Error as error:
        raise DataError(f"{path} is not a CSV table: {error}; save it as CSV UTF-8") from error
    if not rows:
        raise DataError(f"{path} is empty; expected a row for each run of the model")
    header: list[str] | None = None
    if any(_number(cell) is None for cell in rows[0]):
        header, rows = [cell.strip() for cell in rows[0]], rows[1:]
    width = len(header or rows[0])
    for number, row in enumerate(rows, 2 if header else 1):
        if len(row) != width:
            raise DataError(f"{path}, line {number}: {len(row)} cells; expected {width}")
    columns = list(zip(*rows, strict=True)) or [()] * width
    names = [each.name for each in inputs]
    if header and set(names) <= set(header):
        return {each.name: _column(path, each, columns[header.index(each.name)]) for each in inputs}
    if len(inputs) != 1 or inputs[0].dtype == "str":
        raise DataError(
            f"{path} has the columns {', '.join(header or ['without names'])}; expected columns "
            f"named {', '.join(names)}"
        )
    (only,) = inputs
    cells = [[_cell(path, cell) for cell in row] for row in rows]
    return {only.name: np.array(cells, dtype=np.float64).reshape(len(rows), width)}


def _column(path: Path, each: ArrayInput, cells: Sequence[str]) -> NDArray[Any]:
    if each.dtype == "str":
        column = np.array(cells, dtype=object)
    else:
        column = np.array([_cell(path, cell) for cell in cells], dtype=np.float64)
    return column if len(each.shape) == 1 else column[:, None]


def _cell(path: Path, cell: str) -> float:
    number = _number(cell)
    if number is None:
        raise DataError(f"{path}: {cell[:40]!r} is not a number; expected one in every row")
    return number


def _number(cell: str) -> float | None:
    text = cell.strip()
    try:
        return float(text) if text else math.nan
    except ValueError:
        return None

"""`quarantine.csv`: the files of a data folder that loading leaves out.

The file is in the data folder, beside the class folders (or beside the CSV file), and has the
columns `path` and `reason`. `pocketlens data check --quarantine` writes it; it can be edited, and
nothing else is ever moved or deleted. Paths are only compared with those of the folder's files, so
they cannot lead anywhere else.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from pathlib import Path

from pocketlens.errors import DataError, OutputExistsError
from pocketlens.files import read_limited, write_aside

__all__ = ["QUARANTINE", "read_quarantine", "write_quarantine"]

QUARANTINE = "quarantine.csv"
MAX_BYTES = 50_000_000


def read_quarantine(root: Path) -> frozenset[str]:
    """The paths that the list in the folder `root` has, relative to it; empty without a list.

    Raises:
        DataError: The list is too large, or not a table with the column `path`.
    """
    path = root / QUARANTINE
    if not path.exists():
        return frozenset()
    try:
        text = read_limited(path, MAX_BYTES).decode("utf-8-sig", "surrogateescape")
        rows = csv.DictReader(io.StringIO(text, newline=""), strict=True)
        listed = [row.get("path") for row in rows]
        if "path" not in (rows.fieldnames or ()):
            raise DataError(f"{path} has no column 'path'; expected in the first line: path,reason")
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    except csv.Error as error:
        raise DataError(f"{path} is not a CSV file: {error}; repair or remove it") from error
    return frozenset(each.replace("\\", "/") for each in listed if each)


def write_quarantine(root: Path, rows: Iterable[tuple[str, str]], *, force: bool = False) -> Path:
    """Write the list.

    Args:
        root: The data folder.
        rows: Path, relative to `root`, and reason of each file.
        force: Replace an existing list.

    Returns:
        The path of the list.

    Raises:
        OutputExistsError: There is a list already, and `force` is false.
        OutputError: It cannot be written.
    """
    path = root / QUARANTINE
    if path.exists() and not force:
        raise OutputExistsError(f"{path} already exists; edit it, or pass --force to replace it")
    text = io.StringIO(newline="")
    table = csv.writer(text, lineterminator="\n")
    table.writerows([("path", "reason"), *rows])
    write_aside(path, text.getvalue().encode("utf-8", "surrogateescape"))
    return path

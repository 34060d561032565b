"""`csv:PATH`: a CSV file with the columns `path` and `label`, and optionally `split`.

Someone else may have written the file. So its paths must stay inside its own folder, also through
links: else a shared CSV file could put private pictures of this computer into a model or a report.
With `csv-outside:PATH`, the user says that any path is fine.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator
from pathlib import Path, PureWindowsPath

from pocketlens.data.members import ALL, Parts, listed, natural
from pocketlens.errors import DataError, DataNotFoundError, did_you_mean, printable
from pocketlens.files import read_limited
from pocketlens.prediction import class_name_errors

__all__ = ["MAX_CSV_BYTES", "csv_parts"]

MAX_CSV_BYTES = 200_000_000
"""The largest CSV file."""

COLUMNS, SPLIT = ("path", "label"), "split"
DELIMITERS = (",", ";", "\t")
"""Spreadsheets write semicolons where the comma separates decimals."""

SHOWN_ERRORS = 5


def csv_parts(path: Path, *, outside: bool = False, complete: bool = True) -> Parts:
    """The files listed in a CSV file.

    The first line has the names of the columns; columns other than `path`, `label` and `split` are
    ignored. The file is UTF-8, separated by commas, semicolons or tabs. Paths are relative to the
    folder of the file; a backslash separates folders, too. `split` is `train` or `test` in all
    rows, or missing. A row that repeats another one counts once.

    Args:
        path: The CSV file.
        outside: Whether paths may be absolute or lead out of the folder.
        complete: Whether at least two classes are needed.

    Raises:
        DataNotFoundError: There is no such file.
        DataError: The file is too large, is not such a table, or a row cannot be used; the message
            has the number of such rows and the first few of them.
        OSError: The file cannot be read.
    """
    if not path.is_file():
        problem = "is not a file" if path.exists() else "does not exist"
        raise DataNotFoundError(f"{path} {problem}; expected a CSV file with path,label")
    rows, errors = _Rows(path, outside=outside), []
    for line, row in _table(path):
        if error := rows.add(line, row):
            errors.append(f"line {line}: {error}")
    if errors:
        rest = f"; and {len(errors) - SHOWN_ERRORS} more" if len(errors) > SHOWN_ERRORS else ""
        raise DataError(
            f"{path} has {len(errors)} row(s) that cannot be used: "
            f"{'; '.join(errors[:SHOWN_ERRORS])}{rest}"
        )
    return rows.parts(complete=complete)


def _table(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """The number and the cells of each row."""
    try:
        text = read_limited(path, MAX_CSV_BYTES).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path} is not UTF-8 text: {error.reason} at byte {error.start}; save it as CSV UTF-8"
        ) from error
    first = text.split("\n", 1)[0]
    delimiter = max(DELIMITERS, key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        names = [name.strip().lower() for name in next(reader, [])]
        for column in (*COLUMNS, SPLIT):
            if names.count(column) > 1 or (column in COLUMNS and column not in names):
                problem = "has no column" if column not in names else "has more than one column"
                shown = listed([printable(name[:40]) for name in names])
                raise DataError(
                    f"{path} {problem} '{column}'; received the columns: {shown}; expected in "
                    "the first line: path,label or path,label,split"
                )
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield reader.line_num, dict(zip(names, cells, strict=False))
    except csv.Error as error:
        raise DataError(
            f"{path} is not a valid CSV file: line {reader.line_num}: {error}"
        ) from error


class _Rows:
    """The rows of a table.

    Args:
        path: The CSV file.
        outside: See `csv_parts`.
    """

    def __init__(self, path: Path, *, outside: bool) -> None:
        self.path = path
        self.outside = outside
        self.base = path.parent.resolve()
        self.seen: dict[Path, tuple[int, str, str]] = {}

    def add(self, line: int, row: dict[str, str]) -> str | None:
        """Add a row; what is wrong with it, or None."""
        written, label = row.get("path", "").strip(), row.get("label", "").strip()
        split = row.get(SPLIT, "").strip().lower()
        if not written or not label:
            return f"the {'label' if written else 'path'} is missing"
        if split and split not in ("train", "test"):
            hint = did_you_mean(split, ("train", "test"))
            return f"split {printable(split[:40])!r} is not known; {hint}"
        try:
            file, error = self._file(written)
        except (OSError, ValueError) as problem:  # ValueError: a null character
            return f"{printable(written[:200])} cannot be used: {problem}"
        if error:
            return error
        first, *known = self.seen.setdefault(file, (line, label, split))
        if known != [label, split]:
            return f"{printable(written[:200])} is in line {first}, too, with " + (
                f"the label {known[0]!r}" if known[0] != label else f"the split {known[1]!r}"
            )
        return None

    def _file(self, written: str) -> tuple[Path, str]:
        """The file that a cell stands for, and what is wrong with it."""
        file = self.path.parent / written
        if os.name != "nt" and "\\" in written and not file.exists():
            file = self.path.parent / written.replace("\\", "/")
        resolved, shown = file.resolve(), printable(written[:200])
        anchored = Path(written).is_absolute() or bool(PureWindowsPath(written).anchor)
        if not self.outside and (anchored or not resolved.is_relative_to(self.base)):
            return file, (
                f"{shown} is outside the folder of the CSV file; if you trust the file, use the "
                "source csv-outside:PATH"
            )
        if not resolved.exists():
            return file, f"{shown} does not exist"
        if not resolved.is_file():
            return file, f"{shown} is not a file"
        return resolved, ""

    def parts(self, *, complete: bool) -> Parts:
        """The files by split and class."""
        splits = {split for _, _, split in self.seen.values()}
        if splits not in ({""}, {"train", "test"}):
            found = ", ".join(sorted(split or "(empty)" for split in splits)) or "no rows"
            raise DataError(
                f"{self.path} has a column split with: {found}; expected both train and test, "
                "one of them in every row, or no split at all"
                if splits
                else f"{self.path} has no rows; expected at least two images per class"
            )
        names = sorted({label for _, label, _ in self.seen.values()}, key=natural)
        if errors := class_name_errors(names):
            raise DataError(f"{self.path} has labels that cannot be used: {'; '.join(errors[:3])}")
        if complete and len(names) < 2:
            raise DataError(f"{self.path} has only the label {names[0]!r}; expected at least two")
        parts: Parts = {split or ALL: {name: [] for name in names} for split in splits}
        for file, (_, label, split) in self.seen.items():
            parts[split or ALL][label].append(file)
        for split, classes in parts.items():
            if empty := [name for name, files in classes.items() if not files]:
                raise DataError(
                    f"{self.path} has no images in the split {split} for: {listed(empty)}"
                )
            for files in classes.values():
                files.sort(key=lambda file: natural(file.as_posix()))
        return parts

"""Reads the files of a run folder; a damaged one is an error that says how to go on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeVar

from pocketlens.commands import command
from pocketlens.errors import DataError, OptionError, RunError
from pocketlens.files import read_limited
from pocketlens.json_fields import read_fields
from pocketlens.run_contents import RECIPE, run_command

__all__ = ["damaged", "read_bytes", "read_json", "read_part", "read_text", "read_values"]

T = TypeVar("T")

MAX_BYTES = 64_000_000
"""The largest file of a run that is read. With 1000 classes, metrics.json has about 3 MB."""


def read_bytes(path: Path) -> bytes:
    """The content of a file of a run, at most `MAX_BYTES`.

    A link is not followed: a report would show a file from elsewhere.

    Raises:
        RunError: It is larger, a link, or cannot be read.
    """
    try:
        return read_limited(path, MAX_BYTES, follow=False)
    except OSError as error:
        raise RunError(f"{path} cannot be read: {error.strerror or error}") from error


def read_text(path: Path) -> str:
    """The content of a text file of a run.

    Raises:
        RunError: It is damaged or cannot be read.
    """
    try:
        return read_bytes(path).decode()
    except UnicodeDecodeError as error:
        raise damaged(path, f"it is not UTF-8 text: {error}") from error


def read_json(path: Path) -> Any:
    """The content of a JSON file of a run; None if there is no such file.

    Raises:
        RunError: It is damaged or cannot be read.
    """
    if not path.is_file():
        return None
    try:
        return json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise damaged(path, f"it is not JSON: {error}") from error


def read_part(path: Path, kind: type[T], what: str, values: Any = None) -> T | None:
    """A dataclass from a JSON file, or from the `values` that were read from it.

    None if there is no such file.

    Raises:
        RunError: It is damaged or cannot be read.
    """
    if values is None:
        values = read_json(path)
    return None if values is None else read_values(path, kind, what, values)


def read_values(path: Path, kind: type[T], what: str, values: Any, where: str = "") -> T:
    """A dataclass from the values that were read from the file `path`, at the place `where`.

    Raises:
        RunError: The values are not those of the dataclass.
    """
    try:
        return read_fields(kind, values, what)
    except (DataError, OptionError) as error:
        raise damaged(path, f"{where}{error}") from error


def damaged(path: Path, what: str) -> RunError:
    """The error for a damaged file of a run."""
    folder = path.parent
    again = (
        command("run", "RECIPE", "--out", folder, "--force")
        if path.name == RECIPE
        else run_command(folder, "--force")
    )
    return RunError(f"{path} is damaged: {what}; restore it, or start again with: {again}")

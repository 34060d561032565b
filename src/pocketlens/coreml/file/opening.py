"""Opens the files of a model: regular files only, since a pipe or a device may never end."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

from pocketlens.errors import ModelFileError, instead_of_file

__all__ = ["exists", "open_regular", "read_regular"]


def exists(path: Path, model: Path) -> bool:
    """Whether the path exists.

    Raises:
        ModelFileError: It cannot be looked up, for example because it is too long.
    """
    try:
        path.stat()
    except FileNotFoundError:
        return False
    except (OSError, ValueError) as error:
        raise _cannot(path, model, error) from error
    return True


def open_regular(path: Path, model: Path) -> tuple[BinaryIO, int]:
    """A regular file, open for reading, and its size in bytes.

    Args:
        path: The file.
        model: The model, for messages.

    Raises:
        ModelFileError: It is missing or unreadable, or is not a regular file.
    """
    try:
        # Checked before it is opened, as opening a device may do something; and afterwards, as it
        # may be another file by then. Opening a pipe without O_NONBLOCK would wait for a writer.
        _check(path.stat().st_mode, path, model)
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        stream = os.fdopen(os.open(path, flags), "rb")
    except (OSError, ValueError) as error:
        raise _cannot(path, model, error) from error
    try:
        status = os.fstat(stream.fileno())
        _check(status.st_mode, path, model)
        instead = instead_of_file(stream.read(100))
        stream.seek(0)
        if instead is not None:
            what = path if path == model else f"{model}: {path.name}"
            raise ModelFileError(f"{what} {instead}")
    except ModelFileError:
        stream.close()
        raise
    except OSError as error:
        stream.close()
        raise _cannot(path, model, error) from error
    return stream, status.st_size


def read_regular(path: Path, model: Path, most: int) -> bytes:
    """The content of a regular file of at most `most` bytes.

    Raises:
        ModelFileError: As in `open_regular`; or it is larger.
    """
    stream, size = open_regular(path, model)
    with stream:
        if size > most:
            raise ModelFileError(f"{model}: {path.name} has {size} bytes; expected at most {most}")
        try:
            return stream.read(size)
        except OSError as error:
            raise _cannot(path, model, error) from error


def _check(mode: int, path: Path, model: Path) -> None:
    if not stat.S_ISREG(mode):
        kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
        found = kinds.get(stat.S_IFMT(mode), "a device")
        raise ModelFileError(f"{model}: {path.name} is {found}; expected a file")


def _cannot(path: Path, model: Path, error: Exception) -> ModelFileError:
    reason = getattr(error, "strerror", None) or error
    return ModelFileError(
        f"{model}: {path.name} cannot be opened: {reason}; check its permissions; "
        "if the package is incomplete, export or download it again"
    )

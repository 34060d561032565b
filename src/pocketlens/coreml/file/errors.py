"""Context managers for errors: add the location in the file, keep the message on one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pocketlens.coreml.file.package import ModelFile
from pocketlens.errors import (
    ModelFileError,
    PocketlensError,
    UnsupportedModelError,
    UnsupportedOp,
    UnsupportedParameter,
    printable,
)

__all__ = ["located_errors", "one_line_errors"]

MAX_MESSAGE = 2000
"""The longest error message, in characters."""


@contextmanager
def located_errors(file: ModelFile, location: str) -> Iterator[None]:
    """Put the file and the location in it in front of the message of any error raised inside."""
    try:
        yield
    except (
        ModelFileError,
        UnsupportedModelError,
        UnsupportedOp,
        UnsupportedParameter,
    ) as error:
        message = str(error)
        if message.startswith(f"{file.path}: "):
            raise
        raise type(error)(f"{file.path}: {location}: {message}") from error
    except OverflowError as error:  # a size from the file does not fit into 64 bits
        raise ModelFileError(
            f"{file.path}: {location}: a size is too large ({error}); "
            "the file is damaged: export or download it again"
        ) from error


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Keep error messages on one line of at most `MAX_MESSAGE` characters.

    Messages quote names from the file; a damaged file may have line breaks in them, or megabytes.
    """
    try:
        yield
    except PocketlensError as error:
        message = str(error)
        clean = printable(message)
        if len(clean) > MAX_MESSAGE:
            clean = f"{clean[:MAX_MESSAGE]}…"
        if clean == message:
            raise
        raise type(error)(clean) from error

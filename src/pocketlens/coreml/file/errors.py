"""Error wrappers: add the place in a file to a message, and keep a message on one line."""

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
)

__all__ = ["located_errors", "one_line_errors"]

MAX_MESSAGE = 2000
"""The longest error message, in characters."""


@contextmanager
def located_errors(file: ModelFile, place: str) -> Iterator[None]:
    """Begin the message of any error raised inside with the file and the place in it."""
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
        raise type(error)(f"{file.path}: {place}: {message}") from error
    except OverflowError as error:  # sizes come from the file, and no size has more than 64 bits
        raise ModelFileError(
            f"{file.path}: {place}: a number is larger than any size can be ({error}); "
            "the file is damaged: export or download it again"
        ) from error


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Keep what a damaged file calls its parts from breaking or flooding an error message."""
    try:
        yield
    except PocketlensError as error:
        message = str(error)
        clean = "".join(
            each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in message
        )
        if len(clean) > MAX_MESSAGE:
            clean = f"{clean[:MAX_MESSAGE]}…"
        if clean == message:
            raise
        raise type(error)(clean) from error

"""Class labels for a model that does not contain any: a list of names, or a text file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from pocketlens.errors import OptionError, instead_of_file
from pocketlens.files import read_limited
from pocketlens.prediction import class_name_errors

__all__ = ["MAX_LABELS_BYTES", "read_labels"]

MAX_LABELS_BYTES = 4 * 1024 * 1024
"""Size of the largest labels file that is read, in bytes: enough for about 100,000 names."""


def read_labels(source: Sequence[str] | str | os.PathLike[str]) -> tuple[str, ...]:
    """Read and check class names.

    Args:
        source: A sequence of names in the order of the model's outputs, or the path of a UTF-8 text
            file with one name per line. Spaces around the names in a file, and empty lines at its
            end, are ignored.

    Returns:
        The names, in the same order.

    Raises:
        OptionError: The file does not exist, is not UTF-8 or is larger than `MAX_LABELS_BYTES`;
            there are fewer than two names; or a name is empty, not a string, not unique or contains
            control characters such as a line break.
    """
    if isinstance(source, (str, os.PathLike)):
        path = Path(source)
        return _checked(_lines(path), f"labels file {path}")
    return _checked(tuple(source), "labels")


def _lines(path: Path) -> tuple[str, ...]:
    try:
        content = read_limited(path, MAX_LABELS_BYTES)
        if (instead := instead_of_file(content[:100])) is not None:
            raise OptionError(f"labels file {path} {instead}")
        text = content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise OptionError(
            f"labels file {path} is not UTF-8 text (byte {error.start}); save it as UTF-8, with "
            "one class name per line"
        ) from error
    except OSError as error:
        raise OptionError(
            f"labels file {path} cannot be read: {error.strerror}; "
            f"expected a text file of at most {MAX_LABELS_BYTES} bytes, one class name per line"
        ) from error
    return tuple(line.strip() for line in text.rstrip().split("\n"))


def _checked(labels: tuple[str, ...], what: str) -> tuple[str, ...]:
    if errors := class_name_errors(labels):
        raise OptionError(
            f"{what}: {'; '.join(errors[:3])}; expected one different, visible name for each output"
        )
    if len(labels) < 2:
        raise OptionError(f"{what}: a classifier needs at least two classes; received: {labels!r}")
    return labels

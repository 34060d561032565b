"""Class labels of a model that does not carry its own: a sequence, or a text file."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from pocketlens.errors import OptionError

__all__ = ["MAX_LABELS_BYTES", "read_labels"]

MAX_LABELS_BYTES = 4 * 1024 * 1024
"""The largest labels file that is read: room for some 100,000 class names."""


def read_labels(source: Sequence[str] | str | os.PathLike[str]) -> tuple[str, ...]:
    """The class names, in the order of the model's outputs, checked.

    Args:
        source: A sequence of names, or the path of a UTF-8 text file with one name a line. Spaces
            around a name in a file do not count, nor do blank lines at its end.

    Raises:
        OptionError: No such file, not UTF-8, larger than `MAX_LABELS_BYTES`, fewer than two
            names, or a name that is empty, not text, given twice or of more than one line.
    """
    if isinstance(source, (str, os.PathLike)):
        path = Path(source)
        return _checked(_lines(path), f"labels file {path}")
    return _checked(tuple(source), "labels")


def _lines(path: Path) -> tuple[str, ...]:
    try:
        size = path.stat().st_size
        if size > MAX_LABELS_BYTES:
            raise OptionError(
                f"labels file {path} has {size} bytes; expected a text file of at most "
                f"{MAX_LABELS_BYTES}, one class name a line"
            )
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise OptionError(
            f"labels file {path} is not UTF-8 text (byte {error.start}); "
            "expected one class name a line"
        ) from error
    except OSError as error:
        raise OptionError(
            f"labels file {path} cannot be read: {error.strerror}; "
            "expected a text file with one class name a line"
        ) from error
    return tuple(line.strip() for line in text.rstrip().split("\n"))


def _checked(labels: tuple[str, ...], what: str) -> tuple[str, ...]:
    for place, label in enumerate(labels, start=1):
        if not isinstance(label, str):
            raise OptionError(f"{what}: label {place} is {label!r}; expected text")
        if not label.strip():
            raise OptionError(f"{what}: label {place} is empty; expected a class name")
        if any(ord(character) < 32 for character in label):
            raise OptionError(
                f"{what}: label {place} is {label!r}; expected one line without control characters"
            )
    twice = [label for label, count in Counter(labels).items() if count > 1]
    if twice:
        raise OptionError(f"{what}: {twice[0]!r} is given more than once; class names are unique")
    if len(labels) < 2:
        raise OptionError(f"{what}: a classifier has at least two classes; received: {labels!r}")
    return labels

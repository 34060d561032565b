"""Class labels: read from a list or a text file, and checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pocketlens.conversion import read_labels
from pocketlens.conversion.labels import MAX_LABELS_BYTES
from pocketlens.errors import OptionError


def test_a_sequence_is_not_changed() -> None:
    assert read_labels(["b", "a", '"', "🙂"]) == ("b", "a", '"', "🙂")


@pytest.mark.parametrize(
    "content",
    ["cat\ndog\n", "cat\r\ndog\r\n", "\ufeffcat\ndog", "cat  \n dog\n\n\n"],
    ids=["unix", "windows", "byte order mark", "spaces and blank end"],
)
def test_a_file_has_one_name_per_line(tmp_path: Path, content: str) -> None:
    file = tmp_path / "labels.txt"
    file.write_bytes(content.encode())
    assert read_labels(file) == ("cat", "dog")
    assert read_labels(str(file)) == ("cat", "dog")


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["a", ""], "class name 2 is empty; expected one different, visible name"),
        (["a", " "], "class name 2 is empty"),
        (["a", "b", "a"], "class name 3, 'a', is the same as class name 1"),
        (["a"], "needs at least two classes; received: \\('a',\\)"),
        ([], "needs at least two classes"),
        ([0, 1], "class name 1 is 0, which is not a string"),
        (["a", "b\nc"], r"class name 2, 'b\\nc', has control or invisible characters"),
    ],
)
def test_invalid_labels_are_rejected(labels: list[Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        read_labels(labels)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"cat\n\ndog\n", "class name 2 is empty"),
        (b"caf\xe9\ndog", "is not UTF-8 text \\(byte 3\\)"),
        (b"", "class name 1 is empty"),
        (
            b"a\n" * (MAX_LABELS_BYTES // 2 + 1),
            f"expected a text file of at most {MAX_LABELS_BYTES}",
        ),
    ],
    ids=["blank line", "latin-1", "empty", "large"],
)
def test_invalid_files_are_rejected(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "labels.txt"
    file.write_bytes(content)
    with pytest.raises(OptionError, match=message):
        read_labels(file)


def test_a_missing_file_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"none\.txt cannot be read: No such file"):
        read_labels(tmp_path / "none.txt")

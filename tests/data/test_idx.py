"""IDX files are read correctly; invalid ones are rejected with the reason."""

from __future__ import annotations

import gzip
import hashlib
import re
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from pocketlens.data.idx import read_idx
from pocketlens.errors import DataError

# Written by hand from the description of the format: 2 images of 2 × 3.
TWO_IMAGES = bytes.fromhex("00000803 00000002 00000002 00000003") + bytes(range(12))
LIMIT = len(TWO_IMAGES)


@pytest.mark.parametrize("zipped", [False, True], ids=["plain", "gzip"])
def test_values_and_checksum_of_the_decompressed_bytes(tmp_path: Path, zipped: bool) -> None:
    # The content decides, not the name: both files have the other's suffix.
    path = tmp_path / ("images" if zipped else "images.gz")
    path.write_bytes(gzip.compress(TWO_IMAGES) if zipped else TWO_IMAGES)
    values, checksum = read_idx(path, dimensions=3, limit=LIMIT)
    assert values.dtype == np.uint8
    assert values.tolist() == [[[0, 1, 2], [3, 4, 5]], [[6, 7, 8], [9, 10, 11]]]
    assert checksum == hashlib.sha256(TWO_IMAGES).hexdigest()
    assert values.flags.writeable


def test_gzip_file_with_two_members(tmp_path: Path) -> None:
    path = tmp_path / "x.gz"
    path.write_bytes(gzip.compress(TWO_IMAGES[:9]) + gzip.compress(TWO_IMAGES[9:]))
    assert read_idx(path, dimensions=3, limit=LIMIT)[0].shape == (2, 2, 3)


ZIPPED = gzip.compress(TWO_IMAGES, mtime=0)
BROKEN_CRC = ZIPPED[:-8] + bytes(4) + ZIPPED[-4:]
INVALID = [
    ("empty", b"", "is empty; expected an IDX file"),
    ("empty gzip", gzip.compress(b""), "is empty; expected an IDX file"),
    ("a web page", b"<html>not found</html>", "is a web page, not the file itself"),
    (
        "labels for images",
        b"\0\0\x08\x01\0\0\0\x01\x07",
        "starts with 00000801; expected: 00000803",
    ),
    ("floats", b"\0\0\x0d\x03" + bytes(12), "starts with 00000d03; expected: 00000803"),
    ("cut header", TWO_IMAGES[:10], "is truncated: it ends inside its header"),
    ("cut body", TWO_IMAGES[:-1], "its header declares 12 bytes of data; received: 11"),
    ("tail", TWO_IMAGES + b"!", "has more data than the 12 bytes that its header declares"),
    ("zipped tail", gzip.compress(TWO_IMAGES + b"!"), "has more data than the 12 bytes"),
    ("cut gzip", ZIPPED[:-12], "is truncated: the gzip stream has no end"),
    ("broken gzip sum", BROKEN_CRC, "is damaged: CRC check failed"),
    ("broken gzip stream", ZIPPED[:10] + b"\xff" * 20, "is damaged: "),
]


@pytest.mark.parametrize(
    ("content", "message"), [row[1:] for row in INVALID], ids=[row[0] for row in INVALID]
)
def test_invalid_file_is_rejected_with_the_reason(
    tmp_path: Path, content: bytes, message: str
) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(DataError, match=re.escape(message)) as caught:
        read_idx(path, dimensions=3, limit=LIMIT)
    assert str(caught.value).startswith(str(path))


def test_missing_file_and_folder_instead_of_a_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere cannot be read: No such file"):
        read_idx(tmp_path / "nowhere", dimensions=3, limit=LIMIT)
    with pytest.raises(DataError, match="cannot be read: Is a directory"):
        read_idx(tmp_path, dimensions=3, limit=LIMIT)


@pytest.mark.parametrize("sizes", [(2**32 - 1,) * 3, (60_000, 280, 280), (3, 2, 3)])
def test_size_above_the_limit_is_rejected_before_memory_is_allocated(
    tmp_path: Path, sizes: tuple[int, ...]
) -> None:
    path = tmp_path / "huge"
    path.write_bytes(struct.pack(">4B3I", 0, 0, 8, 3, *sizes))
    tracemalloc.start()
    with pytest.raises(DataError, match=f"declares .* bytes, .*; expected at most {LIMIT}"):
        read_idx(path, dimensions=3, limit=LIMIT)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000


def test_gzip_bomb_is_not_decompressed(tmp_path: Path) -> None:
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(TWO_IMAGES + bytes(200_000_000), compresslevel=1))
    tracemalloc.start()
    with pytest.raises(DataError, match="has more data than the 12 bytes"):
        read_idx(path, dimensions=3, limit=LIMIT)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10_000_000

"""IDX files, the format that MNIST is published in: a big-endian header, then raw bytes.

Header: two zero bytes, the type (8: unsigned byte), the number of dimensions, then one 32-bit
size per dimension. Source: Y. LeCun, C. Cortes, C. Burges, "The MNIST database", file formats.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import math
import zlib
from contextlib import nullcontext
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pocketlens.errors import DataError, instead_of_file

__all__ = ["read_idx"]

GZIP_MAGIC = b"\x1f\x8b"
UNSIGNED_BYTE = 8
CHUNK = 1 << 20


def read_idx(path: Path, *, dimensions: int, limit: int) -> tuple[NDArray[np.uint8], str]:
    """Read an IDX file of unsigned bytes, plain or gzipped (detected by content, not by name).

    Args:
        path: The file.
        dimensions: The number of dimensions expected: 3 for gray images, 1 for labels.
        limit: The largest allowed size in bytes after decompression, header included. The header
            is checked against it before memory is allocated; no more than this is decompressed.

    Returns:
        The array, and the sha256 (hexadecimal) of the decompressed file.

    Raises:
        DataError: The file cannot be read, is damaged, truncated or too long, or is not an IDX file
            of unsigned bytes with `dimensions` dimensions.
    """
    try:
        with path.open("rb") as file:
            start = file.read(100)
            file.seek(0)
            if (instead := instead_of_file(start)) is not None:
                raise DataError(f"{path} {instead}")
            zipped = start.startswith(GZIP_MAGIC)
            with gzip.GzipFile(fileobj=file) if zipped else nullcontext(file) as stream:
                return _parse(stream, path, dimensions, limit)
    except EOFError as error:
        raise DataError(f"{path} is truncated: the gzip stream has no end") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path} is damaged: {error}") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error


def _parse(
    stream: io.BufferedIOBase, path: Path, dimensions: int, limit: int
) -> tuple[NDArray[np.uint8], str]:
    expected = bytes((0, 0, UNSIGNED_BYTE, dimensions))
    header = stream.read(4 + 4 * dimensions)
    if not header:
        raise DataError(f"{path} is empty; expected an IDX file")
    if header[:4] != expected:
        raise DataError(
            f"{path} is not the expected IDX file: it starts with {header[:4].hex()}; "
            f"expected: {expected.hex()} (unsigned bytes, {dimensions} dimension(s))"
        )
    if len(header) < 4 + 4 * dimensions:
        raise DataError(f"{path} is truncated: it ends inside its header")
    shape = tuple(int(size) for size in np.frombuffer(header, ">u4", offset=4))
    size = math.prod(shape)
    if len(header) + size > limit:
        raise DataError(
            f"{path} declares {len(header) + size} bytes, shape {shape}; "
            f"expected at most {limit} bytes"
        )
    values = np.empty(size, np.uint8)
    received = _fill(stream, values.data)
    if received < size:
        raise DataError(
            f"{path} is truncated: its header declares {size} bytes of data; received: {received}"
        )
    if stream.read(1):
        raise DataError(f"{path} has more data than the {size} bytes that its header declares")
    checksum = hashlib.sha256(header)
    checksum.update(values.data)
    return values.reshape(shape), checksum.hexdigest()


def _fill(stream: io.BufferedIOBase, view: memoryview) -> int:
    """Read into `view` in chunks: gzip's own readinto would need twice the memory."""
    received = 0
    while received < len(view):
        piece = stream.read(min(CHUNK, len(view) - received))
        if not piece:
            break
        view[received : received + len(piece)] = piece
        received += len(piece)
    return received

"""IDX files, the format in which MNIST is published: a big-endian header, then raw bytes.

Header: two zero bytes, the type (8: unsigned byte), the number of dimensions, then one 32-bit
size a dimension. Source: Y. LeCun, C. Cortes, C. Burges, "The MNIST database", file formats.
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

from pocketlens.errors import DataError

__all__ = ["read_idx"]

GZIP_MAGIC = b"\x1f\x8b"
UNSIGNED_BYTE = 8
CHUNK = 1 << 20


def read_idx(path: Path, *, dimensions: int, limit: int) -> tuple[NDArray[np.uint8], str]:
    """Read an IDX file of unsigned bytes, plain or gzipped (told by its content, not its name).

    Args:
        path: The file.
        dimensions: How many dimensions it must have: 3 for gray images, 1 for labels.
        limit: The most bytes that it may hold once decompressed, header included. It is checked
            against the header before memory is taken, and nothing beyond it is decompressed.

    Returns:
        The array, and the sha256 (hexadecimal) of the decompressed file.

    Raises:
        DataError: A file that cannot be read, is damaged, cut short, too long, or not such an IDX.
    """
    try:
        with path.open("rb") as file:
            zipped = file.read(2) == GZIP_MAGIC
            file.seek(0)
            with gzip.GzipFile(fileobj=file) if zipped else nullcontext(file) as stream:
                return _parse(stream, path, dimensions, limit)
    except EOFError as error:
        raise DataError(f"{path} is cut short: its gzip stream does not end") from error
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
            f"{path} is not the expected IDX file: it begins with {header[:4].hex()}; "
            f"expected: {expected.hex()} (unsigned bytes, {dimensions} dimension(s))"
        )
    if len(header) < 4 + 4 * dimensions:
        raise DataError(f"{path} is cut short: it ends within its header")
    shape = tuple(int(size) for size in np.frombuffer(header, ">u4", offset=4))
    size = math.prod(shape)
    if len(header) + size > limit:
        raise DataError(
            f"{path} announces {len(header) + size} bytes {shape}; expected at most {limit}"
        )
    values = np.empty(size, np.uint8)
    received = _fill(stream, values.data)
    if received < size:
        raise DataError(
            f"{path} is cut short: its header announces {size} bytes after it; received: {received}"
        )
    if stream.read(1):
        raise DataError(f"{path} has bytes after the {size} that its header announces")
    checksum = hashlib.sha256(header)
    checksum.update(values.data)
    return values.reshape(shape), checksum.hexdigest()


def _fill(stream: io.BufferedIOBase, view: memoryview) -> int:
    """Read into `view` piece by piece: gzip's own readinto would hold all of it twice."""
    received = 0
    while received < len(view):
        piece = stream.read(min(CHUNK, len(view) - received))
        if not piece:
            break
        view[received : received + len(piece)] = piece
        received += len(piece)
    return received

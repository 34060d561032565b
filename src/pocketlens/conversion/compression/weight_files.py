"""Write the weights file of an ML Program (MILBlob storage, version 2)."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketlens.coreml.file.package import (
    BLOB_TYPES,
    BLOB_VERSION,
    HEADER_BYTES,
    METADATA_BYTES,
    SENTINEL,
)

__all__ = ["WeightFile", "pack"]

CODES = {name: (code, bits) for code, (name, bits, _) in BLOB_TYPES.items()}


class WeightFile:
    """A weights file in the making; the same array is stored once."""

    def __init__(self) -> None:
        self._content = bytearray(HEADER_BYTES)
        self._offsets: dict[tuple[str, bytes], int] = {}

    def add(self, kind: str, array: NDArray[Any]) -> int:
        """Store an array.

        Args:
            kind: The element type, such as `float16` or `uint4`.
            array: The numbers; one byte each if they are stored in fewer than 8 bits.

        Returns:
            Where its header starts, in bytes from the start of the file.
        """
        code, bits = CODES[kind]
        data = pack(array, bits) if bits < 8 else np.ascontiguousarray(array).tobytes()
        if (kind, data) in self._offsets:
            return self._offsets[kind, data]
        offset = len(self._content)
        padding = 8 * len(data) - bits * array.size if bits < 8 else 0
        start = offset + METADATA_BYTES
        header = struct.pack("<IIQQQ", SENTINEL, code, len(data), start, padding)
        self._content += header.ljust(METADATA_BYTES, b"\0") + data
        self._content += bytes(-len(self._content) % HEADER_BYTES)
        self._offsets[kind, data] = offset
        return offset

    def content(self) -> bytes:
        """The whole file."""
        struct.pack_into("<II", self._content, 0, len(self._offsets), BLOB_VERSION)
        return bytes(self._content)


def pack(numbers: NDArray[Any], bits: int, *, highest_first: bool = False) -> bytes:
    """Numbers of a few bits each, one after another.

    Args:
        numbers: Any shape, unsigned.
        bits: Bits per number, 1 to 8.
        highest_first: As a neural network stores them; an ML Program starts with the lowest bit.
    """
    rows = np.unpackbits(
        numbers.reshape(-1, 1).astype(np.uint8), axis=1, bitorder="little", count=bits
    )
    if highest_first:
        return np.packbits(rows[:, ::-1].reshape(-1), bitorder="big").tobytes()
    return np.packbits(rows.reshape(-1), bitorder="little").tobytes()

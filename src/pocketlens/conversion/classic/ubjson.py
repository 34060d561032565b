"""Reads Universal Binary JSON (UBJSON, draft 12), the format of XGBoost's `.ubj` files."""

from __future__ import annotations

from typing import Any

import numpy as np

from pocketlens.errors import ConversionError

__all__ = ["read_ubjson"]

MAX_DEPTH = 64
MAX_VALUES = 2**24
"""The most values outside typed arrays: Python's objects take many times the memory of bytes."""

NUMBERS = {
    b"i": ">i1",
    b"U": ">u1",
    b"I": ">i2",
    b"l": ">i4",
    b"L": ">i8",
    b"d": ">f4",
    b"D": ">f8",
}
CONSTANTS: dict[bytes, Any] = {b"Z": None, b"T": True, b"F": False}


def read_ubjson(content: bytes, what: str) -> Any:
    """The value in a file; typed arrays of numbers are NumPy arrays.

    Raises:
        ConversionError: It is damaged or cut short; the message calls it `what`.
    """
    reader = _Reader(content, what)
    value = reader.value(reader.take(1), 0)
    if reader.at != len(content):
        raise reader.error("has bytes behind its end")
    return value


class _Reader:
    def __init__(self, content: bytes, what: str) -> None:
        self._content, self._what = content, what
        self._left = MAX_VALUES
        self.at = 0

    def error(self, problem: str) -> ConversionError:
        return ConversionError(
            f"{self._what} {problem} (byte {self.at}); it is damaged or cut short; save it again "
            "with Booster.save_model"
        )

    def take(self, size: int) -> bytes:
        if not 0 <= size <= len(self._content) - self.at:
            raise self.error("ends too early")
        self.at += size
        return self._content[self.at - size : self.at]

    def value(self, marker: bytes, depth: int) -> Any:
        self._left -= 1
        if depth > MAX_DEPTH or self._left < 0:
            raise self.error("has too many values or levels")
        if marker in CONSTANTS:
            return CONSTANTS[marker]
        if marker in NUMBERS:
            return self._number(marker)
        if marker == b"C":
            return self.take(1).decode("latin-1")
        if marker == b"S":
            return self._text(self.take(1))
        if marker == b"[":
            return self._array(depth)
        if marker == b"{":
            return self._object(depth)
        raise self.error(f"has the unknown marker {marker!r}")

    def _number(self, marker: bytes) -> Any:
        dtype = np.dtype(NUMBERS[marker])
        return np.frombuffer(self.take(dtype.itemsize), dtype)[0].item()

    def _length(self, marker: bytes) -> int:
        if marker not in NUMBERS or marker in b"dD":
            raise self.error("has a length that is no whole number")
        return int(self._number(marker))

    def _text(self, marker: bytes) -> str:
        try:
            return self.take(self._length(marker)).decode("utf-8")
        except UnicodeDecodeError as error:
            raise self.error("has a text that is not UTF-8") from error

    def _header(self) -> tuple[bytes, int | None]:
        """The type and the number of values of an array or object, if it says them."""
        kind, count = b"", None
        if self._content[self.at : self.at + 1] == b"$":
            self.at += 1
            kind = self.take(1)
        if self._content[self.at : self.at + 1] == b"#":
            self.at += 1
            count = self._length(self.take(1))
        if (kind and count is None) or (count is not None and count < 0):
            raise self.error("has a type without a length")
        if kind in CONSTANTS:  # values without a byte, so any number of them
            raise self.error("has an array of constants")
        return kind, count

    def _array(self, depth: int) -> Any:
        kind, count = self._header()
        if kind in NUMBERS and count is not None:
            dtype = np.dtype(NUMBERS[kind])
            numbers = np.frombuffer(self.take(count * dtype.itemsize), dtype)
            return numbers.astype(dtype.newbyteorder("="))
        values: list[Any] = []
        while count is None or len(values) < count:
            marker = kind or self.take(1)
            if count is None and marker == b"]":
                break
            values.append(self.value(marker, depth + 1))
        return values

    def _object(self, depth: int) -> dict[str, Any]:
        kind, count = self._header()
        values: dict[str, Any] = {}
        number = 0
        while count is None or number < count:
            marker = self.take(1)
            if count is None and marker == b"}":
                break
            name = self._text(marker)
            values[name] = self.value(kind or self.take(1), depth + 1)
            number += 1
        return values

"""MLIR bytecode with names of weights that depend on nothing but the file.

Apple's converter names the large constants of a program `resource_N`, by a hash that is another one
in each process. `with_stable_names` numbers them. In the bytecode, all names are in one section,
the string section, which is written behind the weights.

Source: https://mlir.llvm.org/docs/BytecodeFormat/
"""

from __future__ import annotations

import re

from pocketlens.errors import ConversionError

__all__ = ["with_stable_names"]

MAGIC = b"ML\xefR"
STRINGS = 0
"""The number of the string section."""

ALIGNED = 0x80
_HASHED = re.compile(rb"resource_\d+")


def with_stable_names(program: bytes) -> bytes:
    """The same program, whose large constants are `weight_0`, `weight_1` and so on.

    Raises:
        ConversionError: The bytecode is laid out in another way than this reads.
    """
    try:
        start, end, content = _string_section(program)
        names = _names(content)
    except (IndexError, ValueError) as error:
        raise _unknown() from error
    count = 0
    for index, name in enumerate(names):
        if _HASHED.fullmatch(name):
            names[index] = b"weight_%d" % count
            count += 1
    strings = b"".join(name + b"\0" for name in names)
    lengths = b"".join(_number(len(name) + 1) for name in reversed(names))
    section = _number(len(names)) + lengths + strings
    return program[:start] + bytes([STRINGS]) + _number(len(section)) + section + program[end:]


def _unknown() -> ConversionError:
    return ConversionError(
        "coreai-core writes its programs in another way than this version of Pocketlens expects; "
        "install the version of the extra: pip install '.[coreai]'"
    )


def _string_section(program: bytes) -> tuple[int, int, bytes]:
    """Where the string section begins and ends, and its content.

    Raises:
        ValueError: There is none; or behind it, where everything moves, something is aligned.
    """
    if not program.startswith(MAGIC):
        raise ValueError
    _, at = _read(program, len(MAGIC))
    at = program.index(b"\0", at) + 1
    found = None
    while at < len(program):
        start, kind = at, program[at]
        length, at = _read(program, at + 1)
        if kind & ALIGNED:
            alignment, at = _read(program, at)
            at = -(-at // alignment) * alignment
            if found is not None:
                raise ValueError
        if kind == STRINGS:
            found = start, at + length, program[at : at + length]
        at += length
    if found is None or at != len(program):
        raise ValueError
    return found


def _names(content: bytes) -> list[bytes]:
    """The strings of the section; their lengths are stored last one first."""
    count, at = _read(content, 0)
    lengths = []
    for _ in range(count):
        length, at = _read(content, at)
        lengths.append(length)
    names = []
    for length in reversed(lengths):
        if content[at + length - 1] != 0:
            raise ValueError
        names.append(content[at : at + length - 1])
        at += length
    if at != len(content):
        raise ValueError
    return names


def _read(data: bytes, at: int) -> tuple[int, int]:
    """A number of variable length, and where it ends: the zeros at the end of the first byte count
    the bytes that follow."""
    first = data[at]
    if first == 0:
        return int.from_bytes(data[at + 1 : at + 9], "little"), at + 9
    size = (first & -first).bit_length()
    return int.from_bytes(data[at : at + size], "little") >> size, at + size


def _number(value: int) -> bytes:
    """The inverse of `_read`."""
    for size in range(1, 9):
        if value < 1 << (7 * size):
            return ((value << size) | (1 << (size - 1))).to_bytes(size, "little")
    return b"\0" + value.to_bytes(8, "little")

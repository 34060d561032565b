"""WebAssembly from instructions that Python code composes: the few that the kernels need.

An instruction is a tuple: its name, its immediates (numbers, or the name of a local), and its
operands, which are instructions. So an unrolled kernel is a Python loop, and no assembler is
needed. The binary format: https://webassembly.github.io/spec/core/binary/
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

__all__ = ["Function", "Instruction", "module"]

Instruction: TypeAlias = tuple[Any, ...]

TYPES = {"i32": 0x7F, "f32": 0x7D, "v128": 0x7B}

# Loads and stores have one immediate: the offset in bytes.
MEMORY = {"i32.load": 0x28, "f32.load": 0x2A, "i32.store": 0x36, "f32.store": 0x38}
VECTOR_MEMORY = {
    "v128.load": 0x00,
    "v128.load32_splat": 0x09,
    "v128.store": 0x0B,
    "v128.load32_zero": 0x5C,
}
LANE_MEMORY = {"v128.load32_lane": 0x56}  # the offset and the lane
SHUFFLES = {"i8x16.shuffle": 0x0D}  # one immediate: the bytes of both operands to take

PLAIN = {
    "i32.eqz": 0x45,
    "i32.eq": 0x46,
    "i32.add": 0x6A,
    "i32.sub": 0x6B,
    "i32.mul": 0x6C,
    "i32.and": 0x71,
    "i32.shr_u": 0x76,
}
VECTOR = {
    "i32x4.splat": 0x11,
    "f32x4.splat": 0x13,
    "f32x4.ge": 0x46,
    "v128.and": 0x4E,
    "v128.or": 0x50,
    "v128.bitselect": 0x52,
    "f32x4.abs": 0xE0,
    "f32x4.add": 0xE4,
    "f32x4.sub": 0xE5,
    "f32x4.mul": 0xE6,
    "f32x4.pmin": 0xEA,
    "f32x4.pmax": 0xEB,
}
LOCALS = {"local.get": 0x20, "local.set": 0x21, "local.tee": 0x22}
BRANCHES = {"br": 0x0C, "br_if": 0x0D}
BLOCKS = {"block": 0x02, "loop": 0x03}
VOID, END, ELSE, IF, VECTOR_PREFIX = 0x40, 0x0B, 0x05, 0x04, 0xFD


@dataclass
class Function:
    """A function without a result, exported by its name.

    Args:
        name: The exported name.
        parameters: The type (`i32`, `f32` or `v128`) of each parameter, by name.
        locals: The type of each local variable, by name.
        body: The instructions.
    """

    name: str
    parameters: Mapping[str, str]
    locals: Mapping[str, str] = field(default_factory=dict)
    body: Sequence[Instruction] = ()

    def type(self) -> bytes:
        """Its entry in the section of types."""
        types = bytes(TYPES[each] for each in self.parameters.values())
        return b"\x60" + _vector(types, len(types)) + b"\x00"

    def code(self) -> bytes:
        """Its entry in the section of code."""
        declared = b"".join(b"\x01" + bytes([TYPES[each]]) for each in self.locals.values())
        places = {name: i for i, name in enumerate([*self.parameters, *self.locals])}
        body = b"".join(_encode(each, places, []) for each in self.body)
        return _sized(_vector(declared, len(self.locals)) + body + bytes([END]))


def module(functions: Sequence[Function]) -> bytes:
    """A module that imports the memory `env.memory` and exports the functions."""
    count = len(functions)
    memory = _name("env") + _name("memory") + b"\x02\x00" + _unsigned(0)
    exported = b"".join(
        _name(each.name) + b"\x00" + _unsigned(index) for index, each in enumerate(functions)
    )
    sections = {
        1: _vector(b"".join(each.type() for each in functions), count),
        2: _vector(memory, 1),
        3: _vector(b"".join(map(_unsigned, range(count))), count),
        7: _vector(exported, count),
        10: _vector(b"".join(each.code() for each in functions), count),
    }
    content = b"".join(bytes([number]) + _sized(data) for number, data in sections.items())
    return b"\0asm\x01\0\0\0" + content


def _encode(each: Instruction, places: Mapping[str, int], labels: list[str]) -> bytes:
    """One instruction after its operands; `labels` are those of the blocks around it."""
    name, *rest = each

    def operands(given: Sequence[Instruction]) -> bytes:
        return b"".join(_encode(one, places, labels) for one in given)

    if name in BLOCKS:
        label, *body = rest
        inner = b"".join(_encode(one, places, [label, *labels]) for one in body)
        return bytes([BLOCKS[name], VOID]) + inner + bytes([END])
    if name == "if":
        condition, yes, no = rest
        branches = [
            b"".join(_encode(one, places, ["", *labels]) for one in body) for body in (yes, no)
        ]
        start = operands([condition]) + bytes([IF, VOID])
        return start + branches[0] + bytes([ELSE]) + branches[1] + bytes([END])
    if name in BRANCHES:
        label, *given = rest
        return operands(given) + bytes([BRANCHES[name]]) + _unsigned(labels.index(label))
    if name in LOCALS:
        place, *given = rest
        return operands(given) + bytes([LOCALS[name]]) + _unsigned(places[place])
    if name == "i32.const":
        return b"\x41" + _signed(rest[0])
    if name == "f32.const":
        return b"\x43" + struct.pack("<f", rest[0])
    if name in MEMORY:
        offset, *given = rest
        return operands(given) + bytes([MEMORY[name], 2]) + _unsigned(offset)
    if name in VECTOR_MEMORY:
        offset, *given = rest
        # The second number is the alignment, 2**2 bytes: rows of images are not aligned to 16.
        return operands(given) + _vector_op(VECTOR_MEMORY[name]) + b"\x02" + _unsigned(offset)
    if name in LANE_MEMORY:
        offset, lane, *given = rest
        code = _vector_op(LANE_MEMORY[name]) + b"\x02" + _unsigned(offset)
        return operands(given) + code + bytes([lane])
    if name in SHUFFLES:
        taken, *given = rest
        return operands(given) + _vector_op(SHUFFLES[name]) + bytes(taken)
    if name in VECTOR:
        return operands(rest) + _vector_op(VECTOR[name])
    return operands(rest) + bytes([PLAIN[name]])


def _vector_op(code: int) -> bytes:
    return bytes([VECTOR_PREFIX]) + _unsigned(code)


def _unsigned(value: int) -> bytes:
    """LEB128."""
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])


def _signed(value: int) -> bytes:
    encoded = bytearray()
    while not -0x40 <= value < 0x40:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value & 0x7F])


def _vector(content: bytes, count: int) -> bytes:
    return _unsigned(count) + content


def _sized(content: bytes) -> bytes:
    return _unsigned(len(content)) + content


def _name(text: str) -> bytes:
    return _sized(text.encode())

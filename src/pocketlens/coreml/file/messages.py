"""Counts the messages in a serialized specification without parsing it.

The parser makes an object of each message, also of an empty one, which takes two bytes in the file.
Lists of integers and of strings become larger, too: an integer of one byte takes eight. They count
as the messages that take as much.
"""

from __future__ import annotations

import random
from typing import Any

from pocketlens.coreml.file.proto import generated, repeated

__all__ = ["MESSAGE_BYTES", "messages_in"]

MESSAGE_BYTES = 400
"""About what one message takes once it is parsed and read."""

INTEGER, STRING = 8 / MESSAGE_BYTES, 32 / MESSAGE_BYTES
"""What an integer and a string of a list take, in messages."""

FIXED = (1, 2, 6, 7, 15, 16)
"""The types double, float, fixed64, fixed32, sfixed32 and sfixed64: as large as in the file."""

FREE = 4 << 20
"""Files up to 4 MiB are not counted: they cannot have enough messages to matter."""

SMALL, SAMPLE = 256, 32
"""Of the messages below 256 bytes, one in 32 is looked into, chosen at random."""


def messages_in(data: bytes, most: int, root: Any = None) -> int:
    """About how many messages `data` has, or lists that take as much.

    Counting stops above `most`. `root` is the descriptor of the whole; None for a specification.
    """
    if len(data) <= FREE:
        return 0
    descriptor = root or generated("Model_pb2").Model.DESCRIPTOR
    fields: dict[str, tuple[dict[int, Any], dict[int, float]]] = {}
    choose = random.SystemRandom().random  # a file cannot know which messages are looked into
    count = 0.0
    stack = [(0, len(data), descriptor, 1)]
    while stack and count <= most:
        at, end, kind, weight = stack.pop()
        if kind.full_name not in fields:
            fields[kind.full_name] = _fields(kind)
        inner, lists = fields[kind.full_name]
        while at < end:
            key = data[at]
            at += 1
            if key > 127:
                key, at = _varint(data, at - 1, end)
            wire = key & 7
            if wire == 0:
                _, at = _varint(data, at, end)
                count += weight * lists.get(key >> 3, 0.0)
                continue
            if wire in (1, 5):
                at += 8 if wire == 1 else 4
                continue
            if wire != 2:
                break  # damaged: the parser says so
            if at < end and data[at] < 128:
                length = data[at]
                at += 1
            else:
                length, at = _varint(data, at, end)
            message = inner.get(key >> 3)
            if message is not None and at + length <= end:
                count += weight
                if length >= SMALL:
                    stack.append((at, at + length, message, weight))
                elif length and choose() * SAMPLE < 1:
                    stack.append((at, at + length, message, weight * SAMPLE))
                if count > most:
                    break
            elif message is None and (cost := lists.get(key >> 3)):
                count += weight * cost * (length if cost == INTEGER else 1)
            at += length
    return int(count)


def _fields(kind: Any) -> tuple[dict[int, Any], dict[int, float]]:
    """The message types of a message's fields, and what its lists take for each element."""
    inner = {each.number: each.message_type for each in kind.fields if each.message_type}
    lists = {
        each.number: STRING if each.type in (each.TYPE_STRING, each.TYPE_BYTES) else INTEGER
        for each in kind.fields
        if repeated(each) and not each.message_type and each.type not in FIXED
    }
    return inner, lists


def _varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    """The number at a position, and the position after it."""
    result = shift = 0
    while at < end:
        byte = data[at]
        at += 1
        result |= (byte & 127) << shift
        if byte < 128:
            break
        shift += 7
    return result, at

"""Counts the messages in a serialized specification without parsing it.

The parser makes an object of each message, also of an empty one, which takes two bytes in the file.
"""

from __future__ import annotations

import random
from typing import Any

from pocketlens.coreml.file.proto import generated

__all__ = ["MESSAGE_BYTES", "messages_in"]

MESSAGE_BYTES = 400
"""About what one message takes once it is parsed and read."""

FREE = 4 << 20
"""Files up to 4 MiB are not counted: they cannot have enough messages to matter."""

SMALL, SAMPLE = 256, 32
"""Of the messages below 256 bytes, one in 32 is looked into, chosen at random."""


def messages_in(data: bytes, most: int) -> int:
    """About how many messages the specification `data` has; counting stops above `most`."""
    if len(data) <= FREE:
        return 0
    descriptor = generated("Model_pb2").Model.DESCRIPTOR
    fields: dict[str, dict[int, Any]] = {}
    choose = random.SystemRandom().random  # a file cannot know which messages are looked into
    count = 0.0
    stack = [(0, len(data), descriptor, 1)]
    while stack and count <= most:
        at, end, kind, weight = stack.pop()
        inner = fields.get(kind.full_name)
        if inner is None:
            inner = {each.number: each.message_type for each in kind.fields if each.message_type}
            fields[kind.full_name] = inner
        while at < end:
            key = data[at]
            at += 1
            if key > 127:
                key, at = _varint(data, at - 1, end)
            wire = key & 7
            if wire == 0:
                _, at = _varint(data, at, end)
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
            at += length
    return int(count)


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

"""Seeded damage to a Core ML file. The result is still a valid protobuf message, so that readers
do not stop at the first byte."""

from __future__ import annotations

import json
import math
import random
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pocketlens.coreml.file.proto import generated

__all__ = ["damage_package", "damage_spec"]

WHOLE = [0, 1, 2, 3, 4, 5, 7, -1, -2, 63, 64, 128, 255, 1000, 65536]
EXTREME = [2**31 - 1, -(2**31), 2**32 - 1, 2**32, 2**40, 2**63 - 1, -(2**63), 2**64 - 1]
FRACTIONS = [0.0, -0.0, 1.0, -1.0, 0.5, 2.0, 1e38, -1e38, 1e-45, math.inf, -math.inf, math.nan]
WORDS = ["", "a", "x", "y", "main", "CoreML9", "val", "@model_path/weights/weight.bin", "é\n\0"]
MAX_BYTES = 1 << 20
"""No more damage is done to a message that is larger than this."""


def damage_spec(spec: Any, rng: random.Random) -> None:
    """Change one to four things in a specification message, in place."""
    for _ in range(rng.choice([1, 1, 1, 2, 2, 4])):
        messages = list(_messages(spec))
        words = [word for message in messages for word in _words(message)] + WORDS
        message = rng.choice(messages)
        kind = rng.random()
        if kind < 0.06:
            _graft(messages, rng)
        elif kind < 0.09:
            _nest(messages, rng)
        elif kind < 0.13:
            _set_new(message, words, rng)
        else:
            _change(message, words, rng)
        if spec.ByteSize() > MAX_BYTES:
            return


def _messages(message: Any) -> Iterator[Any]:
    """A message and all messages inside it."""
    yield message
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        if _is_map(field):
            if field.message_type.fields_by_name["value"].message_type is not None:
                for key in sorted(value):
                    yield from _messages(value[key])
        elif field.is_repeated:
            for each in value:
                yield from _messages(each)
        else:
            yield from _messages(value)


def _words(message: Any) -> Iterator[str]:
    for field, value in message.ListFields():
        if field.type == field.TYPE_STRING:
            yield from value if field.is_repeated else [value]


def _is_map(field: Any) -> bool:
    return field.message_type is not None and bool(field.message_type.GetOptions().map_entry)


def _change(message: Any, words: list[str], rng: random.Random) -> None:
    """Change, remove, duplicate or move the content of one field that is set."""
    fields = message.ListFields()
    if not fields:
        _set_new(message, words, rng)
        return
    field, value = rng.choice(fields)
    if _is_map(field):
        _change_map(field, value, words, rng)
    elif field.is_repeated:
        _change_list(field, value, words, rng)
    elif field.message_type is not None:
        if rng.random() < 0.5:
            message.ClearField(field.name)
        else:
            _set_new(value, words, rng)
    else:
        setattr(message, field.name, _scalar(field, value, words, rng))


def _change_map(field: Any, value: Any, words: list[str], rng: random.Random) -> None:
    key = rng.choice(sorted(value))
    entry = field.message_type.fields_by_name
    new = _scalar(entry["key"], key, words, rng)
    content = value[key]
    if rng.random() < 0.7:  # rename or duplicate the entry
        if entry["value"].message_type is not None:
            copy = type(content)()
            copy.CopyFrom(content)
            value[new].CopyFrom(copy)
        else:
            value[new] = content
    if key != new and rng.random() < 0.7:
        del value[key]


def _change_list(field: Any, value: Any, words: list[str], rng: random.Random) -> None:
    at, other = rng.randrange(len(value)), rng.randrange(len(value))
    match rng.randrange(4):
        case 0:
            del value[at]
        case 1 if field.message_type is not None:
            value.add().CopyFrom(value[at])
        case 1:
            value.extend([value[at]] * rng.choice([1, 1, 3, 1000]))
        case 2 if field.message_type is not None:
            first = type(value[at])()
            first.CopyFrom(value[at])
            value[at].CopyFrom(value[other])
            value[other].CopyFrom(first)
        case 2:
            value[at], value[other] = value[other], value[at]
        case _ if field.message_type is not None:
            _change(value[at], words, rng)
        case _:
            value[at] = _scalar(field, value[at], words, rng)


def _set_new(message: Any, words: list[str], rng: random.Random) -> None:
    """Set any field of the message; this may also replace the content of a oneof."""
    fields = [field for field in message.DESCRIPTOR.fields if not _is_map(field)]
    if not fields:
        return
    field = rng.choice(fields)
    if field.message_type is not None:
        if field.is_repeated:
            getattr(message, field.name).add()
        else:
            getattr(message, field.name).SetInParent()
    elif field.is_repeated:
        getattr(message, field.name).append(_scalar(field, None, words, rng))
    else:
        setattr(message, field.name, _scalar(field, None, words, rng))


def _scalar(field: Any, old: Any, words: list[str], rng: random.Random) -> Any:
    match field.cpp_type:
        case field.CPPTYPE_STRING if field.type == field.TYPE_BYTES:
            return _bytes(old or b"", rng)
        case field.CPPTYPE_STRING:
            return rng.choice(words)
        case field.CPPTYPE_BOOL:
            return not old
        case field.CPPTYPE_DOUBLE:
            return rng.choice(FRACTIONS)
        case field.CPPTYPE_FLOAT:
            return rng.choice(FRACTIONS)
        case field.CPPTYPE_ENUM:
            numbers = [value.number for value in field.enum_type.values]
            return rng.choice([*numbers, 99])
    bits = 32 if field.cpp_type in (field.CPPTYPE_INT32, field.CPPTYPE_UINT32) else 64
    unsigned = field.cpp_type in (field.CPPTYPE_UINT32, field.CPPTYPE_UINT64)
    low, high = (0, 2**bits) if unsigned else (-(2 ** (bits - 1)), 2 ** (bits - 1))
    near = [] if old is None else [old - 1, old + 1, old * 2, -old]
    numbers = [*WHOLE, *near, *near] if rng.random() < 0.8 else EXTREME
    return rng.choice([number for number in numbers if low <= number < high])


def _bytes(data: bytes, rng: random.Random) -> bytes:
    match rng.randrange(4):
        case 0:
            return data[: rng.randrange(len(data) + 1)]
        case 1:
            return data + rng.randbytes(rng.choice([1, 2, 4, 100]))
        case 2:
            return rng.randbytes(len(data))
    changed = bytearray(data or b"\0")
    changed[rng.randrange(len(changed))] = rng.randrange(256)
    return bytes(changed)


def _graft(messages: list[Any], rng: random.Random) -> None:
    """Replace one message by a copy of another one of the same type."""
    first = rng.choice(messages)
    same_type = [each for each in messages if each.DESCRIPTOR is first.DESCRIPTOR]
    copy = type(first)()
    copy.CopyFrom(rng.choice(same_type))
    first.CopyFrom(copy)


def _nest(messages: list[Any], rng: random.Random) -> None:
    """Nest a message in itself, up to a hundred deep: blocks, pipelines, types, loops."""
    outer = rng.choice(messages)
    kind = outer.DESCRIPTOR.full_name
    inside = [
        each for each in _messages(outer) if each is not outer and each.DESCRIPTOR.full_name == kind
    ]
    if not inside:
        return
    hole = rng.choice(inside)
    copy = type(outer)()
    for _ in range(rng.choice([1, 4, 6])):  # doubles the depth each time
        copy.CopyFrom(outer)
        if copy.ByteSize() > MAX_BYTES // 2:
            return
        hole.CopyFrom(copy)
        deeper = [
            each
            for each in _messages(outer)
            if each is not outer and each.DESCRIPTOR.full_name == kind
        ]
        hole = deeper[-1]


def damage_package(package: Path, rng: random.Random) -> None:
    """Damage one part of a `.mlpackage`: its message, its weights or its manifest."""
    weights = sorted(package.glob("Data/*/weights/*"))
    part = rng.random()
    if part < 0.15:
        _damage_manifest(package, rng)
    elif part < 0.4 and weights:
        _damage_weights(weights[0], rng)
    elif part < 0.45:
        _damage_folder(package, rng)
    else:
        (message,) = package.glob("Data/*/*.mlmodel")
        spec = generated("Model_pb2").Model.FromString(message.read_bytes())
        damage_spec(spec, rng)
        message.write_bytes(spec.SerializeToString(deterministic=True))


def _damage_weights(path: Path, rng: random.Random) -> None:
    data = bytearray(path.read_bytes())
    headers = range(64, len(data) - 63, 64)  # blobs lie at multiples of 64 bytes
    blobs = [at for at in headers if data[at : at + 4] == b"\xef\xbe\xad\xde"]
    match rng.randrange(3):
        case 0:
            del data[rng.randrange(len(data) + 1) :]
        case 1:
            data[rng.randrange(64)] = rng.randrange(256)
        case _ if blobs:
            form, at = rng.choice([("<I", 0), ("<I", 4), ("<Q", 8), ("<Q", 16), ("<Q", 24)])
            bound = 2 ** (8 * struct.calcsize(form))
            number = rng.choice([n for n in WHOLE + EXTREME if 0 <= n < bound])
            struct.pack_into(form, data, rng.choice(blobs) + at, number)
    path.write_bytes(data)


def _damage_manifest(package: Path, rng: random.Random) -> None:
    path = package / "Manifest.json"
    if rng.random() < 0.3:
        path.write_bytes(_bytes(path.read_bytes(), rng))
        return
    manifest = json.loads(path.read_text())
    items = manifest["itemInfoEntries"]
    # Sort by path: the keys are random and differ each time a sample is written.
    item = rng.choice(sorted(items.values(), key=lambda each: each["path"]))
    paths = ["../../outside", "/etc/passwd", "a/../../outside", "com.apple.CoreML", "", ".", "\0"]
    strange = [None, 3, [], {}, "x", "[" * 50]
    match rng.randrange(5):
        case 0:
            item["path"] = rng.choice(paths)
        case 1:
            item[rng.choice(sorted(item))] = rng.choice(strange)
        case 2:
            manifest[rng.choice(sorted(manifest))] = rng.choice(strange)
        case 3:
            manifest["rootModelIdentifier"] = rng.choice([*items, "x", 1, None])
        case _:
            items[rng.choice(["x", ""])] = rng.choice(strange)
    path.write_text(json.dumps(manifest))


def _damage_folder(package: Path, rng: random.Random) -> None:
    """Make a file missing, empty, a folder, or a symbolic link: out of the package, to itself, to
    nothing."""
    path = rng.choice(sorted(each for each in package.rglob("*") if each.is_file()))
    outside = package.parent / "outside"
    outside.write_bytes(path.read_bytes())
    path.unlink()
    match rng.randrange(5):
        case 0:
            path.touch()
        case 1:
            path.mkdir()
        case 2:
            path.symlink_to(rng.choice([outside, path, package / "nothing", "/dev/zero"]))
        case 3:
            path.parent.rename(package.parent / "moved")
            path.parent.symlink_to(package.parent / "moved")

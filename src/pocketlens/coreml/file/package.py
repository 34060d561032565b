"""`.mlmodel` and `.mlpackage` on disk -> the specification message and the weights.

Files are untrusted. Everything is checked before it is used: sizes before reading, the manifest's
paths before opening, a blob's header before its bytes. Weights are memory-mapped.
"""

from __future__ import annotations

import json
import math
import mmap
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketlens.coreml.file.budget import Budget, charge
from pocketlens.coreml.file.messages import MESSAGE_BYTES, messages_in
from pocketlens.coreml.file.opening import exists, open_regular, read_regular
from pocketlens.coreml.file.proto import generated
from pocketlens.errors import ModelFileError, UnsupportedModelError
from pocketlens.files import size_on_disk

__all__ = [
    "BLOB_TYPES",
    "BLOB_VERSION",
    "HEADER_BYTES",
    "MAX_SPECIFICATION",
    "METADATA_BYTES",
    "SENTINEL",
    "ModelFile",
    "open_model",
    "unpack",
]

MAX_SPECIFICATION = 10
"""The newest supported specification version: iOS 26, Core ML 9."""

MAX_MESSAGE_BYTES = 2**31 - 1  # protobuf's own limit
MAX_MANIFEST_BYTES = 1 << 20
CHUNK = 1 << 20  # a multiple of 8: elements that are unpacked at a time

HEADER_BYTES = 64
METADATA_BYTES = 64
SENTINEL = 0xDEADBEEF
BLOB_VERSION = 2

# MILBlob's BlobDataType -> name, bits, the NumPy type of one element.
BLOB_TYPES: dict[int, tuple[str, int, Any]] = {
    1: ("float16", 16, np.float16),
    2: ("float32", 32, np.float32),
    3: ("uint8", 8, np.uint8),
    4: ("int8", 8, np.int8),
    6: ("int16", 16, np.int16),
    7: ("uint16", 16, np.uint16),
    8: ("int4", 4, np.int8),
    9: ("uint1", 1, np.uint8),
    10: ("uint2", 2, np.uint8),
    11: ("uint4", 4, np.uint8),
    12: ("uint3", 3, np.uint8),
    13: ("uint6", 6, np.uint8),
    14: ("int32", 32, np.int32),
    15: ("uint32", 32, np.uint32),
}


class ModelFile:
    """An open Core ML file whose basic structure has been checked.

    Attributes:
        path: The file or folder, as the caller passed it.
        spec: The specification, a `CoreML.Specification.Model` message.
        folder: Where `@model_path` points: the folder of the specification.
        size: Bytes on disk, all files of a package together.
        time_limit: How many seconds one run may take; None for no limit.
        budget: The memory that the model may need, stages of a pipeline included.
    """

    def __init__(
        self,
        path: Path,
        spec: Any,
        folder: Path,
        size: int,
        time_limit: float | None,
        budget: Budget,
    ) -> None:
        self.path = path
        self.spec = spec
        self.folder = folder
        self.size = size
        self.time_limit = time_limit
        self.budget = budget
        self._maps: dict[str, mmap.mmap] = {}

    def part(self, spec: Any, name: str) -> ModelFile:
        """A stage of this pipeline, called `name` in messages; it shares the weights files."""
        path = Path(f"{self.path} › {name}")
        inner = ModelFile(path, spec, self.folder, self.size, self.time_limit, self.budget)
        inner._maps = self._maps
        return inner

    def blob(self, file_name: str, offset: int, kind: str, shape: tuple[int, ...]) -> NDArray[Any]:
        """One weight of a blob file (MILBlob storage, version 2), read-only, of shape `shape`.

        Args:
            file_name: As in the model, such as `@model_path/weights/weight.bin`.
            offset: Where the weight's 64-byte header starts, in bytes from the file's start.
            kind: The element type that the model declares, such as `float16` or `uint4`.
            shape: The shape that the model declares.

        Raises:
            ModelFileError: The file is missing or outside the package, the offset or size is
                outside the file, the header is damaged, or type or size are not the declared ones.
            UnsupportedModelError: The element type is unknown.
        """
        data = self._map(file_name)
        where = f"{self.path}: the weight at byte {offset} of {file_name}"
        if offset < HEADER_BYTES or offset + METADATA_BYTES > len(data):
            raise ModelFileError(
                f"{where} is outside the file of {len(data)} bytes; "
                "the package is damaged or incomplete: export or download it again"
            )
        sentinel, code, size, start, padding = struct.unpack_from("<IIQQQ", data, offset)
        if sentinel != SENTINEL:
            raise ModelFileError(
                f"{where} has no weight header: expected 0x{SENTINEL:08X}, "
                f"received 0x{sentinel:08X}; the package is damaged: export or download it again"
            )
        if code not in BLOB_TYPES:
            raise UnsupportedModelError(
                f"{where} has element type number {code}; expected one of "
                + ", ".join(name for name, _, _ in BLOB_TYPES.values())
            )
        name, bits, dtype = BLOB_TYPES[code]
        if name != kind:
            raise ModelFileError(f"{where} contains {name}; the model declares {kind}")
        count = math.prod(shape)
        expected = (count * bits + 7) // 8
        if size != expected:
            raise ModelFileError(
                f"{where} has {size} bytes; expected {expected} for {kind} of shape {shape}"
            )
        if start < HEADER_BYTES or start + size > len(data):
            raise ModelFileError(
                f"{where} has its {size} bytes at byte {start}, which is outside the file of "
                f"{len(data)} bytes; the package is damaged or incomplete: "
                "export or download it again"
            )
        what = f"the weight at byte {offset} of {file_name}"
        if bits >= 8:
            charge(size, what)
            return np.frombuffer(data, dtype, count, start).reshape(shape)
        if padding >= 8:
            raise ModelFileError(f"{where} has {padding} padding bits; expected fewer than 8")
        charge(count, what)
        return unpack(np.frombuffer(data, np.uint8, size, start), bits, count, kind).reshape(shape)

    def _map(self, file_name: str) -> mmap.mmap:
        if file_name not in self._maps:
            prefix = "@model_path/"
            if not file_name.startswith(prefix):
                raise ModelFileError(
                    f"{self.path}: the weights file is {file_name!r}; "
                    f"expected a name that begins with {prefix}"
                )
            path = _inside(self.folder, file_name.removeprefix(prefix), self.path)
            stream, size = open_regular(path, self.path)
            with stream:
                if size < HEADER_BYTES:
                    raise ModelFileError(
                        f"{self.path}: the weights file {path.name} has {size} bytes; "
                        f"expected at least a header of {HEADER_BYTES}"
                    )
                try:
                    data = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
                except (OSError, ValueError) as error:
                    raise ModelFileError(
                        f"{self.path}: {path.name} cannot be read: {error}"
                    ) from error
            (version,) = struct.unpack_from("<I", data, 4)
            if version != BLOB_VERSION:
                raise ModelFileError(
                    f"{self.path}: the weights file {path.name} has version {version}; "
                    f"expected {BLOB_VERSION}"
                )
            self._maps[file_name] = data
        return self._maps[file_name]


def unpack(data: NDArray[np.uint8], bits: int, count: int, kind: str) -> NDArray[Any]:
    """Unpack elements of fewer than 8 bits, stored from the lowest bit up, to one byte each.

    Args:
        data: The packed bytes.
        bits: Bits per element, 1 to 8.
        count: How many elements.
        kind: The element type's name; `int4` is signed, all others are unsigned.
    """
    values = np.empty(count, np.uint8)
    for first in range(0, count, CHUNK):  # single bits take eight times as much memory
        part = values[first : first + CHUNK]
        packed = data[first * bits // 8 :]
        if bits == 4:  # the common case; unpacking to single bits is slower
            packed = packed[: (part.size + 1) // 2]
            part[:] = np.stack([packed & 15, packed >> 4], -1).reshape(-1)[: part.size]
            continue
        flat = np.unpackbits(packed, bitorder="little", count=part.size * bits)
        rows = flat.reshape(part.size, bits) << np.arange(bits, dtype=np.uint8)
        part[:] = rows.sum(-1, dtype=np.uint8)
    if kind == "int4":
        values ^= 8
        signed = values.view(np.int8)
        signed -= 8
        return signed
    return values


def open_model(
    path: str | os.PathLike[str],
    *,
    time_limit: float | None = None,
    max_memory: int | None = None,
) -> ModelFile:
    """Open a Core ML file: `.mlmodel`, or a `.mlpackage` folder.

    Args:
        path: The file or folder.
        time_limit: How many seconds one run of the model may take; None for no limit.
        max_memory: How many bytes it may need; None for the default, see `Budget`.

    Raises:
        ModelFileError: The file does not exist, is empty or truncated, is not a Core ML file, or
            is unsafe.
        UnsupportedModelError: A compiled model (`.mlmodelc`), or a specification newer than
            `MAX_SPECIFICATION`.
    """
    path = Path(path)
    if not exists(path, path):
        raise ModelFileError(
            f"{path} does not exist; expected a Core ML file (.mlpackage or .mlmodel)"
        )
    if path.suffix.lower() == ".aimodel":
        raise UnsupportedModelError(
            f"{path} is a Core AI model; a Core ML file is expected here: convert its source with "
            "--format mlpackage"
        )
    if path.is_dir():
        message, size = _specification_of(path)
    else:
        message, size = path, None
    budget = Budget(max_memory)
    data = read_regular(message, path, MAX_MESSAGE_BYTES)
    most = budget.limit // MESSAGE_BYTES
    needed = len(data) + MESSAGE_BYTES * messages_in(data, most)
    budget.charge(needed, f"{path}: its specification of {len(data)} bytes")
    spec = _parse(data, message, path)
    size = len(data) if size is None else size
    return ModelFile(path, spec, message.resolve().parent, size, time_limit, budget)


def _parse(data: bytes, message: Path, path: Path) -> Any:
    size = len(data)
    what = str(path) if message == path else f"{path}: {message.name}"
    if size == 0:
        raise ModelFileError(f"{what} is empty; expected a Core ML model")
    if data[:4] == b"PK\x03\x04":
        raise ModelFileError(f"{what} is a zip archive; unpack it and pass the .mlpackage inside")
    from google.protobuf.message import DecodeError

    try:
        spec = generated("Model_pb2").Model.FromString(data)
    except DecodeError as error:
        raise ModelFileError(
            f"{what} is not a Core ML model, or it is truncated ({size} bytes); "
            "export or download it again"
        ) from error
    kind = spec.WhichOneof("Type")
    if spec.specificationVersion < 1 or kind is None:
        raise ModelFileError(
            f"{what} is not a complete Core ML model ({size} bytes): it contains "
            f"{'no model' if kind is None else 'no specification version'}; "
            "export or download it again"
        )
    if spec.specificationVersion > MAX_SPECIFICATION:
        raise UnsupportedModelError(
            f"{what} has specification version {spec.specificationVersion}; "
            f"the newest supported version is {MAX_SPECIFICATION} (iOS 26)"
        )
    return spec


def _specification_of(package: Path) -> tuple[Path, int]:
    """The specification inside a `.mlpackage`, found by its manifest, and the package's size."""
    if package.suffix == ".mlmodelc" or (package / "coremldata.bin").exists():
        raise UnsupportedModelError(
            f"{package} is a compiled model (.mlmodelc), which only Apple's systems can read; "
            "pass the .mlpackage or .mlmodel it was compiled from"
        )
    root = package.resolve()
    manifest = _inside(root, "Manifest.json", package)
    if not exists(manifest, package):
        raise ModelFileError(
            f"{package} is a folder without Manifest.json; expected a .mlpackage or .mlmodel"
        )
    try:
        content = json.loads(read_regular(manifest, package, MAX_MANIFEST_BYTES))
    except (ValueError, RecursionError) as error:
        raise ModelFileError(
            f"{package}: Manifest.json is not JSON ({error}); export or download the package again"
        ) from error
    return _root_item(content, root, package), size_on_disk(root)


def _root_item(content: Any, root: Path, package: Path) -> Path:
    items = content.get("itemInfoEntries") if isinstance(content, dict) else None
    if not isinstance(items, dict) or not items:
        raise ModelFileError(f"{package}: Manifest.json lists no items (itemInfoEntries)")
    paths: dict[str, Path] = {}
    for key, item in items.items():
        relative = item.get("path") if isinstance(item, dict) else None
        if not isinstance(relative, str) or not relative:
            raise ModelFileError(f"{package}: Manifest.json has no path for its item {key!r}")
        paths[key] = _inside(root, f"Data/{relative}", package)
        if not exists(paths[key], package):
            raise ModelFileError(
                f"{package}: Data/{relative} is listed in Manifest.json but missing; "
                "copy or download the whole package again"
            )
    key = content.get("rootModelIdentifier")
    if not isinstance(key, str) or key not in paths:
        raise ModelFileError(
            f"{package}: the root model in Manifest.json is {key!r}; "
            "expected one of the items that it lists"
        )
    return paths[key]


def _inside(folder: Path, relative: str, package: Path) -> Path:
    """`folder/relative`.

    Raises:
        ModelFileError: The path could lead out of `folder`, or has a symbolic link in it.
    """
    parts = relative.split("/")
    if (
        relative.startswith("/")
        or any(part in ("", ".", "..") for part in parts)
        or any(char in relative for char in "\\:\0")
    ):
        raise ModelFileError(
            f"{package}: the path {relative!r} leads out of the package; "
            "expected a plain relative path"
        )
    path = folder
    for part in parts:
        path = path / part
        if _is_link(path):
            raise ModelFileError(
                f"{package}: {path.relative_to(folder)} is a symbolic link; "
                "expected a file or folder"
            )
    return path


def _is_link(path: Path) -> bool:
    try:
        return path.is_symlink()
    except OSError:  # such as a name that is too long: opening it says so
        return False

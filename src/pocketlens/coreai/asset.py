"""`.aimodel` folders on disk: checked before anything in them is used.

A model is a folder with `main.mlirb` (the program with its weights, MLIR bytecode), `main.hash`
(the SHA-256 of that file) and `metadata.json`. Apple's reader checks none of them.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pocketlens.errors import CoreAIError, OptionError, printable
from pocketlens.files import read_limited
from pocketlens.image import INPUT_SPEC_KEY, InputSpec
from pocketlens.prediction import THRESHOLDS_KEY, Thresholds, class_name_errors

__all__ = [
    "HASH",
    "IMAGE_INPUT",
    "LABELS_KEY",
    "METADATA",
    "PROBABILITIES_OUTPUT",
    "PROGRAM",
    "SUFFIX",
    "VERSION_KEY",
    "Asset",
    "Metadata",
    "open_asset",
]

SUFFIX = ".aimodel"
PROGRAM = "main.mlirb"
HASH = "main.hash"
METADATA = "metadata.json"

IMAGE_INPUT = "image"
"""The input of an image classifier: pixels `(1, H, W, C)` uint8, gray or RGB."""

PROBABILITIES_OUTPUT = "probabilities"
"""Its output, `(1, K)`."""

LABELS_KEY = "org.pocketlens.labels"
"""The key, in the custom metadata, of the class names, as JSON: Core AI has no place for them."""

VERSION_KEY = "org.pocketlens.version"

MAX_METADATA_BYTES = 16 << 20
MAX_FILES = 1000
AGAIN = "convert or download it again"


@dataclass(frozen=True)
class Metadata:
    """The texts of a model.

    Args:
        author: Who created it.
        license: Its license.
        description: What it does.
        producer: The program that wrote it, such as `coreai-core 1.0.0b3`.
        custom: Further values by key.
    """

    author: str = ""
    license: str = ""
    description: str = ""
    producer: str = ""
    custom: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Asset:
    """An `.aimodel` folder whose structure has been checked.

    Args:
        path: The folder, as the caller passed it.
        size: Bytes of all its files.
        metadata: What `metadata.json` says.
        version: The version of the folder's format; empty if it does not say it.
        labels: The class names of a classifier; else empty.
        input_spec: How an image becomes the input; None if the file does not say it.
        thresholds: When a label is shown; None if the file does not say it.
    """

    path: Path
    size: int
    metadata: Metadata
    version: str = ""
    labels: tuple[str, ...] = ()
    input_spec: InputSpec | None = None
    thresholds: Thresholds | None = None


def open_asset(path: str | os.PathLike[str], *, max_memory: int) -> Asset:
    """Check an `.aimodel` folder and read its metadata; the program is not read.

    Args:
        path: The folder.
        max_memory: The largest program in bytes.

    Raises:
        CoreAIError: It does not exist or is incomplete; a file is damaged, too large or a link; the
            hash does not fit; or the metadata are not what Pocketlens writes under its keys.
    """
    path = Path(path)
    size = _checked_size(path)
    program = path / PROGRAM
    if program.stat().st_size > max_memory:
        raise CoreAIError(
            f"{path}: {PROGRAM} has {program.stat().st_size} bytes; the limit is {max_memory}; if "
            f"you trust the file, raise it: load(path, max_memory={4 * program.stat().st_size})"
        )
    _check_hash(path)
    found = _read_metadata(path)
    custom = found["custom"]
    metadata = Metadata(
        author=found["author"],
        license=found["license"],
        description=found["description"],
        producer=found["producer"],
        custom=custom,
    )
    try:
        labels = _labels(custom)
        spec = InputSpec.from_json(text) if (text := _text(custom, INPUT_SPEC_KEY)) else None
        limits = Thresholds.from_json(text) if (text := _text(custom, THRESHOLDS_KEY)) else None
    except OptionError as error:
        raise CoreAIError(f"{path}: {METADATA} cannot be used: {error}; {AGAIN}") from error
    return Asset(path, size, metadata, found["assetVersion"], labels, spec, limits)


def _checked_size(path: Path) -> int:
    """The bytes of all files in the folder; none of them may be a link, a pipe or a device."""
    try:
        if not path.is_dir():
            what = "is not a folder" if path.exists() else "does not exist"
            raise CoreAIError(f"{path} {what}; expected a Core AI model (a folder {SUFFIX})")
        size, count = 0, 0
        for place, folders, names in os.walk(path, onerror=_raise):
            for name in (*folders, *names):
                file = Path(place) / name
                status = file.lstat()
                count += 1
                if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
                    kind = "a link" if stat.S_ISLNK(status.st_mode) else "not a regular file"
                    raise CoreAIError(
                        f"{path}: {printable(str(file.relative_to(path)))} is {kind}; expected "
                        "regular files; copy the model with its files (cp -RL) if you trust it"
                    )
                if count > MAX_FILES:
                    raise CoreAIError(
                        f"{path} has more than {MAX_FILES} files; expected {PROGRAM}, {HASH} and "
                        f"{METADATA}"
                    )
                size += status.st_size if stat.S_ISREG(status.st_mode) else 0
        for name in (PROGRAM, HASH):
            if not (path / name).is_file():
                raise CoreAIError(
                    f"{path} has no {name}, so it is not a complete Core AI model; {AGAIN}"
                )
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise CoreAIError(f"{path} cannot be read: {reason}; check its permissions") from error
    return size


def _raise(error: OSError) -> None:
    raise error


def _check_hash(path: Path) -> None:
    try:
        wanted = read_limited(path / HASH, 64, follow=False)
        with (path / PROGRAM).open("rb") as file:
            found = hashlib.file_digest(file, "sha256").digest()
    except OSError as error:
        reason = error.strerror or error
        raise CoreAIError(f"{path} cannot be read: {reason}; {AGAIN}") from error
    if wanted != found:
        raise CoreAIError(
            f"{path} is damaged: {HASH} does not fit {PROGRAM} (SHA-256 {found.hex()[:16]}…, "
            f"expected {wanted.hex()[:16]}…); {AGAIN}"
        )


def _read_metadata(path: Path) -> dict[str, Any]:
    """The fields of `metadata.json`: texts by name, and `custom`; Core AI can do without it."""
    found: Any = {}
    if (path / METADATA).is_file():
        try:
            text = read_limited(path / METADATA, MAX_METADATA_BYTES, follow=False)
            found = json.loads(text)
        except (OSError, ValueError, RecursionError) as error:
            reason = getattr(error, "strerror", None) or "it is not JSON"
            raise CoreAIError(f"{path}: {METADATA} cannot be read: {reason}; {AGAIN}") from error
    if not isinstance(found, dict):
        raise CoreAIError(f"{path}: {METADATA} is not a JSON object; {AGAIN}")
    texts = {
        name: _text(found, name)
        for name in ("author", "license", "description", "producer", "assetVersion")
    }
    custom = found.get("creatorDefinedMetadata")
    return texts | {"custom": custom if isinstance(custom, dict) else {}}


def _text(values: dict[str, Any], name: str) -> str:
    value = values.get(name, "")
    return value if isinstance(value, str) else ""


def _labels(custom: dict[str, Any]) -> tuple[str, ...]:
    text = _text(custom, LABELS_KEY)
    if not text:
        return ()
    try:
        labels = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise OptionError(f"{LABELS_KEY} is not JSON") from error
    if not isinstance(labels, list) or not labels:
        raise OptionError(f"{LABELS_KEY} must be a list of class names")
    if errors := class_name_errors(labels):
        raise OptionError(f"{LABELS_KEY}: {errors[0]}")
    return tuple(labels)

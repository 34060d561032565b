"""Teachable Machine's exports: the class names, and how an image becomes the input."""

from __future__ import annotations

import json
import re
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pocketlens.archives import opened_zip
from pocketlens.conversion.keras_legacy.stored import MAX_CONFIG_BYTES, MAX_WEIGHT_BYTES
from pocketlens.conversion.labels import MAX_LABELS_BYTES, read_labels
from pocketlens.errors import ConversionError, printable
from pocketlens.files import read_limited, size_text

__all__ = ["BIAS", "KERAS_MODEL", "SCALE", "TFJS_MODEL", "labels_beside", "unpacked"]

SCALE, BIAS = 1 / 127.5, -1.0
"""Teachable Machine scales pixels from 0 to 255 to numbers from -1 to 1."""

KERAS_MODEL, LABELS = "keras_model.h5", "labels.txt"
TFJS_MODEL, METADATA = "model.json", "metadata.json"

_NUMBERED = re.compile(r"(\d+) +(.*)")


def labels_beside(model: Path) -> tuple[str, ...] | None:
    """The class names in the file beside a model of Teachable Machine; None if it is none.

    Raises:
        ConversionError: The file is damaged.
        OptionError: The names cannot be used.
    """
    if model.name == TFJS_MODEL:
        return _of_metadata(model.with_name(METADATA))
    path = model.with_name(LABELS)
    if model.name != KERAS_MODEL or not path.is_file():
        return None
    lines = read_limited(path, MAX_LABELS_BYTES).decode("utf-8-sig", "replace").splitlines()
    lines = [line.strip() for line in lines if line.strip()]
    found = [_NUMBERED.fullmatch(line) for line in lines]
    numbers = [int(each[1]) if each else None for each in found]
    if numbers != list(range(len(lines))):
        return read_labels(path)
    return read_labels([each[2].strip() for each in found if each])


def _of_metadata(path: Path) -> tuple[str, ...] | None:
    if not path.is_file():
        return None
    try:
        content = json.loads(read_limited(path, MAX_CONFIG_BYTES))
        labels = content.get("labels") or content.get("wordLabels")
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise ConversionError(
            f"{path} is not the metadata of a model: {printable(str(error))[:200]}; export the "
            "model again"
        ) from error
    return None if labels is None else read_labels([str(each) for each in labels])


@contextmanager
def unpacked(path: Path) -> Iterator[Path]:
    """The model inside a folder or a zip archive of Teachable Machine.

    Within: the path of `keras_model.h5` or of `model.json`, with the other files beside it.

    Raises:
        ConversionError: There is no such file, or the archive is damaged or too large.
    """
    if path.is_dir():
        for name in (KERAS_MODEL, TFJS_MODEL):
            if (path / name).is_file():
                yield path / name
                return
    with tempfile.TemporaryDirectory() as folder:
        yield _extracted(path, Path(folder))


def _extracted(path: Path, folder: Path) -> Path:
    try:
        with opened_zip(path) as archive:
            members = {Path(each.filename).name: each for each in archive.infolist()}
            model = next((name for name in (KERAS_MODEL, TFJS_MODEL) if name in members), None)
            if model is None:
                raise ConversionError(
                    f"{path} has neither {KERAS_MODEL} nor {TFJS_MODEL}; expected an export of "
                    "Teachable Machine; for another model, unpack the archive and convert its file"
                )
            wanted = {
                name: each
                for name, each in members.items()
                if name in (KERAS_MODEL, LABELS, TFJS_MODEL, METADATA) or name.endswith(".bin")
            }
            size = sum(each.file_size for each in wanted.values())
            if size > MAX_WEIGHT_BYTES:
                raise ConversionError(
                    f"{path} has {size_text(size)} when unpacked; expected at most "
                    f"{size_text(MAX_WEIGHT_BYTES)}"
                )
            for name, each in wanted.items():
                (folder / name).write_bytes(archive.read(each))
    except (zipfile.BadZipFile, OSError) as error:
        raise ConversionError(
            f"{path} cannot be read as a zip archive: {printable(str(error))[:200]}; download it "
            "again"
        ) from error
    return folder / model

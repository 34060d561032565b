"""A Git LFS pointer or a web page in place of a file is called what it is, in each reader."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pocketlens.conversion import read_labels
from pocketlens.coreml import load
from pocketlens.data.idx import read_idx
from pocketlens.errors import PocketlensError, instead_of_file
from pocketlens.image import open_image

POINTER = (
    b"version https://git-lfs.github.com/spec/v1\n"
    b"oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\n"
    b"size 12345\n"
)
PAGE = b"\n<!DOCTYPE html>\n<html><head><title>GitHub</title></head><body>...</body></html>" * 9


def core_ml(path: Path) -> Any:
    return load(path)


def weights(path: Path) -> Any:
    from pocketlens.recognizer import Recognizer

    return Recognizer.load(path)


def checkpoint(path: Path) -> Any:
    from pocketlens.training.checkpoint import Checkpoint

    return Checkpoint.read(path)


def keras(path: Path) -> Any:
    from pocketlens.conversion import load_keras

    return load_keras(path)


OPENERS: dict[str, Callable[[Path], Any]] = {
    "model.mlmodel": core_ml,
    "weights.safetensors": weights,
    "checkpoint.safetensors": checkpoint,
    "model.keras": keras,
    "labels.txt": read_labels,
    "photo.jpg": open_image,
    "train-images-idx3-ubyte.gz": lambda path: read_idx(path, dimensions=3, limit=10**6),
}


@pytest.mark.parametrize("name", OPENERS)
@pytest.mark.parametrize(
    ("content", "text"),
    [(POINTER, "is a Git LFS pointer, .*: git lfs pull"), (PAGE, "is a web page, not the file")],
    ids=["pointer", "page"],
)
def test_it_is_called_what_it_is(name: str, content: bytes, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(PocketlensError, match=f"{name} {text}"):
        OPENERS[name](tmp_path / name)


@pytest.mark.parametrize("part", ["model.mlmodel", "weights/weight.bin"])
def test_it_is_found_inside_a_package(part: str, tmp_path: Path, bars_run: Path) -> None:
    package = tmp_path / "Digits.mlpackage"
    shutil.copytree(bars_run / "Bars.mlpackage", package)
    (package / "Data" / "com.apple.CoreML" / part).write_bytes(POINTER)
    name = part.rpartition("/")[2]
    with pytest.raises(PocketlensError, match=f"{package.name}: {name} is a Git LFS pointer"):
        load(package)


def test_other_files_are_not() -> None:
    for start in (
        b"",
        b"cat\ndog\n",
        b"version 2\n",
        b"\x89PNG",
        b"<?xml version='1.0'?>",
        b"<svg>",
    ):
        assert instead_of_file(start) is None
    assert instead_of_file(b"\xef\xbb\xbf  <HTML lang='en'>")

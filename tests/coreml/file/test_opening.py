"""A file of a model may be unreadable, or may not be a file: one error, and no waiting."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pocketlens.coreml import inspect, load
from pocketlens.coreml.file.opening import open_regular, read_regular
from pocketlens.errors import ModelFileError

PARTS = (
    "Manifest.json", "Data/com.apple.CoreML/model.mlmodel",
    "Data/com.apple.CoreML/weights/weight.bin",
)  # fmt: skip


@pytest.fixture
def package(files: Any, tmp_path: Path) -> Path:
    """A package with a weights file."""
    w = np.ones((2, 2), np.float32)
    spec = files.program_spec("add", {"x": w}, {}, [("float32", (2, 2))])
    operation = spec.mlProgram.functions["main"].block_specializations["CoreML6"].operations[0]
    value = operation.inputs["y"].arguments.add().value
    value.type.CopyFrom(files.type_message("float32", (2, 2)))
    value.blobFileValue.fileName = "@model_path/weights/weight.bin"
    value.blobFileValue.offset = 64
    path: Path = files.write_package(
        tmp_path / "m.mlpackage", spec, files.blob_file(("float32", w))[0]
    )
    assert load(path).run({"x": w})["y0"].tolist() == [[2, 2], [2, 2]]
    return path


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


needs_pipes = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes here")


@needs_pipes
@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize(("replace", "found"), [(pipe, "a pipe"), (folder, "a folder")])
def test_not_a_file(replace: Callable[[Path], None], found: str, part: str, package: Path) -> None:
    replace(package / part)
    with pytest.raises(ModelFileError, match=f"{Path(part).name} is {found}; expected a file"):
        load(package)


@needs_pipes
@pytest.mark.parametrize("part", ["", *PARTS])
@pytest.mark.parametrize("command", ["inspect", "predict", "evaluate"])
def test_commands_do_not_wait_for_a_pipe(command: str, part: str, package: Path) -> None:
    path = package / part if part else package.with_suffix(".mlmodel")
    pipe(path) if part else os.mkfifo(path)
    given = [str(package if part else path)]
    if command == "predict":
        given.append("photo.jpg")
    if command == "evaluate":
        given += ["--data", "strokes"]
    found = subprocess.run(
        [sys.executable, "-c", "from pocketlens.cli import main; main()", command, *given],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    if command == "inspect" and part == PARTS[2]:  # it does not read the weights
        assert found.returncode == 0, found.stderr
        return
    assert found.returncode == 2
    assert "is a pipe; expected a file" in found.stderr
    assert found.stderr.count("\n") == 1


def test_a_device() -> None:
    with pytest.raises(ModelFileError, match="null is a device; expected a file"):
        load(os.devnull)


@pytest.mark.parametrize("part", PARTS)
def test_unreadable(part: str, package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As root may read everything, the system's answer is replaced."""
    real = os.open

    def refuse(path: Any, *rest: Any, **named: Any) -> int:
        if Path(path) == package.resolve() / part:
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(path, *rest, **named)

    monkeypatch.setattr(os, "open", refuse)
    name = Path(part).name
    with pytest.raises(ModelFileError, match=f"{name} cannot be opened: Permission denied; check"):
        load(package)


def test_names_that_are_too_long(package: Path) -> None:
    manifest = package / "Manifest.json"
    text = manifest.read_text(encoding="utf-8").replace("model.mlmodel", "m" * 300)
    manifest.write_text(text, encoding="utf-8")
    with pytest.raises(ModelFileError, match="cannot be opened: File name too long"):
        load(package)
    for path in ("m" * 300 + ".mlmodel", "a\0b.mlmodel"):
        with pytest.raises(ModelFileError, match="cannot be opened"):
            inspect(path)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"itemInfoEntries":' + '{"a":' * 50_000, "{"])
def test_deeply_nested_manifest(text: str, package: Path) -> None:
    (package / "Manifest.json").write_text(text, encoding="utf-8")
    with pytest.raises(ModelFileError, match=r"Manifest\.json is not JSON"):
        load(package)


def test_content_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"12345")
    assert read_regular(path, path, 5) == b"12345"
    with pytest.raises(ModelFileError, match="a has 5 bytes; expected at most 4"):
        read_regular(path, path, 4)
    stream, size = open_regular(path, path)
    stream.close()
    assert size == 5

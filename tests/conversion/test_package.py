"""Core ML files are written completely or not at all, and never over another output."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from pocketlens.conversion.package import check_target, write_model
from pocketlens.coreml.file.proto import generated
from pocketlens.errors import OutputError, OutputExistsError

FORMATS = ("mlpackage", "mlmodel")


@pytest.fixture
def message() -> Any:
    model = generated("Model_pb2").Model()
    model.specificationVersion = 7
    for key in "dcba":
        model.description.metadata.userDefined[key] = key * 3
    return model


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    file = tmp_path / "source.bin"
    file.write_bytes(bytes(range(256)))
    return file


def content(path: Path) -> dict[str, bytes]:
    files = [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]
    return {str(file.relative_to(path)): file.read_bytes() for file in files}


def test_a_package_contains_what_its_manifest_lists(
    tmp_path: Path, message: Any, weights: Path
) -> None:
    path = tmp_path / "new" / "Digits.mlpackage"
    write_model(message, weights, path, force=False)
    assert content(path).keys() == {
        "Manifest.json",
        "Data/com.apple.CoreML/model.mlmodel",
        "Data/com.apple.CoreML/weights/weight.bin",
    }
    assert content(path)["Data/com.apple.CoreML/weights/weight.bin"] == weights.read_bytes()
    manifest = json.loads((path / "Manifest.json").read_text())
    assert manifest["fileFormatVersion"] == "1.0.0"
    items = manifest["itemInfoEntries"]
    assert {item["path"] for item in items.values()} == {
        "com.apple.CoreML/model.mlmodel",
        "com.apple.CoreML/weights",
    }
    root = items[manifest["rootModelIdentifier"]]
    assert (root["name"], root["author"]) == ("model.mlmodel", "com.apple.CoreML")


def test_a_package_without_weights(tmp_path: Path, message: Any) -> None:
    path = tmp_path / "Small.mlpackage"
    write_model(message, None, path, force=False)
    assert len(json.loads((path / "Manifest.json").read_text())["itemInfoEntries"]) == 1
    assert not (path / "Data/com.apple.CoreML/weights").exists()


def test_an_mlmodel_file_is_the_message(tmp_path: Path, message: Any) -> None:
    path = tmp_path / "Digits.mlmodel"
    write_model(message, None, path, force=False)
    assert generated("Model_pb2").Model.FromString(path.read_bytes()) == message


@pytest.mark.parametrize("kind", FORMATS)
def test_equal_content_gives_equal_bytes(
    kind: str, tmp_path: Path, message: Any, weights: Path
) -> None:
    paths = [tmp_path / f"{n}.{kind}" for n in range(2)]
    for path in paths:
        write_model(message, weights, path, force=False)
    assert content(paths[0]) == content(paths[1])


def test_other_weights_give_another_identifier(tmp_path: Path, message: Any, weights: Path) -> None:
    write_model(message, weights, tmp_path / "a.mlpackage", force=False)
    weights.write_bytes(b"other")
    write_model(message, weights, tmp_path / "b.mlpackage", force=False)
    first, second = (content(tmp_path / f"{name}.mlpackage")["Manifest.json"] for name in "ab")
    assert first != second


@pytest.mark.parametrize("kind", FORMATS)
def test_an_existing_output_is_replaced_with_force_only(
    kind: str, tmp_path: Path, message: Any, weights: Path
) -> None:
    path = tmp_path / "out" / f"Digits.{kind}"
    write_model(message, weights, path, force=False)
    before = content(path)
    message.specificationVersion = 8
    with pytest.raises(OutputExistsError, match=rf"Digits\.{kind} exists; .* pass --force"):
        write_model(message, weights, path, force=False)
    assert content(path) == before
    write_model(message, weights, path, force=True)
    assert content(path) != before
    assert list(path.parent.iterdir()) == [path]


def test_a_folder_that_is_not_a_package_is_never_replaced(tmp_path: Path) -> None:
    photos = tmp_path / "photos.mlpackage"
    photos.mkdir()
    check_target(photos, force=True)  # an empty folder may be replaced
    (photos / "holiday.jpg").write_bytes(b"photo")
    with pytest.raises(
        OutputExistsError, match=r"a folder but not a Core ML package \(it has no M"
    ):
        check_target(photos, force=True)


def test_a_failed_write_leaves_no_files(
    tmp_path: Path, message: Any, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(source: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", full)
    folder = tmp_path / "out"
    with pytest.raises(OutputError, match=r"cannot be written: No space left on device; "):
        write_model(message, weights, folder / "m.mlpackage", force=False)
    assert list(folder.iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="Windows raises another error")
def test_a_parent_that_is_a_file_is_an_error(tmp_path: Path, message: Any) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"m\.mlmodel cannot be written: .*choose another"):
        write_model(message, None, tmp_path / "file" / "m.mlmodel", force=False)

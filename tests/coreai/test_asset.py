"""`open_asset`: an `.aimodel` folder is checked before anything reads its program."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

import pocketlens
from coreai_assets import custom, written
from pocketlens.coreai import open_asset
from pocketlens.errors import CoreAIError, UnsupportedModelError
from pocketlens.image import InputSpec
from pocketlens.prediction import Thresholds


def test_what_a_folder_says(tmp_path: Path) -> None:
    spec, limits = InputSpec(4, 5, "gray", (1.0,), (0.0,)), Thresholds(0.9, 0.8)
    path = written(
        tmp_path,
        {
            "author": "Ä",
            "license": "MIT",
            "description": "d",
            "producer": "p 1",
            "assetVersion": "2.0",
            **custom(
                labels='["ü", "b"]', input=spec.to_json(), thresholds=limits.to_json(), more=[1]
            ),
        },
    )
    asset = open_asset(path, max_memory=1000)
    assert (asset.labels, asset.input_spec, asset.thresholds) == (("ü", "b"), spec, limits)
    assert asset.metadata.author == "Ä"
    assert asset.metadata.producer == "p 1"
    assert asset.metadata.custom["org.pocketlens.more"] == [1]
    assert asset.version == "2.0"
    assert asset.size == sum(each.stat().st_size for each in path.iterdir())
    bare = open_asset(written(tmp_path, name="bare.aimodel"), max_memory=1000)
    assert (bare.labels, bare.input_spec, bare.thresholds) == ((), None, None)


def linked(path: Path) -> None:
    (path / "main.mlirb").rename(path.parent / "outside")
    (path / "main.mlirb").symlink_to(path.parent / "outside")


def linked_folder(path: Path) -> None:
    (path / "more").symlink_to(path.parent)


def many(path: Path) -> None:
    for number in range(1001):
        (path / f"{number}").touch()


def bad_metadata(text: str) -> Callable[[Path], object]:
    return lambda path: (path / "metadata.json").write_text(text, encoding="utf-8")


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "no program": (lambda p: (p / "main.mlirb").unlink(), "has no main.mlirb, so it is not"),
    "no hash": (lambda p: (p / "main.hash").unlink(), "has no main.hash, so it is not a complete"),
    "another hash": (lambda p: (p / "main.hash").write_bytes(b"0" * 32), "is damaged: main.hash"),
    "a longer hash": (lambda p: (p / "main.hash").write_bytes(b"0" * 99), "cannot be read: it has"),
    "a truncated program": (lambda p: os.truncate(p / "main.mlirb", 3), "is damaged: main.hash"),
    "a linked program": (linked, "main.mlirb is a link; expected regular files"),
    "a linked folder": (linked_folder, "more is a link; expected regular files"),
    "a pipe": (lambda p: os.mkfifo(p / "pipe"), "pipe is not a regular file"),
    "many files": (many, "has more than 1000 files"),
    "metadata that are not JSON": (bad_metadata("{"), "metadata.json cannot be read: it is not"),
    "nested metadata": (bad_metadata("[" * 99999), "metadata.json cannot be read"),
    "a list as metadata": (bad_metadata("[1]"), "metadata.json is not a JSON object"),
    "a wrong InputSpec": (bad_metadata(json.dumps(custom(input="{}"))), "cannot be used"),
    "wrong thresholds": (bad_metadata(json.dumps(custom(thresholds="7"))), "cannot be used"),
    "labels that are not JSON": (bad_metadata(json.dumps(custom(labels="["))), "is not JSON"),
    "a number as labels": (bad_metadata(json.dumps(custom(labels="7"))), "list of class names"),
    "the same labels": (bad_metadata(json.dumps(custom(labels='["a","a"]'))), "is the same as"),
}


@pytest.mark.parametrize("name", BAD)
def test_damaged_and_unsafe_folders_are_refused(name: str, tmp_path: Path) -> None:
    spoil, message = BAD[name]
    path = written(tmp_path, {"author": ""})
    spoil(path)
    with pytest.raises(CoreAIError, match=message) as raised:
        open_asset(path, max_memory=1000)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_other_paths_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CoreAIError, match="does not exist; expected a Core AI model"):
        open_asset(tmp_path / "none.aimodel", max_memory=1000)
    (tmp_path / "file.aimodel").write_bytes(b"x")
    with pytest.raises(CoreAIError, match="is not a folder; expected a Core AI model"):
        open_asset(tmp_path / "file.aimodel", max_memory=1000)
    with pytest.raises(CoreAIError, match=r"has 14 bytes; the limit is 12; .*max_memory=56\)"):
        open_asset(written(tmp_path), max_memory=12)


def test_what_needs_core_ml_says_so(tmp_path: Path) -> None:
    path = written(tmp_path)
    with pytest.raises(UnsupportedModelError, match="is a Core AI model; a Core ML file is exp"):
        pocketlens.export_onnx(path, tmp_path / "m.onnx")

"""MNIST from the data folder: checked at every load; nothing is written if it is complete."""

from __future__ import annotations

import gzip
import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pocketlens.data import load_data, resolve
from pocketlens.data.idx_loading import missing_files
from pocketlens.data.idx_sets import SETS
from pocketlens.errors import DataError, DataNotFoundError
from pocketlens.locations import data_folder

Save = Callable[[dict[str, bytes]], Path]
IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


def test_both_splits_load(tiny_mnist: dict[str, bytes], save: Save) -> None:
    folder = save(tiny_mnist)
    train, test = (load_data("mnist", split=split, folder=folder) for split in ("train", "test"))
    assert (train.images.shape, test.images.shape) == ((40, 28, 28, 1), (20, 28, 28, 1))
    assert train.classes == tuple("0123456789")
    assert train.labels.tolist() == [*range(10)] * 4
    assert train.images.tobytes() == tiny_mnist[IMAGES][16:]
    assert (train.name, test.name) == ("mnist/train", "mnist/test")


def test_files_without_gzip_load(tiny_mnist: dict[str, bytes], tmp_path: Path) -> None:
    for name, content in tiny_mnist.items():
        (tmp_path / "mnist").mkdir(exist_ok=True)
        (tmp_path / "mnist" / name).write_bytes(content)
    assert len(load_data("mnist", folder=tmp_path)) == 40


def test_environment_variable_sets_the_folder(
    tiny_mnist: dict[str, bytes], save: Save, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POCKETLENS_DATA", str(save(tiny_mnist)))
    assert len(load_data("mnist")) == 40
    assert resolve("auto").name == "mnist"


def test_default_folder_is_in_the_users_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POCKETLENS_DATA", "")
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere/cache")
    assert data_folder().name == "pocketlens"
    assert data_folder().is_absolute()
    assert data_folder("~/mine") == Path.home() / "mine"


def test_read_only_folder_is_not_written_to(tiny_mnist: dict[str, bytes], save: Save) -> None:
    folder = save(tiny_mnist)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    (folder / "mnist").chmod(0o555)
    try:
        load_data("auto", folder=folder)
    finally:
        (folder / "mnist").chmod(0o755)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_offline_error_lists_folder_files_and_command(
    tiny_mnist: dict[str, bytes], tmp_path: Path
) -> None:
    with pytest.raises(DataNotFoundError) as caught:
        load_data("mnist", folder=tmp_path / "none")
    message = str(caught.value)
    assert str(tmp_path / "none" / "mnist") in message
    for name in tiny_mnist:
        assert f"{name}.gz" in message
    assert "pocketlens data download mnist" in message
    assert "POCKETLENS_DATA" in message
    assert not (tmp_path / "none").exists()


def test_one_split_needs_only_its_own_files(tiny_mnist: dict[str, bytes], save: Save) -> None:
    folder = save({name: tiny_mnist[name] for name in (IMAGES, LABELS)})
    assert len(load_data("mnist", folder=folder)) == 40
    with pytest.raises(DataNotFoundError, match="missing t10k-images-idx3-ubyte"):
        load_data("mnist", split="test", folder=folder)


def wrong_value(content: bytes) -> bytes:
    return content[:-1] + bytes([content[-1] ^ 1])


def one_less(content: bytes) -> bytes:
    return content[:7] + bytes([content[7] - 1]) + content[8:-1]


DAMAGED = [
    (IMAGES, wrong_value, "is not the published train-images-idx3-ubyte: its sha256 is "),
    (LABELS, wrong_value, "is not the published train-labels-idx1-ubyte: its sha256 is "),
    (LABELS, one_less, "has 40 images but "),
    (IMAGES, lambda content: content[:-5], "is truncated"),
    (IMAGES, lambda content: b"", "is empty"),
    (LABELS, lambda content: b"\0\0\x08\x03" + content[4:], "starts with 00000803"),
]


@pytest.mark.parametrize(("name", "damage", "message"), DAMAGED)
@pytest.mark.parametrize("source", ["mnist", "auto"])
def test_damaged_file_is_an_error_even_for_auto(
    tiny_mnist: dict[str, bytes],
    save: Save,
    name: str,
    damage: Callable[[bytes], bytes],
    message: str,
    source: str,
) -> None:
    folder = save({**tiny_mnist, name: damage(tiny_mnist[name])})
    with pytest.raises(DataError, match=re.escape(message)) as caught:
        load_data(source, folder=folder)
    assert name in str(caught.value)
    assert "download it again with: pocketlens data download mnist" in str(caught.value)


REAL = Path(os.environ.get("POCKETLENS_DATA") or "none")


@pytest.mark.skipif(bool(missing_files("mnist", REAL)), reason="real MNIST is not on this computer")
def test_real_mnist() -> None:
    train, test = load_data("mnist"), load_data("mnist", split="test")
    # Class counts as published with the data set.
    assert list(train.counts.values()) == [
        5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949,
    ]  # fmt: skip
    assert list(test.counts.values()) == [
        980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009,
    ]  # fmt: skip
    assert train.labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert test.labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    # The mean of all training pixels, 0.1307, is a constant that many scripts use.
    assert np.mean(train.images) / 255 == pytest.approx(0.1307, abs=5e-5)


def test_published_checksums_are_of_the_decompressed_bytes(tmp_path: Path) -> None:
    file, place = SETS["mnist"].test[1], REAL / "mnist"
    if file.find(place) is None:
        pytest.skip("real MNIST is not on this computer")
    path = file.find(place)
    assert path is not None
    content = path.read_bytes()
    again = tmp_path / "again.gz"
    again.write_bytes(gzip.compress(gzip.decompress(content), compresslevel=1))
    assert again.read_bytes() != content
    file.check(again)

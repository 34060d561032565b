"""The other published IDX sets: each is downloaded, checked and read as its publisher stores it."""

from __future__ import annotations

import gzip
import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pocketlens.data import download_data, load_data
from pocketlens.data.idx_sets import SETS
from pocketlens.errors import DataError, DataNotFoundError

Tiny = Callable[[str], dict[str, bytes]]
OTHERS = [name for name in SETS if name != "mnist"]


def published(contents: dict[str, bytes]) -> dict[str, bytes]:
    """The `.gz` files; those without a time are bit-identical to the ones that are checked."""
    return {f"{name}.gz": gzip.compress(text, mtime=0) for name, text in contents.items()}


def archived(files: dict[str, bytes], folder: str = "gzip/") -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in files.items():
            archive.writestr(folder + name, content)
    return packed.getvalue()


@pytest.mark.parametrize("name", OTHERS)
def test_a_set_is_downloaded_and_read(
    name: str, tiny_set: Tiny, serve: Callable[..., Any], set_mirrors: Any, tmp_path: Path
) -> None:
    contents = tiny_set(name)
    names = [name]
    if SETS[name].archive:  # one archive has both sets
        names = ["emnist-digits", "emnist-letters"]
        contents = {key: value for each in names for key, value in tiny_set(each).items()}
    files = published(contents)
    if archive := SETS[name].archive:
        site = serve(files={f"/{archive}": archived(files)})
    else:
        site = serve(files={f"/{key}": value for key, value in files.items()})
    set_mirrors(site.url, *names)
    for each in names:
        assert download_data(each, folder=tmp_path) == tmp_path / SETS[name].folder
        train, test = (load_data(each, split=s, folder=tmp_path) for s in ("train", "test"))
        assert (len(train), len(test)) == (40, 20)
        assert train.classes == SETS[each].classes
        assert train.labels.tolist() == [n % len(train.classes) for n in range(40)]
        stored = np.frombuffer(contents[SETS[each].train[0].name][16:], np.uint8)
        stored = stored.reshape(-1, 28, 28)
        expected = stored.transpose(0, 2, 1) if name.startswith("emnist") else stored
        assert (train.images[..., 0] == expected).all()
    assert sorted(p.name for p in (tmp_path / SETS[name].folder).iterdir()) == sorted(files)
    assert len(site.requests) == (1 if SETS[name].archive else 4)


BAD_ARCHIVES: dict[str, Callable[[dict[str, bytes]], bytes]] = {
    "is not the published archive": lambda files: b"PK\x03\x04 cut off",
    "has no usable emnist-digits-train-images": lambda files: archived({}),
    "is not the published emnist-digits-train": lambda files: archived(
        {name: content + b"!" for name, content in files.items()}
    ),
    "has no usable emnist-digits-train-labels": lambda files: archived(
        {name: content + bytes(100_000) * ("labels" in name) for name, content in files.items()}
    ),
}


@pytest.mark.parametrize("message", BAD_ARCHIVES)
def test_a_bad_archive_leaves_nothing_behind(
    message: str, tiny_set: Tiny, serve: Callable[..., Any], set_mirrors: Any, tmp_path: Path
) -> None:
    names = ("emnist-digits", "emnist-letters")
    files = published({key: value for each in names for key, value in tiny_set(each).items()})
    site = serve(files={"/gzip.zip": BAD_ARCHIVES[message](files)})
    set_mirrors(site.url, *names)
    with pytest.raises(DataNotFoundError, match=message) as caught:
        load_data("emnist-digits", folder=tmp_path)
    assert "download it with: pocketlens data download emnist-digits" in str(caught.value)
    left = tmp_path / "emnist"
    assert all(path.name in files for path in left.iterdir()) if left.exists() else True


def test_a_changed_gzip_file_is_refused_before_it_is_decompressed(
    tiny_set: Tiny, tmp_path: Path
) -> None:
    folder = tmp_path / "kmnist"
    folder.mkdir()
    for name, content in published(tiny_set("kmnist")).items():
        (folder / name).write_bytes(content)
    assert len(load_data("kmnist", folder=tmp_path)) == 40
    # The same content, compressed again, is not the published file.
    path = folder / "train-labels-idx1-ubyte.gz"
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()), 1, mtime=0))
    with pytest.raises(DataError, match=r"its sha256 is .*\(of the \.gz file\); download it again"):
        load_data("kmnist", folder=tmp_path)


def test_the_published_sizes_and_classes() -> None:
    """Class counts of the publications: 10 clothes, 10 hiragana, 10 digits, 26 letters."""
    assert [len(SETS[name].classes) for name in OTHERS] == [10, 10, 10, 26]
    assert SETS["fashion-mnist"].classes[9] == "Ankle boot"
    assert (SETS["kmnist"].classes[0], SETS["emnist-letters"].classes[0]) == ("お", "A")
    assert {file.size for file in SETS["emnist-letters"].train} == {16 + 124_800 * 784, 124_808}

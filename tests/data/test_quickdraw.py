"""`quickdraw`: local files first, then as much of Google's bitmaps as is needed; from anyone."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pocketlens.data import quickdraw, quickdraw_files
from pocketlens.data.loading import download_data, load_data
from pocketlens.data.quickdraw_files import (
    LONGEST_LINE,
    MOST_POINTS,
    read_bitmaps,
    read_strokes,
    render_strokes,
)
from pocketlens.errors import DataError, DataNotFoundError

SHARED = Path(os.environ.get("POCKETLENS_DATA", "nowhere")) / "quickdraw"
Serve = Callable[..., Any]


def bitmaps(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 784), dtype=np.uint8)


def npy(values: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, values, allow_pickle=True)
    return file.getvalue()


def line(word: str = "cat", drawing: object = ([[0, 100], [0, 100]],)) -> str:
    return json.dumps({"word": word, "recognized": True, "drawing": drawing})


@pytest.fixture
def place(tmp_path: Path) -> Path:
    folder = tmp_path / "quickdraw"
    folder.mkdir()
    return folder


@pytest.fixture
def site(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A server with 300 apples and 25 ice creams."""
    found = serve(
        files={"/apple.npy": npy(bitmaps(300)), "/ice%20cream.npy": npy(bitmaps(25, seed=1))}
    )
    monkeypatch.setattr(quickdraw, "MIRRORS", (found.url,))
    return found


def test_only_as_much_as_needed_is_downloaded_and_later_continued(
    site: Any, tmp_path: Path
) -> None:
    source, place = "quickdraw:apple,ice cream@100", tmp_path / "quickdraw"
    assert download_data(source, folder=tmp_path) == place
    needed = 128 + 100 * 784
    names = ("/apple.npy", "/ice%20cream.npy")
    assert site.requests == [(name, f"bytes=0-{needed - 1}") for name in names]
    # The ice creams are complete: they have their final name.
    assert sorted(file.name for file in place.iterdir()) == ["apple.npy.part", "ice cream.npy"]
    assert (place / "apple.npy.part").stat().st_size == needed
    train, test = (load_data(source, split=s, folder=tmp_path) for s in ("train", "test"))
    assert train.classes == ("apple", "ice cream")
    assert (train.counts, test.counts) == (
        {"apple": 90, "ice cream": 23},
        {"apple": 10, "ice cream": 2},
    )
    apples = bitmaps(300).reshape(-1, 28, 28)
    np.testing.assert_array_equal(test.images[:10, ..., 0], apples[9:100:10])
    np.testing.assert_array_equal(train.images[:9, ..., 0], apples[:9])
    assert len(site.requests) == 2
    more = load_data("quickdraw:apple,ice cream@200", split="test", folder=tmp_path)
    assert site.requests[2:] == [("/apple.npy", f"bytes={needed}-{128 + 200 * 784 - 1}")]
    np.testing.assert_array_equal(more.images[:20, ..., 0], apples[9:200:10])
    # The test images of fewer drawings are among those of more.
    assert (more.images[:10] == test.images[:10]).all()
    load_data("quickdraw:apple,ice cream@400", folder=tmp_path)
    assert sorted(file.name for file in place.iterdir()) == ["apple.npy", "ice cream.npy"]
    assert (place / "apple.npy").read_bytes() == site.files["/apple.npy"]


@pytest.mark.parametrize("ranges", [True, False])
def test_a_server_without_ranges_and_a_cut_transfer(
    ranges: bool, site: Any, tmp_path: Path
) -> None:
    site.ranges = ranges
    site.cut = {"/apple.npy": 30_000}
    data = load_data("quickdraw:apple,ice cream@60", split="test", folder=tmp_path)
    expected = bitmaps(300).reshape(-1, 28, 28)[9:60:10]
    np.testing.assert_array_equal(data.images[:6, ..., 0], expected)
    part = tmp_path / "quickdraw" / "apple.npy.part"
    assert part.stat().st_size == 128 + 60 * 784


def test_the_checksum_that_the_server_sends_is_checked(site: Any, tmp_path: Path) -> None:
    digest = hashlib.md5(site.files["/ice%20cream.npy"]).digest()
    right = f"crc32c=AAAAAA==,md5={base64.b64encode(digest).decode()}"
    site.headers = {"/ice%20cream.npy": {"x-goog-hash": right}}
    load_data("quickdraw:apple,ice cream@50", folder=tmp_path)
    file = tmp_path / "quickdraw" / "ice cream.npy"
    file.unlink()
    site.files["/ice%20cream.npy"] = npy(bitmaps(25, seed=2))
    with pytest.raises(DataNotFoundError, match="the md5 of the file is .*; expected: "):
        load_data("quickdraw:apple,ice cream@50", folder=tmp_path)
    assert [path.name for path in file.parent.iterdir()] == ["apple.npy.part"]


def test_what_cannot_be_downloaded_is_reported_with_the_next_command(
    site: Any, tmp_path: Path
) -> None:
    with pytest.raises(DataNotFoundError) as caught:
        load_data("quickdraw:apple,bee@50", folder=tmp_path)
    assert "no drawings of 'bee' in " in str(caught.value)
    assert "HTTP status 404" in str(caught.value)
    assert "pocketlens data download quickdraw:apple,bee@50; or put bee.npy or" in str(caught.value)


def test_local_files_come_first_in_every_form(site: Any, tmp_path: Path, place: Path) -> None:
    (place / "full_numpy_bitmap_ice cream.npy").write_bytes(npy(bitmaps(20)))
    (place / "bee.npy").write_bytes(npy(bitmaps(20, 1).reshape(20, 28, 28)))
    (place / "cat.ndjson").write_text("\n".join([line(), line("dog")] * 30))
    (place / "full_simplified_dog.ndjson").write_text((line("dog") + "\n\n") * 12)
    with zipfile.ZipFile(place / "bitmaps.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("sun.npy", npy(bitmaps(30)))
    (place / "sample.ndjson").write_text((line("train") + "\n" + line("key") + "\n") * 15)
    data = load_data("quickdraw:ice cream,bee,cat,dog,sun,train,key@20", folder=tmp_path)
    assert data.counts == {
        "ice cream": 18, "bee": 18, "cat": 18, "dog": 11, "sun": 18, "train": 14, "key": 14,
    }  # fmt: skip
    np.testing.assert_array_equal(
        data.images[data.labels == 1][0, ..., 0].ravel(), bitmaps(1, 1)[0]
    )
    assert site.requests == []


def test_strokes_look_like_googles_bitmaps() -> None:
    image = render_strokes([([0, 510], [0, 255]), ([0], [255])])
    assert image.shape == (28, 28)
    rows, columns = (np.flatnonzero(image.any(axis)) for axis in (1, 0))
    assert (columns[0], columns[-1]) == (1, 26)
    assert rows[-1] - rows[0] in (13, 14)
    # A line is 1.5 pixels wide.
    across = image[:, 10:18].sum(0) / 255 * np.cos(np.arctan(0.5))
    assert abs(across.mean() - 1.5) < 0.25
    assert render_strokes([([7, 7], [7, 7])]).any()  # a dot
    if (SHARED / "bitmaps.npz").exists():
        real = np.load(SHARED / "bitmaps.npz")["rainbow"]
        data = load_data("quickdraw:airplane,bee,train,rainbow", folder=SHARED.parent)
        drawn = data.images[data.labels < 3, ..., 0]
        extent = [(some > 0).any(axis).sum(1) for some in (real, drawn) for axis in (1, 2)]
        for wide, high in (extent[:2], extent[2:]):
            assert np.median(np.maximum(wide, high)) == 26


BAD_NPY: dict[str, bytes] = {
    "object values of shape": npy(np.array([[1, None]], dtype=object)),
    "float64 values of shape (3, 784)": npy(np.zeros((3, 784))),
    "uint8 values of shape (3, 28)": npy(np.zeros((3, 28), np.uint8)),
    "is not a .npy file that can be read": b"\x93NUMPY\x01\x00\x10\x00{'descr': (((((",
    "is not a .npy file": b"PK\x03\x04" + bytes(200),
    "is truncated: expected": npy(bitmaps(20))[:-100],
    "expected 7968": npy(bitmaps(10)) + b"!",
    "is a web page, not the file": b"<!DOCTYPE html><title>Sign in</title>" + b" " * 100,
    # Ten billion images: nothing is allocated for them.
    "is truncated": npy(bitmaps(20)).replace(b"(20, 784), }        ", b"(9999999999, 784), }"),
}


@pytest.mark.parametrize("message", BAD_NPY)
def test_bad_bitmaps(message: str, place: Path) -> None:
    (place / "cat.npy").write_bytes(BAD_NPY[message])
    with pytest.raises(DataError) as caught:
        read_bitmaps(place / "cat.npy", 50_000)
    assert message in str(caught.value)


BAD_LINES: dict[str, str] = {
    "line 2 of": '{"word": "cat", "drawing": [[[0, 1], [0, ',
    "is not JSON": "[" * 100_000,
    "expected an object with the keys word": "[1, 2]",
    "expected a list of 1 to 2,000 strokes": line(drawing=[]),
    "expected x and y of each stroke": line(drawing=[[[1]]]),
    "expected as many y as x": line(drawing=[[[1, 2], [1]]]),
    "received: nan": line(drawing=[[[float("nan")], [1]]]),
    "received: inf": '{"drawing": [[[1e999], [1]]]}',
    "received: 9999999999": line(drawing=[[[10**40 - 1], [1]]]),
    "received: True": line(drawing=[[[True], [1]]]),
    "expected at most 50,000 points": line(drawing=[[[0] * (MOST_POINTS + 1)] * 2]),
    "has more than 4,194,304 bytes": " " * (LONGEST_LINE + 10),
}


@pytest.mark.parametrize("message", BAD_LINES)
def test_bad_lines(message: str, place: Path) -> None:
    path = place / "cat.ndjson"
    path.write_text(f"{line()}\n{BAD_LINES[message]}\n")
    with pytest.raises(DataError, match="line 2 of .*cat.ndjson") as caught:
        read_strokes(path, "cat", 10)
    assert message in str(caught.value)
    assert len(read_strokes(path, "cat", 1)) == 1  # no more is read than is needed


def test_damaged_archives_and_too_few_drawings(
    site: Any, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quickdraw_files, "MOST_BYTES", 100_000)
    (place / "bitmaps.npz").write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(DataError, match=r"bitmaps.npz is not an .npz file that can be read"):
        load_data("quickdraw:cat,dog", folder=place.parent)
    with zipfile.ZipFile(place / "bitmaps.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("cat.npy", npy(bitmaps(5)))
        archive.writestr("dog.npy", bytes(100_001))
    with pytest.raises(DataError, match=r"or one of more than 100,000 bytes"):
        load_data("quickdraw:cat,dog", folder=place.parent)
    (place / "bitmaps.npz").unlink()
    (place / "cat.npy").write_bytes(npy(bitmaps(5)))
    with pytest.raises(DataError, match=r"cat.npy has 5 drawings of 'cat'; expected at least 10"):
        load_data("quickdraw:cat,apple@20", folder=place.parent)

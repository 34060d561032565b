"""Prepared images in the cache folder: kills, changed files, full disks, several processes."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from pocketlens.data import Dataset, large_arrays, load_data, prepared
from pocketlens.data.folder import read_folder
from pocketlens.errors import DataError, OutputError
from pocketlens.files import open_nofollow
from pocketlens.image import InputSpec, prepare
from pocketlens.locking import locked

SPEC = InputSpec(8, 8, "rgb")
EACH = 8 * 8 * 3
COUNT = 20


class Usage(NamedTuple):
    total: int
    used: int
    free: int


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder; already a few images are too large for the memory."""
    monkeypatch.setenv("POCKETLENS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(large_arrays, "IN_MEMORY", 0)
    monkeypatch.setattr(prepared, "IN_MEMORY", 0)
    monkeypatch.setattr(large_arrays, "BLOCK", 3 * EACH)
    return tmp_path / "cache"


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    random = np.random.default_rng(0)
    paths = [tmp_path / "set" / "ab"[number % 2] / f"{number}.png" for number in range(COUNT)]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (9, 11, 3), np.uint8)).save(path)
    return paths


def expected(files: list[Path]) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.stack([prepare(file, SPEC) for file in files])


class Count:
    """Counts the images that are decoded."""

    def __init__(self, stop: int = COUNT + 1) -> None:
        self.done = 0
        self.stop = stop

    def __call__(self, done: int, total: int) -> None:
        assert 0 < done <= total == COUNT
        if self.done == self.stop:
            raise KeyboardInterrupt
        self.done += 1


def stored(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.rglob("*") if path.is_file())


def test_large_sets_are_kept_in_a_file(cache: Path, files: list[Path]) -> None:
    count = Count()
    images, errors = prepared.prepare_files(files, SPEC, count)
    assert isinstance(images, np.memmap)
    assert (images == expected(files)).all()
    assert (errors, count.done) == ({}, COUNT)
    assert stored(cache) == ["images.u8"]
    again, _ = prepared.prepare_files(files, SPEC, count)
    assert (again == images).all()
    assert count.done == COUNT  # nothing was decoded again


def test_small_sets_stay_in_memory(tmp_path: Path, files: list[Path]) -> None:
    images, _ = prepared.prepare_files(files, SPEC)
    assert not isinstance(images, np.memmap)
    assert (images == expected(files)).all()
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("changed", ["content", "time", "input", "order", "version"])
def test_what_changes_the_images_makes_another_file(
    cache: Path, files: list[Path], monkeypatch: pytest.MonkeyPatch, changed: str
) -> None:
    prepared.prepare_files(files, SPEC)
    spec = SPEC
    if changed == "content":
        Image.new("RGB", (30, 31)).save(files[4])
    elif changed == "time":
        os.utime(files[4], ns=(1, 1))
    elif changed == "input":
        spec = SPEC.with_values(crop="fit")
    elif changed == "order":
        files = files[::-1]
    else:
        monkeypatch.setattr(prepared, "VERSION", prepared.VERSION + 1)
    count = Count()
    images, _ = prepared.prepare_files(files, spec, count)
    assert count.done == COUNT
    assert (images == np.stack([prepare(file, spec) for file in files])).all()
    assert stored(cache) == ["images.u8"] * 2


def test_after_an_interruption_only_the_rest_is_decoded(cache: Path, files: list[Path]) -> None:
    with pytest.raises(KeyboardInterrupt):
        prepared.prepare_files(files, SPEC, Count(stop=10))
    assert stored(cache) == ["images.u8.part", "journal.txt"]
    count = Count()
    images, _ = prepared.prepare_files(files, SPEC, count)
    assert count.done == COUNT - 9  # three blocks of three images were whole
    assert (images == expected(files)).all()
    assert stored(cache) == ["images.u8"]


@pytest.mark.parametrize("damage", ["part", "journal", "cut", "no journal", "size"])
def test_damaged_parts_are_decoded_again(cache: Path, files: list[Path], damage: str) -> None:
    with pytest.raises(KeyboardInterrupt):
        prepared.prepare_files(files, SPEC, Count(stop=10))
    part, journal = next(cache.rglob("*.part")), next(cache.rglob("journal.txt"))
    if damage == "part":
        content = bytearray(part.read_bytes())
        content[4 * EACH] ^= 1
        part.write_bytes(content)
    elif damage == "journal":
        journal.write_bytes(b"\xff\0 \n0 0 0\n3\n-1 x\n99 y\n")
    elif damage == "cut":
        journal.write_text(journal.read_text()[:-5])
    elif damage == "no journal":
        journal.unlink()
    else:
        part.write_bytes(part.read_bytes()[:-1])
    count = Count()
    images, _ = prepared.prepare_files(files, SPEC, count)
    assert count.done == COUNT - {"part": 6, "cut": 6}.get(damage, 0)
    assert (images == expected(files)).all()


def test_a_file_of_the_wrong_size_is_not_used(cache: Path, files: list[Path]) -> None:
    prepared.prepare_files(files, SPEC)
    next(cache.rglob("images.u8")).write_bytes(b"short")
    images, _ = prepared.prepare_files(files, SPEC)
    assert (images == expected(files)).all()


CODE = """
import sys
from pathlib import Path
from pocketlens.data import large_arrays, prepared
from pocketlens.image import InputSpec
prepared.IN_MEMORY, large_arrays.BLOCK = 0, 3 * 8 * 8 * 3
files = [Path(name) for name in sys.argv[2:]]
def decoded(done, total):
    print(done, flush=True)
    if sys.argv[1] == "wait" and done == 10:
        sys.stdin.read()
images, errors = prepared.prepare_files(files, InputSpec(8, 8, "rgb"), decoded)
print("sum", int(images.sum()), errors)
"""


def start(mode: str, files: list[Path]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", CODE, mode, *map(str, files)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_a_killed_process_loses_at_most_one_block(cache: Path, files: list[Path]) -> None:
    with start("wait", files) as killed:
        assert killed.stdout
        assert [killed.stdout.readline() for _ in range(10)][-1] == "10\n"
        killed.send_signal(signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
    count = Count()
    images, _ = prepared.prepare_files(files, SPEC, count)
    assert count.done == COUNT - 9
    assert (images == expected(files)).all()


def test_two_processes_prepare_the_same_images_once(cache: Path, files: list[Path]) -> None:
    with start("wait", files) as first:
        assert first.stdout
        assert [first.stdout.readline() for _ in range(10)][-1] == "10\n"
        with start("go", files) as second:
            time.sleep(0.2)  # so that it usually waits for the first one; both orders must work
            first.communicate(timeout=60)
            out, _ = second.communicate(timeout=60)
    assert out.splitlines() == [f"sum {int(expected(files).sum())} {{}}"]
    assert stored(cache) == ["images.u8"]


def test_files_that_cannot_be_read_are_tried_again(cache: Path, files: list[Path]) -> None:
    content = files[4].read_bytes()
    files[4].write_bytes(b"no image")
    images, errors = prepared.prepare_files(files, SPEC)
    assert list(errors) == [4]
    assert "unsupported image format" in errors[4]
    assert (images[5:] == expected(files[5:])).all()
    assert stored(cache) == ["images.u8.part", "journal.txt"]
    count = Count()
    assert list(prepared.prepare_files(files, SPEC, count)[1]) == [4]
    assert count.done == 3  # the block with this file
    files[4].write_bytes(content)
    assert (prepared.prepare_files(files, SPEC)[0] == expected(files)).all()


def test_a_file_that_changes_while_it_is_read_is_an_error(cache: Path, files: list[Path]) -> None:
    def change(done: int, _: int) -> None:
        if done == 5:
            os.utime(files[4], ns=(1, 1))

    with pytest.raises(DataError, match=r"4\.png was changed while .* run the same command again"):
        prepared.prepare_files(files, SPEC, change)
    images, _ = prepared.prepare_files(files, SPEC)
    assert (images == expected(files)).all()


def test_a_full_disk_is_noticed_first(
    cache: Path, files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10_000, 9_000, 1_000))
    count = Count()
    message = (
        r"the prepared images need 3\.8 KB in .*, which has only 1\.0 KB of free space; free some "
        r"disk space, set POCKETLENS_CACHE to a folder on another disk, or use a smaller input"
    )
    with pytest.raises(OutputError, match=message):
        prepared.prepare_files(files, SPEC, count)
    assert count.done == 0
    assert stored(cache) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_disk_that_fills_while_it_is_written(
    cache: Path, files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = open_nofollow

    def full(path: Path, mode: str = "rb") -> object:
        return Path("/dev/full").open("wb", buffering=0) if mode == "r+b" else opened(path, mode)

    monkeypatch.setattr(prepared, "open_nofollow", full)
    monkeypatch.setattr(prepared._Building, "_known", lambda *_: set())
    with pytest.raises(OutputError, match=r"need 3\.8 KB in .* cannot be written: No space left"):
        prepared.prepare_files(files, SPEC)
    monkeypatch.undo()


def test_the_oldest_make_room(
    cache: Path, files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepared, "MAX_BYTES", 2 * COUNT * EACH)
    monkeypatch.setattr(prepared, "VERSION", 0)
    prepared.prepare_files(files, SPEC)
    monkeypatch.setattr(prepared, "VERSION", 1)
    prepared.prepare_files(files[::-1], SPEC)
    old, middle = cache.glob("images-0/*"), cache.glob("images-1/*")
    places = [next(old), next(middle)]
    for number, place in enumerate(places):
        os.utime(place, (number, number))
    at_work = locked(places[0])
    with ThreadPoolExecutor(1) as other:
        other.submit(at_work.__enter__).result()
        os.utime(places[0], (0, 0))
        prepared.prepare_files([*files[1:], files[0]], SPEC)
        other.submit(at_work.__exit__, None, None, None).result()
    left = list(cache.glob("images-*/*"))
    assert places[0] in left
    assert places[1] not in left
    assert len(left) == 2


def test_a_cache_folder_that_cannot_be_used(
    files: list[Path], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.write_text("a file")
    with pytest.raises(OutputError, match="set POCKETLENS_CACHE to a folder that can be written"):
        prepared.prepare_files(files, SPEC)


def test_data_sets_in_files(cache: Path, files: list[Path]) -> None:
    """Parts of a large data set are views or files, too."""
    data = read_folder(files[0].parents[1], "all", SPEC)
    assert isinstance(data.images, np.memmap)
    pixels = np.array(data.images)
    rest, held = data.split(0.0, seed=0)
    assert np.shares_memory(rest.images, data.images)
    assert len(held) == 0
    some = np.array([7, 3, 3, 19, 0])
    parts = {
        "subset": (data.subset(some), pixels[some]),
        "slice": (data.subset(slice(3, 9)), pixels[3:9]),
        "joined": (data.joined(data.subset(some)), np.concatenate([pixels, pixels[some]])),
    }
    for name, (part, wanted) in parts.items():
        assert isinstance(part.images, np.memmap), name
        assert (part.images == wanted).all(), name
    assert stored(cache) == ["images.u8"]  # the files of parts have no names
    copy = large_arrays.in_memory(data.images[2:4])
    assert not isinstance(copy, np.memmap)
    assert (copy == pixels[2:4]).all()
    with pytest.raises(IndexError):
        data.subset([COUNT])


def test_parts_need_space_as_well(
    cache: Path, files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = load_data(f"folder:{files[0].parents[1]}", split="all", input_spec=SPEC)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10_000, 9_000, 100))
    with pytest.raises(OutputError, match="which has only 100 bytes of free space"):
        data.subset([3, 1])


def test_small_data_sets_are_copied_in_memory(files: list[Path]) -> None:
    data = Dataset(expected(files), np.zeros(COUNT, np.int64), ("a",))
    assert type(data.subset([3, 1]).images) is np.ndarray

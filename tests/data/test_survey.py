"""What was found in pictures is kept on disk, and a file that has changed is opened again."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pocketlens.data import survey as module
from pocketlens.data.fingerprints import Fingerprints
from pocketlens.data.near_duplicates import Pairs, find_near_duplicates
from pocketlens.data.survey import Survey, survey
from pocketlens.decoding import open_with_facts


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that are opened; they count as settled."""
    paths: list[Path] = []

    def counted(path: Path, *, side: int) -> object:
        paths.append(path)
        return open_with_facts(path, side=side)

    monkeypatch.setattr(f"{module.__name__}.open_with_facts", counted)
    monkeypatch.setattr(module, "SETTLED", -1)
    monkeypatch.setenv("POCKETLENS_CACHE", str(tmp_path / "cache"))
    return paths


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    random = np.random.default_rng(0)
    paths = [tmp_path / f"photos {number}.png" for number in range(4)]
    for number, path in enumerate(paths):
        pixels = random.integers(0, 256, (40 + number, 50, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
    return paths


def in_new_process(files: list[Path], monkeypatch: pytest.MonkeyPatch) -> Survey:
    monkeypatch.setattr(module, "_known", {})
    return survey(files)


def facts(found: Survey) -> list[tuple[object, ...]]:
    return [
        (each.path, each.error, each.width, each.height, each.animated, bytes(each.fingerprint))
        for each in found.pictures
        if each.fingerprint is not None
    ]


def test_files_are_opened_once(
    files: list[Path], opened: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = survey(files)
    assert facts(first)[2][1:4] == ("", 50, 42)
    assert opened == files
    for again in (survey(files), in_new_process(files, monkeypatch)):
        assert facts(again) == facts(first)
        assert opened == files
    monkeypatch.chdir(tmp_path)  # by another name
    relative = [Path(path.name) for path in files]
    assert [each.path for each in in_new_process(relative, monkeypatch).pictures] == relative
    assert opened == files
    assert not any(b"photos" in path.read_bytes() for path in (tmp_path / "cache").iterdir())


def rewritten(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


def with_old_time(path: Path) -> None:
    info = path.stat()
    rewritten(path)
    os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns))


def replaced(path: Path) -> None:
    copy = path.with_name("copy")
    shutil.copy2(path, copy)
    copy.replace(path)


@pytest.mark.parametrize("change", [rewritten, replaced, with_old_time])
def test_a_file_that_has_changed_is_opened_again(
    change: Callable[[Path], None],
    files: list[Path],
    opened: list[Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if change is with_old_time and os.name == "nt":
        pytest.skip("Windows has no time of the last change of an entry")
    survey(files)
    before = files[1].stat()
    while files[1].stat().st_ctime_ns == before.st_ctime_ns:  # clocks of file systems go in steps
        change(files[1])
    in_new_process(files, monkeypatch)
    assert opened == [*files, files[1]]


def test_what_may_still_change_is_not_stored(
    files: list[Path], opened: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SETTLED", 10**15)
    survey(files)
    in_new_process(files, monkeypatch)
    assert opened == 2 * files
    monkeypatch.setattr(module, "SETTLED", -1)

    def changing(path: Path, *, side: int) -> object:
        found = open_with_facts(path, side=side)
        opened.append(path)
        os.utime(path, ns=(0, len(opened)))
        return found

    monkeypatch.setattr(f"{module.__name__}.open_with_facts", changing)
    found = in_new_process(files[:1], monkeypatch)
    assert found.pictures[0].key is None
    in_new_process(files[:1], monkeypatch)
    assert opened == [*files, *files, files[0], files[0]]


def test_files_that_cannot_be_read_are_tried_again(
    files: list[Path], opened: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    files[2].write_bytes(files[2].read_bytes()[:200])
    missing = files[0].with_name("missing.png")
    for found in (survey([*files, missing]), in_new_process([*files, missing], monkeypatch)):
        assert [bool(each.error) for each in found.pictures] == [False, False, True, False, True]
    assert opened.count(files[2]) == opened.count(missing) == 2


def test_a_cache_that_cannot_be_used_is_said(
    files: list[Path], opened: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = facts(survey(files))
    path = tmp_path / "cache" / module.NAME
    content = path.read_bytes()
    path.write_bytes(content[:5000] + os.urandom(len(content) - 5000))
    assert facts(in_new_process(files, monkeypatch)) == first
    path.unlink()
    path.mkdir()
    with pytest.warns(UserWarning, match="facts about pictures are not stored for the next run"):
        assert facts(in_new_process(files, monkeypatch)) == first


def test_pictures_are_compared_once(
    files: list[Path], opened: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(files[0], files[0].with_name("copy.png"))
    files = [*files, files[0].with_name("copy.png")]
    compared: list[int] = []

    def counted(pictures: Fingerprints) -> Pairs:
        compared.append(len(pictures))
        return find_near_duplicates(pictures)

    monkeypatch.setattr(f"{module.__name__}.find_near_duplicates", counted)

    def pairs() -> list[tuple[int, int, float]]:
        monkeypatch.setattr(module, "_pairs", {})
        found = in_new_process(files, monkeypatch).near_duplicates()
        columns = (found.first, found.second, found.similarity)
        return list(zip(*(each.tolist() for each in columns), strict=True))

    first = pairs()
    assert [pair[:2] for pair in first] == [(0, 4)]
    assert pairs() == first
    assert compared == [5]
    shutil.copy(files[1], files[4])
    assert [pair[:2] for pair in pairs()] == [(1, 4)]
    assert compared == [5, 5]
    monkeypatch.setattr(module, "SETTLED", 10**15)
    files = files[:4]
    assert pairs() == pairs() == []
    assert compared == [5, 5, 4, 4]

"""The folder that is taught: complete at every moment, on every file system, and undone at will."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from pocketlens import check_data
from pocketlens.data.file_sources import FOLDER, FileSource
from pocketlens.data.folder import count_images
from pocketlens.errors import OptionError, OutputError
from pocketlens.prediction import NOTHING
from pocketlens.preview.teaching.folder import Example, TaughtFolder, burst_of, new_burst
from pocketlens.preview.teaching.trash import TRASH
from preview.scenes import jpeg, scenes

PICTURES = {name: [jpeg(each) for each in scenes(name, 4, seed=1)] for name in ("ball", "star")}


@pytest.fixture
def folder(tmp_path: Path) -> TaughtFolder:
    return TaughtFolder(tmp_path / "toys")


def fill(folder: TaughtFolder) -> None:
    for name, pictures in PICTURES.items():
        folder.add_class(name)
        burst = new_burst()
        for picture in pictures:
            assert folder.add(name, picture, suffix=".jpg", burst=burst)


def counts(folder: TaughtFolder) -> dict[str, int]:
    """As `run --data` reads the folder."""
    return count_images(FileSource(FOLDER, folder.path), "all")


def test_it_is_a_data_folder_at_every_moment(folder: TaughtFolder) -> None:
    fill(folder)
    assert counts(folder) == {"ball": 4, "star": 4}
    folder.add_class("cup")  # without examples it has no folder, which data sources would refuse
    assert counts(folder) == {"ball": 4, "star": 4}
    assert not check_data(folder.path).finding("empty_class")
    if os.name == "posix":  # only the user can read the pictures
        first = folder.file(next(iter(folder)))
        assert [path.stat().st_mode & 0o777 for path in (first, first.parent)] == [0o600, 0o700]
    bursts = {burst_of(one) for one in folder}
    assert len(bursts) == 2
    assert None not in bursts
    again = TaughtFolder(folder.path)
    assert [*again.classes] == ["ball", "star", "cup"]
    assert again.classes == folder.classes


def test_everything_can_be_undone(folder: TaughtFolder) -> None:
    fill(folder)
    before, (first, second, *_) = folder.classes, [*folder]
    folder.remove([first, second])
    assert counts(folder) == {"ball": 2, "star": 4}
    folder.move([one for one in folder if one.label == "ball"], "star")
    assert counts(folder) == {"star": 6}
    assert [*folder.classes] == ["ball", "star"]
    folder.rename_class("star", "Star")
    folder.remove_class("Star")
    assert [*folder.classes] == ["ball"]
    undone = [folder.undo() for _ in range(4)]
    assert undone == [
        "deleted Star", "renamed star to Star", "moved 2 examples to star",
        "deleted 2 examples of ball",
    ]  # fmt: skip
    assert {name: sorted(names) for name, names in folder.classes.items()} == {
        name: sorted(names) for name, names in before.items()
    }
    with pytest.raises(OptionError, match="nothing to undo"):
        folder.undo()


def test_what_was_deleted_is_gone_at_the_next_start(folder: TaughtFolder) -> None:
    fill(folder)
    folder.remove([*folder][:1])
    assert [*(folder.path / TRASH).iterdir()]
    TaughtFolder(folder.path)
    assert not (folder.path / TRASH).exists()


def test_an_undo_never_overwrites(folder: TaughtFolder) -> None:
    fill(folder)
    folder.remove_class("ball")
    folder.add_class("ball")
    assert folder.add("ball", PICTURES["ball"][0], suffix=".jpg")
    with pytest.raises(OptionError, match="cannot be undone"):
        folder.undo()
    assert counts(folder) == {"ball": 1, "star": 4}


BAD_NAMES = {
    "": "empty", "  ": "empty", "a/b": "characters", "a\\b": "characters",
    "<b>cat</b>": "characters", "con": "reserves", "LPT1.txt": "reserves", ".hidden": "dot",
    "cat.": "dot", "a\u202eb": "invisible", "a\x07": "invisible", "x" * 201: "longer",
    "BALL": "there is a class", "Thumbs.db": "other programs",
    "quarantine.csv": "other programs", "..": "dot",
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_NAMES)
def test_names_that_are_no_folder_names(folder: TaughtFolder, name: str) -> None:
    folder.add_class("ball")
    with pytest.raises(OptionError, match=BAD_NAMES[name]):
        folder.add_class(name)
    folder.add_class("cup")
    with pytest.raises(OptionError, match=BAD_NAMES[name]):
        folder.rename_class("cup", name)
    assert [*folder.classes] == ["ball", "cup"]


SCRIPTS = [
    "👩\u200d🚀",
    "تفاحة",
    "été",
    "1, 2 & 3",
    "&lt;b&gt;",
    "日本",
    NOTHING,
]


@pytest.mark.parametrize("name", SCRIPTS)
def test_names_in_every_script(folder: TaughtFolder, name: str) -> None:
    folder.add_class(name)
    folder.add_class("ball")
    for label in (name, "ball"):
        for picture in PICTURES["ball" if label == "ball" else "star"]:
            folder.add(label, picture, suffix=".jpg")
    assert counts(folder) == {name: 4, "ball": 4}
    assert [*TaughtFolder(folder.path).classes] == [name, "ball"]


def test_names_that_differ_in_case_and_splits(folder: TaughtFolder) -> None:
    assert folder.add_class("E\u0301te\u0301") == "\xc9t\xe9"
    with pytest.raises(OptionError, match="there is a class"):
        folder.add_class("\xe9t\xe9")
    assert folder.rename_class("\xc9t\xe9", "\xe9t\xe9") == "\xe9t\xe9"
    folder.add_class("train")
    with pytest.raises(OptionError, match="two parts"):
        folder.add_class("Test")


def test_a_file_system_that_decomposes_letters(folder: TaughtFolder) -> None:
    folder.add_class("\xe9t\xe9")
    (folder.path / "e\u0301te\u0301").mkdir()
    (folder.path / "e\u0301te\u0301" / "1.jpg").write_bytes(PICTURES["ball"][0])
    folder.read()
    assert folder.classes == {"e\u0301te\u0301": ("1.jpg",)}


def test_the_same_image_is_one_example(folder: TaughtFolder) -> None:
    fill(folder)
    picture = PICTURES["ball"][0]
    assert folder.add("ball", picture, suffix=".jpg") is None
    with pytest.raises(OptionError, match="an example of 'ball' already"):
        folder.add("star", picture, suffix=".jpg")
    assert check_data(folder.path).finding("copies_across_classes") is None


def test_a_full_disk(folder: TaughtFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(folder)
    folder.add_class("cup")

    def full(*_: Any) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OutputError, match=r"^toys cannot be written: No space left on device$"):
        folder.add("cup", b"new", suffix=".jpg")
    monkeypatch.undo()
    assert counts(folder) == {"ball": 4, "star": 4}
    assert not [path for path in folder.path.rglob("*") if path.name.endswith(".part")]


def test_examples_that_are_gone(folder: TaughtFolder) -> None:
    fill(folder)
    for bad in (Example("ball", "../star/1.jpg"), Example("..", "x"), Example("ball", "no.jpg")):
        for use in (lambda one: folder.remove([one]), folder.content):
            with pytest.raises(OptionError, match="any more"):
                use(bad)


def test_folders_that_are_no_classes(tmp_path: Path) -> None:
    for part in ("train", "test"):
        (tmp_path / "split" / part / "a").mkdir(parents=True)
    with pytest.raises(OptionError, match="folders train and test"):
        TaughtFolder(tmp_path / "split")
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="file cannot be written"):
        TaughtFolder(tmp_path / "file")
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "away").symlink_to(tmp_path / "split")
    (tmp_path / "linked" / ".pocketlens-classes.json").write_text('{"not": ["a list"]}')
    assert TaughtFolder(tmp_path / "linked").classes == {}


def test_a_thousand_examples(folder: TaughtFolder) -> None:
    for name in ("ball", "star"):
        (folder.path / name).mkdir()
        for at in range(500):
            (folder.path / name / f"{at}.jpg").write_bytes(
                PICTURES[name][0] + at.to_bytes(2, "big")
            )
    folder.read()
    assert len(folder) == 1000
    every = [*folder]
    folder.move(every[:500], "star")
    assert len(folder.classes["star"]) == 1000  # of the same names, which are changed
    assert counts(folder) == {"star": 1000}
    folder.undo()
    assert counts(folder) == {"ball": 500, "star": 500}

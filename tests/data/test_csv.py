"""`csv:PATH`: which tables are read, and that no path leaves the folder unless it may."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from PIL import Image

from pocketlens.data import Dataset, load_data
from pocketlens.data import csv_table as csv_module
from pocketlens.errors import DataError, DataNotFoundError
from pocketlens.image import InputSpec

SPEC = InputSpec(8, 8)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Pictures `a/0.png` to `a/9.png`, with gray levels 0 to 90, and one outside."""
    for level in range(10):
        (tmp_path / "set" / "a").mkdir(parents=True, exist_ok=True)
        Image.new("L", (10, 10), 10 * level).save(tmp_path / "set" / "a" / f"{level}.png")
    Image.new("L", (10, 10), 255).save(tmp_path / "outside.png")
    return tmp_path / "set"


def table(place: Path, *lines: str, encoding: str = "utf-8", end: str = "\n") -> Path:
    path = place / "photos.csv"
    path.write_bytes(end.join(lines).encode(encoding))
    return path


def load(path: Path, split: str = "all", kind: str = "csv") -> Dataset:
    return load_data(f"{kind}:{path}", split=split, input_spec=SPEC)


def levels(dataset: Dataset) -> list[int]:
    return [int(level) for level in dataset.images[:, 0, 0, 0]]


ROWS = [f"a/{n}.png,{'odd' if n % 2 else 'even'}" for n in range(10)]


def test_paths_and_labels(place: Path) -> None:
    found = load(table(place, "path,label", *ROWS))
    assert found.classes == ("even", "odd")
    assert levels(found) == [0, 20, 40, 60, 80, 10, 30, 50, 70, 90]
    assert found.name == "csv:photos.csv/all"
    train, test = (load(place / "photos.csv", split) for split in ("train", "test"))
    assert (train.counts, test.counts) == ({"even": 4, "odd": 4}, {"even": 1, "odd": 1})
    assert not set(levels(train)) & set(levels(test))


@pytest.mark.parametrize(
    ("lines", "encoding", "end"),
    [
        (["Label;PATH;note", "x;a/1.png;a, b", "y;a/2.png;"], "utf-8-sig", "\r\n"),
        (["path\tlabel", "a\\1.png\tx", "a\\2.png\ty", ""], "utf-8", "\n"),
        (
            ['"path","label"', '"a/1.png","x"', "", '" a/2.png ","y"', '"a/2.png","y"'],
            "utf-8",
            "\n",
        ),
    ],
    ids=["spreadsheet", "tabs and backslashes", "quotes, blank and repeated rows"],
)
def test_tables_as_programs_write_them(
    place: Path, lines: list[str], encoding: str, end: str
) -> None:
    found = load(table(place, *lines, encoding=encoding, end=end))
    assert (found.classes, levels(found)) == (("x", "y"), [10, 20])


def test_the_column_split(place: Path) -> None:
    rows = [f"{row},{'test' if n > 5 else 'train'}" for n, row in enumerate(ROWS)]
    path = table(place, "path,label,split", *rows)
    assert levels(load(path, "test")) == [60, 80, 70, 90]
    assert levels(load(path, "train")) == [0, 20, 40, 10, 30, 50]
    path = table(place, "path,label,split", *(row + "," for row in ROWS))
    assert len(load(path)) == 10
    for splits in (["train"] * 10, ["train"] * 9 + [""]):
        rows = [f"{row},{split}" for row, split in zip(ROWS, splits, strict=True)]
        with pytest.raises(DataError, match="has a column split with: .*expected both"):
            load(table(place, "path,label,split", *rows))


INSIDE_ONLY = ["../outside.png", "{absolute}", "a/../../outside.png", "link.png", "way/outside.png"]


@pytest.mark.parametrize("written", INSIDE_ONLY)
def test_no_path_leaves_the_folder_unless_it_may(place: Path, written: str) -> None:
    (place / "link.png").symlink_to("../outside.png")
    (place / "way").symlink_to("..")
    written = written.format(absolute=place.parent / "outside.png")
    path = table(place, "path,label", f"{written},x", "a/1.png,y")
    with pytest.raises(
        DataError, match="is outside the folder of the CSV file; .*csv-outside:PATH"
    ):
        load(path)
    assert levels(load(path, kind="csv-outside")) == [255, 10]


def test_absolute_paths_of_another_system_are_outside(place: Path) -> None:
    for written in ("C:\\Users\\me\\1.png", "\\\\server\\share\\1.png", "~/1.png", "/etc/hostname"):
        with pytest.raises(DataError, match="outside the folder|does not exist"):
            load(table(place, "path,label", f"{written},x", "a/1.png,y"))


INVALID = [
    (
        [],
        "has no column 'path'; received the columns: none; expected in the first line: path,label",
    ),
    (["file,label", "a/1.png,x"], "has no column 'path'; received the columns: file, label"),
    (["path,label,Label", "a/1.png,x,y"], "has more than one column 'label'"),
    (["path,label"], "has no rows; expected at least two images per class"),
    (["path,label", "a/1.png,x", "a/2.png"], "line 3: the label is missing"),
    (["path,label", ",x"], "line 2: the path is missing"),
    (["path,label", "a/77.png,x"], "line 2: a/77.png does not exist"),
    (["path,label", "a,x"], "line 2: a is not a file"),
    (["path,label", "a/1.png\0,x"], "line 2: "),
    (["path,label", "x" * 5000 + ",x"], "File name too long"),
    (["path,label", "a/1.png,x", "a/1.png,y"], "a/1.png is in line 2, too, with the label 'x'"),
    (
        ["path,label,split", "a/1.png,x,train", "a/1.png,x,test"],
        "a/1.png is in line 2, too, with the split 'train'",
    ),
    (["path,label,split", "a/1.png,x,tset"], "split 'tset' is not known; did you mean 'test'?"),
    (["path,label", "a/1.png,\x1b[31m"], "has labels that cannot be used"),
    (["path,label", 'a/1.png,"x'], "is not a valid CSV file: line 2"),
    (["path,label", *(f"b/{n}.png,x" for n in range(9))], "has 9 row(s) that .* and 4 more"),
    (
        ["path,label,split", "a/1.png,x,train", "a/2.png,y,train", "a/3.png,x,test"],
        "has no images in the split test for: y",
    ),
]


@pytest.mark.parametrize(("lines", "message"), INVALID)
def test_invalid_tables(place: Path, lines: list[str], message: str) -> None:
    pattern = message if ".*" in message else re.escape(message)
    with pytest.raises(DataError, match=pattern.replace("(s)", r"\(s\)")):
        load(table(place, *lines))


def test_files_that_are_no_tables(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataNotFoundError, match=r"none\.csv does not exist; expected a CSV file"):
        load(place / "none.csv")
    with pytest.raises(DataNotFoundError, match="is not a file"):
        load(place)
    with pytest.raises(DataError, match="is not UTF-8 text: .*; save it as CSV UTF-8"):
        load(table(place, "path,label", "a/1.png,é", encoding="latin-1"))
    with pytest.raises(DataError, match="has only the label 'x'; expected at least two"):
        load(table(place, "path,label", "a/1.png,x", "a/2.png,x"), "train")
    monkeypatch.setattr(csv_module, "MAX_CSV_BYTES", 10)
    with pytest.raises(DataError, match="it has more than 10 bytes"):
        load(table(place, "path,label", *ROWS))

"""`folder:PATH`: which files are used, how they are split, what is rejected."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pocketlens.data import Dataset, load_data, prepared
from pocketlens.data import folder as folder_module
from pocketlens.data.folder import read_folder
from pocketlens.errors import DataError, DataNotFoundError, OptionError
from pocketlens.image import InputSpec, prepare

SPEC = InputSpec(8, 8)
Pictures = Callable[..., Path]


def paint(path: Path, level: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (10, 10), level).save(path)
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Classes 2 and 10 with ten images each; each image has its own gray level."""
    for name, level in (("2", 0), ("10", 100)):
        for index in range(10):
            paint(tmp_path / "set" / name / f"{index}.png", level + index)
    return tmp_path / "set"


def levels(dataset: Dataset) -> list[int]:
    return [int(level) for level in dataset.images[:, 0, 0, 0]]


def both(root: Path, seed: int = 0) -> tuple[Dataset, Dataset]:
    train, test = (read_folder(root, split, SPEC, seed=seed) for split in ("train", "test"))
    return train, test


def test_split_is_stratified_and_has_all_images(root: Path) -> None:
    train, test = both(root)
    assert train.classes == test.classes == ("2", "10")
    assert train.counts == {"2": 8, "10": 8}
    assert test.counts == {"2": 2, "10": 2}
    assert sorted(levels(train) + levels(test)) == [*range(10), *range(100, 110)]
    assert [level >= 100 for level in levels(train)] == train.labels.astype(bool).tolist()
    assert (train.name, test.name) == ("folder:set/train", "folder:set/test")


def test_seed_chooses_the_test_images(root: Path) -> None:
    assert levels(both(root, 1)[1]) == levels(both(root, 1)[1])
    assert len({tuple(levels(both(root, seed)[1])) for seed in range(6)}) > 1


def test_new_class_does_not_change_the_split_of_other_classes(root: Path) -> None:
    before = levels(both(root)[1])
    for index in range(5):
        paint(root / "11" / f"{index}.png", 200 + index)
    assert [level for level in levels(both(root)[1]) if level < 200] == before


def test_images_are_resized_by_the_input_spec(root: Path) -> None:
    photo = Image.effect_noise((40, 24), 90).convert("RGB")
    photo.save(root / "2" / "noise.png")
    spec = InputSpec(16, 16, "rgb", crop="fit")
    everything = [
        image for split in ("train", "test") for image in read_folder(root, split, spec).images
    ]
    expected = prepare(root / "2" / "noise.png", spec)
    assert sum(np.array_equal(image, expected) for image in everything) == 1


def test_load_data_accepts_folders(root: Path) -> None:
    dataset = load_data(f"folder:{root}", split="test", input_spec=SPEC, seed=3)
    assert levels(dataset) == levels(both(root, 3)[1])


def test_split_all_has_all_images_and_allows_a_single_class(root: Path, tmp_path: Path) -> None:
    both = load_data(f"folder:{root}", split="all", input_spec=SPEC)
    assert levels(both) == [*range(10), *range(100, 110)]
    shutil.rmtree(root / "10")
    single = read_folder(root, "all", SPEC)
    assert (single.classes, len(single)) == (("2",), 10)
    for part in ("train", "test"):
        paint(tmp_path / "split" / part / "2" / f"{part}.png", 7)
    with pytest.raises(DataError, match="expected at least 2"):
        read_folder(tmp_path / "split", "all", SPEC)
    with pytest.raises(OptionError, match="split 'all' is not known"):
        load_data("strokes", split="all")


def test_folders_train_and_test_are_the_splits(tmp_path: Path) -> None:
    for split, level in (("train", 10), ("test", 50)):
        for name in ("a", "b"):
            paint(tmp_path / split / name / "only.png", level + ord(name))
    train, test = both(tmp_path)
    assert levels(train) == [10 + ord("a"), 10 + ord("b")]
    assert levels(test) == [50 + ord("a"), 50 + ord("b")]


def test_folders_train_and_test_must_have_the_same_classes(tmp_path: Path) -> None:
    for place in ("train/a", "train/b", "test/a", "test/b", "test/c"):
        paint(tmp_path / place / "x.png", len(place) * 7 + ord(place[-1]))
    with pytest.raises(DataError, match="have different classes: only one of them has c; expected"):
        read_folder(tmp_path, "train", SPEC)


def test_natural_order_of_classes(tmp_path: Path) -> None:
    names = ["item 10", "item 2", "Item 1", "b", "A", "07", "7", "٣"]
    for number, name in enumerate(names):
        for index in (0, 1):
            paint(tmp_path / name / f"{index}.png", 2 * number + index)
    classes = read_folder(tmp_path, "train", SPEC).classes
    assert classes == ("٣", "07", "7", "A", "b", "Item 1", "item 2", "item 10")


def test_hidden_entries_and_files_outside_classes_are_ignored_and_nested_images_used(
    root: Path,
) -> None:
    (root / ".git").mkdir()
    (root / "notes.txt").write_text("not a class")
    (root / "2" / ".DS_Store").write_text("not an image")
    paint(root / "2" / ".thumbs" / "t.png", 250)
    paint(root / "2" / "more" / "deep.png", 60)
    train, test = both(root)
    assert sorted(levels(train) + levels(test)) == [*range(10), 60, *range(100, 110)]


def test_links_that_point_outside_are_not_followed(root: Path, tmp_path: Path) -> None:
    outside = paint(tmp_path / "outside" / "secret.png", 255)
    (root / "2" / "file.png").symlink_to(outside)
    (root / "2" / "place").symlink_to(outside.parent)
    (root / "2" / "round").symlink_to(root)
    (root / "class").symlink_to(outside.parent)
    (root / "2" / "broken.png").symlink_to(tmp_path / "nowhere")
    train, test = both(root)
    assert train.classes == ("2", "10")
    assert len(train) + len(test) == 20


def test_copies_go_to_the_same_split(root: Path) -> None:
    for index in range(10):
        shutil.copy(root / "2" / f"{index}.png", root / "2" / f"copy of {index}.png")
    for seed in range(5):
        train, test = both(root, seed)
        assert not set(levels(train)) & set(levels(test))
        assert test.counts == {"2": 4, "10": 2}


def test_image_in_two_classes_is_an_error(root: Path) -> None:
    shutil.copy(root / "2" / "4.png", root / "10" / "x.png")
    with pytest.raises(DataError, match=r"the same image is in two classes: .*4\.png and .*x\.png"):
        read_folder(root, "train", SPEC)


def raises(root: Path, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_folder(root, "train", SPEC)


def test_invalid_folders(tmp_path: Path) -> None:
    with pytest.raises(DataNotFoundError, match="missing does not exist; expected a folder with"):
        read_folder(tmp_path / "missing", "train", SPEC)
    raises(tmp_path, r"has 0 class folder\(s\) \(none\); expected at least 2")
    paint(tmp_path / "only" / "1.png", 1)
    raises(tmp_path, r"has 1 class folder\(s\) \(only\); expected at least 2")
    raises(tmp_path / "only", r"its images; put its 1 file\(s\) into folders, one for each class")
    (tmp_path / "empty").mkdir()
    raises(tmp_path, "class folders without images: empty; add images to them or remove them")
    above = re.escape(str(tmp_path))
    raises(tmp_path / "only", rf"its 1 file\(s\) look like one class: pass the folder .*, {above}$")
    paint(tmp_path / "empty" / "1.png", 2)
    raises(tmp_path, "class 'empty' has only one image and cannot be split")


def spoil(paths: Iterable[Path]) -> None:
    for number, path in enumerate(paths):
        path.write_text(f"this is not an image {number}")


def test_unreadable_images_are_counted_and_the_first_are_listed(root: Path) -> None:
    spoil([root / "2" / "3.png"])
    cut = root / "10" / "cut.png"
    Image.effect_noise((64, 64), 50).save(cut)
    cut.write_bytes(cut.read_bytes()[:500])
    message = r"3\.png has an unsupported image format.*cut\.png cannot be read as an image"
    with pytest.raises(DataError, match=r"has 2 file\(s\) .*" + message):
        read_folder(root, "train", SPEC, strict=True)
    with pytest.warns(
        UserWarning, match=r"2 file\(s\) cannot be read and are left out.*" + message
    ):
        found = [read_folder(root, split, SPEC) for split in ("train", "test")]
    assert sum(len(each) for each in found) == 19
    with pytest.warns(UserWarning, match=r"2 file\(s\) cannot be read"):
        assert len(read_folder(root, "all", SPEC)) == 19
    spoil((root / "2").iterdir())
    for split in ("train", "all"):
        with (
            pytest.warns(UserWarning, match=r"11 file\(s\) .* and 6 more"),
            pytest.raises(DataError, match="images of|images of 2 are unreadable"),
        ):
            read_folder(root, split, SPEC)


def test_files_of_the_system_are_not_images(root: Path) -> None:
    """What macOS, Windows, a NAS and zip programs leave in folders."""
    expected = read_folder(root, "train", SPEC)
    for folder in (root, root / "2"):
        for name in ("Thumbs.db", "desktop.ini", ".DS_Store", "._0.png", "Icon\r"):
            (folder / name).write_bytes(b"not an image")
        for name in ("__MACOSX", "@eaDir", ".hidden"):
            (folder / name).mkdir()
            (folder / name / "0.png").write_bytes(b"not an image")
    found = read_folder(root, "train", SPEC)
    assert found.classes == expected.classes
    assert (found.images == expected.images).all()


def test_an_empty_class_is_refused_for_training_and_left_out_otherwise(root: Path) -> None:
    (root / "3").mkdir()
    (root / "3" / ".DS_Store").write_bytes(b"Bud1")
    for split in ("train", "test"):
        with pytest.raises(DataError, match="has class folders without images: 3; add images"):
            read_folder(root, split, SPEC)
    with pytest.warns(UserWarning, match="has class folders without images: 3; they are left out"):
        assert read_folder(root, "all", SPEC).classes == ("2", "10")
    shutil.rmtree(root / "2")
    shutil.rmtree(root / "10")
    with pytest.raises(DataError, match="has class folders without images: 3; add images"):
        read_folder(root, "all", SPEC)


def test_names_that_are_not_utf8(root: Path) -> None:
    """A file may have any name; a class may not, as its name becomes a label."""
    odd = os.fsdecode(b"caf\xe9")
    try:
        paint(root / "2" / "x.png", 50).rename(root / "2" / f"{odd}.png")
    except OSError:
        pytest.skip("this file system stores names as UTF-8 only")
    assert len(read_folder(root, "all", SPEC)) == 21
    (root / odd).mkdir()
    paint(root / "2" / "y.png", 60).rename(root / odd / "y.png")
    with pytest.raises(DataError, match="has class folders that cannot be used: .*; rename them"):
        read_folder(root, "all", SPEC)


@pytest.mark.parametrize("name", ["x" * 300, "a/" * 3000])
def test_a_path_that_is_too_long(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="cannot be read: File name too long"):
        read_folder(tmp_path / name, "train", SPEC)


def test_images_that_vanish_while_they_are_read(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if a preview moved corrections to another class meanwhile."""
    original, calls = prepare, []

    def moving(file: Path, spec: InputSpec) -> object:
        calls.append(file)
        if len(calls) == 1:
            for index in range(3):
                (root / "2" / f"{index}.png").rename(root / "10" / f"moved{index}.png")
        return original(file, spec)

    monkeypatch.setattr(prepared, "prepare", moving)
    found = read_folder(root, "all", SPEC)
    assert found.counts == {"2": 7, "10": 13}


def test_a_damaged_image_is_not_read_again_and_again(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "2" / "0.png").write_bytes(b"damaged")
    reads: list[list[Path]] = []
    original = prepared.prepare_files

    def decode(files: list[Path], *rest: Any) -> object:
        reads.append(files)
        return original(files, *rest)

    monkeypatch.setattr(folder_module, "prepare_files", decode)
    with pytest.warns(UserWarning, match=r"1 file\(s\) cannot be read and are left out"):
        assert len(read_folder(root, "all", SPEC)) == 19
    assert len(reads) == 1


def test_the_file_of_each_image(picture_folder: Path) -> None:
    data = read_folder(picture_folder, "test", InputSpec(8, 8, "rgb"))
    assert data.files is not None
    assert [Path(file).parent.name for file in data.files] == [
        data.classes[label] for label in data.labels
    ]
    assert data.subset([2, 0]).files == (data.files[2], data.files[0])
    assert data.subset(slice(1, 3)).files == data.files[1:3]
    unnamed = replace(data, files=None)
    assert unnamed.joined(data.subset([1])).files == ("",) * len(data) + (data.files[1],)
    assert unnamed.subset([0]).files is None
    with pytest.raises(DataError, match="labels but 1 files; expected one file per image"):
        replace(data, files=("a.png",))

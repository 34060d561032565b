"""`check_data` and `quarantine.csv`: what is found in a folder, and what loading leaves out."""

from __future__ import annotations

import io
import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from command_line import error_of, run_command
from pocketlens import check_data, load_folder
from pocketlens.data import load_data
from pocketlens.data.check import FILES, NOTES, PROBLEMS, DataCheck
from pocketlens.decoding import open_image
from pocketlens.errors import (
    DataError,
    DataNotFoundError,
    ImageError,
    OutputExistsError,
)
from pocketlens.image import InputSpec

SPEC = InputSpec(16, 16, "rgb")


def picture(seed: int, side: int = 96) -> Image.Image:
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC)


def save(path: Path, seed: int, **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture(seed).save(path, **options)  # type: ignore[arg-type]
    return path


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two classes with eight different pictures each."""
    for number, name in enumerate(("cup", "spoon")):
        for index in range(8):
            save(tmp_path / "photos" / name / f"{index}.jpg", 100 * number + index)
    return tmp_path / "photos"


def kinds(found: DataCheck) -> set[str]:
    return {finding.kind for finding in found.findings}


def test_a_good_folder(photos: Path) -> None:
    found = check_data(photos)
    assert (found.passed, found.findings, found.images) == (True, (), 16)
    assert found.counts == {"all": {"cup": 8, "spoon": 8}}
    assert json.loads(json.dumps(found.to_dict()))["passed"] is True


def damage_text(photos: Path) -> list[str]:
    (photos / "cup" / "notes.txt").write_text("no picture")
    return ["cup/notes.txt"]


def damage_cut(photos: Path) -> list[str]:
    path = photos / "cup" / "3.jpg"
    path.write_bytes(path.read_bytes()[:-600])
    return ["cup/3.jpg"]


def damage_empty(photos: Path) -> list[str]:
    (photos / "spoon" / "x.png").write_bytes(b"")
    return ["spoon/x.png"]


def copy(photos: Path) -> list[str]:
    shutil.copy(photos / "cup" / "1.jpg", photos / "cup" / "copy.jpg")
    return ["cup/1.jpg", "cup/copy.jpg"]


def copy_elsewhere(photos: Path) -> list[str]:
    shutil.copy(photos / "cup" / "1.jpg", photos / "spoon" / "copy.jpg")
    return ["cup/1.jpg", "spoon/copy.jpg"]


def near(photos: Path) -> list[str]:
    Image.open(photos / "cup" / "1.jpg").resize((70, 70)).save(photos / "cup" / "near.png")
    return ["cup/1.jpg", "cup/near.png"]


def near_elsewhere(photos: Path) -> list[str]:
    Image.open(photos / "cup" / "1.jpg").resize((70, 70)).save(photos / "spoon" / "near.png")
    return ["cup/1.jpg", "spoon/near.png"]


def animate(photos: Path, suffix: str) -> list[str]:
    frames = [picture(900 + n) for n in range(3)]
    frames[0].save(photos / "cup" / f"moving.{suffix}", save_all=True, append_images=frames[1:])
    return [f"cup/moving.{suffix}"]


def tiny(photos: Path) -> list[str]:
    picture(901, 20).save(photos / "cup" / "tiny.png")
    return ["cup/tiny.png"]


def long(photos: Path) -> list[str]:
    picture(902).resize((400, 90)).save(photos / "cup" / "long.png")
    return ["cup/long.png"]


def similar_names(photos: Path) -> list[str]:
    for index in range(5):
        save(photos / "Cup" / f"{index}.png", 300 + index)
    return ["Cup", "cup"]


def empty(photos: Path) -> list[str]:
    (photos / "fork").mkdir()
    (photos / "fork" / "Thumbs.db").write_bytes(b"x")
    return ["fork"]


def few(photos: Path) -> list[str]:
    save(photos / "fork" / "1.png", 500)
    return ["fork"]


def nothing(photos: Path) -> list[str]:
    for index in range(5):
        save(photos / "nothing" / f"{index}.png", 600 + index)
    return ["nothing"]


def one_class(photos: Path) -> list[str]:
    shutil.rmtree(photos / "spoon")
    return ["cup"]


def one_folder_too_high(photos: Path) -> list[str]:
    inner = photos / "all"
    inner.mkdir()
    for name in ("cup", "spoon"):
        (photos / name).rename(inner / name)
    return ["all"]


def odd_name(photos: Path) -> list[str]:
    (photos / "spoon").rename(photos / "spo\x07on")
    return []


FOUND: list[tuple[str, Callable[[Path], list[str]]]] = [
    ("unreadable", damage_text),
    ("unreadable", damage_cut),
    ("unreadable", damage_empty),
    ("copies", copy),
    ("copies_across_classes", copy_elsewhere),
    ("near_duplicates", near),
    ("near_duplicates_across_classes", near_elsewhere),
    ("animated", lambda photos: animate(photos, "gif")),
    ("animated", lambda photos: animate(photos, "webp")),
    ("animated", lambda photos: animate(photos, "png")),
    ("animated", lambda photos: animate(photos, "tiff")),
    ("tiny", tiny),
    ("odd_shape", long),
    ("similar_class_names", similar_names),
    ("empty_class", empty),
    ("few_images", few),
    ("imbalance", lambda photos: ["cup", *few(photos)]),
    ("background", nothing),
    ("few_classes", one_class),
    ("nested", one_folder_too_high),
    ("class_names", odd_name),
]


@pytest.mark.parametrize(
    ("kind", "plant"), FOUND, ids=[f"{k}-{n}" for n, (k, _) in enumerate(FOUND)]
)
def test_what_is_planted_is_found(
    photos: Path, kind: str, plant: Callable[[Path], list[str]]
) -> None:
    names = plant(photos)
    found = check_data(photos)
    finding = found.finding(kind)  # type: ignore[arg-type]
    assert finding is not None, found.findings
    assert sorted(finding.files) == sorted(names) or not names
    assert finding.problem == (kind in PROBLEMS)
    assert found.passed == (not kinds(found) & set(PROBLEMS))
    allowed = {kind, "few_images", "few_classes", "imbalance", "nested"}
    assert kinds(found) <= allowed


def test_splits(photos: Path, tmp_path: Path) -> None:
    root = tmp_path / "split"
    shutil.copytree(photos, root / "train")
    for number, name in enumerate(("cup", "spoon")):
        for index in range(3):
            save(root / "test" / name / f"{index}.jpg", 700 + 100 * number + index)
    assert check_data(root).findings == ()
    shutil.copy(root / "train" / "cup" / "1.jpg", root / "test" / "cup" / "copy.jpg")
    picture(102, 80).save(root / "test" / "spoon" / "near.png")
    save(root / "test" / "fork" / "1.png", 950)
    found = check_data(root)
    assert kinds(found) >= {
        "copies_across_splits",
        "near_duplicates_across_splits",
        "different_classes",
    }
    assert [name for name, _ in found.quarantine()] == ["train/cup/1.jpg", "train/spoon/2.jpg"]


def test_every_kind_is_tested() -> None:
    tested = {kind for kind, _ in FOUND}
    across = {"copies_across_splits", "near_duplicates_across_splits", "different_classes"}
    assert tested | across == set(PROBLEMS) | set(NOTES)
    assert len(FILES) == 10


def test_the_quarantine_list_is_written_on_request_and_honored(photos: Path) -> None:
    damage_text(photos)
    copy_elsewhere(photos)
    assert not check_data(photos).passed
    assert not (photos / "quarantine.csv").exists()
    with pytest.raises(DataError, match="the same image is in two classes: .*quarantine.csv"):
        load_folder(photos, input_spec=SPEC)
    found = check_data(photos, quarantine=True)
    assert [name for name, _ in found.quarantine()] == [
        "cup/1.jpg", "cup/notes.txt", "spoon/copy.jpg",
    ]  # fmt: skip
    lines = (photos / "quarantine.csv").read_text().splitlines()
    assert lines[0] == "path,reason"
    assert lines[1] == '"cup/1.jpg","the same as spoon/copy.jpg, in another class"'.replace(
        '"cup/1.jpg"', "cup/1.jpg"
    )
    assert (photos / "cup" / "notes.txt").exists()
    with pytest.raises(OutputExistsError, match="already exists; edit it, or pass --force"):
        check_data(photos, quarantine=True)
    check_data(photos, quarantine=True, force=True)
    again = check_data(photos)
    assert (again.passed, again.quarantined, again.images) == (True, 3, 15)
    loaded = [load_folder(photos, split=split, input_spec=SPEC) for split in ("train", "test")]
    assert sum(map(len, loaded)) == len(load_folder(photos, split="all", input_spec=SPEC)) == 15


def test_quarantine_of_a_csv_file(photos: Path) -> None:
    rows = [f"{name}/{n}.jpg,{name}" for name in ("cup", "spoon") for n in range(8)]
    table = photos / "list.csv"
    table.write_text("\n".join(["path,label", *rows]))
    damage_cut(photos)
    found = check_data(table, quarantine=True)
    assert [name for name, _ in found.quarantine()] == ["cup/3.jpg"]
    assert check_data(table).passed
    assert len(load_data(f"csv:{table}", split="all", input_spec=SPEC)) == 15


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cup/1.jpg\n", "has no column 'path'; expected in the first line: path,reason"),
        ('path\n"cup', "is not a CSV file: .*; repair or remove it"),
        (
            "path\n" + "\n".join(f"cup/{n}.jpg" for n in range(8)),
            "all images of cup are in quarant",
        ),
    ],
)
def test_lists_that_cannot_be_used(photos: Path, text: str, message: str) -> None:
    (photos / "quarantine.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        load_folder(photos, input_spec=SPEC)


def test_a_list_cannot_reach_other_files(photos: Path) -> None:
    other = save(photos.parent / "secret.jpg", 7)
    (photos / "quarantine.csv").write_text(
        f"path,reason\n../secret.jpg,x\n{other},x\ncup\\1.jpg,x\n"
    )
    assert check_data(photos).quarantined == 1
    assert other.exists()


def test_a_burst_is_on_one_side_of_the_split(photos: Path) -> None:
    for index in range(8):
        picture(42, 90 + 4 * index).save(photos / "cup" / f"burst{index}.png")
    for seed in range(5):
        train, test = (
            load_folder(photos, split=split, input_spec=SPEC, seed=seed)
            for split in ("train", "test")
        )
        assert train.counts["cup"] + test.counts["cup"] == 16
        assert test.counts["cup"] == 3
        assert train.groups is not None
        assert max(np.bincount(train.groups)) == 8


def test_a_class_of_one_burst_is_told(photos: Path) -> None:
    for index in range(6):
        picture(42, 90 + 4 * index).save(photos / "spoon" / f"{index}.jpg")
        (photos / "cup" / f"{index}.jpg").unlink()
    for index in (6, 7):
        (photos / "spoon" / f"{index}.jpg").unlink()
    with pytest.warns(UserWarning, match="most images of class 'spoon' are nearly the same"):
        assert len(load_folder(photos, split="test", input_spec=SPEC)) == 2


@pytest.mark.skipif(sys.platform == "win32", reason="needs symbolic links")
def test_links_that_lead_outside_and_names_with_odd_characters(photos: Path) -> None:
    save(photos.parent / "outside" / "1.jpg", 800)
    (photos / "linked").symlink_to(photos.parent / "outside")
    (photos / "cup" / "linked.jpg").symlink_to(photos.parent / "outside" / "1.jpg")
    for name in ("ünï 'cödé\".jpg", "a,b\nc.jpg", os.fsdecode(b"\xff.jpg")):
        (photos / "cup" / name).write_bytes(b"no picture")
    found = check_data(photos, quarantine=True)
    assert found.counts["all"] == {"cup": 11, "spoon": 8}
    assert found.unreadable == 3
    assert check_data(photos).quarantined == 3


@pytest.mark.slow
def test_ten_thousand_classes(tmp_path: Path) -> None:
    content = save(tmp_path / "x.png", 1).read_bytes()
    for number in range(0, 10_000, 10):
        for index in range(number, number + 10):
            (tmp_path / "set" / f"class {index}").mkdir(parents=True)
        (tmp_path / "set" / f"class {number}" / "1.png").write_bytes(content)
    found = check_data(tmp_path / "set")
    assert len(found.counts["all"]) == 10_000
    empty_classes, copies = found.finding("empty_class"), found.finding("copies_across_classes")
    assert empty_classes is not None
    assert copies is not None
    assert (len(empty_classes.groups), len(copies.groups)) == (9000, 1)
    assert max(len(finding.text) for finding in found.findings) < 500


def test_the_command(photos: Path) -> None:
    code, out, _ = run_command("data", "check", photos)
    assert code == 0
    assert "16 images of 2 classes can be used" in out
    damage_cut(photos)
    near_elsewhere(photos)
    code, out, err = run_command("data", "check", photos)
    assert code == 1
    assert "PROBLEM: 1 file(s) cannot be read and are left out: cup/3.jpg" in out
    assert "cannot be read as an image: image file is truncated" in out
    assert "photos: 2 problem(s) found" in err
    code, out, _ = run_command("data", "check", photos, "--json")
    assert (code, json.loads(out)["unreadable"]) == (1, 1)
    assert run_command("data", "check", photos, "--quarantine")[0] == 1
    assert run_command("data", "check", photos)[0] == 0
    for path in (photos / "none", photos / "cup" / "1.jpg"):
        assert "is not a folder; expected a folder with" in error_of("data", "check", path)
    (photos.parent / "bare").mkdir()
    assert "has no class folders" in error_of("data", "check", photos.parent / "bare")
    for split in ("train", "test"):  # with pictures, but no folders for them
        (photos.parent / "bare" / split).mkdir()
        save(photos.parent / "bare" / split / "1.png", 1)
    error = error_of("data", "check", photos.parent / "bare")
    assert "train and " in error
    assert "test have no class folders; expected a folder with one" in error


def test_errors() -> None:
    with pytest.raises(DataNotFoundError, match="is not a folder; expected a folder with"):
        check_data("nowhere")
    with pytest.raises(DataNotFoundError, match="does not exist; expected a CSV file"):
        check_data("nowhere.csv")


def heic(image: Image.Image) -> bytes:
    pillow_heif = pytest.importorskip("pillow_heif")
    stream = io.BytesIO()
    pillow_heif.from_pillow(image).save(stream, quality=90)
    return stream.getvalue()


def test_heic_photos_are_read(photos: Path) -> None:
    content = heic(picture(5))
    (photos / "cup" / "5.jpg").unlink()
    (photos / "cup" / "photo.heic").write_bytes(content)
    assert check_data(photos).findings == ()
    assert len(load_folder(photos, split="all", input_spec=SPEC)) == 16
    difference = np.asarray(open_image(content)).astype(int) - np.asarray(picture(5))
    assert np.abs(difference).mean() < 4
    (photos / "cup" / "cut.heic").write_bytes(content[: len(content) // 2])
    assert kinds(check_data(photos)) == {"unreadable"}
    stream = io.BytesIO()
    picture(6).save(stream, "AVIF")
    assert open_image(stream.getvalue()).size == (96, 96)  # still read by Pillow


def test_a_heic_photo_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    content = heic(picture(5))
    monkeypatch.delitem(Image.OPEN, "HEIF", raising=False)
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(ImageError, match=r"is a HEIC photo, .* pip install '\.\[photos\]'"):
        open_image(content)

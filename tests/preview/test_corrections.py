"""What is kept when somebody says "that was a 7": a folder that training can read."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pocketlens.data import load_data
from pocketlens.errors import ImageError, OptionError, OutputError
from pocketlens.image import InputSpec, prepare
from pocketlens.preview import corrections
from pocketlens.preview.corrections import Correction, Corrections
from preview.server import CLASSES, QUARTERS, SIDE, picture, quarter


@pytest.fixture
def kept(tmp_path: Path) -> Corrections:
    return Corrections(tmp_path / "kept", CLASSES)


def noise(seed: int, size: tuple[int, ...] = (20, 30, 3)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, size, np.uint8)


def files(kept: Corrections) -> set[str]:
    return {str(f.relative_to(kept.folder)) for f in kept.folder.rglob("*") if f.is_file()}


def test_nothing_is_made_before_something_is_kept(kept: Corrections) -> None:
    assert len(kept) == 0
    assert list(kept) == []
    assert not kept.folder.exists()


def test_a_picture_is_kept_under_its_label(kept: Corrections) -> None:
    correction = kept.add(picture(noise(1)), "top left")
    assert files(kept) == {f"top left/{correction.name}.png"}
    assert list(kept) == [correction]
    with Image.open(kept.path(correction)) as image:
        np.testing.assert_array_equal(np.asarray(image), noise(1))


def test_the_same_twice_is_there_once(kept: Corrections) -> None:
    first = kept.add(picture(noise(1)), "nothing")
    assert kept.add(picture(noise(1)), "nothing") == first
    assert kept.add(picture(noise(1), "BMP"), "nothing") == first  # the same pixels
    assert len(kept) == 1
    assert kept.add(picture(noise(2)), "nothing") != first
    assert len(kept) == 2


def test_a_second_thought_moves_it(kept: Corrections) -> None:
    """One picture in two classes is a fault of a data folder, and so is an empty class."""
    kept.add(picture(noise(1)), "top left")
    moved = kept.add(picture(noise(1)), "top right")
    assert list(kept) == [moved]
    assert not (kept.folder / "top left").exists()


def test_upright_and_no_larger_than_needed(kept: Corrections) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    large = kept.add(picture(noise(1, (1000, 2000, 3)), "JPEG", exif=exif), "nothing")
    with Image.open(kept.path(large)) as image:
        assert image.size == (320, 640)
        assert image.getexif() == {}


def test_training_reads_it(kept: Corrections) -> None:
    """The data source `folder:`, the same pixels that the model saw."""
    for level in range(100, 240, 20):
        for label in QUARTERS:
            kept.add(picture(quarter(label, level)), label)
    spec = InputSpec(SIDE, SIDE)
    data = load_data(f"folder:{kept.folder}", split="train", input_spec=spec)
    assert set(data.classes) == set(QUARTERS)
    assert len(data) + len(
        load_data(f"folder:{kept.folder}", split="test", input_spec=spec)
    ) == len(kept)
    for image, label in zip(data.images, data.labels, strict=True):
        named = data.classes[label]
        np.testing.assert_array_equal(image, prepare(quarter(named, int(image.max())), spec))


def test_removing(kept: Corrections) -> None:
    one = kept.add(picture(noise(1)), "top left")
    two = kept.add(picture(noise(2)), "top left")
    kept.remove(one)
    assert list(kept) == [two]
    with pytest.raises(OptionError, match=f"there is no correction '{one.name}' of 'top left'"):
        kept.remove(one)
    kept.remove(two)
    assert not (kept.folder / "top left").exists()
    assert kept.folder.is_dir()


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("top left", "0123456789abcdef"),
        ("top left", "../other"),
        ("top left", ""),
        ("..", "secret"),
        ("", "secret"),
        ("/etc", "secret"),
        ("other", "secret"),
    ],
)
def test_only_what_was_kept_can_be_had(kept: Corrections, label: str, name: str) -> None:
    kept.add(picture(noise(1)), "top left")
    for place in (kept.folder.parent, kept.folder, kept.folder / "other"):
        place.mkdir(exist_ok=True)
        (place / "secret.png").write_bytes(b"secret")
    for ask in (kept.path, kept.remove):
        with pytest.raises(OptionError, match="there is no correction"):
            ask(Correction(label, name))
    assert (kept.folder.parent / "secret.png").read_bytes() == b"secret"


@pytest.mark.parametrize("label", ["", "7", "Top left", "top left ", "../x", "/"])
def test_only_classes_are_labels(kept: Corrections, label: str) -> None:
    with pytest.raises(OptionError, match="a correction is one of 'top left', 'top right', "):
        kept.add(picture(noise(1)), label)
    assert not kept.folder.exists()


def test_only_pictures_are_kept(kept: Corrections) -> None:
    with pytest.raises(ImageError, match="is not a picture"):
        kept.add(b"no picture", "nothing")
    with pytest.raises(ImageError, match="expected at most 30000000"):
        kept.add(picture(np.zeros((6000, 6000), np.uint8)), "nothing")
    assert not kept.folder.exists()


NO_FOLDERS = ["", ".", "..", ".git", "a/b", "a\\b", "C:", "what?", "a\nb", " a", "a ", "a."]
NO_FOLDERS += ["x" * 201, "con", "CON", "nul.txt", "Com1", "lpt9"]


@pytest.mark.parametrize("name", NO_FOLDERS)
def test_classes_that_are_no_folder_are_left_out(tmp_path: Path, name: str) -> None:
    assert Corrections(tmp_path / "kept", ["a", name]).classes == ("a",)


@pytest.mark.parametrize("name", ["0", "top left", "é", "数字", "a.b", "100%", "x" * 200, "conch"])
def test_classes_that_are(tmp_path: Path, name: str) -> None:
    kept = Corrections(tmp_path / "kept", [name])
    correction = kept.add(picture(noise(1)), name)
    assert list(kept) == [correction]
    assert kept.path(correction).is_file()


def test_there_is_a_limit(kept: Corrections, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corrections, "MOST", 3)
    made = [kept.add(picture(noise(n)), "nothing") for n in range(3)]
    with pytest.raises(OptionError, match="holds 3 pictures; move some of them elsewhere"):
        kept.add(picture(noise(3)), "nothing")
    kept.path(made[0]).rename(kept.folder.parent / "elsewhere.png")
    kept.add(picture(noise(3)), "nothing")
    with pytest.raises(OptionError, match="holds 3 pictures"):
        kept.add(picture(noise(4)), "nothing")
    again = Corrections(kept.folder, CLASSES)
    with pytest.raises(OptionError, match="holds 3 pictures"):
        again.add(picture(noise(4)), "nothing")


def test_the_folder_is_not_counted_each_time(
    kept: Corrections, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = []
    count = Corrections.__len__

    def noted(self: Corrections) -> int:
        counted.append(self)
        return count(self)

    monkeypatch.setattr(Corrections, "__len__", noted)
    for number in range(5):
        kept.add(picture(noise(number)), "nothing")
    assert len(counted) == 1


def test_other_files_are_left_alone(kept: Corrections) -> None:
    (kept.folder / "nothing").mkdir(parents=True)
    (kept.folder / "nothing" / "notes.txt").write_text("mine")
    (kept.folder / "elsewhere").mkdir()
    correction = kept.add(picture(noise(1)), "nothing")
    kept.remove(correction)
    assert files(kept) == {"nothing/notes.txt"}
    assert (kept.folder / "elsewhere").is_dir()


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OptionError, match="file is a file; corrections are kept in a folder"):
        Corrections(tmp_path / "file", CLASSES)


def test_a_folder_that_cannot_be_written(kept: Corrections) -> None:
    kept.folder.write_text("in the way")
    with pytest.raises(OutputError, match="cannot be written"):
        kept.add(picture(noise(1)), "nothing")


def test_a_system_that_takes_capitals_for_small_letters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As macOS and Windows do: `a` and `A` would be one folder, and one class when trained on."""
    kept = Corrections(tmp_path / "kept", ["A", "a", "b"])
    capital = kept.add(picture(noise(1)), "A")
    exists = Path.exists

    def same(path: Path, **options: bool) -> bool:
        names = {each.name.casefold() for each in path.parent.iterdir()}
        return exists(path, **options) or path.name.casefold() in names

    monkeypatch.setattr(Path, "exists", same)
    with pytest.raises(OptionError, match="differs only in capitals"):
        kept.add(picture(noise(2)), "a")
    kept.add(picture(noise(3)), "b")
    assert [each.label for each in kept] == ["A", "b"]
    with pytest.raises(OptionError, match="there is no correction"):
        kept.path(Correction("a", capital.name))


def test_accents_may_be_written_in_two_ways(tmp_path: Path) -> None:
    composed, apart = "\u00e9", "e\u0301"
    kept = Corrections(tmp_path / "kept", [composed])
    (kept.folder / apart).mkdir(parents=True)
    (kept.folder / apart / "0.png").write_bytes(picture(noise(1)))
    assert list(kept) == [Correction(composed, "0")]


def test_several_at_once(kept: Corrections) -> None:
    """The same pictures as every class, from threads: each ends in one class, whole."""
    contents = [picture(noise(number)) for number in range(4)]

    def add(label: str) -> None:
        for content in contents * 3:
            kept.add(content, label)

    threads = [threading.Thread(target=add, args=(label,)) for label in CLASSES]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(kept) == len({each.name for each in kept}) == 4
    for each in kept:
        with Image.open(kept.path(each)) as image:
            image.load()
    assert not list(kept.folder.rglob("*.part"))

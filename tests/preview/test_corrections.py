"""Stored corrections: a folder that can be used for training."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from pocketlens.data import load_data
from pocketlens.errors import ImageError, OptionError, OutputError
from pocketlens.files import _machine
from pocketlens.image import InputSpec, prepare
from pocketlens.preview import corrections
from pocketlens.preview.corrections import Correction, Corrections
from pocketlens.preview.decoders import reduced
from preview.server import CLASSES, QUARTERS, SIDE, image_bytes, quarter


@pytest.fixture
def store(tmp_path: Path) -> Corrections:
    return Corrections(tmp_path / "corrections", CLASSES, reduced)


def noise(seed: int, size: tuple[int, ...] = (20, 30, 3)) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, size, np.uint8)


def files(store: Corrections) -> set[str]:
    return {str(f.relative_to(store.folder)) for f in store.folder.rglob("*") if f.is_file()}


def test_folder_is_created_with_the_first_correction(store: Corrections) -> None:
    assert len(store) == 0
    assert list(store) == []
    assert not store.folder.exists()


def test_image_is_stored_in_the_folder_of_its_label(store: Corrections) -> None:
    correction = store.add(image_bytes(noise(1)), "top left")
    assert files(store) == {f"top left/{correction.name}.png"}
    assert list(store) == [correction]
    with Image.open(store.path(correction)) as image:
        np.testing.assert_array_equal(np.asarray(image), noise(1))


def test_same_image_is_stored_once(store: Corrections) -> None:
    first = store.add(image_bytes(noise(1)), "nothing")
    assert store.add(image_bytes(noise(1)), "nothing") == first
    assert store.add(image_bytes(noise(1), "BMP"), "nothing") == first  # the same pixels
    assert len(store) == 1
    assert store.add(image_bytes(noise(2)), "nothing") != first
    assert len(store) == 2


def test_second_label_moves_the_image(store: Corrections) -> None:
    """A data folder must not have an image in two classes, or an empty class."""
    store.add(image_bytes(noise(1)), "top left")
    moved = store.add(image_bytes(noise(1)), "top right")
    assert list(store) == [moved]
    assert not (store.folder / "top left").exists()


def test_image_is_upright_and_reduced(store: Corrections) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    large = store.add(image_bytes(noise(1, (1000, 2000, 3)), "JPEG", exif=exif), "nothing")
    with Image.open(store.path(large)) as image:
        assert image.size == (320, 640)
        assert image.getexif() == {}


def test_folder_is_a_data_source(store: Corrections) -> None:
    """`folder:PATH` loads the same pixels as the model's input."""
    for level in range(100, 240, 20):
        for label in QUARTERS:
            store.add(image_bytes(quarter(label, level)), label)
    spec = InputSpec(SIDE, SIDE)
    data = load_data(f"folder:{store.folder}", split="train", input_spec=spec)
    assert set(data.classes) == set(QUARTERS)
    assert len(data) + len(
        load_data(f"folder:{store.folder}", split="test", input_spec=spec)
    ) == len(store)
    for image, label in zip(data.images, data.labels, strict=True):
        name = data.classes[label]
        np.testing.assert_array_equal(image, prepare(quarter(name, int(image.max())), spec))


def test_remove(store: Corrections) -> None:
    one = store.add(image_bytes(noise(1)), "top left")
    two = store.add(image_bytes(noise(2)), "top left")
    store.remove(one)
    assert list(store) == [two]
    with pytest.raises(OptionError, match=f"no correction '{one.name}' with label 'top left'"):
        store.remove(one)
    store.remove(two)
    assert not (store.folder / "top left").exists()
    assert store.folder.is_dir()


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
def test_other_files_cannot_be_read_or_removed(store: Corrections, label: str, name: str) -> None:
    store.add(image_bytes(noise(1)), "top left")
    for folder in (store.folder.parent, store.folder, store.folder / "other"):
        folder.mkdir(exist_ok=True)
        (folder / "secret.png").write_bytes(b"secret")
    for method in (store.path, store.remove):
        with pytest.raises(OptionError, match="no correction"):
            method(Correction(label, name))
    assert (store.folder.parent / "secret.png").read_bytes() == b"secret"


@pytest.mark.parametrize("label", ["", "7", "Top left", "top left ", "../x", "/"])
def test_unknown_label_is_rejected(store: Corrections, label: str) -> None:
    with pytest.raises(
        OptionError, match=f"unknown label {label!r}; expected one of: 'top left', 'top right', "
    ):
        store.add(image_bytes(noise(1)), label)
    assert not store.folder.exists()


def test_invalid_image_is_rejected(store: Corrections) -> None:
    with pytest.raises(ImageError, match="unsupported image format"):
        store.add(b"no image", "nothing")
    with pytest.raises(ImageError, match="expected at most 30000000"):
        store.add(image_bytes(np.zeros((6000, 6000), np.uint8)), "nothing")
    assert not store.folder.exists()


INVALID_NAMES = ["", ".", "..", ".git", "a/b", "a\\b", "C:", "what?", "a\nb", " a", "a ", "a."]
INVALID_NAMES += ["x" * 201, "con", "CON", "nul.txt", "Com1", "lpt9"]


@pytest.mark.parametrize("name", INVALID_NAMES)
def test_invalid_folder_names_are_left_out(tmp_path: Path, name: str) -> None:
    assert Corrections(tmp_path / "corrections", ["a", name], reduced).classes == ("a",)


@pytest.mark.parametrize("name", ["0", "top left", "é", "数字", "a.b", "100%", "x" * 200, "conch"])
def test_valid_folder_names(tmp_path: Path, name: str) -> None:
    store = Corrections(tmp_path / "corrections", [name], reduced)
    correction = store.add(image_bytes(noise(1)), name)
    assert list(store) == [correction]
    assert store.path(correction).is_file()


def test_number_of_corrections_is_limited(
    store: Corrections, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corrections, "MAX_CORRECTIONS", 3)
    added = [store.add(image_bytes(noise(n)), "nothing") for n in range(3)]
    with pytest.raises(OptionError, match="is full: 3 images; move some of them to another folder"):
        store.add(image_bytes(noise(3)), "nothing")
    store.path(added[0]).rename(store.folder.parent / "elsewhere.png")
    store.add(image_bytes(noise(3)), "nothing")
    with pytest.raises(OptionError, match="is full: 3 images"):
        store.add(image_bytes(noise(4)), "nothing")
    again = Corrections(store.folder, CLASSES, reduced)
    with pytest.raises(OptionError, match="is full: 3 images"):
        again.add(image_bytes(noise(4)), "nothing")


def test_folder_is_counted_once(store: Corrections, monkeypatch: pytest.MonkeyPatch) -> None:
    counted = []
    count = Corrections.__len__

    def recording_count(self: Corrections) -> int:
        counted.append(self)
        return count(self)

    monkeypatch.setattr(Corrections, "__len__", recording_count)
    for number in range(5):
        store.add(image_bytes(noise(number)), "nothing")
    assert len(counted) == 1


def test_other_files_are_kept(store: Corrections) -> None:
    (store.folder / "nothing").mkdir(parents=True)
    (store.folder / "nothing" / "notes.txt").write_text("mine")
    (store.folder / "elsewhere").mkdir()
    correction = store.add(image_bytes(noise(1)), "nothing")
    store.remove(correction)
    assert files(store) == {"nothing/notes.txt"}
    assert (store.folder / "elsewhere").is_dir()


def test_file_instead_of_a_folder_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OptionError, match="file is a file; expected a folder for the corrections"):
        Corrections(tmp_path / "file", CLASSES, reduced)


def test_folder_that_cannot_be_written(store: Corrections) -> None:
    store.folder.write_text("in the way")
    with pytest.raises(OutputError, match="cannot be written"):
        store.add(image_bytes(noise(1)), "nothing")


def test_case_insensitive_file_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on macOS and Windows, where `a` and `A` would be one folder, and one class in training."""
    store = Corrections(tmp_path / "corrections", ["A", "a", "b"], reduced)
    capital = store.add(image_bytes(noise(1)), "A")
    exists = Path.exists

    def case_insensitive_exists(path: Path, **options: bool) -> bool:
        names = {each.name.casefold() for each in path.parent.iterdir()}
        return exists(path, **options) or path.name.casefold() in names

    monkeypatch.setattr(Path, "exists", case_insensitive_exists)
    with pytest.raises(OptionError, match="cannot store 'a': .* use a case-sensitive file system"):
        store.add(image_bytes(noise(2)), "a")
    store.add(image_bytes(noise(3)), "b")
    assert [each.label for each in store] == ["A", "b"]
    with pytest.raises(OptionError, match="no correction"):
        store.path(Correction("a", capital.name))


def test_decomposed_folder_name_is_found(tmp_path: Path) -> None:
    composed, decomposed = "\u00e9", "e\u0301"
    store = Corrections(tmp_path / "corrections", [composed], reduced)
    (store.folder / decomposed).mkdir(parents=True)
    (store.folder / decomposed / "0.png").write_bytes(image_bytes(noise(1)))
    assert list(store) == [Correction(composed, "0")]


def test_concurrent_adds(store: Corrections) -> None:
    """Threads add the same images under different labels: each image ends in one class, intact."""
    contents = [image_bytes(noise(number)) for number in range(4)]

    def add(label: str) -> None:
        for content in contents * 3:
            store.add(content, label)

    threads = [threading.Thread(target=add, args=(label,)) for label in CLASSES]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(store) == len({each.name for each in store}) == 4
    for each in store:
        with Image.open(store.path(each)) as image:
            image.load()
    assert not list(store.folder.rglob("*.part"))


def moved_content(store: Corrections) -> tuple[bytes, Correction]:
    content = image_bytes(noise(1))
    return content, store.add(content, "top left")


def test_relabeled_image_stays_if_it_cannot_be_written(store: Corrections) -> None:
    content, old = moved_content(store)
    (store.folder / "top right").mkdir()
    (store.folder / "top right" / f"{old.name}.png").mkdir()  # in the way of the new file
    with pytest.raises(OutputError, match=r"corrections/top right/\w+\.png cannot be written: "):
        store.add(content, "top right")
    assert list(store) == [old]
    with Image.open(store.path(old)) as image:
        np.testing.assert_array_equal(np.asarray(image), noise(1))


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX limits")
def test_relabeled_image_stays_on_a_full_disk(store: Corrections) -> None:
    """A real error of the file system: the process may write no file larger than 100 bytes."""
    content, old = moved_content(store)
    (store.folder.parent / "content").write_bytes(content)
    code = (
        "import resource, signal, sys\n"
        "from pathlib import Path\n"
        "from pocketlens.errors import OutputError\n"
        "from pocketlens.preview.corrections import Corrections\n"
        "from pocketlens.preview.decoders import reduced\n"
        "store = Corrections('corrections', ['top left', 'top right'], reduced)\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
        "try:\n    store.add(Path('content').read_bytes(), 'top right')\n"
        "except OutputError as error:\n    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=store.folder.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.endswith(".png cannot be written: File too large\n")
    assert files(store) == {f"top left/{old.name}.png"}
    assert not (store.folder / "top right").exists()


def test_kill_between_the_steps_of_a_move(store: Corrections) -> None:
    """The new file is written, and the old one not yet deleted: the next preview deletes it."""
    content, old = moved_content(store)
    code = (
        "import os, signal\n"
        "from pathlib import Path\n"
        "from pocketlens.preview.corrections import Corrections\n"
        "from pocketlens.preview.decoders import reduced\n"
        "store = Corrections('corrections', ['top left', 'top right'], reduced)\n"
        "store._delete = lambda _: os.kill(os.getpid(), signal.SIGKILL)\n"
        "store.add(Path('content').read_bytes(), 'top right')\n"
    )
    (store.folder.parent / "content").write_bytes(content)
    done = subprocess.run([sys.executable, "-c", code], cwd=store.folder.parent)
    assert done.returncode < 0
    assert {each.label for each in store} == {"top left", "top right"}
    again = Corrections(store.folder, CLASSES, reduced)
    assert list(again) == [Correction("top right", old.name)]
    assert not (store.folder / "top left").exists()


def test_half_a_file_of_a_killed_preview_is_removed(store: Corrections) -> None:
    _, old = moved_content(store)
    code = "import os; print(f'{os.getpid():x}')"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    half = store.path(old).with_name(f".x.png.{ended.stdout.strip()}-{_machine()}-0123abcd.part")
    mine = store.path(old).with_name(f".y.png.{os.getpid():x}-{_machine()}-0123abcd.part")
    for file in (half, mine):
        file.write_bytes(b"half")
    Corrections(store.folder, CLASSES, reduced)
    assert not half.exists()
    assert mine.exists()  # this process lives


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX file modes")
def test_only_the_user_can_read_the_images(store: Corrections) -> None:
    _, one = moved_content(store)
    path = store.path(one)
    modes = [stat.S_IMODE(each.stat().st_mode) for each in (store.folder, path.parent, path)]
    assert modes == [0o700, 0o700, 0o600]


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """Somebody else's image."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "secret.png").write_bytes(image_bytes(noise(9)))
    return folder


def test_linked_file_is_not_followed(store: Corrections, outside: Path) -> None:
    _, one = moved_content(store)
    link = store.path(one).with_name("secret.png")
    link.symlink_to(outside / "secret.png")
    assert list(store) == [one]
    for method in (store.path, store.read, store.remove):
        with pytest.raises(OptionError, match="no correction 'secret'"):
            method(Correction("top left", "secret"))
    assert (outside / "secret.png").exists()


def test_linked_folder_is_not_followed(store: Corrections, outside: Path) -> None:
    store.folder.mkdir()
    (store.folder / "nothing").symlink_to(outside)
    assert list(store) == []
    for method in (store.path, store.read, store.remove):
        with pytest.raises(OptionError, match="no correction 'secret'"):
            method(Correction("nothing", "secret"))
    with pytest.raises(OptionError, match="cannot store 'nothing': .* its folder is a link"):
        store.add(image_bytes(noise(1)), "nothing")
    assert [file.name for file in outside.iterdir()] == ["secret.png"]


def test_link_in_the_place_of_a_new_file_is_replaced(store: Corrections, outside: Path) -> None:
    content, one = moved_content(store)
    path = store.path(one)
    path.unlink()
    path.symlink_to(outside / "secret.png")
    store.add(content, "top left")
    assert not path.is_symlink()
    assert store.read(one) != (outside / "secret.png").read_bytes()
    assert (outside / "secret.png").read_bytes() == image_bytes(noise(9))


def test_read_returns_the_file(store: Corrections) -> None:
    _, one = moved_content(store)
    assert store.read(one) == store.path(one).read_bytes()

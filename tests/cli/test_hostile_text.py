"""Every command with files whose every name and text is hostile to a terminal."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from command_line import run_command
from hostile import ALL, FILE_NAME, HOSTILE, hostile_model, is_clean
from pocketlens.conversion import read_labels
from pocketlens.errors import OptionError
from pocketlens.preview.server import Address

pytestmark = pytest.mark.skipif(os.name == "nt", reason="no such file names on Windows")


def clean(*words: object, status: int | None = None) -> tuple[int, str, str]:
    """The result of a command; nothing in its output has control characters."""
    found = run_command(*words)
    _, out, err = found
    assert is_clean(out)
    assert is_clean(err)
    assert out or err
    if "--json" in words and out:
        json.loads(out)
    if status is not None:
        assert found[0] == status, err
    return found


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a hostile name."""
    folder = tmp_path_factory.mktemp("hostile") / FILE_NAME
    folder.mkdir()
    return folder


@pytest.fixture(scope="module")
def model(place: Path) -> Path:
    return hostile_model(place / f"{FILE_NAME}.mlmodel")


@pytest.fixture(scope="module")
def picture(place: Path) -> Path:
    path = place / f"{FILE_NAME}.png"
    Image.fromarray(np.full((12, 12), 7, np.uint8)).save(path)
    return path


@pytest.fixture(scope="module")
def photos(place: Path) -> Path:
    """A data set with good class names in a folder with a hostile name."""
    random = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (place / "photos" / name).mkdir(parents=True)
        for number in range(4):
            pixels = random.integers(0, 255, (12, 12), dtype=np.uint8)
            Image.fromarray(pixels).save(place / "photos" / name / f"{number}{FILE_NAME}.png")
    return place / "photos"


def test_a_hostile_model(model: Path, picture: Path, photos: Path, tmp_path: Path) -> None:
    _, out, _ = clean("inspect", model, status=0)
    assert r"\x1b[31mred\x1b[0m" in out
    _, out, _ = clean("inspect", model, "--json", status=0)
    found = json.loads(out)
    assert found["classes"] == list(HOSTILE.values())
    assert found["metadata"]["author"] == found["metadata"]["user"][ALL] == ALL
    _, out, _ = clean("predict", model, picture, status=0)
    assert r"\x1b[31mred\x1b[0m" in out
    _, out, _ = clean("predict", model, picture, "--top", 99, "--json", status=0)
    assert set(json.loads(out)[0]["top"]) == set(HOSTILE.values())
    _, out, _ = clean("predict", model, picture, "--csv", "-", status=0)
    assert out.startswith("image,verdict,label,")
    other = shutil.copy(model, model.parent / "other.mlmodel")
    for words in (
        ("predict", model, model),
        ("predict", model, photos, "--csv", "-"),
        ("evaluate", model, "--data", photos),
        ("verify", model, other, "--data", photos),
        ("verify", model, model),
        ("onnx", model, "-o", tmp_path / f"{FILE_NAME}.onnx"),
        ("onnx", model, "-o", tmp_path / f"{FILE_NAME}.onnx", "--function", FILE_NAME),
        ("app", model, "-o", tmp_path / FILE_NAME),
        ("app", model, "-o", tmp_path / FILE_NAME, "--name", FILE_NAME),
        ("app", "--check", tmp_path / FILE_NAME),
        ("convert", model, "--labels", "a,b"),
        ("preview", model, model),
        ("inspect", picture),
        ("inspect", photos),
        ("report", place_of(model)),
    ):
        clean(*words)
        clean(*words, "--json")


def place_of(path: Path) -> Path:
    return path.parent


def test_what_is_written_for_a_hostile_model(model: Path, tmp_path: Path) -> None:
    """The class names are data in the app: no source file has one, and JSON has their value."""
    clean("app", model, "-o", tmp_path / "app", "--name", "Lens", status=0)
    files = [path for path in (tmp_path / "app").rglob("*") if path.is_file()]
    sources = [
        p for p in files if p.suffix in (".swift", ".md", ".plist", ".pbxproj", ".py", ".yml")
    ]
    assert len(sources) > 10
    for path in sources:
        assert is_clean(path.read_text(encoding="utf-8").replace("\t", " ")), path
    described = [json.loads(path.read_text("utf-8")) for path in files if path.suffix == ".json"]
    assert [found["classes"] for found in described if "classes" in found] == [[*HOSTILE.values()]]


def test_the_console_of_the_preview(
    model: Path, picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pocketlens.preview
    from pocketlens.preview.server import Address

    def serve(models: Any, *, ready: Callable[[Address], None], **_: Any) -> None:
        ready(Address("http://127.0.0.1:1", "secret", "once"))

    monkeypatch.setattr(pocketlens.preview, "serve_preview", serve)
    _, out, _ = clean("preview", model, "--no-open", "--json", status=0)
    assert json.loads(out)["models"] == [model.stem]
    clean("preview", model, "--no-open", status=0)
    clean("preview", model, "--no-open", "--lan", status=0)


def test_hostile_words_on_the_command_line(place: Path) -> None:
    """The names of files become words on the command line, such as by `*.png`."""
    for words in (
        [FILE_NAME],
        [f"--{FILE_NAME}"],
        ["predict", f"--{FILE_NAME}"],
        ["predict", FILE_NAME, FILE_NAME],
        ["inspect", FILE_NAME],
        ["evaluate", FILE_NAME],
        ["verify", FILE_NAME, FILE_NAME],
        ["convert", f"{FILE_NAME}.keras", "--labels", FILE_NAME],
        ["app", FILE_NAME, "-o", place / "app"],
        ["app", "--check", FILE_NAME],
        ["report", FILE_NAME],
        ["onnx", FILE_NAME, "-o", FILE_NAME],
        ["preview", FILE_NAME],
        ["preview", FILE_NAME, "--port", FILE_NAME],
        ["correct", FILE_NAME, FILE_NAME, "-o", place / "new"],
        ["run", FILE_NAME],
        ["run", f"{FILE_NAME}.toml"],
        ["run", "quick", "--data", f"./{FILE_NAME}", "-o", place / "none"],
        ["run", "quick", "--set", FILE_NAME],
        ["run", "quick", "--set", f"{FILE_NAME}=1"],
        ["run", "quick", "--set", f"name={FILE_NAME}"],
        ["run", "quick", "--set", f"model.name={FILE_NAME}"],
        ["run", "quick", "--set", f"app.name={FILE_NAME}"],
        ["train", FILE_NAME],
        ["recipes", "show", FILE_NAME],
        ["recipes", "copy", FILE_NAME],
        ["data", FILE_NAME],
        ["data", "show", FILE_NAME],
        ["data", "download", FILE_NAME],
    ):
        status, _, _ = clean(*words)
        assert status == 2, words


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
def test_hostile_class_names_are_refused_before_training(name: str, tmp_path: Path) -> None:
    for each in ("good", name.replace("\0", "")):
        (tmp_path / "photos" / each).mkdir(parents=True)
        for number in range(3):
            pixels = np.full((12, 12), 50 * number + len(each), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / each / f"{number}.png")
    words = ["run", "quick", "--data", tmp_path / "photos", "-o", tmp_path / "run"]
    for command in (words, ["data", "show", tmp_path / "photos", "--size", "12"]):
        _, _, err = clean(*command, status=2)
        assert "has control or invisible characters; rename" in err
    assert not list(tmp_path.rglob("*.safetensors"))


def test_names_that_look_the_same_are_refused(tmp_path: Path) -> None:
    for each in ("Käse", "Ka\u0308se", "Brot"):
        (tmp_path / each).mkdir()
        Image.new("L", (12, 12)).save(tmp_path / each / "a.png")
    _, _, err = clean("data", "show", tmp_path, "--size", 12, status=2)
    assert "'Käse', is the same as class name" in err


def test_a_class_name_that_is_not_utf_8(tmp_path: Path) -> None:
    for each in (b"cat", b"caf\xe9"):
        folder = tmp_path / "photos" / os.fsdecode(each)
        folder.mkdir(parents=True)
        Image.new("L", (12, 12)).save(folder / "a.png")
    _, _, err = clean("data", "show", tmp_path / "photos", "--size", 12, status=2)
    assert r"class name 1, 'caf\udce9', has control or invisible characters" in err


def test_hostile_labels_are_refused(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("cat\nd\x1b[31mog\n")
    with pytest.raises(OptionError, match=r"class name 2, 'd\\x1b\[31mog', has control") as caught:
        read_labels(tmp_path / "labels.txt")
    assert is_clean(str(caught.value))


def test_a_hostile_recipe(tmp_path: Path) -> None:
    good = run_command("recipes", "show", "quick")[1]
    text = json.dumps(ALL)  # a TOML string, too
    for line in (
        f"name = {text}",
        f"{text} = 1",
        f"[model]\nname = {text}",
        f"[app]\nname = {text}",
    ):
        recipe = tmp_path / f"{FILE_NAME}.toml"
        key = line.partition(" =")[0]
        body = "\n".join(each for each in good.splitlines() if not each.startswith(key))
        recipe.write_text(f"{line}\n{body}" if "[" not in key else f"{body}\n{line}")
        _, _, err = clean("run", recipe, "-o", tmp_path / "run", status=2)
        assert "\\x1b" in err or "\\u001b" in err
    recipe.write_bytes(b"name = \x1b[31m\n")
    clean("run", recipe, "-o", tmp_path / "run", status=2)


def test_hostile_texts_in_a_run_folder(bars_run: Path, tmp_path: Path) -> None:
    """Whatever text stands in the files of a run: it is printed as escapes, or refused."""
    run = tmp_path / FILE_NAME
    for file in sorted(bars_run.glob("*.json")):
        for target in _strings(json.loads(file.read_text())):
            shutil.rmtree(run, ignore_errors=True)
            shutil.copytree(bars_run, run)
            content = json.loads(file.read_text())
            _replace(content, target)
            (run / file.name).write_text(json.dumps(content))
            for words in (["run", run / "recipe.toml", "-o", run], ["report", run]):
                clean(*words)


def _strings(content: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of up to three texts, or places for one, in JSON."""
    if content is None or isinstance(content, str):
        return [path]
    if not isinstance(content, dict | list):
        return []
    items = content.items() if isinstance(content, dict) else enumerate(content)
    return [found for key, value in items for found in _strings(value, (*path, key))][:3]


def _replace(content: Any, path: tuple[Any, ...]) -> None:
    for key in path[:-1]:
        content = content[key]
    content[path[-1]] = ALL


def test_a_class_is_one_line_of_the_table(tmp_path: Path) -> None:
    for name in ("two\nlines", "[red]x", "plain"):
        (tmp_path / name).mkdir()
    _, out, _ = clean("data", "check", tmp_path, status=1)
    rows = [line.split() for line in out.splitlines()[1:4]]
    assert rows == [["[red]x", "0"], ["plain", "0"], ["two\\nlines", "0"]]

"""Every command on an installation that lacks a package: it works, or one line says what to do."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from pocketlens.errors import EXTRAS, MissingExtraError, require

ROOT = Path(__file__).parents[2]

CHILD = """
import json, sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in BLOCKED:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

BLOCKED, commands = json.loads(sys.stdin.read())
sys.meta_path.insert(0, Blocker())
from typer.testing import CliRunner
from pocketlens.cli import main

results = []
for words in commands:
    done = CliRunner().invoke(main, words)
    broken = done.exception is not None and not isinstance(done.exception, SystemExit)
    results.append([done.exit_code, repr(done.exception) if broken else done.stderr])
sys.__stdout__.write(json.dumps(results))
"""

PREVIEW = ["cryptography", "httptools", "segno", "starlette", "uvicorn", "websockets"]
OPTIONAL = ["torch", "matplotlib", "keras", *PREVIEW]


def results(blocked: list[str], commands: list[list[str]]) -> dict[str, tuple[int, str]]:
    """The exit status and the errors of each command, run without the packages `blocked`."""
    done = subprocess.run(
        [sys.executable, "-c", CHILD],
        input=json.dumps([blocked, commands]),
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    found = json.loads(done.stdout)
    return {" ".join(words[:2]): tuple(each) for words, each in zip(commands, found, strict=True)}


@pytest.fixture
def commands(bars_run: Path, picture_folder: Path, tmp_path: Path) -> list[list[str]]:
    """All commands, each with arguments that it accepts if every package is installed."""
    model, folder = str(bars_run / "Bars.mlpackage"), str(picture_folder)
    picture = str(sorted((picture_folder / "stands").iterdir())[0])
    keras = tmp_path / "model.keras"
    keras.touch()
    small = ["--set", "input.height=12", "--set", "input.width=12", "--set", "data.validation=0.2"]
    small += ["--set", "training.batch_size=30", "--set", "network.channels=[4, 8]"]
    words = [
        ["run", "quick", "--data", folder, *small, "--out", "run"],
        ["train", "quick", "--data", folder, *small, "--out", "train"],
        ["correct", str(bars_run), folder, "--out", "correct"],
        ["report", str(bars_run)],
        ["evaluate", str(bars_run)],
        ["evaluate", model, "--data", folder],
        ["verify", str(bars_run)],
        ["convert", str(bars_run), "--out", "converted.mlpackage"],
        ["convert", str(keras), "--labels", "a,b", "--out", "keras.mlpackage"],
        ["inspect", model],
        ["predict", model, picture],
        ["onnx", model, "--out", "model.onnx"],
        ["app", model, "--out", "app"],
        ["ops"],
        ["recipes", "list"],
        ["recipes", "show", "quick", "--json"],
        ["recipes", "copy", "quick", "copy.toml"],
        ["data", "list"],
        ["data", "show", folder, "--size", "12", "--out", "shown"],
        ["preview", model, "--no-open", "--port", "-1"],
    ]
    places = ("--out", "copy.toml")
    for row in words:
        for index, word in enumerate(row):
            if word in places[1:] or (index and row[index - 1] in places[:1]):
                row[index] = str(tmp_path / word)
    return words


NEEDS = {
    "torch": {"run", "train", "correct", "evaluate", "verify", "convert"},
    "matplotlib": {"run", "train", "correct", "data"},
    "keras": {"convert"},
}
"""The commands that cannot work without a package; the others are not affected."""


@pytest.mark.parametrize(
    "blocked",
    [
        ["torch"],
        pytest.param(["matplotlib"], marks=pytest.mark.slow),
        pytest.param(["keras"], marks=pytest.mark.slow),
        OPTIONAL,
    ],
    ids=str,
)
def test_every_command_without_an_optional_package(
    commands: list[list[str]], blocked: list[str]
) -> None:
    needs = {name for package in blocked for name in NEEDS.get(package, ())}
    asks = 0
    for command, (status, text) in results(blocked, commands).items():
        assert "Traceback" not in text
        assert "Error(" not in text, command
        if "not installed" in text:
            asks += 1
            assert text.count("error: ") == 1, command
            assert status == 2, command
            assert command.split()[0] in needs, command
            assert "in the folder of the Pocketlens clone, type: pip install '.[" in text
        elif command.split()[0] not in ("preview", "convert"):  # these have invalid arguments
            assert status == 0, (command, text)
    assert asks > 0


@pytest.mark.slow
@pytest.mark.parametrize("package", ["coremltools", "safetensors"])
def test_every_command_on_a_damaged_installation(commands: list[list[str]], package: str) -> None:
    """Without a package that the bare install has: still one line."""
    found = results([package], [words for words in commands if words[0] not in ("preview",)])
    missing = [command for command, (_, text) in found.items() if "not installed" in text]
    assert len(missing) >= 3
    for command, (status, text) in found.items():
        assert "Error(" not in text, command
        if command in missing:
            assert (status, text.count("error: ")) == (2, 1), command
            assert f"'{package}'" in text.splitlines()[-1]
            assert text.endswith("in the folder of the Pocketlens clone, type: pip install .\n")


def test_the_extras_are_those_of_pyproject() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    imported = {"scikit_learn": "sklearn", "coreai_core": "coreai"}
    names = {
        extra: {imported.get(name, name) for name in map(module_of, extras[extra])}
        for extra in (
            *("train", "keras", "preview", "convert", "photos", "hf", "onnx", "sklearn"),
            *("coreai", "scale"),
        )
    }
    assert set(EXTRAS) == set().union(*names.values())
    for package, extra in EXTRAS.items():
        assert package in names[extra]


def module_of(requirement: str) -> str:
    found = re.match(r"[\w-]+", requirement)
    assert found
    return found[0].replace("-", "_")


def test_the_message_names_every_package_and_extra() -> None:
    with pytest.raises(MissingExtraError) as caught:
        require("pathlib", "no_such_package", "nor_this", purpose="the test")
    assert str(caught.value) == (
        "the test needs the packages 'no_such_package' and 'nor_this', which are not installed; "
        "in the folder of the Pocketlens clone, type: pip install ."
    )
    both = str(MissingExtraError("torch", "uvicorn", purpose="it"))
    assert both.endswith("type: pip install '.[preview,train]'")


def test_no_text_names_a_package_on_the_index() -> None:
    """Pocketlens is installed from its clone; the index may have another package of this name."""
    texts = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("src/**/*.py")]
    texts += [*ROOT.glob("src/**/*.js"), *ROOT.glob("src/**/*.html")]
    assert len(texts) > 100
    for path in texts:
        for line in path.read_text(encoding="utf-8").splitlines():
            if "pip install" in line:
                assert "install pocketlens" not in line, path
                assert "pocketlens[" not in line, path

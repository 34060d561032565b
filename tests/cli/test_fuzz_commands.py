"""The fuzzer of the command line: damaged files end in a result or one error line."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).parents[2] / "fuzz"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the fuzzer reads /proc")


@pytest.fixture(scope="module")
def commands() -> ModuleType:
    sys.path.insert(0, str(FOLDER))
    try:
        return importlib.import_module("commands")
    finally:
        sys.path.remove(str(FOLDER))


def fuzz(*arguments: object) -> list[dict[str, object]]:
    """Run the fuzzer in its own process: it forks, which is unsafe in tests with threads."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(FOLDER / "commands.py"), *map(str, arguments)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode in (0, 1), done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_damaged_files_end_in_a_result_or_one_error_line() -> None:
    *findings, summary = fuzz("--seeds", 0, 4)
    assert findings == []
    assert summary["trials"] == 4
    # If the damage never matters, or if every file is rejected, the fuzzer tests nothing.
    for status in (0, 2):
        assert int(str(summary[f"status {status}"])) >= 1


@pytest.mark.slow
def test_1000_seeds_have_no_findings() -> None:
    *findings, summary = fuzz("--seeds", 1_000_000, 1000)
    assert findings == []
    assert summary["trials"] == 1000


@pytest.mark.parametrize(
    ("status", "out", "err", "finding"),
    [
        (0, "fine\n", "", ""),
        (0, "fine\n", "pocketlens: note: x\n", ""),
        (2, "", "train  training\npocketlens: error: x\n", ""),
        (1, "differs\n", "pocketlens: error: x\n", ""),
        (70, "", "pocketlens: internal error: x\n", "status 70"),
        (2, "", "", "0 error lines"),
        (2, "", "pocketlens: error: x\npocketlens: error: y\n", "2 error lines"),
        (0, "", "pocketlens: error: x\n", "1 error lines"),
        (2, "", "pocketlens: error: x\nmore\n", "not the last line"),
        (1, "", "Traceback (most recent call last):\npocketlens: error: x\n", "traceback"),
        (0, "\x1b[31m\n", "", "control characters"),
        (2, "", "pocketlens: error: \x9b\n", "control characters"),
        (2, "", "pocketlens: error: not enough memory (x)\n", "lack of memory"),
        (2, "", f"pocketlens: error: {'x' * 5000}\n", "a long line"),
    ],
)
def test_bad_results_are_findings(
    commands: ModuleType, status: int, out: str, err: str, finding: str
) -> None:
    said = commands.judged(status, out, err)
    assert said.startswith("! ") is bool(finding)
    assert finding in said


def test_a_seed_always_does_the_same(commands: ModuleType, tmp_path: Path) -> None:
    samples = tmp_path / "samples"
    for name in ("run", "checkpoint", "photos", "written", "package.mlpackage"):
        (samples / name).mkdir(parents=True)
        (samples / name / "a.json").write_text('{"a": [1, 2, {"b": "c"}]}')
    for name in ("keras.keras", "recipe.toml", "image.png", "labels.txt", "model.mlmodel"):
        (samples / name).write_text("a = 1\nb = 2\n")
    for seed in range(40):
        found = []
        for copy in "ab":
            folder = tmp_path / f"{seed}{copy}"
            words, done = commands.trial(samples, seed, folder)
            found.append(([word.replace(str(folder), "") for word in words], done))
        assert found[0] == found[1]
    assert (tmp_path / "samples" / "keras.keras").read_text() == "a = 1\nb = 2\n"

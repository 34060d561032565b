"""Every command that writes, on a disk that fails: one error line, and the next try succeeds.

An audit hook of Python stands for the disk: it raises a system error for one of the operations that
create, rename or remove something.
"""

from __future__ import annotations

import errno
import os
import random
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from command_line import run_command
from sampling import sampled

COMMANDS = {
    "report": "report {run}",
    "app": "app {run}/Bars.mlpackage -o {new}",
    "onnx": "onnx {run}/Bars.mlpackage -o {new}/a.onnx",
    "convert": "convert {run} -o {new}/b.mlmodel",
    "predict": "predict {run}/Bars.mlpackage {photos}/lies --csv {new}/answers.csv",
    "data show": "data show folder:{photos} --size 12 -o {new}",
    "recipes copy": "recipes copy quick {new}.toml",
    "train": "train quick --data {photos} -o {new} --set input.height=12 --set input.width=12 "
    "--set training.epochs=1 --set training.batch_size=8",
}
CODES = ("ENOSPC", "EROFS", "EACCES", "ENAMETOOLONG", "EIO", "EDQUOT")
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
CHANGES = ("os.mkdir", "os.rename", "os.link", "os.symlink", "os.remove", "os.rmdir")


class Disk:
    """The operations in one folder; those from number `first` to `last` fail."""

    def __init__(self) -> None:
        self.folder = ""
        self.count = 0
        self.first, self.last, self.code = 0, -1, 0

    def fail(self, folder: Path, first: int, last: int, code: int) -> None:
        self.folder, self.count = str(folder), 0
        self.first, self.last, self.code = first, last, code

    def hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.folder or (event != "open" and event not in CHANGES):
            return
        path = arguments[0]
        if event == "open" and not (isinstance(arguments[2], int) and arguments[2] & WRITING):
            return
        if not isinstance(path, str | os.PathLike) or not str(path).startswith(self.folder):
            return
        self.count += 1
        if self.first <= self.count <= self.last:
            raise OSError(self.code, os.strerror(self.code), str(path))


DISK = Disk()
sys.addaudithook(DISK.hook)  # it cannot be removed; without a folder it does nothing


@pytest.fixture
def disk() -> Iterator[Disk]:
    yield DISK
    DISK.folder = ""


@pytest.fixture
def copied_run(bars_run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(bars_run, tmp_path / "bars"))


ROWS = [
    (name, code, together, seed)
    for name in COMMANDS
    for code in CODES
    for together in (False, True)
    for seed in range(3)
]


@pytest.mark.parametrize(("name", "code", "together", "seed"), sampled(ROWS, 3))
def test_one_error_line_and_the_next_try_succeeds(
    name: str,
    code: str,
    together: bool,
    seed: int,
    disk: Disk,
    copied_run: Path,
    picture_folder: Path,
) -> None:
    """One operation fails, or all of them from a certain one on."""
    place = copied_run.parent
    words = (
        COMMANDS[name]
        .format(run=copied_run, new=place / "new" / "x", photos=picture_folder)
        .split()
    )
    force = [] if name in ("report", "data show") else ["--force"]
    disk.fail(place, 0, -1, 0)
    assert run_command(*words)[0] == 0
    most, disk.folder = disk.count, ""
    assert most > 0
    before = content(place)
    chance = random.Random(f"{name} {code} {seed}")
    first = chance.randint(1, most)
    disk.fail(place, first, 10**9 if together else first, getattr(errno, code))
    status, _, err = run_command(*words, *force)
    disk.folder = ""
    if status:  # else it was an operation whose failure does no harm
        assert status == 2, err
        assert err.splitlines()[-1].startswith("pocketlens: error: ")
        assert err.count("pocketlens: error: ") == 1
    assert "Traceback" not in err
    if name != "train":  # a training starts again with --force
        assert before.keys() <= content(place).keys()
    status, _, err = run_command(*words, *force)
    assert status == 0, err


def content(place: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(place)): path.read_bytes()
        for path in place.rglob("*")
        if path.is_file() and not path.name.startswith(".")
    }

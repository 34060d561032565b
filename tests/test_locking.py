"""Two processes and one run folder: one works, the other says so; a killed one leaves no lock."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import pocketlens
from command_line import run_command as invoke
from pocketlens.errors import OutputError
from pocketlens.files import _machine, write_aside
from pocketlens.locking import LOCK, locked, refuse_busy

HOLD = """
import sys, time
from pocketlens.locking import locked
with locked(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""

Holder = Callable[[Path], "subprocess.Popen[str]"]


@pytest.fixture
def hold() -> Iterator[Holder]:
    """Start a process that holds the lock of a folder until its input ends."""
    children = []

    def start(folder: Path) -> subprocess.Popen[str]:
        child = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        children.append(child)
        assert child.stdout
        assert child.stdout.readline() == "held\n"
        return child

    yield start
    for child in children:
        child.kill()
        child.communicate()


def test_the_second_process_is_told_who_works(tmp_path: Path, hold: Holder) -> None:
    other = hold(tmp_path)
    message = f"another run is at work in {tmp_path} \\(process {other.pid}\\); wait until"
    with pytest.raises(OutputError, match=message), locked(tmp_path):
        pass
    with pytest.raises(OutputError, match=message):
        refuse_busy(tmp_path / "deep" / "file")
    with pytest.raises(OutputError, match=message):
        write_aside(tmp_path / "file", "text")
    assert [path.name for path in tmp_path.iterdir()] == [LOCK]
    write_aside(tmp_path.with_name("beside"), "text")  # other folders are not affected
    other.communicate("")
    with locked(tmp_path):
        write_aside(tmp_path / "file", "text")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_killed_process_leaves_no_lock(tmp_path: Path, hold: Holder) -> None:
    other = hold(tmp_path)
    other.send_signal(signal.SIGKILL)
    other.wait(60)
    assert (tmp_path / LOCK).exists()
    refuse_busy(tmp_path / "file")
    with locked(tmp_path):
        assert (tmp_path / LOCK).read_text() == str(os.getpid())
    assert not (tmp_path / LOCK).exists()


def test_waiting_for_the_other_process(tmp_path: Path, hold: Holder) -> None:
    other = hold(tmp_path)
    threading.Timer(0.3, other.kill).start()
    with locked(tmp_path, wait=60):
        pass


def test_only_the_same_thread_may_enter_again(tmp_path: Path) -> None:
    errors = []

    def enter() -> None:
        try:
            with locked(tmp_path):
                pass
        except OutputError as error:
            errors.append(str(error))

    with locked(tmp_path), locked(tmp_path):
        thread = threading.Thread(target=enter)
        thread.start()
        thread.join()
        write_aside(tmp_path / "file", "text")
    assert len(errors) == 1
    assert f"(process {os.getpid()})" in errors[0]


def test_a_removed_folder_or_lock_is_no_error(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    with locked(folder):
        folder.rename(tmp_path / "renamed")
        folder.mkdir()
        (folder / LOCK).write_text("of another process")
    assert (folder / LOCK).exists()  # it is not ours


def test_many_processes_take_turns(tmp_path: Path) -> None:
    """No two are inside at once, although each removes the lock file at its end."""
    code = """
import sys
from pathlib import Path
from pocketlens.locking import locked
place = Path(sys.argv[1])
for _ in range(40):
    with locked(place, wait=120):
        inside = place / "inside"
        inside.touch(exist_ok=False)
        number = int((place / "count").read_text())
        (place / "count").write_text(str(number + 1))
        inside.unlink()
"""
    (tmp_path / "count").write_text("0")
    children = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path)]) for _ in range(4)]
    assert [child.wait(300) for child in children] == [0] * 4
    assert (tmp_path / "count").read_text() == "160"


def test_a_link_in_place_of_the_lock_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("mine")
    (tmp_path / LOCK).symlink_to(tmp_path / "precious")
    with pytest.raises(OutputError, match="cannot be written"), locked(tmp_path):
        pass
    assert (tmp_path / "precious").read_text() == "mine"


@pytest.fixture
def training(
    tmp_path: Path, picture_folder: Path
) -> Iterator[tuple[Path, subprocess.Popen[bytes]]]:
    """A run folder, and the process that trains in it."""
    folder = tmp_path / "run"
    settings = ["input.height=12", "input.width=12", "network.channels=[4, 8]", "name=bars"]
    settings += ["training.epochs=100000", "training.batch_size=30", "data.validation=0.2"]
    words = [f"data.source=folder:{picture_folder}", *settings]
    code = "from pocketlens.cli import main; main()"
    child = subprocess.Popen(
        [sys.executable, "-c", code, "train", "quick", "--out", str(folder)]
        + [part for word in words for part in ("--set", word)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    history = folder / "history.jsonl"
    deadline = time.monotonic() + 240
    while not (history.exists() and history.read_text()):
        assert child.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    yield folder, child
    child.kill()
    child.wait()


def test_every_command_that_writes_into_the_folder_of_a_run_at_work(
    training: tuple[Path, subprocess.Popen[bytes]],
    bars_run: Path,
    picture_folder: Path,
    tmp_path: Path,
) -> None:
    folder, child = training
    recipe = folder / "recipe.toml"
    # As if half written by the other process.
    half = folder / f".checkpoint.{child.pid:x}-{_machine()}-{'0' * 8}.part"
    half.write_text("half")
    for words in (
        ["run", recipe, "--out", folder],
        ["run", recipe, "--out", folder, "--resume"],
        ["run", recipe, "--out", folder, "--force"],
        ["train", "quick", "--out", folder, "--data", picture_folder, "--force",
         "--set", "training.batch_size=30"],
        ["correct", bars_run, picture_folder, "--out", folder],
        ["correct", folder, picture_folder, "--out", tmp_path / "corrected"],
        ["report", folder],
        ["convert", bars_run, "--out", folder / "Bars.mlpackage"],
        ["onnx", bars_run / "Bars.mlpackage", "--out", folder / "bars.onnx"],
        ["app", bars_run / "Bars.mlpackage", "--out", folder / "app"],
        ["recipes", "copy", "quick", recipe, "--force"],
    ):  # fmt: skip
        status, _, err = invoke(*words)
        assert status == 2, words
        assert f"another run is at work in {folder} (process {child.pid})" in err, (words, err)
    assert child.poll() is None
    assert half.read_text() == "half"
    assert not (tmp_path / "corrected").exists()

    child.send_signal(signal.SIGKILL)
    child.wait(60)
    status, _, err = invoke("report", folder)
    assert status == 0, err
    resumed = pocketlens.run(recipe, out=folder, until="data", resume=True)
    assert resumed.history
    assert not half.exists()  # now it is a leftover
    assert not (folder / LOCK).exists()

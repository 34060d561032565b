"""Outputs are written completely or not at all."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pocketlens import files
from pocketlens.errors import OutputError, OutputExistsError
from pocketlens.files import (
    aside,
    open_nofollow,
    read_limited,
    remove_leftovers,
    size_on_disk,
    temporary_folder,
    write_aside,
)


def test_a_file_and_its_folders(tmp_path: Path) -> None:
    write_aside(tmp_path / "a" / "b.txt", "ä")
    assert (tmp_path / "a" / "b.txt").read_bytes() == "ä".encode()
    assert size_on_disk(tmp_path / "a" / "b.txt") == 2
    assert size_on_disk(tmp_path) == 2


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    target = tmp_path / "out.txt"
    write_aside(target, "old")
    with pytest.raises(ZeroDivisionError), aside(target) as new:
        new.write_text("half")
        _ = 1 / 0
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["out.txt"]


def test_a_folder_takes_the_place_of_a_folder(tmp_path: Path) -> None:
    target = tmp_path / "out"
    for text in ("one", "two"):
        with aside(target) as new:
            new.mkdir()
            (new / text).touch()
    assert [f.name for f in target.iterdir()] == ["two"]
    assert os.listdir(tmp_path) == ["out"]


def test_existing_output_is_refused_without_force(tmp_path: Path) -> None:
    write_aside(tmp_path / "out", "old")
    refused = pytest.raises(
        OutputExistsError, match="exists; choose another output or pass --force"
    )
    with refused, aside(tmp_path / "out", force=False):
        pytest.fail("the block must not run")


def test_a_file_does_not_take_the_place_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "precious.txt").touch()
    with pytest.raises(OutputExistsError, match="out is a folder; choose another output"):
        write_aside(tmp_path / "out", "x")
    assert os.listdir(tmp_path / "out") == ["precious.txt"]
    assert os.listdir(tmp_path) == ["out"]


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be written: .*choose another output path"):
        write_aside(tmp_path / "file" / "below", "x")


def test_a_lost_folder_is_not_made_again(tmp_path: Path) -> None:
    with pytest.raises(
        OutputError,
        match="x cannot be written: its folder was removed or renamed in the meantime; restore it",
    ):
        write_aside(tmp_path / "lost" / "x", "x", parents=False)
    assert os.listdir(tmp_path) == []


def test_only_leftovers_of_killed_processes_are_removed(tmp_path: Path) -> None:
    """The process is really killed between writing and renaming."""
    code = (
        "import os, signal\n"
        "from pocketlens.files import aside\n"
        "with aside('inner/file') as new:\n    new.write_text('half')\n"
        "    with aside('inner/folder') as other:\n        other.mkdir()\n"
        "        (other / 'x').write_text('half')\n        os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=tmp_path).returncode < 0
    assert len(os.listdir(tmp_path / "inner")) == 2
    for name in (".hidden", ".notes.part", "a.0123abcd.part", ".x.0123abcd.parts"):
        (tmp_path / "inner" / name).touch()
    remove_leftovers(tmp_path)
    assert sorted(os.listdir(tmp_path / "inner")) == [
        ".hidden", ".notes.part", ".x.0123abcd.parts", "a.0123abcd.part"
    ]  # fmt: skip


def test_a_full_disk_is_an_error_and_leaves_no_file(tmp_path: Path) -> None:
    """A real ENOSPC: the process may write no file larger than 1 kB."""
    code = (
        "import resource, signal\n"
        "from pocketlens.files import write_aside\n"
        "from pocketlens.errors import OutputError\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try:\n    write_aside('big', bytes(100_000))\n"
        "except OutputError as error:\n    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert "big cannot be written: File too large; free some disk space, or choose" in done.stdout
    assert os.listdir(tmp_path) == []


def test_only_regular_files_up_to_a_limit_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"12345")
    assert read_limited(path, 5) == b"12345"
    with pytest.raises(OSError, match="it has more than 4 bytes"):
        read_limited(path, 4)
    with pytest.raises(OSError, match="it is a folder"):
        read_limited(tmp_path, 5)
    with pytest.raises(FileNotFoundError):
        read_limited(tmp_path / "none", 5)
    (tmp_path / "link").symlink_to("a")
    assert read_limited(tmp_path / "link", 5) == b"12345"
    with pytest.raises(OSError, match="it is a symbolic link"):
        read_limited(tmp_path / "link", 5, follow=False)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes in folders")
def test_a_pipe_or_device_in_place_of_a_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(OSError, match="it is not a regular file"):
            read_limited(path, 5)


ENDED = "import os; print(f'{os.getpid():x}')"


def ended_process() -> str:
    """The number of a process that has ended, as in the name of a leftover."""
    done = subprocess.run([sys.executable, "-c", ENDED], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_next_write_removes_what_a_killed_one_left(tmp_path: Path) -> None:
    dead, here, other = ended_process(), files._machine(), "0000"
    names = {
        f".out.txt.{dead}-{here}-0123abcd.part": False,
        f".out.txt.{os.getpid():x}-{here}-0123abcd.part": True,  # lives
        f".out.txt.{dead}-{other}-0123abcd.part": True,  # of another computer, and new
        ".out.txt.0123abcd.part": True,  # of an older version, and new
        f".other.txt.{dead}-{here}-0123abcd.part": True,  # not this target
    }
    for name in names:
        (tmp_path / name).touch()
    write_aside(tmp_path / "out.txt", "new")
    assert {name: (tmp_path / name).exists() for name in names} == names


@pytest.mark.parametrize("name", [".out.0123abcd.part", ".out.1f-0000-0123abcd.part"])
def test_leftovers_of_unknown_processes_are_removed_after_a_day(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    remove_leftovers(tmp_path)
    assert os.listdir(tmp_path) == [name]
    day_ago = time.time() - files.LEFTOVER_SECONDS - 10
    os.utime(tmp_path / name, (day_ago, day_ago))
    remove_leftovers(tmp_path)
    assert os.listdir(tmp_path) == []


def test_folder_that_was_about_to_be_replaced_comes_back(tmp_path: Path) -> None:
    """Killed after the old folder was moved away, before the new one was moved in."""
    code = (
        "import os, signal\n"
        "from pathlib import Path\n"
        "from pocketlens.files import aside\n"
        "rename = Path.rename\n"
        "def stop(self, target):\n"
        "    if str(self).endswith('.part'):\n        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return rename(self, target)\n"
        "Path.rename = stop\n"
        "with aside('out') as new:\n    new.mkdir()\n    (new / 'new').touch()\n"
    )
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").touch()
    assert subprocess.run([sys.executable, "-c", code], cwd=tmp_path).returncode < 0
    assert not (tmp_path / "out").exists()
    with pytest.raises(OutputExistsError), aside(tmp_path / "out", force=False):
        pytest.fail("the block must not run")
    assert os.listdir(tmp_path) == ["out"]
    assert os.listdir(tmp_path / "out") == ["old"]


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX file modes")
def test_private_files_and_temporary_folders(tmp_path: Path) -> None:
    write_aside(tmp_path / "key", "secret", private=True)
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    with temporary_folder(tmp_path, name="work") as folder:
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        (folder / "file").touch()
    assert os.listdir(tmp_path) == ["key"]


def test_temporary_folder_of_a_killed_process_is_removed(tmp_path: Path) -> None:
    code = (
        "import os, signal\n"
        "from pocketlens.files import temporary_folder\n"
        "with temporary_folder('.', name='work') as folder:\n"
        "    (folder / 'key').touch()\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=tmp_path).returncode < 0
    assert len(os.listdir(tmp_path)) == 1
    with temporary_folder(tmp_path, name="work") as folder:
        assert os.listdir(tmp_path) == [folder.name]


def test_links_and_pipes_are_not_opened(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    (tmp_path / "link").symlink_to("file")
    with open_nofollow(tmp_path / "file") as file:
        assert file.read() == b"content"
    for mode in ("rb", "r+b", "xb"):
        with pytest.raises(OSError, match="link"):
            open_nofollow(tmp_path / "link", mode)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(OSError, match="it is not a regular file"):
            open_nofollow(tmp_path / "pipe")
    assert (tmp_path / "file").read_bytes() == b"content"

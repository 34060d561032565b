"""The cache of features: shared, killed, damaged, full, read-only, too large."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pocketlens.data import disk_cache
from pocketlens.training import feature_cache
from pocketlens.training.feature_cache import FeatureCache

WIDTH = 8


def entries(start: int, stop: int) -> dict[bytes, NDArray[np.float32]]:
    return {
        number.to_bytes(32, "big"): np.full(WIDTH, number, np.float32)
        for number in range(start, stop)
    }


def stored(folder: Path, start: int = 0, stop: int = 1000) -> list[int]:
    with FeatureCache(folder) as cache:
        assert cache.problem == ""
        found = cache.get(list(entries(start, stop)), WIDTH)
    for key, value in found.items():
        assert value.tolist() == [int.from_bytes(key, "big")] * WIDTH
    return sorted(int.from_bytes(key, "big") for key in found)


def put(folder: Path, start: int, stop: int) -> str:
    with FeatureCache(folder) as cache:
        cache.put(entries(start, stop))
    return cache.problem


def test_what_was_stored_is_found_again(tmp_path: Path) -> None:
    assert stored(tmp_path / "new" / "folder") == []
    assert put(tmp_path, 0, 3) == ""
    assert put(tmp_path, 2, 5) == ""
    assert stored(tmp_path) == [0, 1, 2, 3, 4]
    with FeatureCache(tmp_path) as cache:  # features of another width are not these
        assert cache.get(list(entries(0, 5)), WIDTH + 1) == {}


WORKER = """
import sys
import time
from pathlib import Path
import numpy as np
from pocketlens.training.feature_cache import FeatureCache

folder, first, end = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
with FeatureCache(folder) as cache:
    for number in range(first, first + 40 if end == "stop" else 10**9):
        cache.put({number.to_bytes(32, "big"): np.full(8, number, np.float32)})
        if number == first + 20:
            print("ready", flush=True)
assert cache.problem == "", cache.problem
"""


def start(folder: Path, first: int, end: str = "stop") -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WORKER, str(folder), str(first), end]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_two_processes_share_it(tmp_path: Path) -> None:
    workers = [start(tmp_path, first) for first in (0, 500)]
    for worker in workers:
        _, errors = worker.communicate(timeout=120)
        assert worker.returncode == 0, errors
    assert stored(tmp_path) == [*range(40), *range(500, 540)]


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows has no SIGKILL")
def test_a_process_that_is_killed_loses_nothing_that_was_stored(tmp_path: Path) -> None:
    worker = start(tmp_path, 0, "never")
    assert worker.stdout is not None
    assert worker.stdout.readline() == "ready\n"
    worker.send_signal(signal.SIGKILL)
    worker.communicate(timeout=60)
    found = stored(tmp_path, 0, 5000)
    assert len(found) >= 21
    assert found == list(range(len(found)))
    assert put(tmp_path, 6000, 6001) == ""


@pytest.mark.parametrize("damage", ["text", "cut", "inside", "values", "folder", "other table"])
def test_a_damaged_file(damage: str, tmp_path: Path) -> None:
    put(tmp_path, 0, 900)
    path = tmp_path / feature_cache.NAME
    content = path.read_bytes()
    if damage == "text":
        path.write_text("not a database, but long enough to be one " * 100)
    elif damage == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "inside":
        path.write_bytes(content[:4096] + os.urandom(len(content) - 4096))
    elif damage == "values":
        damaged = np.full(WIDTH, 5, np.float32).tobytes()
        path.write_bytes(content.replace(damaged, damaged[:-1] + b"\x41"))
    elif damage == "folder":
        path.unlink()
        path.mkdir()
    else:
        path.unlink()
        with sqlite3.connect(path) as connection:
            connection.execute("CREATE TABLE entries (a, b)")
        connection.close()
    with FeatureCache(tmp_path) as cache:
        found = cache.get(list(entries(0, 900)), WIDTH)
        cache.put(entries(0, 1))
    for key, value in found.items():
        assert value.tolist() == [int.from_bytes(key, "big")] * WIDTH
    if damage == "folder":
        assert "cannot be used" in cache.problem
        assert "set POCKETLENS_CACHE to a folder" in cache.problem
        return
    put(tmp_path, 0, 3)  # at the latest, the next call begins a new file
    assert stored(tmp_path, 0, 3) == [0, 1, 2]


def test_a_file_of_another_version_is_not_touched(tmp_path: Path) -> None:
    other = tmp_path / "features-1.sqlite"
    other.write_bytes(b"older")
    put(tmp_path, 0, 1)
    assert other.read_bytes() == b"older"
    assert stored(tmp_path) == [0]


FULL = """
import resource, signal, sys
from pathlib import Path
import numpy as np
from pocketlens.training.feature_cache import FeatureCache

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))
with FeatureCache(Path(sys.argv[1])) as cache:
    for number in range(100):
        some = range(number * 100, number * 100 + 100)
        cache.put({i.to_bytes(32, "big"): np.full(8, i, np.float32) for i in some})
print(cache.problem)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit of file sizes")
def test_a_disk_that_fills(tmp_path: Path) -> None:
    command = [sys.executable, "-c", FULL, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    assert "features are not stored for the next run, because" in done.stdout
    assert "set POCKETLENS_CACHE to a folder" in done.stdout
    found = stored(tmp_path, 0, 10_000)
    assert len(found) % 100 == 0  # whole batches or nothing
    assert put(tmp_path, 0, 1) == ""


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "cannot be used" in put(tmp_path / "file", 0, 1)
    assert "cannot be used" in put(tmp_path / "file" / "below", 0, 1)


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere"
)
def test_a_folder_without_permission(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    problem = put(tmp_path, 0, 1)
    tmp_path.chmod(0o700)
    assert "cannot be used" in problem


def test_what_was_used_long_ago_makes_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 100 * disk_cache.DAY)
    put(tmp_path, 0, 300)
    monkeypatch.setattr(time, "time", lambda: 200 * disk_cache.DAY)
    put(tmp_path, 300, 700)
    assert stored(tmp_path, 0, 10) == list(range(10))  # these are used again
    size = (tmp_path / feature_cache.NAME).stat().st_size
    monkeypatch.setattr(disk_cache, "MAX_BYTES", size - 1)
    with FeatureCache(tmp_path) as cache:
        assert cache.problem == ""
    assert (tmp_path / feature_cache.NAME).stat().st_size < size
    monkeypatch.setattr(disk_cache, "MAX_BYTES", size)
    left = stored(tmp_path)
    assert len(left) == 350  # the other half
    assert not set(left) & set(range(10, 300))

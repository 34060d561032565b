"""A command that fails ends with one line and a documented exit status, whatever the exception."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pocketlens.coreml
from command_line import run_command
from pocketlens.cli.failures import explain
from pocketlens.errors import CheckFailedError, ModelFileError

SOURCE = Path(pocketlens.__file__).parents[1]


def no_memory_at_import() -> ImportError:
    """As NumPy raises it when its libraries cannot be loaded."""
    error = ImportError("Error importing numpy: you should not try to import numpy from its source")
    error.__cause__ = ImportError("libopenblas.so: failed to map segment from shared object")
    return error


CASES: list[tuple[BaseException, int, str]] = [
    (CheckFailedError("x differs"), 1, "error: x differs"),
    (ModelFileError("x\n is\tbad\x1b"), 2, r"error: x is\tbad\x1b"),
    (KeyboardInterrupt(), 130, "interrupted"),
    (KeyboardInterrupt("continue with --resume"), 130, "continue with --resume"),
    (OSError(errno.ENOSPC, "No space left on device", "out.json"), 2,
     "error: out.json: no space left on device; free some space on this disk, or choose"),
    (OSError(errno.ENOSPC, "No space left on device"), 2, "error: no space left on device; free"),
    (PermissionError(errno.EACCES, "Permission denied", b"a"), 2, "error: a: permission denied; "),
    (OSError(errno.EROFS, "Read-only file system", "a", None, "b"), 2,
     "error: a and b: read-only file system; choose a place that can be written to"),
    (OSError(errno.ELOOP, "Too many levels of symbolic links", "a"), 2, "points to itself"),
    (OSError(errno.ENAMETOOLONG, "File name too long", "a" * 300), 2, "choose a shorter path"),
    (OSError(errno.EMFILE, "Too many open files"), 2, "ulimit -n 4096"),
    (NotADirectoryError(errno.ENOTDIR, "Not a directory", "a\x1b"), 2, r"error: a\x1b: not a dir"),
    (OSError(errno.EIO, "Input/output error", "a"), 2, "error: a: input/output error"),
    (OSError("cannot open resource"), 2, "error: cannot open resource"),
    (OSError(errno.ENOMEM, "Cannot allocate memory"), 2, "error: not enough memory"),
    (MemoryError(), 2, "error: not enough memory (allocation failed); close other programs"),
    (RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"), 2,
     "error: not enough memory"),
    (RuntimeError("can't start new thread"), 2, "error: not enough memory"),
    (no_memory_at_import(), 2, "error: not enough memory (Error importing numpy"),
    (ImportError("libx.so: no such file"), 2, "error: a package cannot be loaded: libx.so"),
    (RecursionError("maximum recursion depth exceeded"), 2, "error: the input is nested too deep"),
    (UnicodeEncodeError("ascii", "Käse", 1, 2, "ordinal not in range"), 2,
     "error: the encoding 'ascii' has no 'ä'; set the environment variable PYTHONUTF8=1"),
    (ZeroDivisionError("float division by zero"), 70,
     "internal error: ZeroDivisionError: float division by zero; please report this line"),
    (AssertionError(), 70, "internal error: AssertionError: ; please report"),
    (KeyError("\x1b[31m"), 70, "internal error: KeyError: '\\x1b[31m'; please report"),
]  # fmt: skip


@pytest.mark.parametrize(("error", "status", "text"), CASES, ids=lambda v: str(v)[:40])
def test_every_exception_is_one_line(
    error: BaseException, status: int, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr(pocketlens.coreml, "inspect", fail)
    before = signal.getsignal(signal.SIGINT)
    try:
        found, out, err = run_command("inspect", __file__)
    finally:
        signal.signal(signal.SIGINT, before)
    assert (found, out) == (status, "")
    assert err.startswith("pocketlens: ")
    assert err.count("\n") == 1
    assert text in err
    assert explain(error)[0] == status


def test_a_message_is_never_long() -> None:
    assert len(explain(ModelFileError("\0" * 10**6))[1]) < 4000


def test_numpy_says_how_much_memory_it_wanted() -> None:
    with pytest.raises(MemoryError) as caught:
        np.empty(2**50, np.uint8)
    status, line = explain(caught.value)
    assert status == 2
    assert "not enough memory (Unable to allocate" in line


def test_debug_shows_where_an_error_was_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise ZeroDivisionError("here\x1b[31m")

    monkeypatch.setattr(pocketlens.coreml, "inspect", fail)
    last = "pocketlens: internal error: ZeroDivisionError: here\\x1b[31m; please report this line"
    for words, value, shown in (
        (["inspect", __file__], "0", False),
        (["--debug", "inspect", __file__], "0", True),
        (["inspect", __file__], "1", True),
        (["inspect", __file__], "", False),
    ):
        monkeypatch.setenv("POCKETLENS_DEBUG", value)
        status, _, err = run_command(*words)
        assert status == 70
        assert ("Traceback (most recent call last):" in err) is shown
        assert ('raise ZeroDivisionError("here' in err) is shown
        assert err.splitlines()[-1].startswith(last)
        assert "\x1b" not in err


def in_shell(line: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A command line with `$P` for pocketlens, in a process of its own."""
    command = f'{sys.executable} -c "from pocketlens.cli import main; main()"'
    return subprocess.run(
        ["bash", "-c", f'P() {{ {command} "$@"; }}; {line}'],
        env={**os.environ, "PYTHONPATH": str(SOURCE), **environment},
        capture_output=True,
        text=True,
        errors="surrogateescape",
        timeout=120,
        check=False,
    )


@pytest.mark.skipif(os.name == "nt", reason="a POSIX shell")
@pytest.mark.parametrize(
    ("line", "status", "text"),
    [
        ("P ops --json | head -1; exit ${PIPESTATUS[0]}", 141, ""),
        ("P ops | true; exit ${PIPESTATUS[0]}", 141, ""),
        ("P nonsense 2>&1 | true; exit ${PIPESTATUS[0]}", 141, ""),
        ("P ops > /dev/full", 2, "pocketlens: error: no space left on device; free some space"),
        ("P inspect none 2> /dev/full", 2, ""),
        ("P ops >&-", 0, ""),
        ("P inspect none 2>&-", 2, ""),
        ("P inspect none 0<&-", 2, "pocketlens: error: none does not exist"),
        ("P inspect $'k\\xe4\\xff'", 2, r"k\udce4\udcff does not exist"),
    ],
)
def test_odd_outputs(line: str, status: int, text: str) -> None:
    done = in_shell(line)
    assert done.returncode == status, done.stderr
    assert text in done.stderr
    assert done.stderr.count("\n") == bool(text)


@pytest.mark.skipif(os.name == "nt", reason="POSIX locales")
def test_an_ascii_terminal() -> None:
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = in_shell("P verify --help && P ops --json && P inspect käse", **ascii_only)
    assert done.returncode == 2
    assert r"|\u0394p|" in done.stdout
    assert done.stdout.isascii()
    assert done.stderr.isascii()
    assert done.stderr.count("\n") == 1


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_AS")
@pytest.mark.parametrize("megabytes", [40, 60, 80, 120, 400, 700])
def test_a_memory_limit_at_import(megabytes: int, tmp_path: Path) -> None:
    """At any limit: the result, or one line. (OpenBLAS tries for ever at some limits.)"""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (megabytes << 20, megabytes << 20))

    done = subprocess.run(
        [sys.executable, "-c", "from pocketlens.cli import main; main()", "ops", "--json"],
        env={**os.environ, "PYTHONPATH": str(SOURCE), "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        preexec_fn=limit,
        check=False,
    )
    assert done.returncode in (0, 2), done.stderr
    if done.returncode:
        assert done.stderr.startswith("pocketlens: error: not enough memory")
        assert done.stderr.count("\n") == 1


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_AS")
@pytest.mark.parametrize("megabytes", [600, 660])
@pytest.mark.slow  # where memory ends depends on the computer
def test_a_memory_limit_at_the_import_of_pytorch(megabytes: int, bars_run: Path) -> None:
    """How much is enough depends on the number of threads."""
    done = in_shell(f"ulimit -v {megabytes * 1024}; P evaluate {bars_run}")
    assert done.returncode in (0, 2), done.stderr
    if done.returncode:
        assert done.stderr.startswith("pocketlens: error: not enough memory (")
        assert done.stderr.count("\n") == 1


def test_a_system_error_is_about_memory_only_under_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch's import does not check its allocations."""
    error = SystemError("error return without exception set")
    for limit, status in ((1 << 30, 2), (resource.RLIM_INFINITY, 70)):
        monkeypatch.setattr(resource, "getrlimit", lambda _, limit=limit: (limit, limit))
        assert explain(error)[0] == status


@pytest.mark.skipif(os.name == "nt", reason="signals")
@pytest.mark.parametrize("module", ["typer", "pocketlens.cli.convert", "numpy"])
def test_ctrl_c_during_an_import(module: str) -> None:
    """As early as the command's own modules are imported, and twice."""
    script = f"""
import os, signal, sys
class Interrupts:
    def find_spec(self, name, *_):
        if name == {module!r}:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupts())
import atexit
atexit.register(os.kill, os.getpid(), signal.SIGINT)
from pocketlens.cli import main
main()
"""
    done = subprocess.run(
        [sys.executable, "-c", script, "inspect", "a"],
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 130
    assert done.stderr == "pocketlens: interrupted\n"

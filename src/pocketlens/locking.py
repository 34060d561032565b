"""One process at a time in a folder: a lock that ends with the process that holds it.

A run folder is written by one process; a second one would mix its files with those of the first,
and delete what the first has half written. The lock is the operating system's (`flock`, on Windows
a locked byte) on a small file in the folder, so a killed process leaves no lock behind.
"""

from __future__ import annotations

import errno
import os
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pocketlens.errors import OutputError, OutputExistsError

__all__ = ["LOCK", "locked", "owned", "refuse_busy"]

LOCK = ".pocketlens.lock"
"""The file, with the id of the process at work; it is removed with the lock."""

POLL_SECONDS = 0.2
NOT_SUPPORTED = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP)

_mine = threading.local()


@contextmanager
def locked(folder: str | os.PathLike[str], *, wait: float = 0.0) -> Iterator[None]:
    """Hold the lock of an existing folder; the same thread may enter it again.

    Args:
        folder: The folder.
        wait: Seconds to wait for another process.

    Raises:
        OutputError: Another process works in the folder, or it cannot be written.
    """
    path = Path(folder) / LOCK
    key = os.path.realpath(path)
    held: set[str] = _mine.__dict__.setdefault("held", set())
    if key in held:
        yield
        return
    file = _acquire(path, wait)
    held.add(key)
    try:
        yield
    finally:
        held.discard(key)
        _release(file, path)


@contextmanager
def owned(
    folder: Path, *, wait: float = 0.0, hint: str = "choose another output"
) -> Iterator[None]:
    """Create a folder and hold its lock; folders that stay empty are removed again.

    Args:
        folder: The folder; its parents are created, too.
        wait: As in `locked`.
        hint: What to do if it cannot be created, for the error message.

    Raises:
        OutputExistsError: It is a file.
        OutputError: It cannot be created, or another process works in it.
    """
    if folder.exists() and not folder.is_dir():
        raise OutputExistsError(f"{folder} is a file; expected a folder; {hint}")
    created = [each for each in (folder, *folder.parents) if not each.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"{error.filename or folder} cannot be written: {error.strerror or error}; {hint}"
        ) from error
    try:
        with locked(folder, wait=wait):
            yield
    finally:
        with suppress(OSError):  # not empty
            for each in created:
                each.rmdir()


def refuse_busy(target: str | os.PathLike[str]) -> None:
    """Check that no other process works in a folder above `target`.

    This process and its parent may: the parent of a process that draws figures holds the lock.

    Raises:
        OutputError: Another process does.
    """
    for folder in Path(target).absolute().parents:
        try:
            file = os.open(folder / LOCK, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0))
        except OSError:  # there is none, or it belongs to another user
            continue
        try:
            free = _try_lock(file)
            holder = _holder(file)
        finally:
            os.close(file)  # which also ends the lock, if it was free
        if not free and holder not in (os.getpid(), os.getppid()):
            raise _busy(folder, holder)


def _busy(folder: Path, holder: int | None) -> OutputError:
    process = f" (process {holder})" if holder else ""
    return OutputError(
        f"another run is at work in {folder}{process}; wait until it has finished, or choose "
        "another output"
    )


def _acquire(path: Path, wait: float) -> int:
    deadline = time.monotonic() + wait
    while True:
        try:
            file = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o644)
        except OSError as error:
            raise OutputError(
                f"{path.parent} cannot be written: {error.strerror or error}; choose another output"
            ) from error
        if _try_lock(file):
            if _is_at(file, path):
                os.ftruncate(file, 0)
                os.write(file, str(os.getpid()).encode())
                return file
            os.close(file)  # its holder has removed it since: lock the new file
            continue
        holder = _holder(file)
        os.close(file)
        if time.monotonic() >= deadline:
            raise _busy(path.parent, holder)
        time.sleep(POLL_SECONDS)


def _release(file: int, path: Path) -> None:
    with suppress(OSError):  # the folder was removed or renamed
        if sys.platform != "win32" and _is_at(file, path):
            path.unlink()
    _unlock(file)
    os.close(file)
    if sys.platform == "win32":  # an open file cannot be removed there
        with suppress(OSError):
            path.unlink()


def _is_at(file: int, path: Path) -> bool:
    """Whether the open file is still the one with this path."""
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except FileNotFoundError:
        return False


def _holder(file: int) -> int | None:
    """The id of the process that holds the lock; None if it has not written it yet."""
    os.lseek(file, 0, os.SEEK_SET)
    text = os.read(file, 32)
    return int(text) if text.isdigit() else None


if sys.platform == "win32":
    import msvcrt

    BYTE = 1 << 20
    """The byte that is locked: others cannot read it, so it is behind the process id."""

    def _try_lock(file: int) -> bool:
        os.lseek(file, BYTE, os.SEEK_SET)
        try:
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        finally:
            os.lseek(file, 0, os.SEEK_SET)
        return True

    def _unlock(file: int) -> None:
        os.lseek(file, BYTE, os.SEEK_SET)
        msvcrt.locking(file, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _try_lock(file: int) -> bool:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno not in NOT_SUPPORTED:
                raise
            warnings.warn(
                "this file system has no locks; make sure that no other run uses the same folder",
                stacklevel=2,
            )
        return True

    def _unlock(file: int) -> None:
        with suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_UN)

"""Writing outputs: each is written aside and then renamed, so it is complete or absent.

Reading small files: only regular ones, and only up to a limit.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pocketlens.errors import OutputError, OutputExistsError

__all__ = [
    "aside",
    "read_limited",
    "remove_leftovers",
    "size_on_disk",
    "size_text",
    "write_aside",
]

LEFTOVER = re.compile(r"\..+\.[0-9a-z_]{8}\.(part|old)")
"""The names of files that are being written aside."""


@contextmanager
def aside(
    target: str | os.PathLike[str], *, force: bool = True, parents: bool = True
) -> Iterator[Path]:
    """Yields a temporary path next to `target`; when the block ends, it replaces `target`.

    If the block raises or the process is killed, `target` stays as it was before.

    Args:
        target: The file or folder to write.
        parents: Create missing parent folders. If false, a missing parent is an error: a run folder
            that was removed during the run must not come back with a single file in it.
        force: Replace an existing `target`. If false, an existing one is an error, raised before
            the block runs.

    Raises:
        OutputExistsError: `target` exists and `force` is false, or one of the two is a file and the
            other a folder.
        OutputError: It cannot be written (no permission, disk full, parent folder removed).
    """
    target = Path(target)
    if not force and (target.exists() or target.is_symlink()):
        raise OutputExistsError(f"{target} already exists; choose another output or pass --force")
    new = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    try:
        if parents:
            target.parent.mkdir(parents=True, exist_ok=True)
        yield new
        if new.is_file():
            _sync(new)
        if target.exists() and target.is_dir() != new.is_dir():
            existing = "folder" if target.is_dir() else "file"
            raise OutputExistsError(f"{target} is a {existing}; choose another output")
        _put(new, target)
    except OSError as error:
        if isinstance(error, FileNotFoundError) and not target.parent.exists():
            raise OutputError(
                f"{target} cannot be written: its folder was removed or renamed in the meantime; "
                "restore it, or start again with another output path"
            ) from error
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        raise OutputError(
            f"{target} cannot be written: {error.strerror or error}; "
            + ("free some disk space, or " if full else "")
            + "choose another output path"
        ) from error
    finally:
        _remove(new)


def write_aside(
    target: str | os.PathLike[str], content: str | bytes, *, parents: bool = True
) -> None:
    """Write a file (text as UTF-8) aside, fsync it, and rename it into place.

    Args:
        target: The file to write.
        content: Its complete content.
        parents: Create missing parent folders, see `aside`.

    Raises:
        OutputError: It cannot be written.
    """
    with aside(target, parents=parents) as new:
        new.write_bytes(content.encode() if isinstance(content, str) else content)


def read_limited(path: str | os.PathLike[str], limit: int) -> bytes:
    """The content of a regular file of at most `limit` bytes.

    Raises:
        OSError: It is larger, cannot be read, or is a folder, pipe or device: reading a pipe would
            wait for ever, and some devices never end.
    """
    # Without O_NONBLOCK, opening a pipe waits for a writer. Windows has no pipes in folders.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)

    def opener(name: str, _: int) -> int:
        descriptor = os.open(name, flags)
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISREG(mode):
            return descriptor
        os.close(descriptor)
        reason = "it is a folder" if stat.S_ISDIR(mode) else "it is not a regular file"
        raise OSError(errno.EINVAL, reason, name)

    with open(path, "rb", opener=opener) as stream:
        content = stream.read(limit + 1)
    if len(content) > limit:
        raise OSError(errno.EFBIG, f"it has more than {limit} bytes", os.fspath(path))
    return content


def remove_leftovers(folder: str | os.PathLike[str]) -> None:
    """Remove half-written files that killed processes left in `folder` and its subfolders.

    Only safe for a folder that no other process writes to.
    """
    for path in sorted(Path(folder).rglob(".*")):
        if LEFTOVER.fullmatch(path.name):
            _remove(path)


def size_on_disk(path: str | os.PathLike[str]) -> int:
    """Size in bytes of a file, or of all files in a folder (an `.mlpackage` is a folder)."""
    path = Path(path)
    if path.is_file():
        return path.stat().st_size
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def size_text(size: int) -> str:
    """A size in bytes as text: `512 bytes`, `86.1 KB`, `1.2 MB` (decimal, as in Finder)."""
    if size < 1000:
        return f"{size} bytes"
    return f"{size / 1000:.1f} KB" if size < 1_000_000 else f"{size / 1_000_000:.1f} MB"


def _sync(file: Path) -> None:
    with file.open("rb") as stream:
        os.fsync(stream.fileno())


def _put(new: Path, target: Path) -> None:
    if not target.is_dir() or target.is_symlink():
        new.replace(target)
        return
    # A folder cannot be renamed over another one, so the old one is moved away first.
    old = new.with_suffix(".old")
    target.rename(old)
    try:
        new.rename(target)
    except OSError:
        old.rename(target)
        raise
    _remove(old)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):  # if it could not be written, there is nothing to remove
            path.unlink()

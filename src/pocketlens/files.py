"""Writing outputs: each is written aside and then renamed, so it is complete or absent.

What a killed process leaves behind is named after that process. The next process that writes to the
same place removes it, or puts back the folder that was about to be replaced.

Reading small files: only regular ones, and only up to a limit.
"""

from __future__ import annotations

import errno
import functools
import hashlib
import os
import platform
import re
import secrets
import shutil
import stat
import tempfile
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from pocketlens.errors import OutputError, OutputExistsError
from pocketlens.locking import refuse_busy

__all__ = [
    "LEFTOVER",
    "aside",
    "digest",
    "first_bytes",
    "open_nofollow",
    "read_limited",
    "refuse_existing",
    "remove_leftovers",
    "size_on_disk",
    "size_text",
    "temporary_folder",
    "write_aside",
]

LEFTOVER = re.compile(
    r"\.(?P<name>.+)\.(?:(?P<process>[0-9a-f]+)-(?P<machine>[0-9a-f]{4})-)?[0-9a-z_]{8}"
    r"\.(?P<kind>part|old)"
)
"""The names of files that are being written aside, or replaced. Older versions named no process."""

LEFTOVER_SECONDS = 24 * 3600
"""The age of a leftover that is removed without knowing whether its process is alive."""

ATTEMPTS = 10
"""How often a folder is put in place, if other processes write the same one at the same time."""


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
        OutputError: It cannot be written (no permission, disk full, parent folder removed), or
            another process works in a folder above it.
    """
    target = Path(target)
    if target.name in ("", ".."):  # the current folder, or one above it
        target = target.resolve()
    refuse_busy(target)
    _remove_abandoned(target.parent, of=target.name)
    if not force:
        refuse_existing(target)
    new = target.with_name(_name_aside(target.name))
    try:
        if parents:
            target.parent.mkdir(parents=True, exist_ok=True)
        yield new
        if new.is_file():
            _sync(new)
        if target.exists() and target.is_dir() != new.is_dir():
            existing = "folder" if target.is_dir() else "file"
            raise OutputExistsError(f"{target} is a {existing}; choose another output")
        if not force and os.path.lexists(target):  # written by another process in the meantime
            raise OutputExistsError(f"{target} exists by now; choose another output")
        _put(new, target)
    except OSError as error:
        if isinstance(error, FileNotFoundError) and not target.parent.exists():
            raise OutputError(
                f"{target} cannot be written: its folder was removed or renamed in the meantime; "
                "restore it, or start again with another output path"
            ) from error
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        raise OutputError(
            f"{target} cannot be written: {_reason(error)}; "
            + ("free some disk space, or " if full else "")
            + "choose another output path"
        ) from error
    finally:
        _remove(new)


def _reason(error: OSError) -> str:
    """Why something failed; of a folder that was copied, why its first file failed."""
    if isinstance(error, shutil.Error) and error.args and isinstance(error.args[0], list):
        return str(error.args[0][0][-1])
    return error.strerror or str(error)


def refuse_existing(target: str | os.PathLike[str]) -> None:
    """Raise an OutputExistsError if there is something at `target`."""
    if os.path.lexists(target):
        raise OutputExistsError(f"{target} already exists; choose another output or pass --force")


def write_aside(
    target: str | os.PathLike[str],
    content: str | bytes,
    *,
    parents: bool = True,
    private: bool = False,
) -> None:
    """Write a file (text as UTF-8) aside, fsync it, and rename it into place.

    Args:
        target: The file to write.
        content: Its complete content.
        parents: Create missing parent folders, see `aside`.
        private: Only the owner may read the file (mode 600).

    Raises:
        OutputError: It cannot be written.
    """
    with aside(target, parents=parents) as new:
        file = open_nofollow(new, "xb", permissions=0o600 if private else 0o666)
        with file:
            file.write(content.encode() if isinstance(content, str) else content)


MODES = {
    "rb": os.O_RDONLY,
    "r+b": os.O_RDWR,
    "xb": os.O_WRONLY | os.O_CREAT | os.O_EXCL,
}


def open_nofollow(path: Path, mode: str = "rb", *, permissions: int = 0o666) -> BinaryIO:
    """Open a regular file, but not what a symbolic link at `path` points to.

    Args:
        path: The file. Links in its parent folders are followed.
        mode: `rb`, `r+b` or `xb`.
        permissions: Of a new file, before the umask.

    Raises:
        OSError: As for `open`; also if `path` is a link, a pipe or another special file.
    """
    descriptor = _open_regular(str(path), _nofollow(path, MODES[mode]), permissions)
    return os.fdopen(descriptor, mode.replace("x", "w"))  # type: ignore[return-value]


def _nofollow(path: Path, flags: int) -> int:
    """The flags with `O_NOFOLLOW`, or an error where the system has no such flag."""
    if not hasattr(os, "O_NOFOLLOW") and path.is_symlink():
        raise OSError(errno.ELOOP, "it is a symbolic link", str(path))
    return flags | getattr(os, "O_NOFOLLOW", 0)


def _open_regular(name: str, flags: int, permissions: int = 0o666) -> int:
    """A file descriptor of a regular file."""
    # Without O_NONBLOCK, opening a pipe waits for a writer. Windows has no pipes in folders.
    flags |= getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(name, flags, permissions)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise OSError(errno.ELOOP, "it is a symbolic link", name) from error
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return descriptor
    os.close(descriptor)
    reason = "it is a folder" if stat.S_ISDIR(mode) else "it is not a regular file"
    raise OSError(errno.EINVAL, reason, name)


@contextmanager
def temporary_folder(
    parent: str | os.PathLike[str] | None = None, *, name: str = "pocketlens"
) -> Iterator[Path]:
    """Yields a new folder that only the owner may enter; it is removed when the block ends.

    Folders of the same name that killed processes left in `parent` are removed, too.

    Args:
        parent: Where to create it; None for the system's folder for temporary files.
        name: Part of its name.

    Raises:
        OSError: It cannot be created.
    """
    place = Path(tempfile.gettempdir() if parent is None else parent)
    _remove_abandoned(place, of=name)
    folder = place / _name_aside(name)
    folder.mkdir(0o700)
    try:
        yield folder
    finally:
        _remove(folder)


def read_limited(path: str | os.PathLike[str], limit: int, *, follow: bool = True) -> bytes:
    """The content of a regular file of at most `limit` bytes; `follow` says whether of a link, too.

    Raises:
        OSError: It is larger, cannot be read, or is a folder, pipe or device: reading a pipe would
            wait forever, and some devices never end.
    """
    flags = os.O_RDONLY if follow else _nofollow(Path(path), os.O_RDONLY)
    with open(path, "rb", opener=lambda name, _: _open_regular(name, flags)) as stream:
        size = os.fstat(stream.fileno()).st_size
        content = stream.read(min(size, limit) + 1)  # as much is allocated
    if len(content) > limit:
        raise OSError(errno.EFBIG, f"it has more than {limit} bytes", os.fspath(path))
    return content


def first_bytes(path: str | os.PathLike[str], count: int = 100) -> bytes:
    """The first bytes of a regular file; empty if it cannot be read."""
    with (
        suppress(OSError, ValueError),
        open(path, "rb", opener=lambda name, _: _open_regular(name, os.O_RDONLY)) as stream,
    ):
        return stream.read(count)
    return b""


def remove_leftovers(folder: str | os.PathLike[str]) -> None:
    """Remove what killed processes left in `folder` and its subfolders.

    Files that a living process is writing are not touched.
    """
    for place, folders, _ in os.walk(folder):
        _remove_abandoned(Path(place))
        folders[:] = [name for name in folders if not LEFTOVER.fullmatch(name)]


def _name_aside(name: str) -> str:
    return f".{name}.{os.getpid():x}-{_machine()}-{secrets.token_hex(4)}.part"


@functools.cache
def _machine() -> str:
    """Marks the processes whose numbers mean something here: not those in other containers."""
    space = ""
    with suppress(OSError):
        space = str(Path("/proc/self/ns/pid").readlink())
    return f"{zlib.crc32(f'{platform.node()} {space}'.encode()) & 0xFFFF:04x}"


def _remove_abandoned(folder: Path, *, of: str | None = None) -> None:
    """Remove the leftovers of ended processes in `folder`; with `of`, only those of this name."""
    try:
        paths = list(folder.iterdir())
    except OSError:  # no such folder: whoever writes to it gets the error
        return
    for path in paths:
        found = LEFTOVER.fullmatch(path.name)
        if not found or (of is not None and found["name"] != of):
            continue
        if not _is_abandoned(path, found):
            continue
        target = path.with_name(found["name"])
        if found["kind"] == "old" and not os.path.lexists(target):
            # The process was killed between moving the old folder away and the new one in.
            with suppress(OSError):
                path.rename(target)
        else:
            _remove(path)


def _is_abandoned(path: Path, found: re.Match[str]) -> bool:
    """Whether the process that wrote a leftover has ended."""
    try:
        info = path.lstat()
    except OSError:
        return False
    if hasattr(os, "getuid") and info.st_uid != os.getuid():
        return False
    if found["machine"] == _machine() and os.name == "posix":
        try:
            os.kill(int(found["process"], 16), 0)
        except ProcessLookupError:
            return True
        except (OverflowError, PermissionError):
            return False
        return False
    return time.time() - info.st_mtime > LEFTOVER_SECONDS


def digest(path: str | os.PathLike[str]) -> str | None:
    """A sha256 of a file, or of the names and contents of all files in a folder.

    None if there is neither, or it cannot be read.
    """
    path = Path(path)
    whole = hashlib.sha256()
    try:
        if path.is_file():
            return _file_digest(path).hex()
        if not path.is_dir():
            return None
        for file in sorted(each for each in path.rglob("*") if each.is_file()):
            whole.update(os.fsencode(file.relative_to(path).as_posix()) + b"\0")
            whole.update(_file_digest(file))
    except OSError:  # whoever reads the file itself reports why
        return None
    return whole.hexdigest()


def _file_digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


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
    power = 1 if size < 1_000_000 else 2 if size < 1_000_000_000 else 3
    return f"{size / 1000**power:.1f} {('KB', 'MB', 'GB')[power - 1]}"


def _sync(file: Path) -> None:
    with file.open("rb") as stream:
        os.fsync(stream.fileno())


def _put(new: Path, target: Path) -> None:
    if not target.is_dir() or target.is_symlink():
        new.replace(target)
        return
    # A folder cannot be renamed over another one, so the old one is moved away first.
    old = new.with_suffix(".old")
    for attempt in range(ATTEMPTS):
        with suppress(FileNotFoundError):  # another process has moved it away just now
            target.rename(old)
        try:
            new.rename(target)
            break
        except OSError:
            if target.exists() and attempt < ATTEMPTS - 1:  # another process has put its own there
                _remove(old)
                continue
            if old.exists() and not target.exists():
                old.rename(target)
            raise
    _remove(old)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):  # if it could not be written, there is nothing to remove
            path.unlink()

"""A cache on disk of what can be computed again, such as the features of images.

It is one SQLite file, so two processes may share it, and a kill leaves no half-written entry. A
damaged file is replaced, and a full disk only ends the caching.
"""

from __future__ import annotations

import hashlib
import sqlite3
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

from pocketlens.locations import CACHE_VARIABLE, cache_folder

__all__ = ["DiskCache"]

MAX_BYTES = 4 << 30
"""Above this size, the entries that were used longest ago make room."""

WAIT = 30.0
"""Seconds to wait for another process that is writing."""

DAY = 86_400
DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR)
"""SQLite's codes for a damaged file, another file, and a file without this table."""


class DiskCache:
    """Bytes by key. A context manager.

    Args:
        name: Of the file; with a version, because another version is another file.
        what: What is stored, in the plural, for the user.
        folder: Where the file is; by default `cache_folder()`.

    Attributes:
        problem: Why entries are not stored, as a sentence for the user; empty if they are.
    """

    def __init__(self, name: str, what: str, folder: Path | None = None) -> None:
        self.path = (folder or cache_folder()) / name
        self.what = what
        self.problem = ""
        self._open: sqlite3.Connection | None = None
        self._replaced = False

    def __enter__(self) -> Self:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._open = self._connect()
        except (OSError, sqlite3.Error) as error:
            self._recover(error)
        return self

    def __exit__(self, *_: object) -> None:
        if self._open is not None:
            with suppress(sqlite3.Error):
                self._open.close()
            self._open = None

    def read(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """The values of those keys that are stored."""
        found: dict[bytes, bytes] = {}
        if self._open is None:
            return found
        try:
            for start in range(0, len(keys), 500):
                some = keys[start : start + 500]
                for key in some:
                    row = self._open.execute("SELECT value FROM entries WHERE key = ?", [key])
                    value = (row.fetchone() or (b"",))[0]
                    if not isinstance(value, bytes):
                        continue
                    content, check = value[:-CHECK], value[-CHECK:]
                    if check == _check(key, content):
                        found[key] = content
                today = int(time.time() // DAY)
                with self._open:
                    self._open.executemany(
                        "UPDATE entries SET day = ? WHERE key = ? AND day < ?",
                        [(today, key, today) for key in some if key in found],
                    )
        except sqlite3.Error as error:
            self._recover(error)
        return found

    def write(self, values: dict[bytes, bytes]) -> None:
        """Store values; all of them or, if the disk is full, none."""
        if self._open is None or not values:
            return
        today = int(time.time() // DAY)
        rows = [(key, value + _check(key, value), today) for key, value in values.items()]
        try:
            with self._open:
                self._open.executemany("INSERT OR REPLACE INTO entries VALUES (?, ?, ?)", rows)
        except sqlite3.Error as error:
            self._recover(error)

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=WAIT)
        try:
            connection.execute(
                "CREATE TABLE IF NOT EXISTS entries "
                "(key BLOB PRIMARY KEY, value BLOB, day INTEGER) WITHOUT ROWID"
            )
            connection.execute("SELECT key, value, day FROM entries LIMIT 1")
            self._make_room(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _make_room(self, connection: sqlite3.Connection) -> None:
        """Remove the half of the entries that was used longest ago, if they take too much space."""
        pages, free, size = (
            connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("page_count", "freelist_count", "page_size")
        )
        if (pages - free) * size <= MAX_BYTES:
            return
        with connection:
            connection.execute(
                "DELETE FROM entries WHERE key IN (SELECT key FROM entries ORDER BY day "
                "LIMIT (SELECT COUNT(*) / 2 FROM entries))"
            )
        with suppress(sqlite3.OperationalError):  # it needs space; free pages are used again
            connection.execute("VACUUM")

    def _recover(self, error: Exception) -> None:
        """Replace a damaged file by a new one; give up for every other reason."""
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in DAMAGED and not self._replaced:
            self._replaced = True
            self.__exit__()
            try:
                for path in (self.path, Path(f"{self.path}-journal")):  # else it is rolled back
                    path.unlink(missing_ok=True)
                self._open = self._connect()
                return
            except (OSError, sqlite3.Error) as again:
                error = again
        self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        self.problem = (
            f"{self.what} are not stored for the next run, because {self.path} cannot be used: "
            f"{error}; to store them elsewhere, set {CACHE_VARIABLE} to a folder"
        )
        self.__exit__()


CHECK = 8


def _check(key: bytes, value: bytes) -> bytes:
    """Bytes that show whether an entry is damaged, which SQLite does not notice."""
    return hashlib.blake2b(value, key=key[:64], digest_size=CHECK).digest()

"""A cache of features on disk, by content: the same image and backbone are computed only once.

It is one SQLite file, so two processes may share it, and a kill leaves no half-written entry. Every
entry can be computed again: a damaged file is replaced, and a full disk only ends the caching.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pocketlens.data.location import CACHE_VARIABLE, cache_folder

__all__ = ["FeatureCache"]

NAME = "features-1.sqlite"
"""The number is the version: another version is another file."""

MAX_BYTES = 4 << 30
"""Above this size, the entries that were used longest ago make room."""

WAIT = 30.0
"""Seconds to wait for another process that is writing."""

DAY = 86_400


class FeatureCache:
    """Features by key. A context manager.

    Args:
        folder: Where the file is; by default `cache_folder()`.

    Attributes:
        problem: Why entries are not stored, as a sentence for the user; empty if they are.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.path = (folder or cache_folder()) / NAME
        self.problem = ""
        self._open: sqlite3.Connection | None = None

    def __enter__(self) -> FeatureCache:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            try:
                self._open = self._connect()
            except sqlite3.DatabaseError as error:
                if isinstance(error, sqlite3.OperationalError):
                    raise  # no permission, no space: not a damaged file
                self.path.unlink()
                self._open = self._connect()
        except (OSError, sqlite3.Error) as error:
            self._give_up(error)
        return self

    def __exit__(self, *_: object) -> None:
        if self._open is not None:
            with suppress(sqlite3.Error):
                self._open.close()
            self._open = None

    def get(self, keys: Sequence[bytes], width: int) -> dict[bytes, NDArray[np.float32]]:
        """The features `(width,)` of those keys that are stored."""
        found: dict[bytes, NDArray[np.float32]] = {}
        if self._open is None:
            return found
        try:
            for start in range(0, len(keys), 500):
                some = keys[start : start + 500]
                for key in some:
                    row = self._open.execute("SELECT value FROM features WHERE key = ?", [key])
                    value = (row.fetchone() or (b"",))[0]
                    if isinstance(value, bytes) and len(value) == 4 * width:
                        found[key] = np.frombuffer(value, "<f4").astype(np.float32)
                today = int(time.time() // DAY)
                with self._open:
                    self._open.executemany(
                        "UPDATE features SET day = ? WHERE key = ? AND day < ?",
                        [(today, key, today) for key in some if key in found],
                    )
        except sqlite3.Error as error:
            self._give_up(error)
        return found

    def put(self, values: dict[bytes, NDArray[np.float32]]) -> None:
        """Store features; all of them or, if the disk is full, none."""
        if self._open is None or not values:
            return
        today = int(time.time() // DAY)
        rows = [(key, value.astype("<f4").tobytes(), today) for key, value in values.items()]
        try:
            with self._open:
                self._open.executemany("INSERT OR REPLACE INTO features VALUES (?, ?, ?)", rows)
        except sqlite3.Error as error:
            self._give_up(error)

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=WAIT)
        try:
            connection.execute(
                "CREATE TABLE IF NOT EXISTS features "
                "(key BLOB PRIMARY KEY, value BLOB, day INTEGER) WITHOUT ROWID"
            )
            self._make_room(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _make_room(self, connection: sqlite3.Connection) -> None:
        """Remove the older half of the entries if the file is too large."""
        if self.path.stat().st_size <= MAX_BYTES:
            return
        with connection:
            (middle,) = connection.execute(
                "SELECT day FROM features ORDER BY day LIMIT 1 "
                "OFFSET (SELECT COUNT(*) / 2 FROM features)"
            ).fetchone()
            connection.execute("DELETE FROM features WHERE day <= ?", [middle])
        connection.execute("VACUUM")

    def _give_up(self, error: Exception) -> None:
        self.problem = (
            f"features are not stored for the next run, because {self.path} cannot be used: "
            f"{error}; to store them elsewhere, set {CACHE_VARIABLE} to a folder"
        )
        self.__exit__()

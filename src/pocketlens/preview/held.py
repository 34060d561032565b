"""`Held`: the bytes of all uploads and messages that are in memory at the moment."""

from __future__ import annotations

import threading

__all__ = ["BUSY", "MAX_HELD", "Held", "Message"]

MAX_HELD = 80_000_000
"""The most bytes of all bodies and WebSocket messages that are held at the same time."""

BUSY = "the preview is busy with other uploads; try again in a few seconds"


class Held:
    """Counts bytes, for all connections of a server together.

    Attributes:
        size: How many bytes are held.
    """

    def __init__(self) -> None:
        self.size = 0
        # A message may be dropped in any thread, and by garbage collection inside `add`.
        self._lock = threading.RLock()

    def add(self, size: int) -> None:
        """Count `size` more bytes; fewer if it is negative."""
        with self._lock:
            self.size += size

    @property
    def is_full(self) -> bool:
        return self.size > MAX_HELD

    def message(self, data: bytes) -> Message:
        """The data of a complete message, which counts until nothing refers to it any more."""
        kept = Message(data)
        kept.held = self
        self.add(len(kept))
        return kept


class Message(bytes):
    """The data of a message, see `Held.message`."""

    held: Held | None = None

    def __del__(self) -> None:
        if self.held is not None:
            self.held.add(-len(self))

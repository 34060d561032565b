"""One at a time: for work that takes as long as many predictions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pocketlens.errors import OptionError

__all__ = ["MAX_WAITING", "Turns"]

MAX_WAITING = 4
"""How many may wait for another one; further requests are refused."""


class Turns:
    """Lets one coroutine work at a time.

    Args:
        what: What they do, for the error message, such as `explanations are being computed`.
    """

    def __init__(self, what: str) -> None:
        self.what = what
        self._one = asyncio.Semaphore(1)
        self._waiting = 0

    @asynccontextmanager
    async def one(self) -> AsyncIterator[None]:
        """The block runs when its turn has come.

        Raises:
            OptionError: Too many wait.
        """
        if self._waiting > MAX_WAITING:
            raise OptionError(f"other {self.what}; try again in a few seconds")
        self._waiting += 1
        try:
            async with self._one:
                yield
        finally:
            self._waiting -= 1

"""`Budget`: how much memory one model file may need, checked before it is taken.

A small file can ask for a lot: one bit of a palette becomes four bytes, an empty layer of two bytes
becomes an object, a constant of a few bytes fills a tensor. Each of them may be fine alone. So
everything that a file makes large is added up here: its messages, its weights, decompressed or
converted, and the tensors of a run.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from pocketlens.errors import ModelFileError, OptionError

__all__ = ["MAX_MEMORY", "VARIABLE", "Budget", "charge", "memory_left"]

MAX_MEMORY = 4 * 2**30
"""How many bytes a model may need by default: 4 GiB."""

VARIABLE = "POCKETLENS_MAX_MEMORY"
"""The environment variable with another default, in bytes."""

_active: ContextVar[Budget | None] = ContextVar("budget", default=None)


class Budget:
    """The memory that one file may need.

    Attributes:
        limit: In bytes.
        used: What has been charged so far.
    """

    def __init__(self, limit: int | None = None) -> None:
        """Start with nothing charged.

        Args:
            limit: In bytes; None for the environment variable `VARIABLE`, else `MAX_MEMORY`.

        Raises:
            OptionError: It is not a positive whole number.
        """
        given: object = os.environ.get(VARIABLE) if limit is None else limit
        where = VARIABLE if limit is None else "max_memory"
        try:
            self.limit = MAX_MEMORY if given is None else int(str(given))
        except ValueError:
            self.limit = 0
        if self.limit < 1:
            raise OptionError(f"{where} is {given!r}; expected a positive number of bytes")
        self.used = 0

    def charge(self, size: int, what: str) -> None:
        """Add `size` bytes.

        Raises:
            ModelFileError: That is more than the limit; the message begins with `what`.
        """
        self.check(size, what)
        self.used += size

    def check(self, size: int, what: str) -> None:
        """`charge` without adding: `size` bytes will be charged in parts."""
        total = self.used + size
        if total > self.limit:
            raise ModelFileError(
                f"{what} would bring the model to {_text(total)} of memory; the limit is "
                f"{_text(self.limit)}; if you trust the file, raise it: "
                f"load(path, max_memory={2 * total}), or set {VARIABLE}={2 * total}"
            )

    @contextmanager
    def active(self) -> Iterator[None]:
        """Make `charge` charge this budget inside the `with` block.

        What is charged inside counts until the block ends with an error, or forever.
        """
        token = _active.set(self)
        before = self.used
        try:
            yield
        except BaseException:
            self.used = before
            raise
        finally:
            _active.reset(token)


def charge(size: int, what: str) -> None:
    """Charge the budget of the file that is being loaded; see `Budget.charge`."""
    budget = _active.get()
    if budget is not None:
        budget.charge(size, what)


def memory_left(most: int) -> int:
    """What is left for the file that is being loaded, at most `most` bytes.

    It limits tensors whose sizes are known only in a run, each for itself.
    """
    budget = _active.get()
    return most if budget is None else max(0, min(most, budget.limit - budget.used))


def _text(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 10**8 else f"{size / 1e6:.1f} MB"

"""The time that one call of a model may take, with all stages of a pipeline and all loops."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from pocketlens.errors import FeatureError, OptionError

__all__ = [
    "VARIABLE",
    "TimeLimitError",
    "check_time",
    "default_time_limit",
    "seconds_left",
    "time_limited",
]

VARIABLE = "POCKETLENS_TIME_LIMIT"
"""The environment variable with another default, in seconds."""

DEFAULT_SECONDS = 60.0

_end: ContextVar[float | None] = ContextVar("end", default=None)


class TimeLimitError(Exception):
    """The work was stopped, because it took longer than the caller allows."""


def default_time_limit() -> float:
    """How many seconds a model may take for one image in a command or a check.

    Raises:
        OptionError: The environment variable `VARIABLE` is not a positive number.
    """
    given = os.environ.get(VARIABLE)
    try:
        seconds = DEFAULT_SECONDS if given is None else float(given)
    except ValueError:
        seconds = 0.0
    if not seconds > 0:
        raise OptionError(f"{VARIABLE} is {given!r}; expected a positive number of seconds")
    return seconds


@contextmanager
def time_limited(path: Path, seconds: float | None) -> Iterator[None]:
    """Limit the `with` block to `seconds`; inside another such block, that one's limit counts.

    Raises:
        FeatureError: `check_time` or a run that waits for `seconds_left` found that time is up.
    """
    if seconds is None or _end.get() is not None:
        yield
        return
    token = _end.set(time.monotonic() + seconds)
    try:
        yield
    except TimeLimitError as error:
        raise FeatureError(
            f"{path} was stopped: a run took more than {seconds:g} seconds, the time limit; if the "
            "model is known to be slow, pass a larger one, as in "
            f"load(path, time_limit={2 * seconds:g}); on the command line, set "
            f"{VARIABLE}={2 * seconds:g}"
        ) from error
    finally:
        _end.reset(token)


def seconds_left() -> float | None:
    """How much time is left in this call, at least 0; None without a limit."""
    end = _end.get()
    return None if end is None else max(0.0, end - time.monotonic())


def check_time() -> None:
    """End a call that has taken too long; for loops of Python code.

    Raises:
        TimeLimitError: The time is up.
    """
    if seconds_left() == 0:
        raise TimeLimitError

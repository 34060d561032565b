"""How a command ends that does not succeed: one line that says why, and the exit status.

0 success, 1 a check failed, 2 bad input (or no memory, disk space or permission), 70 an error in
Pocketlens itself, 130 interrupted, 141 the reader of the output has gone.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import signal
import threading
import traceback
from collections.abc import Iterator

from pocketlens.cli.terminal import OutputClosed, discard_output, one_line, say
from pocketlens.errors import CheckFailedError, PocketlensError, is_ours, missing_package

__all__ = ["check_memory_limit", "explain", "one_line_failures", "show_traces"]

CHECK_FAILED, BAD_INPUT, INTERNAL_ERROR, INTERRUPTED, OUTPUT_CLOSED = 1, 2, 70, 130, 141

MAX_MESSAGE = 3000
"""The longest message, in characters; it may quote what a file contains."""

LEAST_MEMORY = 512 << 20
"""The least limit of a process's address space, in bytes."""

_traces = False

ADVICE = {
    errno.ENOSPC: "free some space on this disk, or choose another one",
    errno.EDQUOT: "free some space, or choose another disk",
    errno.EACCES: "change the permissions, or choose another place",
    errno.EPERM: "change the permissions, or choose another place",
    errno.EROFS: "choose a place that can be written to",
    errno.ELOOP: "a link points to itself: remove it",
    errno.ENAMETOOLONG: "choose a shorter path",
    errno.EMFILE: "raise the limit, such as with: ulimit -n 4096",
    errno.ENFILE: "close other programs",
    errno.ENOTDIR: "expected a folder",
    errno.EISDIR: "expected a file",
    errno.ENOENT: "check the path",
}

NO_MEMORY = re.compile(
    r"can(no|')t allocate|bad.?alloc|Failed to allocate|[Nn]ot enough memory|out of memory"
    r"|failed to map segment|can't start new thread|insufficient memory"
)
"""Messages of other packages, which have no exception of their own for it."""


def show_traces(wanted: bool) -> None:
    """Whether to print where an error was raised, before its line."""
    global _traces
    _traces = wanted


def explain(error: BaseException) -> tuple[int, str]:
    """The exit status for an error, and one line about it."""
    if isinstance(error, ModuleNotFoundError) and not is_ours(error):
        error = missing_package(error, purpose="this command")
    text = one_line(str(error)[:MAX_MESSAGE])[:MAX_MESSAGE]
    match error:
        case CheckFailedError():
            return CHECK_FAILED, f"error: {text}"
        case PocketlensError():
            return BAD_INPUT, f"error: {text}"
        case KeyboardInterrupt():
            return INTERRUPTED, text or "interrupted"
        case UnicodeEncodeError():
            return BAD_INPUT, (
                f"error: the encoding {error.encoding!r} has no "
                f"{error.object[error.start : error.end]!r}; set the environment variable "
                "PYTHONUTF8=1 and run the command again"
            )
        case RecursionError():
            return BAD_INPUT, f"error: the input is nested too deeply to be read ({text})"
    if _is_about_memory(error):
        return BAD_INPUT, (
            f"error: not enough memory ({text or 'allocation failed'}); close other programs, "
            "raise the limit (ulimit -v), or use a smaller model or smaller images"
        )
    if isinstance(error, OSError):
        return BAD_INPUT, f"error: {_about_system(error)}"
    if isinstance(error, ImportError):
        return BAD_INPUT, f"error: a package cannot be loaded: {text}; install it again"
    return INTERNAL_ERROR, (
        f"internal error: {type(error).__name__}: {text}; please report this line, the command and "
        "the file that it reads (pocketlens --debug COMMAND shows where it happened)"
    )


def _is_about_memory(error: BaseException | None) -> bool:
    """Whether it, or the error that caused it, is about memory."""
    if error is None or isinstance(error, MemoryError):
        return error is not None
    if isinstance(error, OSError) and error.errno == errno.ENOMEM:
        return True
    if isinstance(error, SystemError) and _memory_limit() is not None:
        return True  # a library that did not check an allocation, such as PyTorch at its import
    return bool(NO_MEMORY.search(str(error))) or _is_about_memory(error.__cause__)


def _about_system(error: OSError) -> str:
    names = [
        os.fsdecode(n) for n in (error.filename, error.filename2) if isinstance(n, str | bytes)
    ]
    what = f"{' and '.join(names)}: " if names else ""
    reason = error.strerror or str(error) or type(error).__name__
    advice = ADVICE.get(error.errno or 0)
    return one_line(f"{what}{reason[:1].lower()}{reason[1:]}" + (f"; {advice}" if advice else ""))


def check_memory_limit() -> None:
    """Raise an error if this process may not use enough memory for any command.

    Raises:
        MemoryError: The limit is below `LEAST_MEMORY`. NumPy's OpenBLAS would try forever to
            allocate its buffers.
    """
    limit = _memory_limit()
    if limit is not None and limit < LEAST_MEMORY:
        raise MemoryError(
            f"limited to {limit >> 20} MB; Pocketlens needs at least {LEAST_MEMORY >> 20} MB"
        )


def _memory_limit() -> int | None:
    """The limit of this process's address space (`ulimit -v`), in bytes; None for no limit."""
    if os.name != "posix":
        return None
    import resource

    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return None if limit == resource.RLIM_INFINITY else limit


@contextlib.contextmanager
def one_line_failures() -> Iterator[None]:
    """Within: an error ends the process with a line on standard error and its exit status."""
    try:
        yield
    except OutputClosed:
        discard_output()
        raise SystemExit(OUTPUT_CLOSED) from None
    except (Exception, KeyboardInterrupt) as error:
        if isinstance(error, KeyboardInterrupt):
            _end_at_next_interrupt()
        elif _traces:
            say(*"".join(traceback.format_exception(error)).split("\n")[:-1], error=True)
        status, line = explain(error)
        with contextlib.suppress(OSError):  # standard error is full or closed
            say(f"pocketlens: {line}", error=True)
        raise SystemExit(status) from None


def _end_at_next_interrupt() -> None:
    """Another Ctrl-C ends the process at once, as Python would print a traceback at its exit."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, lambda *_: os._exit(INTERRUPTED))

"""Work outside Python that Ctrl-C and a time limit can end.

Python handles Ctrl-C between two steps of its own, in the main thread only. While that thread waits
for ONNX Runtime, nothing happens. So long work runs in a thread of its own, and the caller waits.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from pocketlens.coreml.file.time_limit import TimeLimitError

__all__ = ["interruptible"]

T = TypeVar("T")

GRACE = 2.0
"""How many seconds canceled work may take to end; ONNX Runtime ends between two operators."""


def interruptible(work: Callable[[], T], cancel: Callable[[], object], seconds: float | None) -> T:
    """Call `work` and return its result; Ctrl-C and the end of the time call `cancel`.

    Args:
        work: Runs in a thread of its own. Its exceptions are raised here.
        cancel: Makes `work` end soon. If it does not within `GRACE` seconds, it is left behind.
        seconds: The longest time that `work` may take; None for no limit.

    Raises:
        TimeLimitError: `work` did not end in time.
        KeyboardInterrupt: The user pressed Ctrl-C.
    """
    results: list[T] = []
    errors: list[BaseException] = []
    # Not `Thread.join`: before Python 3.13, one that Ctrl-C ends takes the thread for ended, too.
    done = threading.Event()

    def call() -> None:
        try:
            results.append(work())
        except BaseException as error:  # raised again in the caller's thread
            errors.append(error)
        finally:
            done.set()

    thread = threading.Thread(target=call, name="pocketlens-onnxruntime", daemon=True)
    thread.start()
    ended = False
    try:
        ended = done.wait(seconds)
    finally:
        if not ended:
            cancel()
        if done.wait(GRACE):
            thread.join()
    if not ended:
        raise TimeLimitError
    if errors:
        raise errors[0]
    return results[0]

"""Worker threads that the end of the program does not wait for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future
from functools import partial
from queue import SimpleQueue
from typing import Any, ParamSpec, TypeVar

__all__ = ["DaemonThreads", "wait_for_threads"]

P = ParamSpec("P")
T = TypeVar("T")


class DaemonThreads(Executor):
    """A fixed number of threads, as in `ThreadPoolExecutor`, whose threads Python would wait for.

    Args:
        count: The number of threads.
        name: Their name.
    """

    def __init__(self, count: int, name: str) -> None:
        self._work: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        self._count = count
        self._closed = False
        for _ in range(count):
            threading.Thread(target=self._run, name=name, daemon=True).start()

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        if self._closed:
            raise RuntimeError("no work is accepted after shutdown")
        future: Future[T] = Future()
        self._work.put((future, partial(fn, *args, **kwargs)))
        return future

    def close(self) -> None:
        """Cancel what has not begun; the threads end after what they are doing."""
        self._closed = True
        while not self._work.empty():
            if (item := self._work.get()) is not None:
                item[0].cancel()
        for _ in range(self._count):
            self._work.put(None)

    def _run(self) -> None:
        while (item := self._work.get()) is not None:
            future, work = item
            if not future.set_running_or_notify_cancel():
                continue
            try:
                result = work()
            except BaseException as error:
                future.set_exception(error)
            else:
                future.set_result(result)


def wait_for_threads(name: str, seconds: float) -> bool:
    """Wait until all threads of this name have ended; False if some still run after `seconds`."""
    deadline = time.monotonic() + seconds
    for thread in threading.enumerate():
        if thread.name == name:
            thread.join(max(0.0, deadline - time.monotonic()))
            if thread.is_alive():
                return False
    return True

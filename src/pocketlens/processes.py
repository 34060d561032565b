"""Python programs of this package in processes of their own, for work that may crash or not end.

A process is started once and answers requests: a line of JSON, then bytes. So is the answer. It
ends with its input, and can be killed at any time. `Process` is the caller's side; `serve` the main
loop of the program.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, TypeAlias

__all__ = ["Answer", "Process", "ProcessEndedError", "limit_files", "limit_memory", "serve"]

MAX_HEAD = 16 << 20
"""The longest line of JSON in bytes."""

MAX_REPORT = 50
"""How many of the last lines that a process has written to its standard error are kept."""

MAX_LINE = 500

PATIENCE = 5.0
"""How many seconds a process that has closed its output may take to end."""

STDOUT, STDERR = 1, 2
"""The file descriptors, which libraries that are not Python write to, too."""

Answer: TypeAlias = tuple[dict[str, Any], bytes]


class ProcessEndedError(Exception):
    """The process did not answer, and has ended.

    Attributes:
        timed_out: Whether it was killed because it took too long.
        signal: The name of the signal that ended it, such as `SIGSEGV`; empty if none did.
        report: The last lines of its standard error, if they are kept.
    """

    def __init__(self, *, timed_out: bool, code: int | None, report: tuple[str, ...]) -> None:
        super().__init__("the process has ended")
        self.timed_out = timed_out
        self.signal = ""
        if code is not None and code < 0:
            with suppress(ValueError):
                self.signal = signal.Signals(-code).name
        self.report = report


class Process:
    """A Python program, `python -m MODULE`, that answers requests with `serve`.

    Args:
        module: The module, which ends in a call of `serve`.
        arguments: Its arguments.
        environment: Variables that are added to those of this process.
        keep_report: Whether to keep the last lines of its standard error.

    Raises:
        OSError: It cannot be started, because there are too many processes or open files.
    """

    def __init__(
        self,
        module: str,
        *arguments: str,
        environment: Mapping[str, str] | None = None,
        keep_report: bool = False,
    ) -> None:
        import pocketlens

        source = str(Path(pocketlens.__file__).parents[1])
        paths = os.pathsep.join(filter(None, (source, os.environ.get("PYTHONPATH"))))
        # A session of its own: Ctrl-C reaches only this process, which then ends the others.
        self.child = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE if keep_report else subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": paths, **(environment or {})},
            start_new_session=True,
        )
        self._lines: deque[str] = deque(maxlen=MAX_REPORT)
        self._reader: threading.Thread | None = None
        if self.child.stderr is not None:
            self._reader = threading.Thread(
                target=_keep_lines, args=(self.child.stderr, self._lines), daemon=True
            )
            self._reader.start()

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self.child.poll() is None

    def ask(
        self, head: Mapping[str, Any], data: bytes = b"", *, seconds: float | None, most: int
    ) -> Answer:
        """Send a request and wait for the answer.

        Args:
            head: Values for JSON.
            data: Bytes that follow.
            seconds: After how many seconds the process is killed; None for no limit.
            most: The largest answer in bytes. The process is not trusted: one that sends more, or
                something else than an answer, is killed.

        Raises:
            ProcessEndedError: There is no answer. The process has ended.
        """
        assert self.child.stdin is not None
        assert self.child.stdout is not None
        late = threading.Event()

        def kill() -> None:
            late.set()
            self.child.kill()

        timer = None if seconds is None else threading.Timer(seconds, kill)
        if timer is not None:
            timer.daemon = True
            timer.start()
        answer, code = None, None
        try:
            try:
                _send(self.child.stdin, head, data)
                answer = _receive(self.child.stdout, most)
            except OSError:  # nobody reads the request
                pass
            if answer is None:
                code = self.child.wait(PATIENCE)
        except (ValueError, RecursionError, subprocess.TimeoutExpired):
            pass  # not an answer, or no end of it
        finally:
            if timer is not None:
                timer.cancel()
            if answer is None:  # also after Ctrl-C, as the answer would be that to the next request
                self.end()
        if answer is None:
            late_code = None if late.is_set() else code
            raise ProcessEndedError(
                timed_out=late.is_set(), code=late_code, report=tuple(self._lines)
            )
        return answer

    def end(self) -> None:
        """Kill it, and wait for its end."""
        self.child.kill()
        self.child.wait()
        if self._reader is not None:
            self._reader.join()
        for stream in (self.child.stdin, self.child.stdout, self.child.stderr):
            if stream is not None:
                with suppress(OSError):  # what is still to be written has no reader
                    stream.close()


def serve(answer: Callable[[dict[str, Any], bytes], Answer]) -> None:
    """Answer requests until the input ends.

    What the program or a library prints to the standard output goes to the standard error, so that
    it does not get into an answer.
    """
    output = os.fdopen(os.dup(STDOUT), "wb")
    os.dup2(STDERR, STDOUT)
    while (request := _receive(sys.stdin.buffer, None)) is not None:
        _send(output, *answer(*request))


def limit_memory(size: int) -> None:
    """Limit the address space of this process to `size` bytes, on systems that can do so."""
    _limit("RLIMIT_AS", size)


def limit_files(size: int) -> None:
    """Limit each file that this process writes to `size` bytes, on systems that can do so."""
    _limit("RLIMIT_FSIZE", size)


def _limit(name: str, size: int) -> None:
    with suppress(ImportError, OSError, ValueError):  # Windows, or a system without this limit
        import resource

        resource.setrlimit(getattr(resource, name), (size, size))


def _send(stream: IO[bytes], head: Mapping[str, Any], data: bytes) -> None:
    stream.write(json.dumps({**head, "size": len(data)}).encode() + b"\n")
    stream.write(data)
    stream.flush()


def _receive(stream: IO[bytes], most: int | None) -> Answer | None:
    """A head and its data; None at the end of the stream.

    Raises:
        ValueError, RecursionError: It is something else, or has more than `most` bytes.
    """
    line = stream.readline(MAX_HEAD)
    if not line.endswith(b"\n"):
        return None
    head = json.loads(line)
    size = head.get("size") if isinstance(head, dict) else None
    if type(size) is not int or size < 0 or (most is not None and size > most):
        raise ValueError("not an answer")
    data = stream.read(size)
    return (head, data) if len(data) == size else None


def _keep_lines(stream: IO[bytes], lines: deque[str]) -> None:
    with suppress(OSError, ValueError):
        while line := stream.readline(MAX_LINE):
            lines.append(line.decode("utf-8", "replace").strip())

"""`Session`: a model in Apple's interpreter, in a process of its own."""

from __future__ import annotations

import re
import threading
import weakref
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

from pocketlens.coreai.asset import AGAIN, Asset
from pocketlens.coreai.installed import installed_version, require_core_ai
from pocketlens.errors import CoreAIError, printable
from pocketlens.files import temporary_folder
from pocketlens.processes import Answer, Process, ProcessEndedError

__all__ = ["Session"]

CHILD = "pocketlens.coreai.child"
"""The program of the process."""

OVERHEAD = 1 << 30
"""The address space of the process without a model; most of it is code that is not loaded."""

OPEN_SECONDS = 600.0
"""How long a model may take to load, without another limit."""

LEAST_OPEN_SECONDS = 10.0
"""How long it may take at least, even if a run may take less."""

MAX_REASON = 300


class Session:
    """The process of one model. It is started when it is first asked, and again if it has ended.

    The methods are thread-safe.

    Args:
        asset: The model.
        time_limit: How many seconds one run may take; None for no limit.
        max_memory: How many bytes it may need.

    Raises:
        MissingExtraError, UnsupportedModelError: See `require_core_ai`.
    """

    def __init__(self, asset: Asset, *, time_limit: float | None, max_memory: int) -> None:
        require_core_ai("coreai", purpose=f"the Core AI model {asset.path}")
        self.asset = asset
        self.time_limit = time_limit
        self.max_memory = max_memory
        self._lock = threading.Lock()
        self._running: list[Process] = []
        self._end = weakref.finalize(self, _end_all, self._running, stack := ExitStack())
        # A process that is killed leaves its files; this folder is removed with them.
        self._folder = stack.enter_context(temporary_folder(name="pocketlens-coreai"))

    def open(self) -> list[dict[str, Any]]:
        """Load the model, if it is not loaded; the functions of it.

        Raises:
            CoreAIError: See `ask`.
        """
        with self._lock:
            return self._opened()

    def summary(self) -> dict[str, Any]:
        """The counts of ops and weights; see `child`."""
        with self._lock:
            return self._ask(self._process(), {"op": "summary", "path": str(self.asset.path)})[0]

    def run(self, head: Mapping[str, Any], data: bytes) -> Answer:
        """Run a function; see `child`.

        Raises:
            CoreAIError: The process has crashed, takes too long or too much memory, or answers with
                something else than arrays; or Apple's interpreter has raised an error.
        """
        with self._lock:
            self._opened()
            return self._ask(self._running[0], {"op": "run", **head}, data)

    def close(self) -> None:
        """End the process and remove its files."""
        self._end()

    def _opened(self) -> list[dict[str, Any]]:
        if self._running and self._running[0].alive:
            return self._functions
        process = self._process()
        answer, _ = self._ask(process, {"op": "open", "path": str(self.asset.path)})
        functions = answer.get("functions")
        if not isinstance(functions, list) or not functions:
            raise CoreAIError(f"{self.asset.path} has no functions; {AGAIN}")
        self._functions: list[dict[str, Any]] = functions
        return functions

    def _process(self) -> Process:
        """The process, running."""
        if not self._end.alive:
            raise CoreAIError(f"{self.asset.path} has been closed; load it again")
        if self._running and self._running[0].alive:
            return self._running[0]
        self._running.clear()
        try:
            process = Process(
                CHILD,
                str(self.max_memory + OVERHEAD),
                environment={"TMPDIR": str(self._folder), "MALLOC_ARENA_MAX": "2"},
                keep_report=True,
            )
        except OSError as error:
            raise CoreAIError(
                f"{self.asset.path} cannot run now, because no process can be started: "
                f"{error.strerror}; end other programs and try again"
            ) from error
        self._running.append(process)
        return process

    def _ask(self, process: Process, head: Mapping[str, Any], data: bytes = b"") -> Answer:
        path = self.asset.path
        seconds = self.time_limit
        if head["op"] != "run":
            seconds = OPEN_SECONDS if seconds is None else max(seconds, LEAST_OPEN_SECONDS)
        try:
            answer, result = process.ask(head, data, seconds=seconds, most=self.max_memory)
        except ProcessEndedError as error:
            raise CoreAIError(self._ended(head["op"], error, seconds)) from error
        if answer.get("memory"):
            process.end()
            raise CoreAIError(f"{path} {self._too_large()}")
        if "error" in answer:
            raise CoreAIError(
                f"{path}: Apple's interpreter refuses it: {_one_line(str(answer['error']))}; "
                f"{self._origin()}"
            )
        return answer, result

    def _ended(self, op: str, error: ProcessEndedError, seconds: float | None) -> str:
        path = self.asset.path
        if error.timed_out:
            assert seconds is not None
            what = "a run" if op == "run" else "loading it"
            return (
                f"{path} was stopped: {what} took more than {seconds:g} seconds, the time limit; "
                f"if the model is known to be slow, pass a larger one, as in "
                f"load(path, time_limit={2 * seconds:g}); on the command line, set "
                f"POCKETLENS_TIME_LIMIT={2 * seconds:g}"
            )
        reason = _reason(error.report)
        if "bad_alloc" in reason or "memory" in reason.lower():
            return f"{path} {self._too_large()}"
        how = f" ({error.signal})" if error.signal else ""
        doing = "running" if op == "run" else "reading"
        return (
            f"{path}: Apple's interpreter crashed while {doing} it{how}"
            f"{f': {reason}' if reason else ''}; {self._origin()}"
        )

    def _too_large(self) -> str:
        return (
            f"needs more than {self.max_memory / 2**30:.3g} GiB of memory; if you trust the file, "
            f"raise the limit: load(path, max_memory={2 * self.max_memory}), or set "
            f"POCKETLENS_MAX_MEMORY={2 * self.max_memory}"
        )

    def _origin(self) -> str:
        """What to do about a file that cannot be read."""
        here, producer = f"coreai-core {installed_version()}", self.asset.metadata.producer
        if producer and producer != here:
            return (
                f"it was written by {_one_line(producer)[:60]}, and here is {here}, which does not "
                "read the files of other betas; convert it again"
            )
        return f"the file is damaged, or {here} does not support it; convert it again"


def _end_all(running: list[Process], stack: ExitStack) -> None:
    for process in running:
        process.end()
    stack.close()


_LOCATION = re.compile(r'loc\("[^"]*"(:\d+:\d+)?\):\s*|error:\s*|Fatal error:\s*')


def _reason(report: tuple[str, ...]) -> str:
    """The first line of an error that Apple's code has written; "" without one."""
    for line in report:
        if "error" in line.lower() or "bad_alloc" in line or "memory" in line.lower():
            return _one_line(_LOCATION.sub("", line))
    return ""


def _one_line(text: str) -> str:
    line = printable(next(iter(text.strip().splitlines()), ""))
    return line if len(line) <= MAX_REASON else f"{line[:MAX_REASON]}…"

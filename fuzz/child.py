"""Runs one trial of a fuzzer in a child process, with limits on time and memory."""

from __future__ import annotations

import os
import resource
import select
import signal
import traceback
from collections.abc import Callable
from pathlib import Path


def in_child(work: Callable[[], str], *, memory: int, cpu_seconds: int, wall_seconds: float) -> str:
    """Run `work` in a child process and return its result; a finding begins with `!`.

    Args:
        work: Any exception that it raises is a finding.
        memory: The address space that the child may allocate, in bytes; limited only on Linux.
        cpu_seconds: Its processor time.
        wall_seconds: How long it may take.
    """
    receive, send = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(receive)
        _child(work, memory, cpu_seconds, send)
    os.close(send)
    ready, _, _ = select.select([receive], [], [], wall_seconds)
    if not ready:
        os.kill(child, signal.SIGKILL)
    with os.fdopen(receive, "rb") as stream:
        result = stream.read().decode()
    _, status = os.waitpid(child, 0)
    if not ready:
        return f"! still running after {wall_seconds} s"
    if os.WIFSIGNALED(status):
        name = signal.Signals(os.WTERMSIG(status)).name
        if name == "SIGXCPU":
            return f"! more than {cpu_seconds} s of CPU time"
        return f"! killed by {name}"
    return result or f"! exit status {os.waitstatus_to_exitcode(status)} without a result"


def _child(work: Callable[[], str], memory: int, cpu_seconds: int, send: int) -> None:
    result = "! no result"
    try:
        _limit(memory, cpu_seconds)
        result = work()
    except BaseException as error:
        frames = traceback.extract_tb(error.__traceback__)[-3:]
        where = " < ".join(f"{Path(f.filename).name}:{f.lineno}" for f in reversed(frames))
        result = f"! {type(error).__name__}: {str(error)[:300]} at {where}"
    finally:
        os.write(send, result.encode("utf-8", "backslashreplace"))
        os._exit(0)  # skip the exit handlers inherited from the parent


def _limit(memory: int, cpu_seconds: int) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds + 5))
    pages = Path("/proc/self/statm")
    if pages.exists():
        used = int(pages.read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + memory, used + memory))

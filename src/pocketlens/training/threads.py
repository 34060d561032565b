"""The number of training threads: one for each processor that no other process uses.

PyTorch's OpenMP threads meet at a barrier after every operation and spin while they wait. On a
quiet machine, this is the fastest way. If another process keeps one of the processors busy, each
operation waits until the kernel schedules the last thread, and a training of 2 s takes 20 to 90 s.
With one thread fewer, no thread has to wait. `benchmarks/busy.py` measures this.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch

__all__ = ["Reading", "Threads", "read_processors"]

FIRST_LOOK, LOOK = 0.1, 0.3
"""Seconds over which the load is measured, for the first decision and for each later one. The
kernel counts in hundredths of a second, so a shorter time would not be precise enough."""

QUIET = 0.25
"""A thread is added only if other processes use less than this share of its processor, so that a
load near one half does not make the number of threads change back and forth."""


class Reading(NamedTuple):
    """The processor time used up to one moment.

    Args:
        at: The moment, in seconds of a monotonic clock.
        used: Seconds used by all processes, on the processors that this process may use.
        own: Seconds used by this process.
    """

    at: float
    used: float
    own: float


def processors() -> int:
    """How many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def read_processors() -> Reading | None:
    """The processor time used so far; None where there is no Linux `/proc/stat`."""
    try:
        lines = Path("/proc/stat").read_text().splitlines()
        ours = {f"cpu{number}" for number in os.sched_getaffinity(0)}
    except (OSError, AttributeError):  # macOS and Windows have neither
        return None
    ticks = 0
    for name, *columns in (line.split() for line in lines if line.startswith("cpu")):
        if name in ours:
            # user nice system idle iowait irq softirq steal; user includes the others (proc(5))
            user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, columns[:8])
            ticks += user + nice + system + irq + softirq + steal
    return Reading(time.monotonic(), ticks / os.sysconf("SC_CLK_TCK"), time.process_time())


def others_running() -> int | None:
    """About how many threads of other processes are ready to run now.

    The median of five samples within 5 ms. None without Linux' `/proc/stat`, or if this process may
    use only some of the processors, because the count is for all of them.
    """
    counts = []
    for _ in range(5):
        try:
            lines = Path("/proc/stat").read_text().splitlines()
        except OSError:
            return None
        found = [line.split()[1] for line in lines if line.startswith("procs_running")]
        if not found or processors() != os.cpu_count():
            return None
        counts.append(int(found[0]) - 1)  # without this thread itself
        time.sleep(0.001)
    return max(0, statistics.median_low(counts))


class Threads:
    """Adapts the number of PyTorch's threads to the load of the machine.

    A context manager; at its end, it restores the previous number of threads.

    The number does not change if the user has chosen it (`OMP_NUM_THREADS` is set, or
    `torch.set_num_threads` was called), if PyTorch has only one thread, and on systems other than
    Linux. The last bits of a sum depend on the number of threads, so two trainings are identical to
    the bit only with the same numbers. For that, set `OMP_NUM_THREADS`.

    Args:
        read: Returns the processor time used so far, or None to leave the threads alone.
        running: Returns how many threads of other processes run at the start, or None if unknown.
    """

    def __init__(
        self,
        read: Callable[[], Reading | None] = read_processors,
        running: Callable[[], int | None] = others_running,
    ) -> None:
        self.most = self.wanted = torch.get_num_threads()
        self.read = read
        self.wait = FIRST_LOOK
        chosen = "OMP_NUM_THREADS" in os.environ or self.most != processors()
        self.last = None if chosen or self.most == 1 else read()
        if self.last is not None and (others := running()):
            # Measuring the load takes a while; until then, a busy machine would slow training down.
            self.wanted = max(1, self.most - others)

    def __enter__(self) -> Threads:
        return self

    def __exit__(self, *_: object) -> None:
        if torch.get_num_threads() != self.most:
            torch.set_num_threads(self.most)

    def follow(self, reserved: int = 0) -> None:
        """Measure the load, if the last measurement is old enough, and set the number of threads.

        Args:
            reserved: How many threads another Python thread of this process uses; this one gets the
                rest, but at least one.
        """
        if self.last is None:
            return
        if time.monotonic() - self.last.at >= self.wait and (now := self.read()):
            self.wanted = self.enough(self.last, now)
            self.last, self.wait = now, LOOK
        count = max(1, self.wanted - reserved)
        if torch.get_num_threads() != count:
            torch.set_num_threads(count)

    def enough(self, before: Reading, now: Reading) -> int:
        """The number of threads, given what other processes used between two readings."""
        others = (now.used - before.used - (now.own - before.own)) / (now.at - before.at)
        free = self.most - max(0.0, others)
        fewer = max(1, round(free))
        return fewer if fewer <= self.wanted else max(self.wanted, int(free + QUIET))

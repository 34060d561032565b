"""The number of threads follows the load; here the load is simulated, not measured."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from pocketlens.data import Dataset
from pocketlens.recipe import Recipe
from pocketlens.training import loop, threads, train
from pocketlens.training.threads import FIRST_LOOK, LOOK, Reading, Threads, read_processors


class Machine:
    """Simulated processors, a clock that the test sets, and processes with a given load."""

    def __init__(self) -> None:
        self.now = self.used = self.own = 0.0
        self.looks = 0
        self.running = 0

    def read(self) -> Reading:
        self.looks += 1
        return Reading(self.now, self.used, self.own)

    def passes(self, seconds: float, *, others: float, own: float = 1.0) -> None:
        """Advance the clock, while other processes and this one use this many processors."""
        self.now += seconds
        self.used += (others + own) * seconds
        self.own += own * seconds


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    """A machine of 4 processors on which nobody has chosen the number of threads."""
    found, before = Machine(), torch.get_num_threads()
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(threads, "processors", lambda: 4)
    monkeypatch.setattr(time, "monotonic", lambda: found.now)
    torch.set_num_threads(4)
    yield found
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("others", "expected"),
    [(0.0, 4), (0.4, 4), (0.6, 3), (1.0, 3), (2.0, 2), (3.0, 1), (4.0, 1), (-0.2, 4)],
)
def test_each_processor_that_is_free_has_a_thread(
    machine: Machine, others: float, expected: int
) -> None:
    with Threads(machine.read, lambda: machine.running) as found:
        machine.passes(FIRST_LOOK, others=others, own=0.5)
        found.follow()
        assert torch.get_num_threads() == expected
    assert torch.get_num_threads() == 4


@pytest.mark.parametrize(("running", "expected"), [(0, 4), (1, 3), (2, 2), (4, 1), (9, 1)])
def test_a_machine_that_is_busy_at_the_start(machine: Machine, running: int, expected: int) -> None:
    machine.running = running
    with Threads(machine.read, lambda: machine.running) as found:
        found.follow()
        assert torch.get_num_threads() == expected
        machine.passes(FIRST_LOOK, others=0.0)
        found.follow()
        assert torch.get_num_threads() == 4, "the first look corrects what was only a moment"


def test_threads_of_others_are_counted() -> None:
    if not Path("/proc/stat").exists():
        assert threads.others_running() is None
        return
    busy = [subprocess.Popen([sys.executable, "-S", "-c", "while 1: pass"]) for _ in range(3)]
    try:
        time.sleep(0.3)
        if threads.processors() == os.cpu_count():
            found = threads.others_running()
            assert found is not None
            assert found >= 3
    finally:
        for each in busy:
            each.kill()
            each.wait()


def test_the_number_goes_up_again_when_the_others_stop(machine: Machine) -> None:
    seen = []
    with Threads(machine.read, lambda: machine.running) as found:
        for others in (2, 2, 1.5, 1.2, 0.5, 0.0):
            machine.passes(2 * LOOK, others=others)
            found.follow()
            seen.append(torch.get_num_threads())
    # 1.5 and 0.5 are between two numbers: nothing is added for them.
    assert seen == [2, 2, 2, 3, 3, 4]


def test_it_looks_only_now_and_then(machine: Machine) -> None:
    with Threads(machine.read, lambda: machine.running) as found:
        for _ in range(10):
            machine.passes(0.07, others=2)
            found.follow()
    assert machine.looks == 3  # at the start, at 0.14 and at 0.49


def test_threads_that_augment_are_not_counted_twice(machine: Machine) -> None:
    with Threads(machine.read, lambda: machine.running) as found:
        found.follow(reserved=1)
        assert torch.get_num_threads() == 3
        machine.passes(LOOK, others=2)
        found.follow(reserved=1)
        assert torch.get_num_threads() == 1
        machine.passes(LOOK, others=4)
        found.follow(reserved=2)
        assert torch.get_num_threads() == 1
        found.follow()
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 4


@pytest.mark.parametrize("chosen", ["environment", "torch", "one"])
def test_a_number_that_the_user_has_chosen_stays(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, chosen: str
) -> None:
    if chosen == "environment":
        monkeypatch.setenv("OMP_NUM_THREADS", "4")
    elif chosen == "torch":
        torch.set_num_threads(3)
    else:
        monkeypatch.setattr(threads, "processors", lambda: 1)
        torch.set_num_threads(1)
    before = torch.get_num_threads()
    with Threads(machine.read, lambda: machine.running) as found:
        machine.passes(LOOK, others=4)
        found.follow()
        assert torch.get_num_threads() == before
    assert machine.looks == 0


def test_without_readings_the_number_stays(machine: Machine) -> None:
    with Threads(lambda: None) as found:
        machine.passes(LOOK, others=4)
        found.follow()
        assert torch.get_num_threads() == 4


def test_an_error_restores_the_number_too(machine: Machine) -> None:
    with (
        pytest.raises(ValueError, match="stop"),
        Threads(machine.read, lambda: machine.running) as found,
    ):
        machine.passes(LOOK, others=3)
        found.follow()
        assert torch.get_num_threads() == 1
        raise ValueError("stop")
    assert torch.get_num_threads() == 4


def test_processors_are_read() -> None:
    before = read_processors()
    if not Path("/proc/stat").exists():
        assert before is None
        return
    assert before is not None
    while (now := read_processors()) and now.own < before.own + 0.05:
        pass
    assert now is not None
    assert now.at > before.at
    assert now.used > before.used
    # All processes include this one, so their time is at least its own, except for rounding.
    assert now.used - before.used > now.own - before.own - 0.03


def test_training_next_to_busy_processes_has_fewer_threads(
    machine: Machine, bars_recipe: Recipe, bars_train: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = []

    class Busy(Threads):
        def __init__(self) -> None:
            super().__init__(machine.read)

        def follow(self, reserved: int = 0) -> None:
            machine.passes(FIRST_LOOK, others=3)
            super().follow(reserved)
            counts.append(torch.get_num_threads())

    monkeypatch.setattr(loop, "Threads", Busy)
    train(bars_recipe, bars_train)
    assert set(counts) == {1}
    assert torch.get_num_threads() == 4

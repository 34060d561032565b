"""What a process does that test_safety.py starts to kill, starve or rob. `runpy` runs this file.

Its globals: `job` (a function's name below) and `words` (its arguments).
"""

from __future__ import annotations

import os
import resource
import sys
from multiprocessing.connection import Connection
from pathlib import Path

import torch

import pocketlens.cli
from pocketlens.history import Epoch
from pocketlens.pipeline import Watcher, run
from pocketlens.training import Step


class Teller(Watcher):
    """Tells how far it is, and goes on after an epoch only when it is told to."""

    def __init__(self, talk: Connection) -> None:
        self.talk = talk

    def stage(self, name: str, *, done: bool) -> None:
        self.talk.send(("stage", name))

    def step(self, step: Step) -> None:
        self.talk.send(("step", step.step == step.steps))

    def epoch(self, epoch: Epoch) -> None:
        self.talk.send(("epoch", epoch.epoch))
        self.talk.recv()


def train(talk: Connection, recipe: Path, folder: Path) -> None:
    """`pocketlens train --resume`, told step by step."""
    run(recipe, out=folder, until="train", resume=True, watcher=Teller(talk))
    talk.send(("done", 0))


def command(words: list[str], output: Path, most_bytes: int) -> None:
    """A `pocketlens` command that can write no file larger than `most_bytes`."""
    log = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(log, 1)
    os.dup2(log, 2)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, resource.RLIM_INFINITY))
    sys.argv = ["pocketlens", *words]
    pocketlens.cli.main()


torch.set_num_threads(1)
{"train": train, "command": command}[job](*words)  # type: ignore[name-defined] # noqa: F821

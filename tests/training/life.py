"""The processes that test_safety.py starts in order to stop them. `runpy` runs this file.

Its globals: `job` (the name of a function below) and `arguments` (what to call it with).
"""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

import pocketlens.cli
from pocketlens.callbacks import Callback
from pocketlens.history import Epoch, Step
from pocketlens.pipeline import run


class Reporter(Callback):
    """Sends the progress, and after each epoch waits for permission to continue."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def stage(self, name: str, *, done: bool) -> None:
        self.connection.send(("stage", name))

    def step(self, step: Step) -> None:
        self.connection.send(("step", step.step == step.steps))

    def epoch(self, epoch: Epoch) -> None:
        self.connection.send(("epoch", epoch.epoch))
        self.connection.recv()


def train(connection: Connection, recipe: Path, folder: Path) -> None:
    """`pocketlens train --resume`, which reports every step."""
    run(recipe, out=folder, until="train", resume=True, callbacks=[Reporter(connection)])
    connection.send(("done", 0))


def command(words: list[str], output: Path, most_bytes: int) -> None:
    """A `pocketlens` command that cannot write a file larger than `most_bytes`."""
    log = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(log, 1)
    os.dup2(log, 2)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, resource.RLIM_INFINITY))
    sys.argv = ["pocketlens", *words]
    pocketlens.cli.main()


JOBS: dict[str, Callable[..., None]] = {"train": train, "command": command}

torch.set_num_threads(1)
names: dict[str, Any] = globals()
JOBS[names["job"]](*names["arguments"])

"""Long work is safe: real kills, a real full disk, a real lost folder. Each in its own process."""

from __future__ import annotations

import multiprocessing
import runpy
import signal
import time
from collections import Counter
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pocketlens.recipe import load_recipe
from pocketlens.recognizer import Recognizer
from pocketlens.run_folder import read_run

KILLS = 20
PATIENCE = 60.0
"""Seconds after which a process that tells nothing counts as hung."""

# Processes are forked from one that has imported everything and computed nothing: an import of
# PyTorch costs more than a life here lasts. (Its first optimiser imports torch._dynamo.)
WARM = multiprocessing.get_context("forkserver")
WARM.set_forkserver_preload(
    ["pocketlens.cli", "pocketlens.report.figures", "pocketlens.training", "torch._dynamo"]
)


def start(job: str, *words: Any) -> BaseProcess:
    file = str(Path(__file__).with_name("life.py"))
    names = {"job": job, "words": words}
    process = WARM.Process(target=runpy.run_path, args=(file,), kwargs={"init_globals": names})
    process.start()
    return process


@pytest.fixture(scope="module")
def recipe_file(picture_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty epochs of some 40 ms each; the checkpoint of 2 MB takes time to write."""
    settings = ["input.height=12", "input.width=12", "network.channels=[16, 64, 256]", "name=bars"]
    settings += ["training.epochs=40", "training.batch_size=30", "data.validation=0.2"]
    settings += ["augment.name=shift", "augment.pixels=1", f"data.source=folder:{picture_folder}"]
    file = tmp_path_factory.mktemp("recipe") / "bars.toml"
    file.write_text(load_recipe("quick", settings).to_toml())
    return file


class Life:
    """A process that trains until it is done or killed."""

    def __init__(self, recipe: Path, folder: Path) -> None:
        self.talk, theirs = multiprocessing.Pipe()
        self.process = start("train", theirs, recipe, folder)
        theirs.close()

    def hear(self) -> tuple[str, Any]:
        if not self.talk.poll(PATIENCE):
            self.process.kill()
            pytest.fail("the training tells nothing")
        told: tuple[str, Any] = self.talk.recv()
        return told

    def wait(self, wanted: tuple[str, Any]) -> None:
        """Let it go on until it tells `wanted`."""
        while (told := self.hear()) != wanted:
            if told[0] == "epoch":
                self.talk.send("go on")

    def finish(self) -> None:
        self.wait(("done", 0))
        self.process.join()
        assert self.process.exitcode == 0
        self.talk.close()

    def kill(self) -> None:
        self.process.kill()
        self.process.join()
        assert self.process.exitcode == -signal.SIGKILL
        self.talk.close()


def equal(a: Recognizer, b: Recognizer) -> bool:
    """To the bit."""
    ours, theirs = a.network.state_dict(), b.network.state_dict()
    same = all(torch.equal(ours[name], theirs[name]) for name in ours | theirs)
    return same and a.temperature == b.temperature


def halves(folder: Path) -> list[Path]:
    """Files that were being written."""
    return list(folder.glob(".*.part"))


def test_killed_at_twenty_moments(recipe_file: Path, tmp_path: Path) -> None:
    """Wherever it is killed, the training that goes on ends with the same weights, to the bit."""
    whole, folder = tmp_path / "whole", tmp_path / "killed"
    Life(recipe_file, whole).finish()
    epoch = float(np.median([row.seconds for row in read_run(whole).history]))

    random = np.random.default_rng(0)
    moments = ["data", "first epoch", "first epoch", "first epoch"]
    moments += list(random.permutation(["epoch", "writing"] * 8))
    found: Counter[str] = Counter()
    for moment in moments:
        life = Life(recipe_file, folder)
        if moment == "data":
            life.wait(("stage", "data"))
            time.sleep(random.uniform(0, 0.1))
        elif moment == "first epoch":
            life.wait(("stage", "train"))
            time.sleep(random.uniform(0, epoch))
        elif moment == "epoch":
            life.wait(("stage", "train"))
            for _ in range(random.integers(2)):
                while life.hear()[0] != "epoch":
                    pass
                life.talk.send("go on")
            time.sleep(random.uniform(0, epoch))
        else:
            life.wait(("step", True))
            ends = time.monotonic() + PATIENCE
            while not halves(folder) and not life.talk.poll() and time.monotonic() < ends:
                pass
        life.kill()
        there = (folder / "checkpoint").exists()
        found["half written" if halves(folder) else "a checkpoint" if there else "nothing"] += 1
    assert found.total() == KILLS
    assert found.keys() == {"half written", "a checkpoint", "nothing"}

    Life(recipe_file, folder).finish()
    assert not list(folder.rglob(".*"))
    assert equal(Recognizer.load(folder), Recognizer.load(whole))
    ours = read_run(folder).history
    assert [row.train_loss for row in ours] == [row.train_loss for row in read_run(whole).history]
    assert [row.epoch for row in ours] == list(range(1, 41))

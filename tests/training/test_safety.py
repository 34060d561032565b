"""Long work is safe: real kills, a real full disk, a real lost folder. Each in its own process."""

from __future__ import annotations

import json
import multiprocessing
import re
import runpy
import shutil
import signal
import sys
import time
from collections import Counter
from dataclasses import replace
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pocketlens.callbacks import Callback
from pocketlens.data import Dataset
from pocketlens.errors import OutputError, RunError, TrainingError
from pocketlens.history import Epoch
from pocketlens.pipeline import STAGES
from pocketlens.recipe import Recipe, load_recipe
from pocketlens.recognizer import Recognizer
from pocketlens.run_folder import read_run
from pocketlens.training import train
from pocketlens.training.checkpoint import Checkpoint

KILLS = 20
UNLIMITED = 1 << 40
PATIENCE = 60.0
"""Seconds after which a process that tells nothing counts as hung."""

if sys.platform == "win32":
    pytest.skip("kills and limits as POSIX has them", allow_module_level=True)

# Processes are forked from one that has imported everything and computed nothing: an import of
# PyTorch costs more than a life here lasts. (Its first optimizer imports torch._dynamo.)
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
    """Thirty epochs of some 40 ms each; the checkpoint of 2 MB takes time to write."""
    settings = ["input.height=12", "input.width=12", "name=bars", "data.validation=0.2"]
    settings += ["network={name='strided', channels=[16, 64, 256]}"]
    settings += ["training.epochs=30", "training.batch_size=30", "training.precision=float32"]
    settings += ["training.optimizer=adamw", "training.learning_rate=0.03"]
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


@pytest.fixture(scope="module")
def trained(recipe_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a training that was never stopped."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    Life(recipe_file, folder).finish()
    return folder


def copy_stages(trained: Path, folder: Path, before: str) -> None:
    """Make `folder` a copy of the run with the stages before `before`; spares drawing again."""
    shutil.copytree(trained, folder, dirs_exist_ok=True)
    if before == "train":
        for name in ("checkpoint", "history.jsonl", "weights.safetensors", "metrics.json"):
            (folder / name).unlink()
    finished = dict.fromkeys(STAGES[: STAGES.index(before)], 1.0)
    (folder / "stages.json").write_text(json.dumps(finished))


@pytest.fixture(scope="module")
def begun(recipe_file: Path, trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a training that was killed after two epochs."""
    folder = tmp_path_factory.mktemp("begun") / "run"
    copy_stages(trained, folder, "train")
    life = Life(recipe_file, folder)
    life.wait(("epoch", 2))
    life.kill()
    return folder


def error_of(process: BaseProcess, output: Path) -> str:
    """What a command ended with: one line, and exit status 2."""
    process.join()
    said = output.read_text()
    assert process.exitcode == 2, said
    (line,) = [line for line in said.splitlines() if "error" in line or "Traceback" in line]
    return line


def equal(a: Recognizer, b: Recognizer) -> bool:
    """To the bit."""
    ours, theirs = a.network.state_dict(), b.network.state_dict()
    same = all(torch.equal(ours[name], theirs[name]) for name in ours | theirs)
    return same and a.temperature == b.temperature


def halves(folder: Path) -> list[Path]:
    """Files that were being written."""
    return list(folder.glob(".*.part"))


def stamp(file: Path) -> tuple[int, int] | None:
    """What changes as soon as anybody writes to the file itself."""
    return (file.stat().st_size, file.stat().st_mtime_ns) if file.exists() else None


def test_killed_at_twenty_moments(recipe_file: Path, trained: Path, tmp_path: Path) -> None:
    """Wherever it is killed, the training that goes on ends with the same weights, to the bit."""
    folder = tmp_path / "run"
    whole = read_run(trained).history
    epoch = float(np.median([row.seconds for row in whole]))
    random = np.random.default_rng(0)
    moments = ["data", "data", "first epoch", "first epoch"]
    moments += list(random.permutation(["epoch", "writing"] * 8))
    found: Counter[str] = Counter()
    for moment in moments:
        if moment == "first epoch":
            copy_stages(trained, folder, "train")
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
            before = stamp(folder / "checkpoint")
            life.wait(("step", True))
            while not halves(folder) and stamp(folder / "checkpoint") == before:
                if life.talk.poll():  # it was too quick
                    break
        life.kill()
        there = (folder / "checkpoint").exists()
        found["half written" if halves(folder) else "a checkpoint" if there else "nothing"] += 1
    assert found.total() == KILLS
    assert found.keys() == {"half written", "a checkpoint", "nothing"}

    Life(recipe_file, folder).finish()
    assert not list(folder.rglob(".*"))
    assert equal(Recognizer.load(folder), Recognizer.load(trained))
    ours = read_run(folder).history
    assert [row.train_loss for row in ours] == [row.train_loss for row in whole]
    assert [row.epoch for row in ours] == list(range(1, 31))


def test_frames_of_nothing_are_the_same_after_a_stop(
    bars_recipe: Recipe, bars_train: Dataset, tmp_path: Path
) -> None:
    """Camera and nothing draw much at random, in training and in validation."""
    settings = ["augment={name='camera'}", "data.nothing=0.2", "training.optimizer=muon"]
    recipe = load_recipe(bars_recipe, [*settings, "input.height=16", "input.width=16"])
    few = bars_train.subset(slice(0, 150))
    few = replace(few, images=np.pad(few.images, ((0, 0), (2, 2), (2, 2), (0, 0))))

    class Stop(Callback):
        def epoch(self, epoch: Epoch) -> None:
            raise KeyboardInterrupt

    whole = train(recipe, few)
    assert len(train(recipe, few, folder=tmp_path, callbacks=[Stop()]).history) == 1
    rest = train(recipe, few, folder=tmp_path, resume=True)
    assert equal(rest.recognizer, whole.recognizer)
    assert [r.validation_loss for r in rest.history] == [r.validation_loss for r in whole.history]
    assert rest.recognizer.classes[-1] == "nothing"


def test_a_full_disk_while_it_trains(recipe_file: Path, begun: Path, tmp_path: Path) -> None:
    """The system itself refuses: no file of the process may grow past a size."""
    folder, output = tmp_path / "run", tmp_path / "output"
    shutil.copytree(begun, folder)
    before = (folder / "checkpoint").read_bytes()
    words = ["train", str(recipe_file), "--out", str(folder), "--resume"]
    line = error_of(start("command", words, output, 1_000_000), output)
    assert line == (
        f"pocketlens: error: {folder}/checkpoint cannot be written: File too large; make room "
        "there, or choose another output path; the last checkpoint is whole, --resume goes on "
        "from it"
    )
    assert (folder / "checkpoint").read_bytes() == before
    assert [row.epoch for row in read_run(folder).history] == [1, 2]
    assert not list(folder.rglob(".*"))


@pytest.mark.parametrize(
    ("stage", "most_bytes", "message"),
    [
        (
            "data",
            600,
            r"recipe\.toml cannot be written: File too large; make room there, or choose",
        ),
        ("data", 30_000, r"samples\.png cannot be written: File too large; make room there, or"),
        ("evaluate", 9_000, r"confusion\.svg cannot be written: File too large; make room there"),
        (
            "convert",
            200_000,
            r"temporary folder \S+ cannot be written: .*name another one in TMPDIR",
        ),
    ],
)
def test_a_full_disk_at_other_stages(
    recipe_file: Path, trained: Path, tmp_path: Path, stage: str, most_bytes: int, message: str
) -> None:
    folder, output = tmp_path / "run", tmp_path / "output"
    if stage != "data":
        copy_stages(trained, folder, stage)
    words = ["run", str(recipe_file), "--out", str(folder)]
    line = error_of(start("command", words, output, most_bytes), output)
    assert re.search(message, line), line
    assert not list(folder.rglob(".*"))


def test_a_folder_that_is_lost(recipe_file: Path, begun: Path, tmp_path: Path) -> None:
    """It is not made anew with half of its files, and the checkpoint in it stays."""
    folder, moved, output = tmp_path / "run", tmp_path / "moved", tmp_path / "output"
    shutil.copytree(begun, folder)
    words = ["train", str(recipe_file), "--out", str(folder), "--resume"]
    process = start("command", words, output, UNLIMITED)
    while len((folder / "history.jsonl").read_text().splitlines()) < 3:
        assert process.is_alive(), output.read_text()
    folder.rename(moved)
    line = error_of(process, output)
    assert re.search(
        r"error: \S+/run/(checkpoint|history\.jsonl) cannot be written: its folder was removed or "
        "renamed meanwhile; put it back, or start again with another output path$",
        line,
    )
    assert not folder.exists()
    assert len(Checkpoint.read(moved / "checkpoint").history) >= 3


def test_a_folder_that_becomes_a_file(
    bars_recipe: Recipe, bars_train: Dataset, tmp_path: Path
) -> None:
    folder = tmp_path / "run"

    class ReplaceFolder(Callback):
        def epoch(self, epoch: Epoch) -> None:
            shutil.rmtree(folder)
            folder.write_text("in the way")

    with pytest.raises(OutputError, match="checkpoint cannot be written: .*choose another output"):
        train(bars_recipe, bars_train, folder=folder, callbacks=[ReplaceFolder()])


def test_a_loss_that_is_not_finite_is_told_soon(bars_recipe: Recipe, bars_train: Dataset) -> None:
    settings = ["network={name='classic'}", "training.batch_size=2", "training.optimizer=sgd"]
    settings += ["training.learning_rate=100", "training.schedule=constant"]
    with pytest.raises(
        TrainingError,
        match=r"the loss is (nan|inf) in epoch 1, step \d+ of 240, at learning rate 100; start "
        r"again with a lower one, say --set training\.learning_rate=10 --force",
    ) as caught:
        train(load_recipe(bars_recipe, settings), bars_train)
    told = re.search(r"step (\d+) of", str(caught.value))
    assert told and int(told[1]) < 240


def test_weights_that_are_not_finite_are_not_kept(
    bars_recipe: Recipe, bars_train: Dataset, tmp_path: Path
) -> None:
    """One enormous step: the loss before it is finite, the weights after it are not."""
    settings = ["network={name='classic'}", "data.validation=0", "training.batch_size=3"]
    settings += ["training.optimizer=sgd", "training.schedule=constant", "input.scale=3e35"]
    three = bars_train.subset(slice(0, 3))
    for rate, message in (
        (100, "weights are not finite in epoch 1, step 1 of 1, at learning rate 100; start again "),
        (30, "the loss is nan in epoch 2, step 1 of 1, at learning rate 30; start again with a "),
    ):
        recipe = load_recipe(bars_recipe, [*settings, f"training.learning_rate={rate}"])
        folder = tmp_path / str(rate)
        with pytest.raises(TrainingError, match=message):
            train(recipe, three, folder=folder)
        if rate == 100:
            assert not (folder / "checkpoint").exists()
        else:
            kept = Checkpoint.read(folder / "checkpoint")
            assert [row["epoch"] for row in kept.history] == [1]
            assert all(tensor.isfinite().all() for tensor in kept.weights.values())


def test_other_images_are_not_gone_on_with(
    bars_recipe: Recipe, bars_train: Dataset, tmp_path: Path
) -> None:
    train(load_recipe(bars_recipe), bars_train, folder=tmp_path)
    images = bars_train.images.copy()
    images[0, 0, 0, 0] ^= 1
    with pytest.raises(
        RunError,
        match=r"checkpoint belongs to other data \(480 \+ 120 images in 3 classes, checksum \w+\), "
        r"received: 480 \+ 120 images .*; put the images back as they were, or start again",
    ):
        train(bars_recipe, replace(bars_train, images=images), folder=tmp_path, resume=True)


def test_a_checkpoint_of_another_network(
    bars_recipe: Recipe, bars_train: Dataset, tmp_path: Path
) -> None:
    train(bars_recipe, bars_train, folder=tmp_path)
    kept = Checkpoint.read(tmp_path / "checkpoint")
    name, weight = next(iter(kept.weights.items()))
    kept.weights[name] = weight[:1]
    kept.write(tmp_path / "checkpoint")
    with pytest.raises(
        RunError,
        match=r"(?s)checkpoint does not fit the network 'strided': .*start again with --force",
    ):
        train(bars_recipe, bars_train, folder=tmp_path, resume=True)

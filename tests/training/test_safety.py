"""Trainings survive kills, a full disk and a removed folder. Each runs in its own process."""

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
"""So many in `make test-slow`; in `make test`, fewer."""
FEW_KILLS = 8
UNLIMITED = 1 << 40
TIMEOUT = 60.0
"""Seconds without a message after which a process counts as hung."""

if sys.platform == "win32":
    pytest.skip("needs the kills and limits of POSIX", allow_module_level=True)

# Processes are forked from one that has imported everything and computed nothing, because
# importing PyTorch takes longer than one process lives. (An optimizer imports torch._dynamo.)
WARM = multiprocessing.get_context("forkserver")
WARM.set_forkserver_preload(
    ["pocketlens.cli", "pocketlens.report.figures", "pocketlens.training", "torch._dynamo"]
)


def start(job: str, *words: Any) -> BaseProcess:
    file = str(Path(__file__).with_name("life.py"))
    names = {"job": job, "arguments": words}
    process = WARM.Process(target=runpy.run_path, args=(file,), kwargs={"init_globals": names})
    process.start()
    return process


@pytest.fixture(scope="module")
def recipe_file(picture_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty epochs of about 40 ms each, and a checkpoint of 2 MB that takes time to write."""
    settings = ["input.height=12", "input.width=12", "name=bars", "data.validation=0.2"]
    settings += ["network={name='strided', channels=[16, 64, 256]}"]
    settings += ["training.epochs=30", "training.batch_size=30", "training.precision=float32"]
    settings += ["training.optimizer=adamw", "training.learning_rate=0.03"]
    settings += ["augment.name=shift", "augment.pixels=1", f"data.source=folder:{picture_folder}"]
    file = tmp_path_factory.mktemp("recipe") / "bars.toml"
    file.write_text(load_recipe("quick", settings).to_toml())
    return file


class Life:
    """A process that trains until it finishes or is killed."""

    def __init__(self, recipe: Path, folder: Path) -> None:
        self.connection, other_end = multiprocessing.Pipe()
        self.process = start("train", other_end, recipe, folder)
        other_end.close()

    def receive(self) -> tuple[str, Any]:
        if not self.connection.poll(TIMEOUT):
            self.process.kill()
            pytest.fail("the training sends no message")
        message: tuple[str, Any] = self.connection.recv()
        return message

    def wait(self, wanted: tuple[str, Any]) -> None:
        """Let it continue until it sends `wanted`."""
        while (message := self.receive()) != wanted:
            if message[0] == "epoch":
                self.connection.send("continue")

    def finish(self) -> None:
        self.wait(("done", 0))
        self.process.join()
        assert self.process.exitcode == 0
        self.connection.close()

    def kill(self) -> None:
        self.process.kill()
        self.process.join()
        assert self.process.exitcode == -signal.SIGKILL
        self.connection.close()


@pytest.fixture(scope="module")
def trained(recipe_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an uninterrupted training."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    Life(recipe_file, folder).finish()
    return folder


def copy_stages(trained: Path, folder: Path, before: str) -> None:
    """Copy the run to `folder`, with only the stages before `before`, to save their time."""
    shutil.copytree(trained, folder, dirs_exist_ok=True)
    if before == "train":
        for name in ("checkpoint", "history.jsonl", "weights.safetensors", "metrics.json"):
            (folder / name).unlink()
    finished = dict.fromkeys(STAGES[: STAGES.index(before)], 1.0)
    (folder / "stages.json").write_text(json.dumps(finished))


@pytest.fixture(scope="module")
def unfinished(recipe_file: Path, trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a training that was killed after two epochs."""
    folder = tmp_path_factory.mktemp("unfinished") / "run"
    copy_stages(trained, folder, "train")
    life = Life(recipe_file, folder)
    life.wait(("epoch", 2))
    life.kill()
    return folder


def error_of(process: BaseProcess, output: Path) -> str:
    """The one line with which a command fails, with exit status 2."""
    process.join()
    text = output.read_text()
    assert process.exitcode == 2, text
    (line,) = [line for line in text.splitlines() if "error" in line or "Traceback" in line]
    return line


def equal(a: Recognizer, b: Recognizer) -> bool:
    """Whether weights and temperature are identical."""
    ours, theirs = a.network.state_dict(), b.network.state_dict()
    same = all(torch.equal(ours[name], theirs[name]) for name in ours | theirs)
    return same and a.temperature == b.temperature


def partial_files(folder: Path) -> list[Path]:
    """Files that are being written."""
    return list(folder.glob(".*.part"))


def stamp(file: Path) -> tuple[int, int] | None:
    """Size and time of the file, which change when something writes to it."""
    return (file.stat().st_size, file.stat().st_mtime_ns) if file.exists() else None


@pytest.mark.parametrize("kills", [FEW_KILLS, pytest.param(KILLS, marks=pytest.mark.slow)])
def test_killed_at_many_moments(
    recipe_file: Path, trained: Path, tmp_path: Path, kills: int
) -> None:
    """Whenever it is killed, the resumed training ends with exactly the same weights."""
    folder = tmp_path / "run"
    full = read_run(trained).history
    epoch = float(np.median([row.seconds for row in full]))
    random = np.random.default_rng(0)
    moments = ["data", "first epoch"] * (kills // 8)
    moments += list(random.permutation(["epoch", "writing"] * ((kills - len(moments)) // 2)))
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
                while life.receive()[0] != "epoch":
                    pass
                life.connection.send("continue")
            time.sleep(random.uniform(0, epoch))
        else:
            before = stamp(folder / "checkpoint")
            life.wait(("step", True))
            while not partial_files(folder) and stamp(folder / "checkpoint") == before:
                if life.connection.poll():  # the file was already written
                    break
        life.kill()
        complete = (folder / "checkpoint").exists()
        state = "partial" if partial_files(folder) else "complete" if complete else "none"
        found[state] += 1
    assert found.total() == kills
    if kills == KILLS:
        assert found.keys() == {"partial", "complete", "none"}

    Life(recipe_file, folder).finish()
    assert not list(folder.rglob(".*"))
    assert equal(Recognizer.load(folder), Recognizer.load(trained))
    ours = read_run(folder).history
    assert [row.train_loss for row in ours] == [row.train_loss for row in full]
    assert [row.epoch for row in ours] == list(range(1, 31))


def test_frames_of_nothing_are_the_same_after_a_resume(
    bars_recipe: Recipe, bars_train: Dataset, tmp_path: Path
) -> None:
    """`camera` and `nothing` use many random numbers, in training and in validation."""
    settings = ["augment={name='camera'}", "data.nothing=0.2", "training.optimizer=muon"]
    recipe = load_recipe(bars_recipe, [*settings, "input.height=16", "input.width=16"])
    few = bars_train.subset(slice(0, 150))
    few = replace(few, images=np.pad(few.images, ((0, 0), (2, 2), (2, 2), (0, 0))))

    class Stop(Callback):
        def epoch(self, epoch: Epoch) -> None:
            raise KeyboardInterrupt

    full = train(recipe, few)
    assert len(train(recipe, few, folder=tmp_path, callbacks=[Stop()]).history) == 1
    rest = train(recipe, few, folder=tmp_path, resume=True)
    assert equal(rest.recognizer, full.recognizer)
    assert [r.validation_loss for r in rest.history] == [r.validation_loss for r in full.history]
    assert rest.recognizer.classes[-1] == "nothing"


def test_a_full_disk_while_it_trains(recipe_file: Path, unfinished: Path, tmp_path: Path) -> None:
    """The system itself limits the size of the files that the process writes."""
    folder, output = tmp_path / "run", tmp_path / "output"
    shutil.copytree(unfinished, folder)
    before = (folder / "checkpoint").read_bytes()
    words = ["train", str(recipe_file), "--out", str(folder), "--resume"]
    line = error_of(start("command", words, output, 1_000_000), output)
    assert line == (
        f"pocketlens: error: {folder}/checkpoint cannot be written: File too large; free some "
        "disk space, or choose another output path; the last checkpoint is intact, continue from "
        f"it with --resume: pocketlens run {folder}/recipe.toml --out {folder} --resume"
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
            r"recipe\.toml cannot be written: File too large; free some disk space, or choose",
        ),
        (
            "data",
            30_000,
            r"samples\.png cannot be written: File too large; free some disk space, or",
        ),
        ("evaluate", 9_000, r"confusion\.svg cannot be written: File too large; free some disk"),
        (
            "convert",
            200_000,
            r"temporary folder \S+ cannot be written: .*free some space, or set TMPDIR to another",
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


def test_a_folder_that_is_renamed(recipe_file: Path, unfinished: Path, tmp_path: Path) -> None:
    """It is not created again with some of its files, and its checkpoint is kept."""
    folder, moved, output = tmp_path / "run", tmp_path / "moved", tmp_path / "output"
    shutil.copytree(unfinished, folder)
    words = ["train", str(recipe_file), "--out", str(folder), "--resume"]
    process = start("command", words, output, UNLIMITED)
    while len((folder / "history.jsonl").read_text().splitlines()) < 3:
        assert process.is_alive(), output.read_text()
    folder.rename(moved)
    line = error_of(process, output)
    assert re.search(
        r"error: \S+/run/(checkpoint|history\.jsonl) cannot be written: its folder was removed or "
        "renamed in the meantime; restore it, or start again with another output path$",
        line,
    )
    assert not folder.exists()
    assert len(Checkpoint.read(moved / "checkpoint").history) >= 3


def test_a_folder_that_is_replaced_by_a_file(
    bars_recipe: Recipe, bars_train: Dataset, tmp_path: Path
) -> None:
    folder = tmp_path / "run"

    class ReplaceFolder(Callback):
        def epoch(self, epoch: Epoch) -> None:
            shutil.rmtree(folder)
            folder.write_text("in the way")

    with pytest.raises(OutputError, match="checkpoint cannot be written: .*choose another output"):
        train(bars_recipe, bars_train, folder=folder, callbacks=[ReplaceFolder()])


def test_a_loss_that_is_not_finite_is_reported_soon(
    bars_recipe: Recipe, bars_train: Dataset
) -> None:
    settings = ["network={name='classic'}", "training.batch_size=2", "training.optimizer=sgd"]
    settings += ["training.learning_rate=100", "training.schedule=constant"]
    with pytest.raises(
        TrainingError,
        match=r"the loss is (nan|inf) in epoch 1, step \d+ of 240, at learning rate 100; start "
        r"again with a lower one, such as training\.learning_rate=10$",
    ) as caught:
        train(load_recipe(bars_recipe, settings), bars_train)
    step = re.search(r"step (\d+) of", str(caught.value))
    assert step and int(step[1]) < 240


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


def test_other_images_are_rejected_on_resume(
    bars_recipe: Recipe, bars_train: Dataset, tmp_path: Path
) -> None:
    train(load_recipe(bars_recipe), bars_train, folder=tmp_path)
    images = bars_train.images.copy()
    images[0, 0, 0, 0] ^= 1
    with pytest.raises(
        RunError,
        match=r"checkpoint belongs to other data \(480 \+ 120 images in 3 classes, checksum \w+\); "
        r"received: 480 \+ 120 images .*; restore the original images, or start again",
    ):
        train(bars_recipe, replace(bars_train, images=images), folder=tmp_path, resume=True)


def test_a_checkpoint_of_another_network_is_rejected(
    bars_recipe: Recipe, bars_train: Dataset, tmp_path: Path
) -> None:
    train(bars_recipe, bars_train, folder=tmp_path)
    kept = Checkpoint.read(tmp_path / "checkpoint")
    name, weight = next(iter(kept.weights.items()))
    kept.weights[name] = weight[:1]
    kept.write(tmp_path / "checkpoint")
    with pytest.raises(
        RunError,
        match=r"checkpoint does not fit the network 'strided': .*; resume with the same network, "
        "or start again without resume",
    ):
        train(bars_recipe, bars_train, folder=tmp_path, resume=True)


@pytest.mark.parametrize("history", ["[" * 100_000, "[1]", '[{"epoch": "x"}]', "null"])
def test_a_checkpoint_with_an_invalid_history_is_rejected(
    bars_recipe: Recipe, bars_train: Dataset, tmp_path: Path, history: str
) -> None:
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    train(bars_recipe, bars_train, folder=tmp_path)
    path = tmp_path / "checkpoint"
    with safe_open(path, framework="pt") as file:
        header = {**file.metadata(), "history": history}
    save_file(load_file(path), path, metadata=header)
    with pytest.raises(RunError, match=r"/checkpoint .*; start again without resume"):
        train(bars_recipe, bars_train, folder=tmp_path, resume=True)

"""The training loop.

Every epoch has its own seed, so a resumed training repeats what an uninterrupted one does.
"""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pocketlens.callbacks import Callback, check_callbacks
from pocketlens.data import Dataset, load_background, training_images
from pocketlens.errors import OptionError, OutputError, RunError, TrainingError
from pocketlens.files import remove_leftovers
from pocketlens.history import Epoch, Step, write_history
from pocketlens.locking import owned
from pocketlens.recipe import Recipe, load_recipe
from pocketlens.recognizer import Recognizer
from pocketlens.run_contents import RECIPE, restart, run_command
from pocketlens.training.batches import Batch, Batches
from pocketlens.training.calibration import calibrate
from pocketlens.training.checkpoint import (
    Checkpoint,
    copy_of,
    fingerprint,
    optimizer_tensors,
    restore_optimizer,
)
from pocketlens.training.checks import check_data
from pocketlens.training.device import choose_device, keep_freed_memory, use_bfloat16
from pocketlens.training.frozen import train_on_features
from pocketlens.training.gradients import Gradients
from pocketlens.training.network import build_network
from pocketlens.training.random_state import restored_random_state, seed_generators
from pocketlens.training.result import Training
from pocketlens.training.schedule import SCHEDULES, make_optimizer
from pocketlens.training.teacher import Teacher, shrink, teacher_recipe
from pocketlens.training.threads import Threads

__all__ = ["train"]

REPORT_SECONDS = 0.1
"""Least time between two calls of `Callback.step`."""

LEAST_TO_CALIBRATE = 200
"""Fewer validation images than this cannot fit a temperature and thresholds."""


def train(
    recipe: str | Path | Recipe,
    data: Dataset,
    *,
    validation: Dataset | None = None,
    folder: str | Path | None = None,
    resume: bool = False,
    network: nn.Module | None = None,
    callbacks: Iterable[Callback] = (),
) -> Training:
    """Train a recipe's network on a data set.

    The same arguments give the same weights, bit by bit, on the same computer and with the same
    number of threads (`OMP_NUM_THREADS`).

    State of the process: the state of PyTorch's random generators and the number of threads are
    the same after the call as before it, also when it raises. There is one exception: under glibc
    (most Linux systems) the allocator keeps freed memory from the first call on, for the rest of
    the process (`mallopt`). This halves the time of a step on a CPU, and cannot be undone. Two
    trainings must not run in two threads of one process, because they share the generators.

    While it trains on a CPU, PyTorch uses fewer threads if other processes are busy, see
    `training.threads`. To fix the number, set `OMP_NUM_THREADS`.

    Args:
        recipe: A `Recipe`, the name of a shipped one, or the path of a TOML file.
        data: Training images, in the size and colors of the recipe's input.
        validation: Images to choose the best epoch and to calibrate on; by default a part of `data`
            (`data.validation` of the recipe) is split off.
        folder: A folder for the files `checkpoint` and `history.jsonl`, rewritten after every
            epoch. None: nothing is written.
        resume: Continue after the last finished epoch of the checkpoint in `folder`. The resulting
            weights are the same as those of an uninterrupted training.
        network: A PyTorch module to train instead of the recipe's `[network]`, starting from its
            current weights. It takes float32 planes `(N, C, H, W)`, `pixel * scale + bias` of the
            recipe's input, and returns logits `(N, K)` for the classes of `data` (and `nothing`
            last, if `data.nothing` of the recipe is above 0). It is tried on one batch first. A
            copy is trained, `Training.recognizer.network`; the module itself does not change. To
            load saved weights, pass the module again: `Recognizer.load(path, network=module)`.
        callbacks: Their `step` and `epoch` are called during the training, in this order. An
            exception that one raises ends the training; see `Callback` for what is kept.

    Raises:
        RecipeError: An invalid recipe; all its errors are listed.
        OptionError: Images that do not fit the recipe's input, a class without images, a `network`
            that does not fit, an object in `callbacks` that is not a `Callback`, or `resume`
            without a folder.
        RunError: There is no checkpoint to resume, or it belongs to another recipe, other data or
            another network.
        TrainingError: The device is not available, or the loss is not finite.
        OutputError: The folder cannot be written; the last checkpoint in it is kept.
    """
    callbacks = check_callbacks(callbacks)
    recipe = load_recipe(recipe)
    if validation is None:
        data, validation = data.split(recipe.data.validation, seed=recipe.seed)
    data = training_images(data, recipe.data, input_spec=recipe.input, seed=recipe.seed)
    check_data(data, recipe.input)
    if recipe.training.on_features:
        if network is not None:
            raise OptionError(
                f'network= cannot be combined with training.method = "{recipe.training.method}"; '
                "name a backbone with network.backbone"
            )
        data = data.joined(validation) if len(validation) else data
        pictures = recipe.data.background
        behind = load_background(pictures, recipe.input) if pictures else None
        return train_on_features(
            recipe, data, background=behind, folder=folder, callbacks=callbacks
        )
    keep_freed_memory()
    device = choose_device(recipe.training.device)
    place = Path(folder) if folder else None
    with (
        owned(place) if place else nullcontext(),
        restored_random_state(device),
        Threads() as threads,
    ):
        loop = _Loop(recipe, data, validation, device, threads, place, network)
        if resume:
            loop.restore()
        loop.write_history(parents=True)  # a folder that cannot be written fails here, at once
        interrupted = False
        try:
            for epoch in range(len(loop.history) + 1, recipe.training.epochs + 1):
                row = loop.epoch(epoch, callbacks)
                for callback in callbacks:
                    callback.epoch(row)
        except KeyboardInterrupt:
            interrupted = True
        finally:
            loop.close()
        return loop.finish(interrupted=interrupted)


class _Loop:
    """The state of one training, and the steps that change it."""

    def __init__(
        self,
        recipe: Recipe,
        data: Dataset,
        validation: Dataset,
        device: torch.device,
        threads: Threads,
        folder: Path | None,
        network: nn.Module | None,
    ) -> None:
        self.recipe = recipe
        self.options = recipe.training
        self.batches = Batches(recipe, data, device)
        self.classes = self.batches.classes
        self.steps = self.batches.steps
        self.device = device
        self.threads = threads
        self.folder = folder
        self.running: Generator[Batch] | None = None
        seed_generators(recipe.seed, device)
        self.choice = recipe.network if network is None else None
        self.network = build_network(recipe, network, self.classes, self.batches.images)
        blank = torch.zeros(1, *self.batches.images.shape[1:], device=device)
        self.bfloat16 = use_bfloat16(self.options.precision, device, self.network, blank)
        self.class_weights = self._class_weights(data)
        self.data = data
        self.teacher: Teacher | None = None
        parts = nn.ModuleList([self.network])
        if self.options.teacher:
            teacher = Teacher(teacher_recipe(recipe), len(data.classes), self.network)
            self.teacher = teacher.to(device)
            parts.append(self.teacher.projection)
        self.gradients = Gradients(
            self.network,
            self.options,
            recipe.input,
            teacher=self.teacher,
            class_weights=self.class_weights,
            bfloat16=self.bfloat16,
        )
        self.optimizer = make_optimizer(self.options, parts)
        self.validation_tensors = self.batches.validation_frames(validation)
        self.validation = validation
        self.fingerprint = fingerprint(data, validation) if folder else ""
        self.history: list[Epoch] = []
        self.best_epoch = 0
        self.best = copy_of(self.network)

    def _class_weights(self, data: Dataset) -> Tensor | None:
        """The weight of each class in the loss, on average 1; None for equal ones."""
        if self.options.class_weights == "none":
            return None
        counts = torch.bincount(torch.from_numpy(data.labels), minlength=len(data.classes))
        weights = counts.sum() / (len(data.classes) * counts.clamp(min=1))
        added = torch.ones(len(self.classes) - len(data.classes))  # `nothing` of an augmentation
        return torch.cat([weights, added]).to(self.device)

    def epoch(self, number: int, callbacks: Sequence[Callback]) -> Epoch:
        """Train one epoch, validate, keep the best weights, write the checkpoint."""
        began = time.perf_counter()
        if self.teacher is not None and not len(self.teacher.features):
            self.ask_teacher(self.teacher)
        started = time.perf_counter()
        seed_generators(self.recipe.seed * 1_000_003 + number, self.device)  # for dropout
        loss_sum = torch.zeros((), device=self.device)
        correct = torch.zeros((), device=self.device)
        seen, rate, train_loss, reported = 0, 0.0, 0.0, started
        self.network.train()
        self.threads.follow()
        self.gradients.begin_epoch(divide=self.batches.second_share > 0)
        self.running = self.batches.epoch(number)
        for step, batch in enumerate(self.running, start=1):
            self.threads.follow(self.batches.augmenting)
            rate = self.set_rate((number - 1) * self.steps + step - 1)
            loss, hits = self.step(batch)
            loss_sum += loss * len(batch[1])
            correct += hits
            seen += len(batch[1])
            now = time.perf_counter()
            if now - reported < REPORT_SECONDS and step < self.steps:
                continue
            # Reading the loss waits for the device, so it is only read for a report.
            reported, speed, train_loss = now, seen / (now - started), float(loss_sum) / seen
            if not math.isfinite(train_loss):
                raise self.diverged(f"the loss is {train_loss}", number, step, rate)
            epochs = self.options.epochs
            left = (epochs - number + 1) * self.steps - step
            seconds_left = left * (now - started) / step
            progress = Step(number, epochs, step, self.steps, speed, rate, train_loss, seconds_left)
            for callback in callbacks:
                callback.step(progress)
        if not all(bool(t.isfinite().all()) for t in self.network.state_dict().values()):
            # The last loss was computed before the last step; only the weights show its effect.
            raise self.diverged("weights are not finite", number, self.steps, rate)
        trained = time.perf_counter() - started
        self.threads.follow()
        validation_loss, validation_accuracy = self.validate()
        if validation_loss is not None and not math.isfinite(validation_loss):
            raise self.diverged(
                f"the validation loss is {validation_loss}", number, self.steps, rate
            )
        row = Epoch(
            number,
            self.options.epochs,
            time.perf_counter() - began,
            seen / trained,
            rate,
            train_loss,
            float(correct) / seen,
            validation_loss,
            validation_accuracy,
        )
        self.record(row)
        return row

    def close(self) -> None:
        """End an unfinished epoch: its second thread stops, PyTorch's thread count is restored."""
        if self.running is not None:
            self.running.close()

    def ask_teacher(self, teacher: Teacher) -> None:
        """Train the teacher, unless its weights come from a checkpoint; compute its features.

        Raises:
            KeyboardInterrupt: Ctrl-C while the teacher was trained.
        """
        recipe = teacher_recipe(self.recipe)
        data = shrink(self.data, recipe.input)
        if not self.history:
            trained = train(recipe, data, validation=data.subset([]))
            if trained.interrupted:
                raise KeyboardInterrupt
            teacher.network.load_state_dict(trained.recognizer.network.state_dict())
        teacher.compute_features(data.images)

    def diverged(self, what: str, epoch: int, step: int, rate: float) -> TrainingError:
        """The error for values that are not finite; the checkpoint of the epoch before is kept."""
        again = f"training.learning_rate={self.options.learning_rate / 10:.3g}"
        if self.folder is not None and (self.folder / RECIPE).is_file():
            again = run_command(self.folder, "--set", again, "--force")
        return TrainingError(
            f"{what} in epoch {epoch}, step {step} of {self.steps}, at learning rate {rate:.3g}; "
            + f"start again with a lower one, such as {again}"
        )

    def set_rate(self, done: int) -> float:
        """Set and return the learning rate of the step that follows `done` steps."""
        total = self.options.epochs * self.steps
        share = SCHEDULES[self.options.schedule](done / max(1, total - 1))
        for group in self.optimizer.param_groups:
            group["lr"] = self.options.learning_rate * share
        return self.options.learning_rate * share

    def step(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Train on a batch; return mean negative log-likelihood and number of correct labels."""
        found = self.gradients.compute(batch, self.batches.other, self.batches.second_share)
        self.optimizer.step()
        return found

    def validate(self) -> tuple[float | None, float | None]:
        """Mean negative log-likelihood and accuracy on the validation images; None without any."""
        if not len(self.validation_tensors[1]):
            return None, None
        images, labels = self.validation_tensors
        logits = self.recognizer().logits(images.permute(0, 2, 3, 1))
        accuracy = (logits.argmax(1) == labels).float().mean()
        return float(F.cross_entropy(logits, labels)), float(accuracy)

    def recognizer(self) -> Recognizer:
        """A Recognizer with the current weights, not calibrated."""
        return Recognizer(self.network, self.choice, self.classes, self.recipe.input)

    def record(self, row: Epoch) -> None:
        """Add the epoch to the history, keep its weights if they are the best so far, and save."""
        self.history.append(row)
        losses = [r.validation_loss for r in self.history if r.validation_loss is not None]
        if not losses or row.validation_loss == min(losses):
            self.best_epoch = row.epoch
            self.best = copy_of(self.network)
        if self.folder is None:
            return
        now = Checkpoint(
            self.recipe.to_toml(),
            self.fingerprint,
            [asdict(row) for row in self.history],
            self.best_epoch,
            self.network.state_dict(),
            self.best,
            optimizer_tensors(self.optimizer),
            self.teacher.state_dict() if self.teacher is not None else {},
        )
        try:
            now.write(self.folder / "checkpoint")
            self.write_history()
        except OutputError as error:
            if not (self.folder / "checkpoint").exists():
                raise
            is_run = (self.folder / RECIPE).is_file()
            raise OutputError(
                f"{error}; the last checkpoint is intact, continue from it with --resume"
                + (f": {run_command(self.folder, '--resume')}" if is_run else "")
            ) from error

    def write_history(self, *, parents: bool = False) -> None:
        """Write `history.jsonl`; after a kill it may lack the last epoch of the checkpoint."""
        if self.folder is not None:
            write_history(self.folder, self.history, parents=parents)

    def restore(self) -> None:
        """Load the state of the checkpoint in the folder.

        Raises:
            OptionError: There is no folder.
            RunError: There is no checkpoint, or it belongs to another recipe, other data or another
                network.
        """
        if self.folder is None:
            raise OptionError(
                "resume needs the folder that contains the checkpoint; received: None; pass folder="
            )
        remove_leftovers(self.folder)
        path = self.folder / "checkpoint"
        if not path.exists():
            raise RunError(
                f"{path} does not exist, so there is nothing to resume; leave out --resume"
            )
        checkpoint = Checkpoint.read(path)
        checkpoint.check(path, self.recipe, self.fingerprint)
        try:
            self.network.load_state_dict(checkpoint.weights)
            if self.teacher is not None:
                self.teacher.load_state_dict(checkpoint.teacher)
            restore_optimizer(self.optimizer, checkpoint.optimizer)
        except (RuntimeError, LookupError, ValueError) as error:
            # The network's code has changed, or `network` is another module.
            name = self.choice.name if self.choice else type(self.network).__name__
            raise RunError(
                f"{path} does not fit the network '{name}': {' '.join(str(error).split())}; "
                f"resume with the same network, or {restart(self.folder)}"
            ) from error
        self.history = checkpoint.epochs(path)
        self.best_epoch = checkpoint.best_epoch
        self.best = {name: tensor.to(self.device) for name, tensor in checkpoint.best.items()}

    def finish(self, *, interrupted: bool) -> Training:
        """Load the best weights and calibrate them on the validation images."""
        if self.history:  # without any, the weights of the unfinished first epoch are kept
            self.network.load_state_dict(self.best)
        recognizer = self.recognizer()
        if len(self.validation_tensors[1]) >= LEAST_TO_CALIBRATE:
            empty = self.batches.nothing_frames(self.validation)
            recognizer = calibrate(recognizer, *self.validation_tensors, empty=empty)
        return Training(
            recognizer, tuple(self.history), self.best_epoch, self.device.type, interrupted
        )

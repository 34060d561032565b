"""The training loop. Every epoch starts from a seed of its own, so a resumed run repeats it."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pocketlens import networks
from pocketlens.callbacks import Callback
from pocketlens.data import Dataset, training_images
from pocketlens.errors import OptionError, OutputError, RunError, TrainingError
from pocketlens.files import remove_leftovers, write_aside
from pocketlens.history import Epoch, Step
from pocketlens.recipe import Recipe, load_recipe
from pocketlens.recognizer import Recognizer, planes
from pocketlens.training.batches import Batches
from pocketlens.training.calibration import calibrated
from pocketlens.training.checkpoint import (
    Checkpoint,
    copy_of,
    fingerprint,
    optimizer_tensors,
    restore_optimizer,
)
from pocketlens.training.device import choose_device, keep_freed_memory, use_bfloat16
from pocketlens.training.schedule import SCHEDULES, make_optimizer
from pocketlens.training.start import start_from
from pocketlens.training.teacher import Teacher, features_seen, halved, teacher_recipe
from pocketlens.training.threads import Threads

__all__ = ["Training", "train"]

REPORT_SECONDS = 0.1
ENOUGH_TO_CALIBRATE = 200


@dataclass(frozen=True)
class Training:
    """What `train` gives back.

    Args:
        recognizer: With the weights of the best epoch.
        history: One row an epoch.
        best_epoch: Lowest validation loss; the last epoch when nothing was held back; 0 when
            interrupted within the first epoch.
        device: What it was trained on.
        interrupted: Ctrl-C ended it early.
    """

    recognizer: Recognizer
    history: tuple[Epoch, ...]
    best_epoch: int
    device: str
    interrupted: bool

    @property
    def seconds(self) -> float:
        """Time spent in finished epochs, validation included."""
        return sum(row.seconds for row in self.history)


def train(
    recipe: str | Path | Recipe,
    data: Dataset,
    *,
    validation: Dataset | None = None,
    folder: str | Path | None = None,
    resume: bool = False,
    callbacks: Iterable[Callback] = (),
) -> Training:
    """Train the recipe's network.

    While it trains on a CPU, PyTorch has fewer threads if other processes are busy (see
    `training.threads`); afterwards it has as many as before. Weights have the same bits only with
    the same number of threads: set the environment variable `OMP_NUM_THREADS` to fix it. What
    stays changed in the process: glibc keeps freed memory (see `keep_freed_memory`).

    Args:
        recipe: A recipe, the name of a shipped one, or the path of a TOML file.
        data: Training images that fit the recipe's input.
        validation: Held-back images; by default the recipe's share of `data` is split off.
        folder: Where `checkpoint` and `history.jsonl` are kept, if anywhere.
        resume: Go on from the checkpoint in `folder` after its last finished epoch, to the same
            weights as a training that was never stopped, with the same number of threads.
        callbacks: Their `step` and `epoch` are called while the training runs, in this order. An
            exception that one raises ends the training, see `Callback`.

    Raises:
        RecipeError: A recipe that asks for what cannot be.
        OptionError: Images of another shape than the recipe's input; resume without a folder.
        RunError: Nothing to resume, or the checkpoint of another recipe.
        TrainingError: A device that is not there, or a loss that is not finite.
        OutputError: The folder cannot be written; the last checkpoint stays as it was.
    """
    callbacks = _checked(callbacks)
    recipe = load_recipe(recipe)
    if validation is None:
        data, validation = data.split(recipe.data.validation, seed=recipe.seed)
    data = training_images(data, recipe.data, input_spec=recipe.input, seed=recipe.seed)
    _check_data(recipe, data)
    keep_freed_memory()
    device = choose_device(recipe.training.device)
    generators = torch.random.fork_rng(devices=[device] if device.type == "cuda" else [])
    with generators, Threads() as threads:
        loop = _Loop(recipe, data, validation, device, threads, Path(folder) if folder else None)
        if resume:
            loop.restore()
        loop.write_history(parents=True)  # a folder that cannot be written is told before work
        interrupted = False
        try:
            for epoch in range(len(loop.history) + 1, recipe.training.epochs + 1):
                row = loop.epoch(epoch, callbacks)
                for callback in callbacks:
                    callback.epoch(row)
        except KeyboardInterrupt:
            interrupted = True
        return loop.finish(interrupted=interrupted)


def _checked(callbacks: Iterable[Callback]) -> tuple[Callback, ...]:
    listed = isinstance(callbacks, Iterable)
    found = tuple(callbacks) if listed else ()
    wrong = [each for each in found if not isinstance(each, Callback)] if listed else [callbacks]
    if wrong:
        raise OptionError(
            f"callbacks must be a list of pocketlens.Callback objects; received: {wrong[0]!r}; "
            "write a subclass of Callback and pass callbacks=[YourCallback()]"
        )
    return found


def _check_data(recipe: Recipe, data: Dataset) -> None:
    if data.images.shape[1:] != recipe.input.shape:
        raise OptionError(
            f"the recipe's input is (height, width, channels) {recipe.input.shape}; "
            f"received images of {data.images.shape[1:]}: give load_data the recipe's input"
        )
    empty = [name for name, count in data.counts.items() if not count]
    if empty:
        raise OptionError(
            f"classes without a training image: {', '.join(empty[:10])}; "
            "add images or remove the class"
        )


class _Loop:
    """The state of one training, and what an epoch does to it."""

    def __init__(
        self,
        recipe: Recipe,
        data: Dataset,
        validation: Dataset,
        device: torch.device,
        threads: Threads,
        folder: Path | None,
    ) -> None:
        self.recipe = recipe
        self.options = recipe.training
        self.batches = Batches(recipe, data, device)
        self.classes = self.batches.classes
        self.steps = self.batches.steps
        self.device = device
        self.threads = threads
        self.folder = folder
        torch.manual_seed(recipe.seed)
        network = networks.build(recipe.network, recipe.input, len(self.classes)).to(device)
        if self.options.channels_last:
            network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if self.options.start:
            start_from(self.options.start, network, recipe, self.classes)
        self.network: nn.Module = network
        blank = torch.zeros(1, *self.batches.images.shape[1:], device=device)
        self.bfloat16 = use_bfloat16(self.options.precision, device, network, blank)
        self.data = data
        self.teacher: Teacher | None = None
        parts = nn.ModuleList([network])
        if self.options.teacher:
            self.teacher = Teacher(teacher_recipe(recipe), len(data.classes), network).to(device)
            parts.append(self.teacher.projection)
        self.optimizer = make_optimizer(self.options, parts)
        self.held = self.batches.held_back(validation)
        self.validation = validation
        self.fingerprint = fingerprint(data, validation) if folder else ""
        self.history: list[Epoch] = []
        self.best_epoch = 0
        self.best = copy_of(self.network)

    def epoch(self, number: int, callbacks: Sequence[Callback]) -> Epoch:
        """Train one epoch, validate, keep the best weights, write the checkpoint."""
        began = time.perf_counter()
        if self.teacher is not None and not len(self.teacher.features):
            self.ask_teacher(self.teacher)
        started = time.perf_counter()
        torch.manual_seed(self.recipe.seed * 1_000_003 + number)  # dropout
        loss_sum = torch.zeros((), device=self.device)
        right = torch.zeros((), device=self.device)
        seen, rate, train_loss, told = 0, 0.0, 0.0, started
        self.network.train()
        self.threads.follow()
        for step, (images, labels, sources) in enumerate(self.batches.epoch(number), start=1):
            self.threads.follow(self.batches.augmenting)
            rate = self.set_rate((number - 1) * self.steps + step - 1)
            loss, hits = self.step(images, labels, sources)
            loss_sum += loss * len(labels)
            right += hits
            seen += len(labels)
            now = time.perf_counter()
            if now - told < REPORT_SECONDS and step < self.steps:
                continue
            # Reading the loss waits for the device, so it is read no oftener than it is told.
            told, speed, train_loss = now, seen / (now - started), float(loss_sum) / seen
            if not math.isfinite(train_loss):
                raise self.diverged(f"the loss is {train_loss}", number, step, rate)
            epochs, left = self.options.epochs, self.steps_left(number, step)
            seconds_left = left * (now - started) / step
            progress = Step(number, epochs, step, self.steps, speed, rate, train_loss, seconds_left)
            for callback in callbacks:
                callback.step(progress)
        if not all(bool(t.isfinite().all()) for t in self.network.state_dict().values()):
            # The loss is that of before the last step; the weights are what would be kept.
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
            float(right) / seen,
            validation_loss,
            validation_accuracy,
        )
        self.keep(row)
        return row

    def ask_teacher(self, teacher: Teacher) -> None:
        """What the teacher sees in the clean images; unless it is a checkpoint's, it learns first.

        Raises:
            KeyboardInterrupt: Ctrl-C while it learned.
        """
        recipe = teacher_recipe(self.recipe)
        data = halved(self.data, recipe.input)
        if not self.history:
            trained = train(recipe, data, validation=data.subset([]))
            if trained.interrupted:
                raise KeyboardInterrupt
            teacher.network.load_state_dict(trained.recognizer.network.state_dict())
        teacher.look(data.images)

    def steps_left(self, epoch: int, step: int) -> int:
        """Steps of the whole training after `step` of `epoch`."""
        return (self.options.epochs - epoch + 1) * self.steps - step

    def diverged(self, what: str, epoch: int, step: int, rate: float) -> TrainingError:
        """The error of a training that has lost itself; what is on disk is of the epoch before."""
        lower = f"{self.options.learning_rate / 10:.3g}"
        return TrainingError(
            f"{what} in epoch {epoch}, step {step} of {self.steps}, at learning rate {rate:.3g}; "
            f"start again with a lower one, say --set training.learning_rate={lower} --force"
        )

    def set_rate(self, done: int) -> float:
        """Set the learning rate for the step after `done` steps."""
        total = self.options.epochs * self.steps
        share = SCHEDULES[self.options.schedule](done / max(1, total - 1))
        for group in self.optimizer.param_groups:
            group["lr"] = self.options.learning_rate * share
        return self.options.learning_rate * share

    def step(self, images: Tensor, labels: Tensor, sources: Tensor) -> tuple[Tensor, Tensor]:
        """One step; gives the mean negative log-likelihood and the number of right answers."""
        x = planes(images, self.recipe.input)
        if self.options.channels_last:
            x = x.contiguous(memory_format=torch.channels_last)
        with (
            torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16),
            features_seen(self.network) as features,
        ):
            logits = self.network(x)
        logits = logits.float()
        loss = F.cross_entropy(logits, labels, label_smoothing=self.options.label_smoothing)
        if self.teacher is not None:
            loss = loss + self.options.teacher * self.teacher.loss(features[0], sources)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        # Told without the smoothing, to be comparable with the validation loss.
        answers = logits.detach()
        return F.cross_entropy(answers, labels), (answers.argmax(1) == labels).sum()

    def validate(self) -> tuple[float | None, float | None]:
        """Mean negative log-likelihood and accuracy on the held-back images."""
        if not len(self.held[1]):
            return None, None
        images, labels = self.held
        logits = self.recognizer().logits(images.permute(0, 2, 3, 1))
        accuracy = (logits.argmax(1) == labels).float().mean()
        return float(F.cross_entropy(logits, labels)), float(accuracy)

    def recognizer(self) -> Recognizer:
        """The network as it is now."""
        return Recognizer(self.network, self.recipe.network, self.classes, self.recipe.input)

    def keep(self, row: Epoch) -> None:
        """Add the epoch to the history, its weights to the best if they are, and save."""
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
            raise OutputError(
                f"{error}; the last checkpoint is whole, --resume goes on from it"
            ) from error

    def write_history(self, *, parents: bool = False) -> None:
        """Write `history.jsonl`; a kill may have left it an epoch behind the checkpoint."""
        if self.folder is not None:
            lines = "".join(json.dumps(asdict(row)) + "\n" for row in self.history)
            write_aside(self.folder / "history.jsonl", lines, parents=parents)

    def restore(self) -> None:
        """Take up the state of the checkpoint.

        Raises:
            RunError: There is none, or it is another recipe's, other data's or an older network's.
        """
        if self.folder is None:
            raise OptionError("resume needs the folder that holds the checkpoint; received: None")
        remove_leftovers(self.folder)
        path = self.folder / "checkpoint"
        if not path.exists():
            raise RunError(f"{path} does not exist; there is nothing to resume: leave out --resume")
        found = Checkpoint.read(path)
        if found.recipe != self.recipe.to_toml():
            differences = self.recipe.differences(Recipe.from_toml(found.recipe))
            raise RunError(
                f"{path} belongs to another recipe ({'; '.join(differences[:5])}); "
                "resume with that recipe, or start again with --force"
            )
        if found.data != self.fingerprint:
            raise RunError(
                f"{path} belongs to other data ({found.data}), received: {self.fingerprint}; "
                "put the images back as they were, or start again with --force"
            )
        try:
            self.network.load_state_dict(found.weights)
            if self.teacher is not None:
                self.teacher.load_state_dict(found.teacher)
            restore_optimizer(self.optimizer, found.optimizer)
        except (RuntimeError, LookupError, ValueError) as error:  # the network's code has changed
            raise RunError(
                f"{path} does not fit the network '{self.recipe.network.name}': {error}; "
                "start again with --force"
            ) from error
        self.history = [_row(row) for row in found.history]
        self.best_epoch = found.best_epoch
        self.best = {name: tensor.to(self.device) for name, tensor in found.best.items()}

    def finish(self, *, interrupted: bool) -> Training:
        """Load the best weights and calibrate them."""
        if self.history:  # else: interrupted in the first epoch, what was reached is kept
            self.network.load_state_dict(self.best)
        recognizer = self.recognizer()
        if len(self.held[1]) >= ENOUGH_TO_CALIBRATE:
            empty = self.batches.nothing(self.validation)
            recognizer = calibrated(recognizer, *self.held, empty=empty)
        return Training(
            recognizer, tuple(self.history), self.best_epoch, self.device.type, interrupted
        )


def _row(values: dict[str, Any]) -> Epoch:
    try:
        return Epoch(**values)
    except TypeError as error:
        raise RunError(f"the checkpoint's history is damaged: {error}") from error

"""The progress of a run: one line per stage, and a bar during training and downloads."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any

from rich.padding import Padding
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.text import Text

from pocketlens.callbacks import Callback
from pocketlens.cli.terminal import console
from pocketlens.evaluation.accuracy import percent

if TYPE_CHECKING:
    from pocketlens.history import Epoch, Step

__all__ = ["Progress"]

TEXTS = {
    "data": "loading and drawing the images",
    "train": "training",
    "evaluate": "evaluating on the test set",
    "convert": "converting to Core ML",
    "verify": "comparing the Core ML file with the network, on the test set",
    "app": "writing the Xcode project",
    "web": "writing the website",
    "report": "writing the report",
}


class Progress(Callback):
    """Shows a run on a terminal; in a log file, as plain lines. A context manager."""

    def __init__(self) -> None:
        self.console = console(error=True)
        self.bar = Bar(
            TextColumn("          {task.description}", markup=False),
            BarColumn(bar_width=30),
            TextColumn("{task.fields[detail]}", markup=False),
            TimeRemainingColumn(compact=True),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        )
        self.task: Any = None

    def __enter__(self) -> Progress:
        self.bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.bar.stop()

    def stage(self, name: str, *, done: bool) -> None:
        self._clear()
        text = "already done" if done else TEXTS[name]
        self.console.print(Text.assemble((f"{name:9}", "bold cyan"), f" {text}"))

    def note(self, text: str) -> None:
        self.console.print(Padding(Text(text, "yellow"), (0, 0, 0, 10), expand=False))

    def download(self, file: str, received: int, total: int | None) -> None:
        detail = f"{received / 1e6:.1f} MB"
        self._show(file, received, total, detail)
        if received == total:
            self._clear()

    def decode(self, done: int, total: int, images_per_second: float) -> None:
        self._show("images", done, total, f"{images_per_second:,.0f} images/s")
        if done == total:
            self._clear()

    def features(self, done: int, total: int, images_per_second: float) -> None:
        self._show("features", done, total, f"{images_per_second:,.0f} images/s")
        if done == total:
            self._clear()

    def check(self, done: int, total: int) -> None:
        """Pictures that are checked."""
        self._show("checking pictures", done, total, f"{done:,} of {total:,}")
        if done == total:
            self._clear()

    def step(self, step: Step) -> None:
        done = (step.epoch - 1) * step.steps + step.step
        detail = f"{step.images_per_second:,.0f} images/s, loss {step.loss:.3f}"
        self._show(f"epoch {step.epoch}/{step.epochs}", done, step.epochs * step.steps, detail)

    def epoch(self, epoch: Epoch) -> None:
        held = epoch.validation_accuracy
        validation = "" if held is None else f", validation {percent(held)}"
        self.console.print(
            f"          epoch {epoch.epoch}/{epoch.epochs}  {epoch.seconds:.1f} s, "
            f"{epoch.images_per_second:,.0f} images/s, loss {epoch.train_loss:.3f}, "
            f"training {percent(epoch.train_accuracy)}{validation}",
            soft_wrap=True,
        )

    def _show(self, text: str, done: int, total: int | None, detail: str) -> None:
        if self.task is None:
            self.task = self.bar.add_task(text, total=total, detail=detail)
        self.bar.update(self.task, description=text, completed=done, total=total, detail=detail)

    def _clear(self) -> None:
        if self.task is not None:
            self.bar.remove_task(self.task)
            self.task = None

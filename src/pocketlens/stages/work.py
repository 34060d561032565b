"""What all stages of a run share: the folder, the recipe, the images, and how files are written."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pocketlens.callbacks import Callback
from pocketlens.files import digest, write_aside
from pocketlens.prediction import Predictor, Remembering
from pocketlens.recipe import Recipe
from pocketlens.report.drawer import Drawer, Job
from pocketlens.run_contents import FIGURES, WEIGHTS
from pocketlens.run_folder import read_run

if TYPE_CHECKING:
    from pocketlens.data import Dataset
    from pocketlens.recognizer import Recognizer

__all__ = ["LARGE", "Work"]

REPORT_SECONDS = 0.1
"""The least time between two reports of progress."""

LARGE = 96 * 96
"""Pixels of the input from which images are large, as photos are."""


class Work:
    """What all stages share. Images are loaded once, by the first stage that needs them.

    Args:
        folder: The run folder.
        recipe: The recipe.
        callbacks: Called as the stages proceed.
        drawer: Draws the figures.
        left: The stages that are still to run.
        resume: Continue a training, if there is a checkpoint of it.
        strict: Stop if the check of the files finds a problem.
    """

    def __init__(
        self,
        folder: Path,
        recipe: Recipe,
        callbacks: tuple[Callback, ...],
        drawer: Drawer | None,
        left: Sequence[str],
        *,
        resume: bool,
        strict: bool = False,
    ) -> None:
        self.folder = folder
        self.recipe = recipe
        self.callbacks = callbacks
        self.drawer = drawer
        self.left = left
        self.resume = resume
        self.strict = strict
        self.figures = folder / FIGURES
        self.model = folder / f"{recipe.model.name}.{recipe.model.format}"

    def write(self, name: str, content: Mapping[str, Any], *made_from: Path) -> None:
        """Write one of the run's JSON files; it names the model that its results belong to."""
        stated = {
            "weights" if path.name == WEIGHTS else "model": digest(path) for path in made_from
        }
        content = {**content, "made_from": stated} if stated else content
        text = json.dumps(content, indent=2, ensure_ascii=False)
        # A file name that is not UTF-8 is written as JSON's escapes, and read as it was.
        write_aside(self.folder / name, (text + "\n").encode("utf-8", "backslashreplace"))

    def draw(
        self,
        jobs: list[Job],
        *,
        before: str = "",
        meanwhile: Callable[[], object] | None = None,
    ) -> None:
        """Draw figures and call `meanwhile`, if the stage `before` is still to run.

        `meanwhile` imports what that stage needs. The figures are complete when this returns, so
        the current stage can be recorded as finished.
        """
        assert self.drawer  # created if any stage that draws is to run
        self.drawer.draw(jobs, meanwhile if before in self.left else None)

    @property
    def large(self) -> bool:
        """Whether the images are large, as photos are, so that each takes long."""
        return self.recipe.input.height * self.recipe.input.width > LARGE

    @cached_property
    def train_set(self) -> Dataset:
        return self._load("train")

    @cached_property
    def test_set(self) -> Dataset:
        return self._load("test")

    def _load(self, split: str) -> Dataset:
        # After the first stage, `data.json` has the source that was used; use the same one.
        return read_run(self.folder).load(split)

    @cached_property
    def recognizer(self) -> Recognizer:
        from pocketlens.recognizer import Recognizer

        return Recognizer.load(self.folder)

    @cached_property
    def remembering(self) -> Predictor:
        """The recognizer, for both the evaluation and the comparison with the Core ML file."""
        return Remembering(self.recognizer)

    def _decoded(self) -> Callable[[int, int], None]:
        """Reports decoded images to the callbacks, now and then."""
        started = reported = time.perf_counter()

        def report(done: int, total: int) -> None:
            nonlocal reported
            now = time.perf_counter()
            if now - reported >= REPORT_SECONDS or done == total:
                reported = now
                for callback in self.callbacks:
                    callback.decode(done, total, done / (now - started))

        return report

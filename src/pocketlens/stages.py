"""The stages of a run: each reads what the earlier ones wrote, and writes its own files."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pocketlens.callbacks import Callback
from pocketlens.commands import command
from pocketlens.data.check import DataCheck, check_data
from pocketlens.data.file_sources import FileSource
from pocketlens.data.folder import relative
from pocketlens.errors import CheckFailedError, OutputError
from pocketlens.files import digest, size_on_disk, write_aside
from pocketlens.prediction import NOTHING, Predictor, Remembering
from pocketlens.recipe import Recipe
from pocketlens.report.check_figures import PICTURED
from pocketlens.report.drawer import Drawer, Job
from pocketlens.run_contents import (
    APP,
    CAMERA,
    CHECKPOINT,
    DATA,
    DATA_CHECK,
    FIGURES,
    LABELS,
    LEARNING_CURVE,
    METRICS,
    PARITY,
    RECIPE,
    WEIGHTS,
    Stage,
    float32_command,
    run_command,
)
from pocketlens.run_folder import Check, DataSummary, Finished, Metrics, read_run, settings_digest

if TYPE_CHECKING:
    from pocketlens.coreml import CoreMLModel
    from pocketlens.data import Dataset
    from pocketlens.recognizer import Recognizer

__all__ = ["Stages", "refuse_problems"]

REPORT_SECONDS = 0.1
"""The least time between two reports of progress."""

NOTED = 4
"""The most findings that are reported; all are in the report."""

LARGE, LARGE_IMAGES, MOST_IMAGES = 96 * 96, 200, 1000
"""The number of images and empty scenes of the test for `nothing`, by the input's pixels."""


class Stages:
    """The stages. Images are loaded once, by the first stage of this call that needs them.

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

    def run(self, stage: Stage) -> Finished:
        """Run one stage.

        Raises:
            OutputError: The run folder was removed or renamed meanwhile.
            PocketlensError: Any error of the stage.
        """
        started = time.perf_counter()
        getattr(self, stage)()
        if not (self.folder / RECIPE).is_file():
            raise OutputError(
                f"{self.folder} was removed or renamed during the stage '{stage}'; restore it, or "
                "start again with another --out"
            )
        seconds = round(time.perf_counter() - started, 3)
        output = {"train": self.folder / WEIGHTS, "convert": self.model}.get(stage)
        return Finished(
            seconds,
            settings_digest(self.recipe, stage),
            (digest(output) or "") if output else "",
            self.model.name if stage == "convert" else "",
        )

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

    def _downloaded(self, file: str, received: int, total: int | None) -> None:
        for callback in self.callbacks:
            callback.download(file, received, total)

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

    def data(self) -> None:
        from pocketlens import augment
        from pocketlens.data import load_data, resolve

        requested, seed = self.recipe.data.source, self.recipe.seed
        resolved = resolve(requested, progress=self._downloaded)
        if resolved.note:
            for callback in self.callbacks:
                callback.note(resolved.note)
        jobs = self.check_files(resolved.name)
        self.train_set, self.test_set = (
            load_data(
                resolved.name,
                split=split,
                input_spec=self.recipe.input,
                seed=seed,
                progress=self._downloaded,
                decoded=self._decoded(),
            )
            for split in ("train", "test")
        )
        rest, held = self.train_set.split(self.recipe.data.validation, seed=seed)
        jobs += [
            ("draw_samples", (self.train_set, self.figures / "samples.png")),
            ("draw_pixels", (self.train_set, 0, self.figures / "pixels.png")),
            ("draw_one_hot", (self.train_set, self.figures / "one_hot.svg")),
            ("draw_balance", ([self.train_set, self.test_set], self.figures / "balance.svg")),
        ]
        augmentation = augment.build(self.recipe.augment, nothing=self.recipe.data.nothing)
        if augmentation.change:
            shown = augment.sample(self.train_set, augmentation, seed=seed)
            jobs.append(("draw_samples", (shown, self.figures / "augmented.png")))
        self.draw(jobs, before="train", meanwhile=_import_training)
        summary = DataSummary(
            requested,
            resolved.name,
            resolved.note,
            self.train_set.classes,
            len(rest),
            len(held),
            len(self.test_set),
        )
        self.write(DATA, asdict(summary))

    def check_files(self, name: str) -> list[Job]:
        """Check a folder or CSV file before its images are loaded; draw what was found.

        Raises:
            CheckFailedError: There is a problem, and the run is strict.
        """
        source = FileSource.parse(name)
        if source is None:
            return []
        found = check_data(name, progress=self._decoded())
        self.write(DATA_CHECK, found.to_dict())
        for line in _noted(found):
            for callback in self.callbacks:
                callback.note(line)
        if self.strict:
            refuse_problems(found)
        if not any(finding.kind in PICTURED for finding in found.findings):
            return []
        return [("draw_findings", (found, source.root, self.figures / "findings.png"))]

    def train(self) -> None:
        from pocketlens.training import train

        training = train(
            self.recipe,
            self.train_set,
            folder=self.folder,
            resume=self.resume and (self.folder / CHECKPOINT).exists(),
            callbacks=self.callbacks,
        )
        weights = training.recognizer.save(self.folder / WEIGHTS, force=True)
        if training.interrupted:
            done = f" after {len(training.history)} of {self.recipe.training.epochs} epochs"
            if self.recipe.training.on_features:
                done = ""
            command = run_command(self.folder, "--resume")
            raise KeyboardInterrupt(
                f"interrupted{done}; the best weights so far are in {weights}; "
                f"continue with: {command}"
            )
        rows = [asdict(epoch) for epoch in training.history]
        jobs: list[Job] = []
        if self.recipe.training.method == "epochs":
            jobs.append(("draw_history", (rows, self.figures / "history.svg")))
        if training.curve is not None:
            self.write(LEARNING_CURVE, asdict(training.curve), weights)
            chart = self.figures / "learning_curve.svg"
            jobs.append(("draw_learning_curve", (training.curve, chart)))
        if training.labels is not None and training.suspects is not None:
            source = FileSource.parse(self.recipe.data.source)
            root = source.root if source else Path()
            labels = training.labels.renamed(lambda file: relative(file, root))
            self.write(LABELS, asdict(labels), weights)
            if labels.suspects:
                place = self.figures / "labels.png"
                jobs.append(("draw_suspects", (labels, training.suspects, place)))
        self.draw(jobs, before="convert", meanwhile=_import_converter)
        metrics = Metrics(
            self.recipe.network.name,
            training.recognizer.parameters,
            training.device,
            training.seconds,
            training.best_epoch,
            training.recognizer.temperature,
            training.fine_tuning,
        )
        self.write(METRICS, asdict(metrics), weights)

    def evaluate(self) -> None:
        from pocketlens.evaluation.accuracy import evaluate

        evaluation = evaluate(self.remembering, self.test_set)
        if evaluation.warning:
            for callback in self.callbacks:
                callback.note(f"WARNING: {evaluation.warning}")
        jobs: list[Job] = [
            ("draw_confusion", (evaluation, self.figures / "confusion.svg")),
            ("draw_mistakes", (self.test_set, evaluation, self.figures / "mistakes.png")),
            ("draw_reliability", (evaluation, self.figures / "reliability.svg")),
        ]
        self.draw(jobs, before="convert", meanwhile=_import_exporter)
        metrics = read_run(self.folder).metrics
        assert metrics is not None  # written by the previous stage
        content = {**asdict(metrics), "recognizer": evaluation.to_dict()}
        self.write(METRICS, content, self.folder / WEIGHTS)

    def convert(self) -> None:
        from pocketlens.conversion import ModelMetadata, convert

        model = self.recipe.model
        convert(
            self.recognizer,
            self.model,
            format=model.format,
            precision=model.precision,
            metadata=ModelMetadata(model.author, model.license, model.version, model.description),
            # Of large images it takes ten seconds, and `verify` compares more of them.
            check=not self.large,
            force=True,
        )

    def verify(self) -> None:
        from pocketlens.coreml import load
        from pocketlens.coreml.file.time_limit import default_time_limit
        from pocketlens.evaluation.parity import verify
        from pocketlens.report.app_screen import draw_app_screen

        started = time.perf_counter()
        model = load(self.model, time_limit=default_time_limit())
        load_seconds = time.perf_counter() - started
        parity = verify(self.remembering, model, self.test_set)
        self.draw([("draw_parity", (parity, self.figures / "parity.svg"))])
        check = Check(
            self.model.name,
            size_on_disk(self.model),
            self.recipe.model.format,
            self.recipe.model.precision,
            _milliseconds(model.probabilities, self.test_set),
            load_seconds,
            parity,
        )
        content = {**vars(check), "parity": parity.to_dict()}
        self.write(PARITY, content, self.folder / WEIGHTS, self.model)
        if not parity.passed:
            raise CheckFailedError(
                f"{self.model} does not agree with the trained network: "
                f"{'; '.join(str(parity).splitlines())}{self._more_precise()}"
            )
        if self.recipe.training.on_features:
            self.explain(model)
        draw_app_screen(model, self.test_set, self.figures / "app.svg")
        if NOTHING in model.classes:
            self.show_nothing(model)

    def _more_precise(self) -> str:
        """The next command after a failed comparison; empty if the file is float32 already."""
        if self.recipe.model.precision == "float32":
            return ""
        return f"; try float32: {float32_command(self.folder)}"

    def explain(self, model: CoreMLModel) -> None:
        """Draw why images are misread, and which training images are similar to them."""
        from pocketlens.report.mistake_figures import draw_confusions, draw_explained
        from pocketlens.training.features import Embedder

        evaluation = read_run(self.folder).evaluation
        assert evaluation is not None  # written by an earlier stage
        draw_explained(model, self.test_set, evaluation, self.figures / "explained.png")
        network: Any = self.recognizer.network
        draw_confusions(
            self.test_set,
            self.train_set,
            evaluation,
            Embedder(network, self.recipe.input, self.callbacks),
            self.figures / "confusions.png",
        )

    def show_nothing(self, model: CoreMLModel) -> None:
        """Test the Core ML file on simulated photos, and on scenes with nothing in view."""
        from pocketlens.evaluation.robustness import run_suite
        from pocketlens.report.suite_figures import draw_rejection

        # Large images take longer: a photo model looks at fewer of them.
        limit = LARGE_IMAGES if self.large else MOST_IMAGES
        found = run_suite(
            model, self.test_set, limit=limit, seed=self.recipe.seed, tests=("camera",)
        )
        draw_rejection(found.rejection, self.figures / "rejection.svg")
        self.write(CAMERA, found.to_dict(), self.model)

    def app(self) -> None:
        from pocketlens.app import create_app

        options = self.recipe.app
        create_app(
            self.model,
            self.folder / APP,
            name=options.name,
            bundle_id=options.bundle_id,
            team=options.team or None,
            pictures=self._pictures() if self.recipe.training.on_features else (),
            force=(self.folder / APP).exists(),
        )

    def _pictures(self) -> list[Any]:
        """A training image of each class, for the app's icon."""
        import numpy as np

        labels = self.train_set.labels
        nothing = [at for at, name in enumerate(self.train_set.classes) if name == NOTHING]
        chosen = [int((labels == at).argmax()) for at in np.unique(labels) if at not in nothing]
        return [self.train_set.images[at] for at in chosen]

    def report(self) -> None:
        from pocketlens.report import write_report

        write_report(self.folder)


def _noted(found: DataCheck) -> list[str]:
    """The most important findings; `load_data` itself warns of files that cannot be read."""
    findings = [finding for finding in found.findings if finding.kind != "unreadable"]
    lines = [f"{'PROBLEM: ' * each.problem}{each.text}" for each in findings[:NOTED]]
    if findings:
        more = f"{len(findings) - NOTED} more; " if len(findings) > NOTED else ""
        lines.append(f"{more}all about the images: {command('data', 'check', Path(found.source))}")
    return lines


def refuse_problems(found: DataCheck) -> None:
    """Stop a strict run if the check of the files has found a problem.

    Raises:
        CheckFailedError: It has.
    """
    if not found.passed:
        problems = [finding.text for finding in found.findings if finding.problem]
        left_out = command("data", "check", Path(found.source), "--quarantine")
        raise CheckFailedError(
            f"{found.source} has {len(problems)} problem(s): {'; '.join(problems)}; repair them, "
            f"leave such files out with {left_out}, or run without --strict"
        )


def _import_training() -> None:
    import pocketlens.training  # noqa: F401


def _import_converter() -> None:
    from pocketlens.conversion.quiet import import_coremltools

    import_coremltools()


def _import_exporter() -> None:
    from pocketlens.conversion.exporting import import_exporter

    import_exporter()


def _milliseconds(predict: Callable[..., Any], data: Dataset, *, rounds: int = 5) -> float:
    """Median over rounds of the time per image, in batches of up to 200 (large images: 20)."""
    from pocketlens.data.large_arrays import in_memory

    height, width = data.images.shape[1:3]
    images = in_memory(data.images[: 20 if height * width > LARGE else 200])
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        predict(images)
        times.append((time.perf_counter() - started) / len(images))
    return statistics.median(times) * 1000

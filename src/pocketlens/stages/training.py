"""The stages `train` and `evaluate`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from pocketlens.data.file_sources import FileSource
from pocketlens.data.folder import relative
from pocketlens.report.drawer import Job
from pocketlens.run_contents import (
    CHECKPOINT,
    LABELS,
    LEARNING_CURVE,
    METRICS,
    WEIGHTS,
    run_command,
)
from pocketlens.run_folder import Metrics, read_run
from pocketlens.stages.work import Work

__all__ = ["TrainingStages"]


class TrainingStages(Work):
    """Train the network, and measure it."""

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


def _import_converter() -> None:
    from pocketlens.conversion.quiet import import_coremltools

    import_coremltools()


def _import_exporter() -> None:
    from pocketlens.conversion.exporting import import_exporter

    import_exporter()

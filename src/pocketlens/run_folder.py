"""`Run`: the contents of a run folder, read and checked. `run_contents` lists the files.

A run may have stopped at any time, so every file except the recipe may be missing. A file that is
there must be complete; a damaged one is an error. `pipeline` writes the folder.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import Path
from typing import Any

from pocketlens.commands import command
from pocketlens.data import Dataset, load_data
from pocketlens.data.check import DataCheck
from pocketlens.data.file_sources import FileSource
from pocketlens.data.wrong_labels import LabelCheck
from pocketlens.errors import RunError
from pocketlens.evaluation.accuracy import Evaluation
from pocketlens.evaluation.parity import Parity
from pocketlens.evaluation.robustness import SuiteResult
from pocketlens.files import digest
from pocketlens.history import Epoch, FineTuning, LearningCurve
from pocketlens.prediction import NOTHING
from pocketlens.recipe import Recipe
from pocketlens.run_contents import (
    APP,
    CAMERA,
    COMPRESSION,
    CONTENTS,
    DATA,
    DATA_CHECK,
    FIGURES,
    HISTORY,
    LABELS,
    LEARNING_CURVE,
    METRICS,
    PARITY,
    RECIPE,
    REPORT,
    SETTINGS,
    STAGE_TIMES,
    STAGES,
    WEB,
    WEB_LISTING,
    WEIGHTS,
    Stage,
)
from pocketlens.run_files import damaged, read_json, read_part, read_text, read_values

__all__ = [
    "Check",
    "DataSummary",
    "Finished",
    "Metrics",
    "Run",
    "read_finished",
    "read_run",
    "settings_digest",
]


@dataclass(frozen=True)
class DataSummary:
    """`data.json`: which data was used.

    Args:
        requested: The source that the recipe names.
        source: The source that was used.
        note: Why another source than the requested one was used; None if it was not.
        classes: The class names.
        train: Number of training images.
        validation: Number of validation images.
        test: Number of test images.
    """

    requested: str
    source: str
    note: str | None
    classes: tuple[str, ...]
    train: int
    validation: int
    test: int


@dataclass(frozen=True)
class Metrics:
    """`metrics.json`: the training in numbers.

    Args:
        network: Name of the architecture.
        parameters: Number of parameters.
        device: The device that trained, such as `cpu`.
        training_seconds: Duration of the training.
        best_epoch: The epoch whose weights were kept, from 1.
        temperature: The temperature of the softmax that calibration found.
        fine_tuning: What it gains to train the last blocks of a backbone, if that was tried.
    """

    network: str
    parameters: int
    device: str
    training_seconds: float
    best_epoch: int
    temperature: float
    fine_tuning: FineTuning | None = None


@dataclass(frozen=True)
class Check:
    """`parity.json`: the Core ML file as it ran here, compared with the trained network.

    Args:
        file: Name of the Core ML file, inside the run folder.
        file_bytes: Its size in bytes.
        format: `mlpackage` or `mlmodel`.
        precision: `float16`, `float32` or `mixed`.
        milliseconds_per_image: Median time of one prediction on this computer.
        load_seconds: Time to load the file.
        parity: The comparison.
    """

    file: str
    file_bytes: int
    format: str
    precision: str
    milliseconds_per_image: float
    load_seconds: float
    parity: Parity


@dataclass(frozen=True)
class Finished:
    """A finished stage: an entry of `stages.json`.

    Args:
        seconds: How long it took.
        settings: `settings_digest` of the recipe; empty if it is not recorded, as in older runs.
        made: `files.digest` of the weights or of the Core ML file that it wrote; else empty.
        file: Name of the Core ML file that it wrote; else empty.
    """

    seconds: float
    settings: str = ""
    made: str = ""
    file: str = ""


@dataclass(frozen=True)
class Run:
    """The contents of a run folder. Parts that the run has not written yet are None or empty.

    Args:
        folder: The run folder.
        recipe: Its recipe.
        data: Which data was used.
        data_check: What the check of the files found, if the data is a folder or CSV file.
        labels: The images whose label is probably wrong, if the training was on features.
        history: The epochs, first to last.
        curve: Accuracy against images per class; only of a run on features.
        metrics: The training in numbers.
        evaluation: The trained network on the test images; stored in `metrics.json`, too.
        check: The Core ML file, compared with the trained network.
        camera: The Core ML file on simulated photos and empty scenes.
        stages: Seconds of each finished stage, in the order in which they ran; only those whose
            settings and files have not changed since.
        figures: The figures by file name.
        model: The Core ML file.
        app: The folder of the Xcode project.
        web: The folder of the website.

    A result names the weights and the Core ML file that it was measured with, by their digest. One
    that belongs to others (because the run was trained or converted again) is left out.
    """

    folder: Path
    recipe: Recipe
    data: DataSummary | None
    data_check: DataCheck | None
    labels: LabelCheck | None
    history: tuple[Epoch, ...]
    curve: LearningCurve | None
    metrics: Metrics | None
    evaluation: Evaluation | None
    check: Check | None
    camera: SuiteResult | None
    stages: dict[str, float]
    figures: dict[str, Path]
    model: Path | None
    app: Path | None
    web: Path | None

    @property
    def parity(self) -> Parity | None:
        """How closely the Core ML file and the trained network agree."""
        return self.check.parity if self.check else None

    @property
    def report(self) -> Path | None:
        """The report."""
        page = self.folder / REPORT
        return page if page.is_file() else None

    def load(self, split: str) -> Dataset:
        """The images of the run, `train` or `test`, from the source that it used.

        Raises:
            DataError: They are damaged or no longer on this computer.
        """
        return load_data(
            self.data.source if self.data else self.recipe.data.source,
            split=split,
            input_spec=self.recipe.input,
            seed=self.recipe.seed,
        )

    @property
    def augmented(self) -> bool:
        """Whether the training images are augmented."""
        return self.recipe.augment.name != "none"

    @property
    def knows_nothing(self) -> bool:
        """Whether the recognizer has the class `nothing`, and is tested on empty scenes."""
        return has_nothing(self.recipe, self.data)

    @property
    def on_features(self) -> bool:
        """Whether a head was trained on the features of a pretrained backbone."""
        return self.recipe.training.on_features

    @property
    def cross_validated(self) -> float | None:
        """The accuracy on the training images by heads that did not see them; None without."""
        return self.history[-1].validation_accuracy if self.on_features and self.history else None

    @property
    def cross_validated_images(self) -> int:
        """On how many training images that was measured: of many, on some; 0 without."""
        if self.cross_validated is None:
            return 0
        return self.labels.checked if self.labels else self.data.train if self.data else 0

    @property
    def on_files(self) -> bool:
        """Whether the data is a folder or a CSV file."""
        return FileSource.parse(self.recipe.data.source) is not None

    @property
    def missing(self) -> tuple[str, ...]:
        """The files that a finished run has but this one lacks, as paths in the run folder."""
        runs_with = {
            "any": True,
            "augmented": self.augmented,
            "epochs": not self.on_features,
            "features": self.on_features,
            "files": self.on_files,
            "nothing": self.knows_nothing,
            "web": self.recipe.web.enabled,
        }
        expected = [
            item.path
            for item in CONTENTS
            if item.needed
            and runs_with[item.only]
            and item.path != REPORT  # the report lists these
        ]
        if self.model is None:
            expected.append(f"{self.recipe.model.name}.{self.recipe.model.format}")
        # Those that belong to another model are as good as missing.
        parts: dict[str, object] = {METRICS: self.metrics, PARITY: self.check, APP: self.app}
        parts |= {
            WEB: self.web,
            CAMERA: self.camera,
            LEARNING_CURVE: self.curve,
            LABELS: self.labels,
        }
        lost = [
            path
            for path in expected
            if not (self.folder / path).exists() or parts.get(path, path) is None
        ]
        if (
            self.evaluation is None and METRICS not in lost
        ):  # `train` writes it, `evaluate` adds to it
            lost.append(METRICS)
        return tuple(lost)


def has_nothing(recipe: Recipe, data: DataSummary | None) -> bool:
    """Whether a run's recognizer has the class `nothing`."""
    named = data.classes if data else ()
    fitted = recipe.training.on_features
    return fitted or recipe.data.nothing > 0 or NOTHING in named


def read_run(folder: str | Path) -> Run:
    """Read a run folder.

    Args:
        folder: The folder, as written by `run`.

    Raises:
        RunError: It is not a run folder, or a file in it is damaged.
        RecipeError: Its recipe is invalid.
    """
    folder = Path(folder)
    if not (folder / RECIPE).is_file():
        reason = f"it has no {RECIPE}" if folder.is_dir() else "it does not exist"
        raise RunError(
            f"{folder} is not a run folder: {reason}; "
            f"create one with: {command('run', 'quick', '--out', 'FOLDER')}"
        )
    recipe = Recipe.from_toml(read_text(folder / RECIPE), source=str(folder / RECIPE))
    recorded = read_finished(folder)
    names = (METRICS, PARITY, CAMERA, LEARNING_CURVE, LABELS)
    metrics, parity, seen, points, labels = (read_json(folder / name) for name in names)
    check = read_part(folder / PARITY, Check, "the check of a Core ML file", parity)
    camera = read_part(folder / CAMERA, SuiteResult, "a result of the suite", seen)
    file = recorded["convert"].file if "convert" in recorded else ""
    name = file or (check.file if check else f"{recipe.model.name}.{recipe.model.format}")
    # Only the name counts: what the report opens must be inside the run folder.
    model, app = folder / Path(name).name, folder / APP
    listed = read_json(folder / WEB_LISTING)
    made = {"weights": digest(folder / WEIGHTS), "model": digest(model)}
    stages = dict(takewhile(lambda each: _is_current(*each, recipe, made), recorded.items()))
    # Older runs do not record what belongs together.
    recorded_settings = any(each.settings for each in recorded.values())
    older = not recorded_settings if recorded else not (folder / STAGE_TIMES).exists()
    if not _belongs(metrics, made):
        metrics = None
    evaluation = metrics.get("recognizer") if isinstance(metrics, dict) else None
    check = replace(check, file=model.name) if check and _belongs(parity, made) else None
    data = read_part(folder / DATA, DataSummary, "a summary of data")
    camera = camera if has_nothing(recipe, data) and _belongs(seen, made) else None
    shown = {"train": metrics, "evaluate": evaluation, "verify": check}
    # A file that was compressed before the run was trained or converted again says nothing of it.
    if not _belongs(read_json(folder / COMPRESSION), made):
        shown[f"{FIGURES}/compression.svg"] = None
    figures = {
        item.path.removeprefix(f"{FIGURES}/"): folder / item.path
        for item in CONTENTS
        if item.path.startswith(FIGURES) and shown.get(item.stage or item.path, item) is not None
    }
    return Run(
        folder=folder,
        recipe=recipe,
        data=data,
        data_check=read_part(folder / DATA_CHECK, DataCheck, "a check of data"),
        labels=read_part(folder / LABELS, LabelCheck, "a check of labels", labels)
        if labels is not None and _belongs(labels, made)
        else None,
        history=_history(folder / HISTORY),
        curve=read_part(folder / LEARNING_CURVE, LearningCurve, "a learning curve", points)
        if _belongs(points, made)
        else None,
        metrics=read_part(folder / METRICS, Metrics, "the metrics of a run", metrics)
        if metrics is not None
        else None,
        evaluation=read_part(folder / METRICS, Evaluation, "an evaluation", evaluation)
        if evaluation is not None
        else None,
        check=check,
        camera=camera,
        stages={stage: finished.seconds for stage, finished in stages.items()},
        figures={name: path for name, path in figures.items() if _is_own_file(path)},
        model=model if model.exists() else None,
        app=app if app.is_dir() and (older or "app" in stages) else None,
        web=folder / WEB if listed is not None and _belongs(listed, made) else None,
    )


def read_finished(folder: Path) -> dict[str, Finished]:
    """The entries of `stages.json`, in the order in which the stages ran.

    Raises:
        RunError: The file is damaged.
    """
    path = folder / STAGE_TIMES
    values = read_json(path)
    if values is None:
        return {}
    # Runs of older versions have only the seconds.
    entries = values if isinstance(values, dict) else {}
    whole = {stage: each for stage, each in entries.items() if isinstance(each, dict)}
    plain = values if not whole else {s: each for s, each in entries.items() if s not in whole}
    seconds = read_values(path, dict[str, float], "a table of stages", plain)
    found = read_values(path, dict[str, Finished], "a table of stages", whole)
    return {s: found[s] if s in found else Finished(seconds[s]) for s in entries}


def settings_digest(recipe: Recipe, stage: Stage) -> str:
    """A digest of the settings that a stage uses, see `run_contents.SETTINGS`."""
    tables = recipe.to_dict()
    used = {key: tables[key] for key in SETTINGS[stage]}
    return hashlib.sha256(json.dumps(used, sort_keys=True).encode()).hexdigest()


def _is_current(
    stage: str, finished: Finished, recipe: Recipe, made: Mapping[str, str | None]
) -> bool:
    """Whether a stage was run with these settings, and what it wrote has not changed since."""
    if stage not in STAGES:
        return True
    output = {"train": made["weights"], "convert": made["model"]}.get(stage)
    settings = settings_digest(recipe, stage)
    return finished.settings in ("", settings) and (
        not finished.made or output in (None, finished.made)
    )


def _belongs(result: Any, made: Mapping[str, str | None]) -> bool:
    """Whether a result was measured with these weights and this Core ML file.

    It names them in `made_from`. Results of older versions do not; a file that is missing is
    reported as such.
    """
    stated = result.get("made_from") if isinstance(result, dict) else None
    if not isinstance(stated, dict):
        return True
    return all(made.get(key) in (None, value) for key, value in stated.items())


def _is_own_file(path: Path) -> bool:
    return path.is_file() and not path.is_symlink() and not path.parent.is_symlink()


def _history(path: Path) -> tuple[Epoch, ...]:
    if not path.is_file():
        return ()
    epochs = []
    for line, text in enumerate(read_text(path).splitlines(), 1):
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise damaged(path, f"line {line} is not JSON: {error}") from error
        epochs.append(read_values(path, Epoch, "an epoch", values, f"line {line}: "))
    return tuple(epochs)

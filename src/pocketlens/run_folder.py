"""`Run`: the contents of a run folder, read and checked. `run_contents` lists the files.

A run may have stopped at any time, so every file except the recipe may be missing. A file that is
there must be complete; a damaged one is an error. `pipeline` writes the folder.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from pocketlens.data import Dataset, load_data
from pocketlens.errors import DataError, OptionError, RunError
from pocketlens.evaluation.accuracy import Evaluation
from pocketlens.evaluation.parity import Parity
from pocketlens.evaluation.robustness import SuiteResult
from pocketlens.files import read_limited
from pocketlens.history import Epoch
from pocketlens.json_fields import read_fields
from pocketlens.prediction import NOTHING
from pocketlens.recipe import Recipe
from pocketlens.run_contents import (
    APP,
    CAMERA,
    CONTENTS,
    DATA,
    FIGURES,
    HISTORY,
    METRICS,
    PARITY,
    RECIPE,
    REPORT,
    STAGE_TIMES,
    figure_names,
    run_command,
)

__all__ = ["Check", "DataSummary", "Metrics", "Run", "read_bytes", "read_run"]

T = TypeVar("T")

MAX_BYTES = 64_000_000
"""The largest file of a run that is read. With 1000 classes, metrics.json has about 3 MB."""


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
    """

    network: str
    parameters: int
    device: str
    training_seconds: float
    best_epoch: int
    temperature: float


@dataclass(frozen=True)
class Check:
    """`parity.json`: the Core ML file as it ran here, compared with the trained network.

    Args:
        file: Name of the Core ML file, inside the run folder.
        file_bytes: Its size in bytes.
        format: `mlpackage` or `mlmodel`.
        precision: `float16` or `float32`.
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
class Run:
    """The contents of a run folder. Parts that the run has not written yet are None or empty.

    Args:
        folder: The run folder.
        recipe: Its recipe.
        data: Which data was used.
        history: The epochs, first to last.
        metrics: The training in numbers.
        evaluation: The trained network on the test images; stored in `metrics.json`, too.
        check: The Core ML file, compared with the trained network.
        camera: The Core ML file on simulated photos and empty scenes.
        stages: Seconds of each finished stage, in the order in which they ran.
        figures: The figures by file name.
        model: The Core ML file.
        app: The folder of the Xcode project.
    """

    folder: Path
    recipe: Recipe
    data: DataSummary | None
    history: tuple[Epoch, ...]
    metrics: Metrics | None
    evaluation: Evaluation | None
    check: Check | None
    camera: SuiteResult | None
    stages: dict[str, float]
    figures: dict[str, Path]
    model: Path | None
    app: Path | None

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
        named = self.data.classes if self.data else ()
        return self.recipe.data.nothing > 0 or NOTHING in named

    @property
    def missing(self) -> tuple[str, ...]:
        """The files that a finished run has but this one lacks, as paths in the run folder."""
        runs_with = {"any": True, "augmented": self.augmented, "nothing": self.knows_nothing}
        expected = [
            item.path
            for item in CONTENTS
            if item.needed
            and runs_with[item.only]
            and item.path != REPORT  # the report lists these
        ]
        expected.append(f"{self.recipe.model.name}.{self.recipe.model.format}")
        lost = [path for path in expected if not (self.folder / path).exists()]
        if (
            self.evaluation is None and METRICS not in lost
        ):  # `train` writes it, `evaluate` adds to it
            lost.append(METRICS)
        return tuple(lost)


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
            "create one with: pocketlens run quick --out FOLDER"
        )
    recipe = Recipe.from_toml(_text(folder / RECIPE), source=str(folder / RECIPE))
    check = _part(folder / PARITY, Check, "the check of a Core ML file")
    if check is not None:
        # Only the name counts: what the report opens must be inside the run folder.
        check = replace(check, file=Path(check.file).name)
    name = check.file if check else f"{recipe.model.name}.{recipe.model.format}"
    model, app = folder / name, folder / APP
    values = _json(folder / METRICS)
    evaluation = values.get("recognizer") if isinstance(values, dict) else None
    figures = {name: folder / FIGURES / name for name in figure_names()}
    return Run(
        folder=folder,
        recipe=recipe,
        data=_part(folder / DATA, DataSummary, "a summary of data"),
        history=_history(folder / HISTORY),
        metrics=_part(folder / METRICS, Metrics, "the metrics of a run", values),
        evaluation=_part(folder / METRICS, Evaluation, "an evaluation", evaluation)
        if evaluation is not None
        else None,
        check=check,
        camera=_part(folder / CAMERA, SuiteResult, "a result of the suite"),
        stages=_part(folder / STAGE_TIMES, dict[str, float], "a table of stages") or {},
        figures={name: path for name, path in figures.items() if path.is_file()},
        model=model if model.exists() else None,
        app=app if app.is_dir() else None,
    )


def read_bytes(path: Path) -> bytes:
    """The content of a file of a run, at most `MAX_BYTES`.

    Raises:
        RunError: It is larger or cannot be read.
    """
    try:
        return read_limited(path, MAX_BYTES)
    except OSError as error:
        raise RunError(f"{path} cannot be read: {error.strerror or error}") from error


def _text(path: Path) -> str:
    try:
        return read_bytes(path).decode()
    except UnicodeDecodeError as error:
        raise _damaged(path, f"it is not UTF-8 text: {error}") from error


def _json(path: Path) -> Any:
    if not path.is_file():
        return None
    try:
        return json.loads(_text(path))
    except (ValueError, RecursionError) as error:
        raise _damaged(path, f"it is not JSON: {error}") from error


def _part(path: Path, kind: type[T], what: str, values: Any = None) -> T | None:
    """A dataclass from a JSON file, or from the `values` that were read from it.

    None if there is no such file.
    """
    if values is None:
        values = _json(path)
    return None if values is None else _read(path, kind, what, values)


def _read(path: Path, kind: type[T], what: str, values: Any, where: str = "") -> T:
    try:
        return read_fields(kind, values, what)
    except (DataError, OptionError) as error:
        raise _damaged(path, f"{where}{error}") from error


def _history(path: Path) -> tuple[Epoch, ...]:
    if not path.is_file():
        return ()
    epochs = []
    for line, text in enumerate(_text(path).splitlines(), 1):
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise _damaged(path, f"line {line} is not JSON: {error}") from error
        epochs.append(_read(path, Epoch, "an epoch", values, f"line {line}: "))
    return tuple(epochs)


def _damaged(path: Path, what: str) -> RunError:
    folder = path.parent
    again = f"pocketlens run RECIPE --out {folder}" if path.name == RECIPE else run_command(folder)
    return RunError(f"{path} is damaged: {what}; restore it, or start again with: {again} --force")

"""`Run`: what is in a run's folder, read and checked.

A run may have stopped anywhere, so every part but the recipe may be missing. What is there must be
whole: a damaged file is an error that names it. `pipeline` writes the folder.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pocketlens.data import Dataset, load_data
from pocketlens.errors import DataError, OptionError, RunError
from pocketlens.evaluation.accuracy import Evaluation
from pocketlens.evaluation.parity import Parity
from pocketlens.evaluation.robustness import SuiteResult
from pocketlens.history import Epoch
from pocketlens.json_fields import number, number_or_none, reading, whole
from pocketlens.prediction import NOTHING
from pocketlens.recipe import Recipe

__all__ = ["Check", "DataSummary", "Metrics", "Run", "read_bytes", "read_run"]

T = TypeVar("T")

MAX_BYTES = 64_000_000
"""The largest file of a run that is read. 1000 classes make a metrics.json of about 3 MB."""

FIGURES = (
    "samples.png",
    "pixels.png",
    "one_hot.svg",
    "balance.svg",
    "augmented.png",
    "history.svg",
    "confusion.svg",
    "mistakes.png",
    "reliability.svg",
    "parity.svg",
    "rejection.svg",
)


@dataclass(frozen=True)
class DataSummary:
    """`data.json`: which data was used; `note` says why it is not what was asked for."""

    requested: str
    source: str
    note: str | None
    classes: tuple[str, ...]
    train: int
    validation: int
    test: int

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> DataSummary:
        """Raises DataError if it is no such summary."""
        with reading("a summary of data"):
            return cls(
                requested=str(values["requested"]),
                source=str(values["source"]),
                note=None if values["note"] is None else str(values["note"]),
                classes=tuple(str(name) for name in values["classes"]),
                train=whole(values["train"]),
                validation=whole(values["validation"]),
                test=whole(values["test"]),
            )


@dataclass(frozen=True)
class Metrics:
    """`metrics.json`: the training in figures."""

    network: str
    parameters: int
    device: str
    training_seconds: float
    best_epoch: int
    temperature: float

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Metrics:
        """Raises DataError if it is no such file."""
        with reading("a run's metrics"):
            return cls(
                network=str(values["network"]),
                parameters=whole(values["parameters"]),
                device=str(values["device"]),
                training_seconds=number(values["training_seconds"]),
                best_epoch=whole(values["best_epoch"]),
                temperature=number(values["temperature"]),
            )


@dataclass(frozen=True)
class Check:
    """`parity.json`: the Core ML file as it ran here, held against the trained network."""

    file: str
    file_bytes: int
    format: str
    precision: str
    milliseconds_per_image: float
    load_seconds: float
    parity: Parity

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Check:
        """Raises DataError if it is no such file."""
        with reading("a check of a Core ML file"):
            return cls(
                # A name, not a path: what the report opens lies in the run's own folder.
                file=Path(str(values["file"])).name,
                file_bytes=whole(values["file_bytes"]),
                format=str(values["format"]),
                precision=str(values["precision"]),
                milliseconds_per_image=number(values["milliseconds_per_image"]),
                load_seconds=number(values["load_seconds"]),
                parity=Parity.from_dict(values["parity"]),
            )


@dataclass(frozen=True)
class Run:
    """A run's folder, read. None or empty is what the run has not made (yet).

    Args:
        folder: The run's folder.
        recipe: Its recipe.
        data: Which data was used.
        history: The epochs, first to last.
        metrics: The training in figures.
        evaluation: The trained network on the test images; `metrics.json` holds it too.
        check: The Core ML file's check.
        camera: What the Core ML file makes of photographs and of empty scenes.
        stages: Seconds of each stage, in the order in which they ran.
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
        """How far the Core ML file agrees with the trained network."""
        return self.check.parity if self.check else None

    @property
    def report(self) -> Path | None:
        """The report."""
        page = self.folder / "report.html"
        return page if page.is_file() else None

    def load(self, split: str) -> Dataset:
        """The run's own images, `train` or `test`, from the source that it really used.

        Raises:
            DataError: They are damaged, or not here any more.
        """
        return load_data(
            self.data.source if self.data else self.recipe.data.source,
            split=split,
            input_spec=self.recipe.input,
            seed=self.recipe.seed,
        )

    @property
    def augmented(self) -> bool:
        """Whether training sees other images than those of the data set."""
        return self.recipe.augment.name != "none"

    @property
    def knows_nothing(self) -> bool:
        """Whether the recognizer has the class `nothing`, and is asked about empty scenes."""
        named = self.data.classes if self.data else ()
        return self.recipe.data.nothing > 0 or NOTHING in named

    @property
    def missing(self) -> tuple[str, ...]:
        """What a finished run would have and this one has not, by file name."""
        model = f"{self.recipe.model.name}.{self.recipe.model.format}"
        parts = {
            "data.json": self.data,
            "history.jsonl": self.history,
            "metrics.json": self.evaluation,
            model: self.model,
            "parity.json": self.check,
            "camera.json": self.camera or not self.knows_nothing,
            "app/": self.app,
            "stages.json": self.stages,
        }
        only = {"augmented.png": self.augmented, "rejection.svg": self.knows_nothing}
        lost = [
            f"figures/{name}"
            for name in FIGURES
            if only.get(name, True) and name not in self.figures
        ]
        return (*(name for name, part in parts.items() if not part), *lost)


def read_run(folder: str | Path) -> Run:
    """Read a run's folder.

    Raises:
        RunError: Not a run's folder, or a file in it is damaged.
        RecipeError: Its recipe has faults.
    """
    folder = Path(folder)
    if not (folder / "recipe.toml").is_file():
        is_what = "has no recipe.toml" if folder.is_dir() else "is not there"
        raise RunError(
            f"{folder} is not the folder of a run: it {is_what}; "
            "expected one that this makes: pocketlens run quick --out FOLDER"
        )
    recipe = Recipe.from_toml(_text(folder / "recipe.toml"), source=str(folder / "recipe.toml"))
    check = _part(folder / "parity.json", Check)
    name = check.file if check else f"{recipe.model.name}.{recipe.model.format}"
    model, app = folder / name, folder / "app"
    metrics = folder / "metrics.json"
    values = _json(metrics)
    measured = isinstance(values, dict) and "recognizer" in values
    stages = _json(folder / "stages.json")
    figures = {name: folder / "figures" / name for name in FIGURES}
    return Run(
        folder=folder,
        recipe=recipe,
        data=_part(folder / "data.json", DataSummary),
        history=_history(folder / "history.jsonl"),
        metrics=None if values is None else _made(metrics, Metrics, values),
        evaluation=_made(metrics, Evaluation, values["recognizer"]) if measured else None,
        check=check,
        camera=_part(folder / "camera.json", SuiteResult),
        stages={} if stages is None else _stages(folder / "stages.json", stages),
        figures={name: path for name, path in figures.items() if path.is_file()},
        model=model if model.exists() else None,
        app=app if app.is_dir() else None,
    )


def read_bytes(path: Path) -> bytes:
    """A file of a run, not larger than `MAX_BYTES`.

    Raises:
        RunError: It is larger or cannot be read.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise RunError(f"{path} cannot be read: {error.strerror or error}") from error
    if len(content) > MAX_BYTES:
        raise RunError(f"{path} is larger than {MAX_BYTES} bytes, which no run writes")
    return content


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


def _part(path: Path, kind: type[T]) -> T | None:
    values = _json(path)
    return None if values is None else _made(path, kind, values)


def _made(path: Path, kind: type[T], values: Any) -> T:
    try:
        made: T = kind.from_dict(values)  # type: ignore[attr-defined]
    except (DataError, OptionError) as error:
        raise _damaged(path, str(error)) from error
    return made


def _history(path: Path) -> tuple[Epoch, ...]:
    if not path.is_file():
        return ()
    epochs = []
    for line, text in enumerate(_text(path).splitlines(), 1):
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise _damaged(path, f"line {line} is not JSON: {error}") from error
        epochs.append(_epoch(path, values, f"line {line}: "))
    return tuple(epochs)


def _epoch(path: Path, values: Any, where: str) -> Epoch:
    try:
        with reading("an epoch"):
            return Epoch(
                epoch=whole(values["epoch"]),
                epochs=whole(values["epochs"]),
                seconds=number(values["seconds"]),
                images_per_second=number(values["images_per_second"]),
                learning_rate=number(values["learning_rate"]),
                train_loss=number(values["train_loss"]),
                train_accuracy=number(values["train_accuracy"]),
                validation_loss=number_or_none(values["validation_loss"]),
                validation_accuracy=number_or_none(values["validation_accuracy"]),
            )
    except DataError as error:
        raise _damaged(path, f"{where}{error}") from error


def _stages(path: Path, values: Any) -> dict[str, float]:
    try:
        with reading("a table of stages"):
            return {str(name): number(seconds) for name, seconds in values.items()}
    except DataError as error:
        raise _damaged(path, str(error)) from error


def _damaged(path: Path, what: str) -> RunError:
    return RunError(
        f"{path} is damaged: {what}; remove it and make it anew: "
        f"pocketlens run {path.parent / 'recipe.toml'} --out {path.parent}"
    )

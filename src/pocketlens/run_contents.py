"""What a run folder contains: the one list of its files and folders.

`pipeline` writes them stage by stage, `run_folder` reads them, and `--force` removes them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pocketlens.commands import command

if TYPE_CHECKING:
    from pocketlens.recipe import Recipe

__all__ = [
    "APP",
    "CAMERA",
    "CHECKPOINT",
    "COMPRESSION",
    "CONTENTS",
    "DATA",
    "DATA_CHECK",
    "FIGURES",
    "HISTORY",
    "LABELS",
    "LEARNING_CURVE",
    "METRICS",
    "MODEL_SUFFIXES",
    "PARITY",
    "RECIPE",
    "REPORT",
    "SETTINGS",
    "STAGES",
    "STAGE_TIMES",
    "SUITE",
    "WEB",
    "WEB_LISTING",
    "WEIGHTS",
    "Item",
    "Stage",
    "figure_names",
    "float32_command",
    "folder_beside",
    "restart",
    "run_command",
    "stages_of",
]

Stage = Literal["data", "train", "evaluate", "convert", "verify", "app", "web", "report"]
Only = Literal["any", "augmented", "epochs", "features", "files", "nothing", "web"]
STAGES: tuple[Stage, ...] = (
    "data", "train", "evaluate", "convert", "verify", "app", "web", "report"
)  # fmt: skip
"""The stages of a run, in order. Only some runs have `web`, see `stages_of`."""

SETTINGS: dict[Stage, tuple[str, ...]] = {
    "data": ("seed", "data", "input", "augment"),
    "train": ("seed", "data", "input", "augment", "network", "training"),
    "evaluate": (),
    "convert": ("model",),
    "verify": (),
    "app": ("app",),
    "web": ("web",),
    "report": (),
}
"""The keys and tables of the recipe that each stage uses, besides what earlier stages wrote."""

RECIPE = "recipe.toml"
DATA = "data.json"
DATA_CHECK = "data_check.json"
CHECKPOINT = "checkpoint"
HISTORY = "history.jsonl"
LEARNING_CURVE = "learning_curve.json"
WEIGHTS = "weights.safetensors"
LABELS = "labels.json"
METRICS = "metrics.json"
PARITY = "parity.json"
CAMERA = "camera.json"
COMPRESSION = "compression.json"
APP = "app"
WEB = "web"
WEB_LISTING = f"{WEB}/site.json"
REPORT = "report.html"
SUITE = "suite"
STAGE_TIMES = "stages.json"
FIGURES = "figures"

MODEL_SUFFIXES = (".mlpackage", ".mlmodel", ".aimodel")
"""The model file is named by the recipe (`model.name`); these are its suffixes."""


@dataclass(frozen=True)
class Item:
    """A file or folder of a run.

    Args:
        path: Its path inside the run folder.
        stage: The stage that writes it; None if it is written before the first stage, after every
            stage, or by another command.
        only: Which runs have it: `augmented` (runs with an augmentation), `epochs` (runs that train
            in epochs), `features` (runs that train on features), `files` (runs on a folder or
            CSV file), `nothing` (runs with the class `nothing`), `web` (runs with a
            website), or `any`.
        needed: Whether a finished run is incomplete without it.
        meaning: What it contains, in a few words.
    """

    path: str
    stage: Stage | None
    meaning: str
    only: Only = "any"
    needed: bool = True


CONTENTS: tuple[Item, ...] = (
    Item(RECIPE, None, "the recipe, with every default written out"),
    Item(STAGE_TIMES, None, "the finished stages and the seconds that each took"),
    Item(DATA, "data", "which data was used, its classes and sizes"),
    Item(DATA_CHECK, "data", "what the check of the files found", only="files"),
    Item(f"{FIGURES}/findings.png", "data", "some of the files that it found", needed=False),
    Item(f"{FIGURES}/samples.png", "data", "images of each class"),
    Item(f"{FIGURES}/pixels.png", "data", "one image, pixel by pixel"),
    Item(f"{FIGURES}/one_hot.svg", "data", "how labels become numbers"),
    Item(f"{FIGURES}/balance.svg", "data", "images per class"),
    Item(f"{FIGURES}/augmented.png", "data", "augmented images", only="augmented"),
    Item(CHECKPOINT, "train", "the state of an unfinished training", needed=False),
    Item(HISTORY, "train", "the result of each epoch"),
    Item(WEIGHTS, "train", "the trained weights"),
    Item(f"{FIGURES}/history.svg", "train", "loss and accuracy per epoch", only="epochs"),
    Item(LEARNING_CURVE, "train", "accuracy against images per class", only="features"),
    Item(f"{FIGURES}/learning_curve.svg", "train", "the same, drawn", only="features"),
    Item(LABELS, "train", "images whose label is probably wrong", only="features"),
    Item(f"{FIGURES}/labels.png", "train", "the first of these images", needed=False),
    Item(METRICS, "train", "the training in numbers, and the evaluation on the test images"),
    Item(f"{FIGURES}/confusion.svg", "evaluate", "which classes are confused"),
    Item(f"{FIGURES}/mistakes.png", "evaluate", "the misclassified images"),
    Item(f"{FIGURES}/reliability.svg", "evaluate", "confidence against accuracy"),
    Item(PARITY, "verify", "the Core ML file compared with the trained network"),
    Item(f"{FIGURES}/parity.svg", "verify", "the differences in probability"),
    Item(f"{FIGURES}/explained.png", "verify", "why images are misread", only="features"),
    Item(
        f"{FIGURES}/confusions.png", "verify", "misread images, and similar ones", only="features"
    ),
    Item(CAMERA, "verify", "results on simulated photos and empty scenes", only="nothing"),
    Item(f"{FIGURES}/rejection.svg", "verify", "rejection of empty scenes", only="nothing"),
    Item(f"{FIGURES}/app.svg", "verify", "the app's screen, drawn", needed=False),
    Item(APP, "app", "the Xcode project"),
    Item(WEB, "web", "the website", only="web"),
    Item(REPORT, "report", "the report"),
    Item(COMPRESSION, None, "results of `compress`", needed=False),
    Item(f"{FIGURES}/compression.svg", None, "size and accuracy of smaller files", needed=False),
    Item(SUITE, None, "results of `evaluate --suite`", needed=False),
)
"""Every file and folder of a run, except the Core ML file, whose name the recipe sets."""


def stages_of(recipe: Recipe) -> tuple[Stage, ...]:
    """The stages of a run of this recipe, in order."""
    return tuple(each for each in STAGES if each != "web" or recipe.web.enabled)


def run_command(folder: str | Path, *options: str, out: str | Path | None = None) -> str:
    """The command that continues the run in a folder, or repeats it in the folder `out`."""
    folder = Path(folder)
    return command("run", folder / RECIPE, "--out", Path(out or folder), *options)


def float32_command(folder: Path) -> str:
    """The command that repeats a run beside it, without rounding to float16."""
    out = folder_beside(folder, "float32")
    return run_command(folder, "--set", "model.precision=float32", out=out)


def restart(folder: str | Path | None, *options: str) -> str:
    """The end of an error message of a training: how to start it again.

    Args:
        folder: The folder of the training; None, or not a run folder, in Python without a run.
        options: Options to add, such as `--set`.
    """
    if folder is None or not (Path(folder) / RECIPE).is_file():
        return "start again without resume"
    return f"start again with --force: {run_command(folder, *options, '--force')}"


def folder_beside(folder: Path, suffix: str) -> Path:
    """The path of another run, beside this one: `runs/digits-longer`."""
    whole = folder if folder.name not in ("", "..") else folder.resolve()
    return whole.with_name(f"{whole.name}-{suffix}")


def figure_names() -> tuple[str, ...]:
    """The file names of all figures."""
    prefix = f"{FIGURES}/"
    return tuple(
        item.path.removeprefix(prefix) for item in CONTENTS if item.path.startswith(prefix)
    )

"""What the report says: a run's files -> the values that `templates/report.html` lays out.

The page asks no host for anything: style and figures are inside it, and its own content policy
forbids all else. Whatever comes from the run (class names, notes, paths) is escaped by Jinja2.
"""

from __future__ import annotations

import base64
import os
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pocketlens.evaluation.accuracy import Evaluation, percent
from pocketlens.files import size_text, write_aside
from pocketlens.report.canvas import plural, small
from pocketlens.run_folder import Run, read_bytes, read_run

__all__ = ["write_report"]

CLASS_ROWS = 40
"""The most classes in the table; beyond it, those with the lowest recall."""

CONFUSIONS = 6
"""How many confusions are listed."""

MIME = {".png": "image/png", ".svg": "image/svg+xml"}

CHARTS = (
    "balance.svg",
    "history.svg",
    "confusion.svg",
    "reliability.svg",
    "parity.svg",
    "rejection.svg",
)

STAGES = {
    "data": "reading the data",
    "train": "training",
    "evaluate": "measuring",
    "convert": "converting to Core ML",
    "verify": "running and checking the Core ML file",
    "app": "writing the Xcode project",
    "report": "this report",
}


@dataclass(frozen=True)
class Tile:
    """A headline figure."""

    label: str
    value: str
    note: str
    tone: str = ""


@dataclass(frozen=True)
class Picture:
    """A figure inside the page; without `uri` it is missing. A chart holds no photographs."""

    name: str
    alt: str
    caption: str
    uri: str | None
    chart: bool


@dataclass(frozen=True)
class Command:
    """What to type next, and what for."""

    purpose: str
    line: str


def write_report(run_folder: str | os.PathLike[str]) -> Path:
    """Write `report.html` into a run's folder: everything the run measured, on one page.

    The page is one file that asks no host for anything. What an incomplete run has not made is
    named on it, with the command that makes it.

    Args:
        run_folder: A folder that `pocketlens run` wrote.

    Returns:
        The path of the page; an older page is replaced.

    Raises:
        RunError: Not a run's folder, or a file in it is damaged.
        ModelFileError: The Core ML file is damaged.
        OutputError: The page cannot be written.
    """
    run = read_run(Path(run_folder))
    page = run.folder / "report.html"
    write_aside(page, render(run))
    return page


def render(run: Run) -> str:
    """The page's HTML."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    from pocketlens import __version__

    environment = Environment(
        loader=PackageLoader("pocketlens.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": percent,
        "count": lambda n: f"{n:,}",
        "size": size_text,
        "duration": duration_text,
        "milliseconds": milliseconds_text,
        "small": small,
        "feature": feature_text,
        "setting": _value,
    }
    return environment.get_template("report.html").render(
        run=run,
        recipe=run.recipe,
        version=__version__,
        again=_again(run),
        steps=_steps(run),
        tiles=_tiles(run),
        pictures=_pictures(run),
        classes=_class_rows(run.evaluation) if run.evaluation else [],
        class_rows=CLASS_ROWS,
        confusions=_confusions(run.evaluation) if run.evaluation else [],
        declared=_declared(run),
        settings=_settings(run),
        stages=_stages(run),
        projects=sorted(p.name for p in run.app.glob("*.xcodeproj")) if run.app else [],
        commands=_commands(run),
    )


def duration_text(seconds: float) -> str:
    """Seconds as `0.34 s`, `12.3 s`, `4 min 05 s`, `2 h 10 min`."""
    if seconds < 1:
        return f"{seconds:.2f} s"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def milliseconds_text(milliseconds: float) -> str:
    """Milliseconds with three significant digits: `0.0912 ms`, `3.46 ms`."""
    return f"{milliseconds:.3g} ms" if milliseconds < 1000 else f"{milliseconds:,.0f} ms"


def _path(path: Path) -> str:
    """A path for a command: from the current folder where it lies below it, quoted."""
    absolute, here = path.resolve(), Path.cwd()
    return shlex.quote(str(absolute.relative_to(here) if absolute.is_relative_to(here) else path))


def _again(run: Run) -> str:
    return f"pocketlens run {_path(run.folder / 'recipe.toml')} --out {_path(run.folder)}"


def _steps(run: Run) -> list[tuple[str, str]]:
    """The path of the data, each step with what it came to."""
    recipe, steps = run.recipe, []
    if run.data:
        total = run.data.train + run.data.validation + run.data.test
        steps.append(
            (run.data.source, f"{plural(total, 'image')}, {plural(len(run.data.classes), 'class')}")
        )
    if run.metrics:
        steps.append((run.metrics.network, f"{run.metrics.parameters:,} parameters"))
        time = duration_text(run.metrics.training_seconds)
        steps.append(
            (f"trained on {run.metrics.device}", f"{plural(len(run.history), 'epoch')}, {time}")
        )
    if run.check:
        steps.append((run.check.file, f"{size_text(run.check.file_bytes)}, {run.check.precision}"))
    if run.app:
        steps.append((recipe.app.name, "Xcode project"))
    return steps


def _tiles(run: Run) -> list[Tile]:
    tiles = []
    if run.evaluation:
        found = run.evaluation
        low, high = found.interval
        note = f"95 % interval {percent(low)} to {percent(high)}, {found.n:,} images"
        tiles.append(Tile("test accuracy", percent(found.accuracy), note, "main"))
    if run.camera:
        if photos := run.camera.table("camera"):
            score = photos.scores[0][0]
            note = f"of {score.n:,} simulated photographs named rightly by the Core ML file"
            tiles.append(Tile("camera", percent(score.accuracy), note, "main"))
        rejection = run.camera.rejection
        note = (
            f"of {rejection.false.n:,} empty scenes are given a label; "
            f"{percent(rejection.kept.share)} of the others are"
        )
        tiles.append(Tile("false answers", percent(rejection.false.share), note))
    if run.check:
        parity = run.check.parity
        note = f"labels agree with the trained network; mean |Δp| {small(parity.mean_difference)}"
        tone = "good" if parity.passed else "bad"
        tiles.append(Tile("parity", percent(parity.agreement), note, tone))
        size = size_text(run.check.file_bytes)
        tiles.append(Tile("Core ML file", size, f"{run.check.format}, {run.check.precision}"))
        time = milliseconds_text(run.check.milliseconds_per_image)
        load = duration_text(run.check.load_seconds)
        tiles.append(
            Tile("one image", time, f"the Core ML file on this computer; loaded in {load}")
        )
    if run.metrics:
        time = duration_text(run.metrics.training_seconds)
        note = f"{plural(len(run.history), 'epoch')} on {run.metrics.device}"
        tiles.append(Tile("training", time, note))
    if run.evaluation:
        error = percent(run.evaluation.calibration.error)
        tiles.append(Tile("calibration error", error, "how far confidence is from accuracy"))
    return tiles


def _pictures(run: Run) -> dict[str, Picture]:
    source = run.data.source if run.data else "the data"
    found, parity = run.evaluation, run.parity
    wrong = (
        f"{plural(_wrong(found), 'mistake')} in {plural(found.n, 'image')}"
        if found
        else "the mistakes"
    )
    error = percent(found.calibration.error) if found else "not measured"
    agreement = percent(parity.agreement) if parity else "not measured"
    rows = (
        (
            "samples.png",
            f"The first images of {source}, each over its label.",
            "Raw images, as they are stored: nothing is scaled or normalized yet.",
        ),
        (
            "pixels.png",
            "One image enlarged, with the value of each pixel written on it.",
            "An image is a grid of numbers. The network multiplies each by the input's scale and "
            "adds its bias; that happens in one place, inside the Core ML file too.",
        ),
        (
            "one_hot.svg",
            "The first labels as rows with a single 1 in the column of their class.",
            "Training pulls the network's probabilities toward these rows.",
        ),
        (
            "balance.svg",
            "A bar for each class: its share of the images of each part.",
            "Where classes are filled unevenly, accuracy alone can mislead.",
        ),
        (
            "augmented.png",
            "What training sees of the first images, changed anew each time, over their labels.",
            f"The augmentation '{run.recipe.augment.name}' makes them; quality is measured on "
            "images that it did not touch.",
        ),
        (
            "history.svg",
            "Loss and accuracy after each epoch, in training and in validation.",
            "Validation images are held back from training; the best epoch by them is kept.",
        ),
        (
            "confusion.svg",
            f"Confusion matrix, true classes by answers: {wrong}.",
            "Down: what it is. Across: what was answered. Blue is right, orange is wrong.",
        ),
        (
            "mistakes.png",
            f"The most confident wrong answers as pictures, out of {wrong}.",
            "Many a mistake is one that a person would make too; the others say what to collect.",
        ),
        (
            "reliability.svg",
            f"Accuracy against confidence; expected calibration error {error}.",
            "On the dashed line a confidence can be taken at its word: of the answers given with "
            "90 %, nine in ten are right.",
        ),
        (
            "parity.svg",
            f"How many images have which |Δp| on a logarithmic scale; {agreement} of labels agree.",
            "|Δp| of an image is the largest difference between the two probabilities of a class.",
        ),
        (
            "rejection.svg",
            "How sure the Core ML file is where something is in view and where nothing is, and the "
            "share of each kind of scene that it names.",
            "Scenes are simulated by other code than that which training sees.",
        ),
    )
    return {
        Path(name).stem: Picture(
            name, alt, caption, _data_uri(run.figures.get(name)), name in CHARTS
        )
        for name, alt, caption in rows
    }


def _data_uri(path: Path | None) -> str | None:
    if path is None:
        return None
    return f"data:{MIME[path.suffix]};base64,{base64.b64encode(read_bytes(path)).decode()}"


def _wrong(evaluation: Evaluation) -> int:
    return round(evaluation.n * (1 - evaluation.accuracy))


def _class_rows(evaluation: Evaluation) -> list[dict[str, Any]]:
    """The classes' scores, and how many images of each were missed, beside the worst class."""
    missed = [sum(row) - row[k] for k, row in enumerate(evaluation.confusion)]
    most = max(missed) or 1
    rows = [
        asdict(score) | {"missed": n, "share": n / most}
        for score, n in zip(evaluation.per_class, missed, strict=True)
    ]
    if len(rows) > CLASS_ROWS:
        rows.sort(key=lambda row: 2 if row["recall"] is None else row["recall"])
    return rows[:CLASS_ROWS]


def _confusions(evaluation: Evaluation) -> list[tuple[str, str, int]]:
    counts = np.array(evaluation.confusion)
    np.fill_diagonal(counts, 0)
    order = np.argsort(-counts, axis=None, kind="stable")[:CONFUSIONS]
    places = [divmod(int(place), len(counts)) for place in order]
    names = evaluation.classes
    return [(names[y], names[x], int(counts[y, x])) for y, x in places if counts[y, x]]


def _declared(run: Run) -> dict[str, Any] | None:
    """What the Core ML file itself declares; read from the file, not from the recipe."""
    if run.model is None:
        return None
    from pocketlens.coreml import describe

    return describe(run.model)


def feature_text(feature: Mapping[str, Any]) -> str:
    """An input's or output's type, such as `image, 28 × 28 pixels, gray`."""
    if feature["type"] == "image":
        size = f"{feature['width']} × {feature['height']} pixels"
        return f"image, {size}, {feature['color']}"
    if "shape" in feature:
        sides = " × ".join(str(side) for side in feature["shape"])
        return f"{feature['type']}, {sides}, {feature['dtype']}"
    return f"{feature['type']} by {feature['keys']}" if "keys" in feature else str(feature["type"])


def _settings(run: Run) -> list[tuple[str, str]]:
    """The recipe as dotted keys and values."""
    rows = []
    for table, values in run.recipe.to_dict().items():
        if isinstance(values, Mapping):
            rows += [(f"{table}.{key}", _value(value)) for key, value in values.items()]
        else:
            rows.append((table, _value(values)))
    return rows


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return ", ".join(_value(one) for one in value)
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _stages(run: Run) -> list[tuple[str, float, float]]:
    """Name, seconds and share of the longest, in the order in which they ran."""
    longest = max(run.stages.values(), default=0) or 1
    return [(STAGES.get(name, name), s, s / longest) for name, s in run.stages.items()]


def _commands(run: Run) -> list[Command]:
    recipe = run.recipe
    commands = []
    if run.model:
        model = _path(run.model)
        commands += [
            Command(
                "Name what is in a picture of your own", f"pocketlens predict {model} photo.jpg"
            ),
            Command("See all that the Core ML file declares", f"pocketlens inspect {model}"),
            Command("Check the file again", f"pocketlens verify {_path(run.folder)}"),
        ]
    longer = f"{_again(run)}-longer --set training.epochs={2 * recipe.training.epochs}"
    settings = _path(run.folder / "recipe.toml")
    own = f"pocketlens run {settings} --out runs/mine --set data.source=folder:PATH"
    commands += [
        Command("Train longer, into another folder", longer),
        Command("Teach it images of your own, one folder for each class", own),
        Command("See the shipped recipes", "pocketlens recipes list"),
    ]
    return commands

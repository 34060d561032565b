"""The contents of the report: a run's files -> the values that `templates/report.html` renders.

The page is self-contained: style and figures are embedded, and its content security policy blocks
all requests. Text from the run (class names, notes, paths) is escaped by Jinja2.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pocketlens.commands import command, program
from pocketlens.errors import printable
from pocketlens.evaluation.accuracy import Evaluation, percent
from pocketlens.files import size_text, write_aside
from pocketlens.report.canvas import plural, small
from pocketlens.report.page_figures import page_figures
from pocketlens.run_contents import (
    CONTENTS,
    REPORT,
    WEB,
    float32_command,
    folder_beside,
    run_command,
)
from pocketlens.run_folder import Run, read_run

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["duration_text", "milliseconds_text", "page_environment", "write_report"]

CLASS_ROWS = 40
"""The maximum number of classes in the table; beyond it, those with the lowest recall."""

CONFUSIONS = 6
"""The maximum number of confusions in the list."""

STAGE_TITLES = {
    "data": "load the data",
    "train": "train",
    "evaluate": "evaluate",
    "convert": "convert to Core ML",
    "verify": "run and check the Core ML file",
    "app": "write the Xcode project",
    "web": "write the website",
    "report": "write this report",
}


@dataclass(frozen=True)
class Tile:
    """A key result: `label`, `value`, `note`, and `tone` as the CSS class."""

    label: str
    value: str
    note: str
    tone: str = ""


@dataclass(frozen=True)
class Command:
    """A command to run next, and its purpose."""

    purpose: str
    line: str


def write_report(run_folder: str | os.PathLike[str]) -> Path:
    """Write `report.html` into a run folder: all results of the run on one page.

    The page is a single file that loads nothing from the network. If the run is incomplete, the
    page lists the missing files and the command that creates them.

    Args:
        run_folder: A folder written by `pocketlens run`.

    Returns:
        The path of the page; an older page is replaced.

    Raises:
        RunError: The folder is not a run folder, or a file in it is damaged.
        RecipeError: The recipe in the folder is invalid.
        ModelFileError: The Core ML file is damaged.
        OutputError: The page cannot be written.
    """
    run = read_run(Path(run_folder))
    page = run.folder / REPORT
    write_aside(page, render(run))
    return page


def page_environment() -> Environment:
    """What renders a page: everything is escaped, and numbers have filters."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("pocketlens.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_unbroken,
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
        "printable": printable,
    }
    return environment


def render(run: Run) -> str:
    """The HTML of the page."""
    return (
        page_environment()
        .get_template("report.html")
        .render(
            run=run,
            recipe=run.recipe,
            version=version("pocketlens"),
            resume=_resume(run),
            steps=_steps(run),
            tiles=_tiles(run),
            pictures=page_figures(run),
            classes=_class_rows(run.evaluation) if run.evaluation else [],
            class_rows=CLASS_ROWS,
            counted=_counted(run),
            confusions=_confusions(run.evaluation) if run.evaluation else [],
            declared=_declared(run),
            settings=_settings(run),
            stages=_stages(run),
            projects=sorted(p.name for p in run.app.glob("*.xcodeproj")) if run.app else [],
            commands=_commands(run),
            website=_website(run),
        )
    )


def _unbroken(value: Any) -> Any:
    """A value of the template; a number stays on one line with its percent sign."""
    return value.replace(" %", "\N{NO-BREAK SPACE}%") if isinstance(value, str) else value


def duration_text(seconds: float) -> str:
    """Format a duration in seconds: `0.34 s`, `12.3 s`, `4 min 05 s`, `2 h 10 min`."""
    if seconds < 1:
        return f"{seconds:.2f} s"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def milliseconds_text(milliseconds: float) -> str:
    """Format milliseconds with three significant digits: `0.0912 ms`, `3.46 ms`."""
    return f"{milliseconds:.3g} ms" if milliseconds < 1000 else f"{milliseconds:,.0f} ms"


def _path(path: Path) -> Path:
    """The path, relative if it is inside the current folder."""
    absolute, here = path.resolve(), Path.cwd()
    return absolute.relative_to(here) if absolute.is_relative_to(here) else path


def _resume(run: Run) -> str:
    """The command that creates what is missing.

    Finished stages are skipped, so only a new start creates their files again. A comparison that
    failed with float16 would fail again.
    """
    if run.check and not run.check.parity.passed and run.check.precision == "float16":
        return float32_command(_path(run.folder))
    stages = {item.path: item.stage for item in CONTENTS}  # all but the Core ML file
    lost = any(stages.get(path, "convert") in run.stages for path in run.missing)
    return run_command(_path(run.folder), *(["--force"] if lost else []))


def _steps(run: Run) -> list[tuple[str, str]]:
    """The steps of the run with a short result of each: `(name, note)`."""
    recipe, steps = run.recipe, []
    if run.data:
        total = run.data.train + run.data.validation + run.data.test
        steps.append(
            (run.data.source, f"{plural(total, 'image')}, {plural(len(run.data.classes), 'class')}")
        )
    if run.metrics:
        steps.append((run.metrics.network, f"{run.metrics.parameters:,} parameters"))
        time = duration_text(run.metrics.training_seconds)
        steps.append((f"trained on {run.metrics.device}", f"{_effort(run)}, {time}"))
    if run.check:
        steps.append((run.check.file, f"{size_text(run.check.file_bytes)}, {run.check.precision}"))
    if run.app:
        steps.append((recipe.app.name, "Xcode project"))
    if run.web:
        steps.append((recipe.web.name or recipe.app.name, "website"))
    return steps


def _tiles(run: Run) -> list[Tile]:
    tiles = []
    if run.evaluation:
        found = run.evaluation
        low, high = found.interval
        note = f"95 % confidence interval {percent(low)} to {percent(high)}, {found.n:,} images"
        tiles.append(Tile("test accuracy", percent(found.accuracy), note, "main"))
    if run.cross_validated is not None and run.data:
        images = f"{run.cross_validated_images:,} training images"
        note = f"of {images}, by models that did not see them"
        tiles.append(Tile("cross-validated accuracy", percent(run.cross_validated), note))
    if run.camera:
        if photos := run.camera.table("camera"):
            score = photos.scores[0][0]
            note = f"of {score.n:,} simulated photos, measured with the Core ML file"
            tiles.append(Tile("camera accuracy", percent(score.accuracy), note, "main"))
        rejection = run.camera.rejection
        note = (
            f"of {rejection.false.n:,} empty scenes get a label; "
            f"{percent(rejection.kept.share)} of the images with a class do"
        )
        tiles.append(Tile("false positives", percent(rejection.false.share), note))
    if run.check:
        parity = run.check.parity
        note = f"same label as the trained network; mean |Δp| {small(parity.mean_difference)}"
        tone = "good" if parity.passed else "bad"
        tiles.append(Tile("parity", percent(parity.agreement), note, tone))
        size = size_text(run.check.file_bytes)
        tiles.append(Tile("Core ML file", size, f"{run.check.format}, {run.check.precision}"))
        time = milliseconds_text(run.check.milliseconds_per_image)
        load = duration_text(run.check.load_seconds)
        tiles.append(
            Tile("time per image", time, f"Core ML file on this computer; loaded in {load}")
        )
    if run.metrics:
        time = duration_text(run.metrics.training_seconds)
        note = f"{_effort(run)} on {run.metrics.device}"
        tiles.append(Tile("training time", time, note))
    if run.evaluation:
        error = percent(run.evaluation.calibration.error)
        tiles.append(Tile("calibration error", error, "mean difference of confidence and accuracy"))
    return tiles


def _effort(run: Run) -> str:
    """How much was trained: `3 epochs`, `head only`, or `head and last blocks`."""
    if not run.on_features:
        return plural(len(run.history), "epoch")
    tuned = run.metrics.fine_tuning if run.metrics else None
    return "head and last blocks" if tuned and tuned.pays else "head only"


def _website(run: Run) -> dict[str, str] | None:
    """The folder of the website, and its address with a QR code if it is known."""
    from pocketlens.qr_code import qr_image
    from pocketlens.web.listing import read_listing
    from pocketlens.web.options import check_web_options

    if run.web is None:
        return None
    url = read_listing(run.web).options.get("url", "")
    if not url or check_web_options(url=url):  # the file may be from anybody
        url = ""
    serve = program("python", "-m", "http.server", "--directory", _path(run.web))
    return {"serve": serve, "url": url, "code": qr_image(url) if url else ""}


def _class_rows(evaluation: Evaluation) -> list[dict[str, Any]]:
    """Scores of each class, the number of missed images, and their share of the largest number."""
    missed = [sum(row) - row[k] for k, row in enumerate(evaluation.confusion)]
    most = max(missed) or 1
    rows = [
        asdict(score) | {"missed": n, "share": n / most}
        for score, n in zip(evaluation.per_class, missed, strict=True)
    ]
    if len(rows) > CLASS_ROWS:
        rows.sort(key=lambda row: 2 if row["recall"] is None else row["recall"])
    return rows[:CLASS_ROWS]


def _counted(run: Run) -> list[str]:
    """The classes in the check of the files."""
    splits = run.data_check.counts.values() if run.data_check else ()
    return list(dict.fromkeys(name for split in splits for name in split))


def _confusions(evaluation: Evaluation) -> list[tuple[str, str, int]]:
    counts = np.array(evaluation.confusion)
    np.fill_diagonal(counts, 0)
    order = np.argsort(-counts, axis=None, kind="stable")[:CONFUSIONS]
    places = [divmod(int(place), len(counts)) for place in order]
    names = evaluation.classes
    return [(names[y], names[x], int(counts[y, x])) for y, x in places if counts[y, x]]


def _declared(run: Run) -> dict[str, Any] | None:
    """The description of the Core ML file, read from the file itself."""
    if run.model is None:
        return None
    from pocketlens.model_files import inspect

    return inspect(run.model)


def feature_text(feature: Mapping[str, Any]) -> str:
    """Format the type of an input or output, for example `image, 28 × 28 pixels, gray`."""
    if feature["type"] == "image":
        size = f"{feature['width']} × {feature['height']} pixels"
        return f"image, {size}, {feature['color']}"
    if "shape" in feature:
        sides = " × ".join(str(side) for side in feature["shape"])
        return f"{feature['type']}, {sides}, {feature['dtype']}"
    return (
        f"{feature['type']}, keys: {feature['keys']}" if "keys" in feature else str(feature["type"])
    )


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
    """Name, seconds and share of the longest stage, in the order in which they ran."""
    longest = max(run.stages.values(), default=0) or 1
    return [(STAGE_TITLES.get(name, name), s, s / longest) for name, s in run.stages.items()]


def _commands(run: Run) -> list[Command]:
    recipe, folder = run.recipe, _path(run.folder)
    commands = []
    if run.model:
        model = _path(run.model)
        commands += [
            Command("Classify your own image", command("predict", model, "photo.jpg")),
            Command("Show the description of the Core ML file", command("inspect", model)),
            Command(
                "Compare the Core ML file with the trained network again",
                command("verify", folder),
            ),
        ]
        if run.web is None:
            again = ["--force"] if (run.folder / WEB).exists() else []
            line = command("web", folder, *again)
            commands.append(Command("Write a website that runs the model on any phone", line))
    epochs = f"training.epochs={2 * recipe.training.epochs}"
    longer = run_command(folder, "--set", epochs, out=folder_beside(folder, "longer"))
    # The second source, the start and the classes of this run belong to its own images.
    own = run_command(
        folder,
        "--data",
        "FOLDER",
        "--set",
        "data.extra=",
        "--set",
        "training.start=",
        out="runs/mine",
    )
    if not run.on_features:
        commands.append(Command("Train longer, in another folder", longer))
    commands += [
        Command("Train on your own images, one folder per class", own),
        Command("List the included recipes", command("recipes", "list")),
    ]
    return commands

"""`run`: data → train → evaluate → convert → verify → app → report, in one folder, resumable.

Each stage reads what the earlier ones wrote to the run folder, writes its own files, and is then
recorded in `stages.json`. A second call continues after the last finished stage.
"""

from __future__ import annotations

import json
import shutil
import statistics
import time
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from functools import cached_property
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pocketlens.callbacks import Callback, check_callbacks
from pocketlens.errors import (
    CheckFailedError,
    OptionError,
    OutputError,
    OutputExistsError,
    PluginError,
    RecipeError,
    TrainingError,
    did_you_mean,
    printable,
)
from pocketlens.files import read_limited, remove_leftovers, size_on_disk, write_aside
from pocketlens.prediction import NOTHING
from pocketlens.recipe import MAX_RECIPE_BYTES, Overrides, Recipe, list_recipes, load_recipe
from pocketlens.registry import AUGMENTATIONS, NETWORKS
from pocketlens.report.drawer import Drawer, Job
from pocketlens.run_contents import (
    APP,
    CAMERA,
    CHECKPOINT,
    CONTENTS,
    DATA,
    FIGURES,
    METRICS,
    MODEL_SUFFIXES,
    PARITY,
    RECIPE,
    STAGE_TIMES,
    STAGES,
    WEIGHTS,
    run_command,
)
from pocketlens.run_folder import Check, DataSummary, Metrics, Run, read_run

if TYPE_CHECKING:
    from pocketlens.coreml import CoreMLModel
    from pocketlens.data import Dataset
    from pocketlens.recognizer import Recognizer

__all__ = ["STAGES", "check", "run"]

MAX_NAME = 200
"""The longest name of a run or model, in bytes; with a suffix it has to be a file name."""

DRAWING = ("data", "train", "evaluate", "verify")
"""The stages that draw figures."""


def run(
    recipe: str | Path | Recipe = "digits",
    *,
    out: str | Path | None = None,
    overrides: Overrides = (),
    resume: bool = False,
    force: bool = False,
    until: str = "report",
    callbacks: Iterable[Callback] = (),
) -> Run:
    """Run a recipe: from images to a checked Core ML file, an app and a report.

    Args:
        recipe: The name of a shipped recipe, the path of a TOML file, or a `Recipe`.
        out: The run folder; default: `runs/<recipe name>`. If it already holds a run of the same
            recipe, its finished stages are skipped.
        overrides: Changed keys of the recipe, such as `{"training.epochs": 3}`.
        resume: Continue an interrupted training from its checkpoint.
        force: Start again: remove the run in `out` first.
        until: The last stage to run; one of `STAGES`.
        callbacks: Called as the run proceeds.

    Returns:
        The finished run.

    Raises:
        RecipeError: An invalid recipe; all errors are listed, before the first stage starts.
        OutputExistsError: `out` contains something else, or an unfinished training while neither
            `resume` nor `force` is set.
        CheckFailedError: The Core ML file does not agree with the trained network.
        OutputError: The folder cannot be written (no permission, disk full) or was removed.
        KeyboardInterrupt: Ctrl-C; the best weights so far are kept.
        PocketlensError: Any error of a stage.
    """
    if until not in STAGES:
        raise OptionError(f"there is no stage '{until}'; {did_you_mean(until, STAGES)}")
    resolved = check(recipe, overrides, out=None if force else out)
    callbacks = check_callbacks(callbacks)
    folder = Path(out) if out else Path("runs") / resolved.name
    _open(folder, resolved, resume=resume, force=force)
    finished = _complete_stages(read_run(folder))
    planned = STAGES[: STAGES.index(until) + 1]
    left = [name for name in planned if name not in finished]
    with Drawer() if set(left) & set(DRAWING) else nullcontext() as drawer:
        work = _Work(folder, resolved, callbacks, drawer, left, resume=resume)
        for name in planned:
            for callback in callbacks:
                callback.stage(name, done=name in finished)
            if name in finished:
                continue
            started = time.perf_counter()
            getattr(work, name)()
            if not (folder / RECIPE).is_file():
                raise OutputError(
                    f"{folder} was removed or renamed during the stage '{name}'; restore it, or "
                    "start again with another --out"
                )
            finished[name] = round(time.perf_counter() - started, 3)
            work.write(STAGE_TIMES, finished)
    return read_run(folder)


def check(
    recipe: str | Path | Recipe,
    overrides: Overrides = (),
    *,
    out: str | Path | None = None,
) -> Recipe:
    """The recipe, after all checks that are possible before the run starts.

    Args:
        recipe: As for `run`.
        overrides: As for `run`.
        out: The run folder. If the run has already loaded its images, they are not checked again.

    Raises:
        OptionError: There is no such recipe, or an override is not of the form KEY=VALUE.
        RecipeError: An invalid recipe; all errors are listed: those of the file, and those of its
            data, network, augmentation, device and app.
    """
    try:
        resolved = load_recipe(recipe, overrides)
    except RecipeError as error:
        raise RecipeError(
            [*error.errors, *_errors(error.valid)], source=error.source, valid=error.valid
        ) from None
    valid = dict(vars(resolved))
    if out and (Path(out) / DATA).is_file():
        del valid["data"]
    if errors := _errors(valid):
        raise RecipeError(errors, source=f"recipe '{resolved.name}'")
    return resolved


def _errors(valid: Mapping[str, Any]) -> list[str]:
    """The errors that each package finds in its table; `valid` lacks tables with other errors."""
    from pocketlens import augment, networks
    from pocketlens import data as sources
    from pocketlens.app import check_options

    data, network, augmentation, training, model, app = (
        valid.get(key) for key in ("data", "network", "augment", "training", "model", "app")
    )
    found = []
    for key, name in (("name", valid.get("name")), ("model.name", model and model.name)):
        if name is not None and (name in ("", ".", "..") or set(name) & set("/\\:\0")):
            found.append(f"{key} must be a file name without / \\ :; received: {name!r}")
        elif name is not None and (printable(name) != name or len(name.encode()) > MAX_NAME):
            found.append(
                f"{key} must be a name without control characters, of at most {MAX_NAME} bytes; "
                f"received: {name!r:.300}"
            )
    if data:
        batch_size = training.batch_size if training else 0
        found += sources.errors(data, seed=valid.get("seed", 0), batch_size=batch_size)
    known = _as_shipped(valid)
    if network and not known:
        found += networks.errors(network, valid.get("input"))
    if augmentation and not known:
        nothing = data.nothing if data else 0.0
        found += augment.errors(augmentation, nothing=nothing, input_spec=valid.get("input"))
    if training and training.device not in ("auto", "cpu"):
        from pocketlens.training.device import choose_device

        try:
            choose_device(training.device)
        except TrainingError as error:
            found.append(str(error))
    if app:
        found += check_options(app.name, app.bundle_id, app.team or None)
    return found


def _as_shipped(valid: Mapping[str, Any]) -> bool:
    """Whether the network, its input and the augmentation are those of a shipped recipe.

    A test checks that these are valid. Checking them here would import PyTorch before the run
    starts; it is imported later, while the figures of the data are drawn.
    """
    if valid.get("name") not in list_recipes():
        return False
    shipped = load_recipe(valid["name"])
    try:
        plugins = NETWORKS.is_plugin(shipped.network.name)
        plugins = plugins or AUGMENTATIONS.is_plugin(shipped.augment.name)
        if plugins:
            return False
    except PluginError:  # another package has the same name, which the full check reports
        return False
    same = all(valid.get(key) == getattr(shipped, key) for key in ("network", "input", "augment"))
    return same and "data" in valid and valid["data"].nothing == shipped.data.nothing


def _open(folder: Path, recipe: Recipe, *, resume: bool, force: bool) -> None:
    """Create the run folder, or check that it holds a run of the same recipe."""
    if folder.exists() and not folder.is_dir():
        raise OutputExistsError(f"{folder} is a file; expected a folder; choose another --out")
    is_run = (folder / RECIPE).is_file()
    if is_run:
        remove_leftovers(folder)
    if folder.exists() and not is_run and any(folder.iterdir()):
        raise OutputExistsError(
            f"{folder} is not empty and is not a run folder; choose another --out"
        )
    if is_run and force:
        _clear(folder)
        is_run = False
    if not is_run:
        write_aside(folder / RECIPE, recipe.to_toml())
        return
    existing = read_run(folder)
    if differences := recipe.differences(existing.recipe):
        raise OutputExistsError(
            f"{folder} holds a run of another recipe ({'; '.join(differences[:5])}); "
            "choose another --out, or start again with --force"
        )
    if (folder / CHECKPOINT).exists() and "train" not in existing.stages and not resume:
        raise OutputExistsError(
            f"{folder} holds an unfinished training; continue it with --resume, or start again "
            "with --force"
        )


def _complete_stages(run: Run) -> dict[str, float]:
    """The finished stages, up to the first whose files are not all there any more.

    That one and those after it are repeated.
    """
    missing = set(run.missing)
    lost = {item.stage for item in CONTENTS if item.path in missing}
    if run.model is None:
        lost.add("convert")
    if run.report is None:
        lost.add("report")
    if run.metrics is not None and run.evaluation is None:
        lost = (lost - {"train"}) | {"evaluate"}  # `metrics.json` lacks only the evaluation
    return dict(takewhile(lambda stage: stage[0] not in lost, run.stages.items()))


def _clear(folder: Path) -> None:
    """Remove everything that a run wrote; other files in the folder stay.

    Raises:
        OutputError: Something cannot be removed.
    """
    paths = [folder / item.path for item in CONTENTS if item.path != RECIPE]
    try:
        name = tomllib.loads(read_limited(folder / RECIPE, MAX_RECIPE_BYTES).decode())["model"][
            "name"
        ]
        models = {f"{name}{suffix}" for suffix in MODEL_SUFFIXES}
        # Only files in the folder itself: a recipe from elsewhere may name `../other`.
        paths += [path for path in folder.iterdir() if path.name in models]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        pass  # a damaged recipe does not tell which Core ML file is the run's
    try:
        # The recipe goes last: if this is interrupted, the folder must still count as a run.
        for path in [*paths, folder / RECIPE]:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(
            f"{error.filename or folder} cannot be removed: {error.strerror or error}; "
            "remove it yourself, or choose another --out"
        ) from error


class _Work:
    """The stages. Images are loaded once, by the first stage of this call that needs them."""

    def __init__(
        self,
        folder: Path,
        recipe: Recipe,
        callbacks: tuple[Callback, ...],
        drawer: Drawer | None,
        left: Sequence[str],
        *,
        resume: bool,
    ) -> None:
        self.folder = folder
        self.recipe = recipe
        self.callbacks = callbacks
        self.drawer = drawer
        self.left = left
        self.resume = resume
        self.trained = "train" in read_run(folder).stages
        self.figures = folder / FIGURES
        self.model = folder / f"{recipe.model.name}.{recipe.model.format}"

    def write(self, name: str, content: Mapping[str, Any]) -> None:
        """Write one of the run's JSON files."""
        text = json.dumps(content, indent=2, ensure_ascii=False)
        write_aside(self.folder / name, text + "\n")

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

    @cached_property
    def train_set(self) -> Dataset:
        return self._load("train")

    @cached_property
    def test_set(self) -> Dataset:
        return self._load("test")

    def _downloaded(self, file: str, received: int, total: int | None) -> None:
        for callback in self.callbacks:
            callback.download(file, received, total)

    def _load(self, split: str) -> Dataset:
        # After the first stage, `data.json` has the source that was used; use the same one.
        return read_run(self.folder).load(split)

    @cached_property
    def recognizer(self) -> Recognizer:
        from pocketlens.recognizer import Recognizer

        return Recognizer.load(self.folder)

    def data(self) -> None:
        from pocketlens import augment
        from pocketlens.data import load_data, resolve

        requested, seed = self.recipe.data.source, self.recipe.seed
        resolved = resolve(requested, progress=self._downloaded)
        if resolved.note:
            for callback in self.callbacks:
                callback.note(resolved.note)
        self.train_set, self.test_set = (
            load_data(
                resolved.name,
                split=split,
                input_spec=self.recipe.input,
                seed=seed,
                progress=self._downloaded,
            )
            for split in ("train", "test")
        )
        rest, held = self.train_set.split(self.recipe.data.validation, seed=seed)
        jobs: list[Job] = [
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

    def train(self) -> None:
        from pocketlens.training import train

        training = train(
            self.recipe,
            self.train_set,
            folder=self.folder,
            # A training that was finished before continues after its last epoch: nothing is left.
            resume=(self.resume or self.trained) and (self.folder / CHECKPOINT).exists(),
            callbacks=self.callbacks,
        )
        weights = training.recognizer.save(self.folder / WEIGHTS, force=True)
        if training.interrupted:
            epochs = len(training.history)
            command = f"{run_command(self.folder)} --resume"
            raise KeyboardInterrupt(
                f"interrupted after {epochs} of {self.recipe.training.epochs} epochs; the best "
                f"weights so far are in {weights}; continue with: {command}"
            )
        rows = [asdict(epoch) for epoch in training.history]
        history: Job = ("draw_history", (rows, self.figures / "history.svg"))
        self.draw([history], before="convert", meanwhile=_import_converter)
        metrics = Metrics(
            self.recipe.network.name,
            training.recognizer.parameters,
            training.device,
            training.seconds,
            training.best_epoch,
            training.recognizer.temperature,
        )
        self.write(METRICS, asdict(metrics))

    def evaluate(self) -> None:
        from pocketlens.evaluation.accuracy import evaluate

        evaluation = evaluate(self.recognizer, self.test_set)
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
        self.write(METRICS, {**asdict(metrics), "recognizer": evaluation.to_dict()})

    def convert(self) -> None:
        from pocketlens.conversion import ModelMetadata, convert

        model = self.recipe.model
        convert(
            self.recognizer,
            self.model,
            format=model.format,
            precision=model.precision,
            metadata=ModelMetadata(model.author, model.license, model.version, model.description),
            force=True,
        )

    def verify(self) -> None:
        from pocketlens.coreml import load
        from pocketlens.evaluation.parity import verify
        from pocketlens.report.app_screen import draw_app_screen

        started = time.perf_counter()
        model = load(self.model)
        load_seconds = time.perf_counter() - started
        parity = verify(self.recognizer, model, self.test_set)
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
        self.write(PARITY, {**vars(check), "parity": parity.to_dict()})
        if not parity.passed:
            raise CheckFailedError(
                f"{self.model} does not agree with the trained network: "
                f"{'; '.join(str(parity).splitlines())}{self._more_precise()}"
            )
        draw_app_screen(model, self.test_set, self.figures / "app.svg")
        if NOTHING in model.classes:
            self.show_nothing(model)

    def _more_precise(self) -> str:
        """The next command after a failed comparison; empty if the file is float32 already."""
        if self.recipe.model.precision == "float32":
            return ""
        return f"; try float32: {run_command(self.folder)}-float32 --set model.precision=float32"

    def show_nothing(self, model: CoreMLModel) -> None:
        """Test the Core ML file on simulated photos, and on scenes with nothing in view."""
        from pocketlens.evaluation.robustness import run_suite
        from pocketlens.report.suite_figures import draw_rejection

        found = run_suite(model, self.test_set, seed=self.recipe.seed, tests=("camera",))
        draw_rejection(found.rejection, self.figures / "rejection.svg")
        self.write(CAMERA, found.to_dict())

    def app(self) -> None:
        from pocketlens.app import create_app

        options = self.recipe.app
        create_app(
            self.model,
            self.folder / APP,
            name=options.name,
            bundle_id=options.bundle_id,
            team=options.team or None,
            force=(self.folder / APP).exists(),
        )

    def report(self) -> None:
        from pocketlens.report import write_report

        write_report(self.folder)


def _import_training() -> None:
    import pocketlens.training  # noqa: F401


def _import_converter() -> None:
    from pocketlens.conversion.quiet import import_coremltools

    import_coremltools()


def _import_exporter() -> None:
    from pocketlens.conversion.exporting import import_exporter

    import_exporter()


def _milliseconds(predict: Callable[..., Any], data: Dataset, *, rounds: int = 5) -> float:
    """Median over rounds of the time per image, in batches of up to 200."""
    images = data.images[:200]
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        predict(images)
        times.append((time.perf_counter() - started) / len(images))
    return statistics.median(times) * 1000

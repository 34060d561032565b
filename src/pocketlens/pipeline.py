"""`run`: data → train → evaluate → convert → verify → app → report, in one folder, resumable.

Each stage reads what the earlier ones wrote in the run folder, writes its own files whole, and is
then noted in `stages.json`. A second call goes on after the last finished stage.
"""

from __future__ import annotations

import json
import shutil
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pocketlens.callbacks import Callback
from pocketlens.errors import (
    CheckFailedError,
    OptionError,
    OutputError,
    OutputExistsError,
    RecipeError,
    TrainingError,
    did_you_mean,
)
from pocketlens.files import remove_leftovers, size_on_disk, write_aside
from pocketlens.prediction import NOTHING
from pocketlens.recipe import Recipe, list_recipes, load_recipe
from pocketlens.report.drawer import Drawer, Job
from pocketlens.run_folder import Check, DataSummary, Metrics, Run, read_run

if TYPE_CHECKING:
    from pocketlens.coreml import CoreMLModel
    from pocketlens.data import Dataset
    from pocketlens.recognizer import Recognizer

__all__ = ["STAGES", "Watcher", "run"]

STAGES = ("data", "train", "evaluate", "convert", "verify", "app", "report")

DRAWING = ("data", "train", "evaluate", "verify")
"""The stages that draw figures."""

MODEL_SUFFIXES = (".mlpackage", ".mlmodel")


Watcher = Callback


def run(
    recipe: str | Path | Recipe = "digits",
    *,
    out: str | Path | None = None,
    overrides: Iterable[str] = (),
    resume: bool = False,
    force: bool = False,
    until: str = "report",
    watcher: Watcher | None = None,
) -> Run:
    """Take a recipe all the way: from images to a checked Core ML file, an app and a report.

    Args:
        recipe: A shipped recipe's name, the path of a TOML file, or a `Recipe`.
        out: The run folder; default `runs/<recipe name>`. If it holds a run of the same recipe,
            finished stages are not done again.
        overrides: `table.key=value` each, such as `training.epochs=3`.
        resume: Go on from the checkpoint of a training that was cut off.
        force: Start again: an older run in `out` is removed first.
        until: The last stage to do; one of `STAGES`.
        watcher: Is told how it goes.

    Returns:
        The finished run.

    Raises:
        RecipeError: A recipe that asks for what cannot be; every fault listed, before work starts.
        OutputExistsError: `out` holds something else, or an unfinished training and neither
            `resume` nor `force` is set.
        CheckFailedError: The Core ML file does not agree with the trained network.
        OutputError: The folder cannot be written (no permission, full disk) or was lost.
        KeyboardInterrupt: Ctrl-C; the weights reached are kept.
        PocketlensError: Whatever a stage raises.
    """
    if until not in STAGES:
        raise OptionError(f"there is no stage '{until}'; {did_you_mean(until, STAGES)}")
    resolved = check(recipe, overrides, out=None if force else out)
    watcher = watcher or Watcher()
    folder = Path(out) if out else Path("runs") / resolved.name
    _open(folder, resolved, resume=resume, force=force)
    finished = read_run(folder).stages
    planned = STAGES[: STAGES.index(until) + 1]
    left = [name for name in planned if name not in finished]
    with Drawer() if set(left) & set(DRAWING) else nullcontext() as drawer:
        work = _Work(folder, resolved, watcher, drawer, left, resume=resume)
        for name in planned:
            watcher.stage(name, done=name in finished)
            if name in finished:
                continue
            started = time.perf_counter()
            getattr(work, name)()
            if not (folder / "recipe.toml").is_file():
                raise OutputError(
                    f"{folder} was removed or renamed during stage '{name}'; put it back, or start "
                    "again with another --out"
                )
            finished[name] = round(time.perf_counter() - started, 3)
            work.write("stages.json", finished)
    return read_run(folder)


def check(
    recipe: str | Path | Recipe,
    overrides: Iterable[str] = (),
    *,
    out: str | Path | None = None,
) -> Recipe:
    """The recipe, of which all is known to be possible that can be known before any work.

    Args:
        recipe: As for `run`.
        overrides: As for `run`.
        out: The folder of a run that may have its images already; then they are not looked for.

    Raises:
        OptionError: There is no such recipe, or an override of another form.
        RecipeError: With every fault found: of the file and of what it asks for.
    """
    try:
        resolved = load_recipe(recipe, overrides)
    except RecipeError as error:
        raise RecipeError(
            [*error.faults, *_faults(error.sound)], source=error.source, sound=error.sound
        ) from None
    sound = dict(vars(resolved))
    if out and (Path(out) / "data.json").is_file():
        del sound["data"]
    if faults := _faults(sound):
        raise RecipeError(faults, source=f"recipe '{resolved.name}'")
    return resolved


def _faults(sound: Mapping[str, Any]) -> list[str]:
    """What each room finds in its table; tables that could not be read are not in `sound`."""
    from pocketlens import augment, networks
    from pocketlens import data as sources
    from pocketlens.app import check_options

    data, network, augmentation, training, model, app = (
        sound.get(key) for key in ("data", "network", "augment", "training", "model", "app")
    )
    found = []
    for key, name in (("name", sound.get("name")), ("model.name", model and model.name)):
        if name is not None and (name in ("", ".", "..") or set(name) & set("/\\:\0")):
            found.append(f"{key} is a file name without / \\ :; received: {name!r}")
    if data:
        batch_size = training.batch_size if training else 0
        found += sources.faults(data, seed=sound.get("seed", 0), batch_size=batch_size)
    known = _as_shipped(sound)
    if network and not known:
        found += networks.faults(network, sound.get("input"))
    if augmentation and not known:
        nothing = data.nothing if data else 0.0
        found += augment.faults(augmentation, nothing=nothing, input_spec=sound.get("input"))
    if training and training.device not in ("auto", "cpu"):
        from pocketlens.training.device import choose_device

        try:
            choose_device(training.device)
        except TrainingError as error:
            found.append(str(error))
    if app:
        found += check_options(app.name, app.bundle_id, app.team or None)
    return found


def _as_shipped(sound: Mapping[str, Any]) -> bool:
    """Whether the network, its input and the augmentation are those of a shipped recipe.

    These are sound, a test checks it. To check them again PyTorch would be imported now; it is
    imported while the figures of the data are drawn.
    """
    if sound.get("name") not in list_recipes():
        return False
    shipped = load_recipe(sound["name"])
    same = all(sound.get(key) == getattr(shipped, key) for key in ("network", "input", "augment"))
    return same and "data" in sound and sound["data"].nothing == shipped.data.nothing


def _open(folder: Path, recipe: Recipe, *, resume: bool, force: bool) -> None:
    """Make the run folder, or find that it holds a run of the same recipe."""
    if folder.exists() and not folder.is_dir():
        raise OutputExistsError(f"{folder} is a file; expected a folder; choose another --out")
    ours = (folder / "recipe.toml").is_file()
    if ours:
        remove_leftovers(folder)
    if folder.exists() and not ours and any(folder.iterdir()):
        raise OutputExistsError(f"{folder} is not empty and not a run folder; choose another --out")
    if ours and force:
        _clear(folder)
        ours = False
    if not ours:
        write_aside(folder / "recipe.toml", recipe.to_toml())
        return
    there = read_run(folder)
    if differences := recipe.differences(there.recipe):
        raise OutputExistsError(
            f"{folder} holds a run of another recipe ({'; '.join(differences[:5])}); "
            "choose another --out, or start again with --force"
        )
    if (folder / "checkpoint").exists() and "train" not in there.stages and not resume:
        raise OutputExistsError(
            f"{folder} holds an unfinished training; go on with --resume, or start again "
            "with --force"
        )


def _clear(folder: Path) -> None:
    """Remove what an older run wrote; anything else in the folder stays."""
    names = ["stages.json", "data.json", "checkpoint", "history.jsonl", "weights.safetensors"]
    names += ["metrics.json", "parity.json", "report.html", "figures", "app", "recipe.toml"]
    models = [file for file in folder.iterdir() if file.suffix in MODEL_SUFFIXES]
    for path in [*(folder / name for name in names), *models]:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


class _Work:
    """The stages. Images are loaded once, by the first stage of this call that needs them."""

    def __init__(
        self,
        folder: Path,
        recipe: Recipe,
        watcher: Watcher,
        drawer: Drawer | None,
        left: Sequence[str],
        *,
        resume: bool,
    ) -> None:
        self.folder = folder
        self.recipe = recipe
        self.watcher = watcher
        self.drawer = drawer
        self.left = left
        self.resume = resume
        self.figures = folder / "figures"
        self.model = folder / f"{recipe.model.name}.{recipe.model.format}"

    def write(self, name: str, content: Mapping[str, Any]) -> None:
        """Write one of the run's JSON files, whole."""
        text = json.dumps(content, indent=2, ensure_ascii=False)
        write_aside(self.folder / name, text + "\n")

    def draw(
        self,
        jobs: list[Job],
        *,
        before: str = "",
        meanwhile: Callable[[], object] | None = None,
    ) -> None:
        """Draw figures; if stage `before` is to come, `meanwhile` imports what it needs.

        The figures are whole when this returns, so the stage can be noted as finished.
        """
        assert self.drawer  # there is one if a stage that draws is left
        self.drawer.draw(jobs, meanwhile if before in self.left else None)

    @cached_property
    def train_set(self) -> Dataset:
        return self._load("train")

    @cached_property
    def test_set(self) -> Dataset:
        return self._load("test")

    def _load(self, split: str) -> Dataset:
        # `data.json` is there from the first stage on; what it says was used is used again.
        return read_run(self.folder).load(split)

    @cached_property
    def recognizer(self) -> Recognizer:
        from pocketlens.recognizer import Recognizer

        return Recognizer.load(self.folder)

    def data(self) -> None:
        from pocketlens import augment
        from pocketlens.data import load_data, resolve

        requested, seed = self.recipe.data.source, self.recipe.seed
        resolved = resolve(requested, progress=self.watcher.download)
        if resolved.note:
            self.watcher.note(resolved.note)
        self.train_set, self.test_set = (
            load_data(
                resolved.name,
                split=split,
                input_spec=self.recipe.input,
                seed=seed,
                progress=self.watcher.download,
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
        self.write("data.json", asdict(summary))

    def train(self) -> None:
        from pocketlens.training import train

        training = train(
            self.recipe,
            self.train_set,
            folder=self.folder,
            resume=self.resume and (self.folder / "checkpoint").exists(),
            callbacks=[self.watcher],
        )
        weights = training.recognizer.save(self.folder / "weights.safetensors", force=True)
        if training.interrupted:
            epochs = len(training.history)
            go_on = "go on with: pocketlens run {} --out {} --resume"
            raise KeyboardInterrupt(
                f"interrupted after {epochs} of {self.recipe.training.epochs} epochs; the "
                f"weights reached are in {weights}; "
                + go_on.format(self.folder / "recipe.toml", self.folder)
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
        self.write("metrics.json", asdict(metrics))

    def evaluate(self) -> None:
        from pocketlens.evaluation.accuracy import evaluate

        evaluation = evaluate(self.recognizer, self.test_set)
        jobs: list[Job] = [
            ("draw_confusion", (evaluation, self.figures / "confusion.svg")),
            ("draw_mistakes", (self.test_set, evaluation, self.figures / "mistakes.png")),
            ("draw_reliability", (evaluation, self.figures / "reliability.svg")),
        ]
        self.draw(jobs, before="convert", meanwhile=_import_exporter)
        metrics = read_run(self.folder).metrics
        assert metrics is not None  # the stage before wrote it
        self.write("metrics.json", {**asdict(metrics), "recognizer": evaluation.to_dict()})

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
        self.write("parity.json", {**vars(check), "parity": parity.to_dict()})
        if not parity.passed:
            raise CheckFailedError(
                f"{self.model} does not agree with the trained network: "
                f"{'; '.join(str(parity).splitlines())}; try --set model.precision=float32"
            )
        if NOTHING in model.classes:
            self.show_nothing(model)

    def show_nothing(self, model: CoreMLModel) -> None:
        """Ask the Core ML file about photographs, and about scenes with nothing in view."""
        from pocketlens.evaluation.robustness import run_suite
        from pocketlens.report.suite_figures import draw_rejection

        found = run_suite(model, self.test_set, seed=self.recipe.seed, tests=("camera",))
        draw_rejection(found.rejection, self.figures / "rejection.svg")
        self.write("camera.json", found.to_dict())

    def app(self) -> None:
        from pocketlens.app import create_app

        options = self.recipe.app
        create_app(
            self.model,
            self.folder / "app",
            name=options.name,
            bundle_id=options.bundle_id,
            team=options.team or None,
            force=(self.folder / "app").exists(),
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
    from pocketlens.conversion.from_torch import import_exporter

    import_exporter()


def _milliseconds(predict: Callable[..., Any], data: Dataset, *, rounds: int = 5) -> float:
    """Median over rounds of the time for one image, asked in batches of up to 200."""
    images = data.images[:200]
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        predict(images)
        times.append((time.perf_counter() - started) / len(images))
    return statistics.median(times) * 1000

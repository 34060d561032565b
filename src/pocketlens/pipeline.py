"""`run`: data → train → evaluate → convert → verify → app → report, in one folder, resumable.

Each stage reads what the earlier ones wrote in the run folder, writes its own files whole, and is
then noted in `stages.json`. A second call goes on after the last finished stage.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pocketlens.errors import (
    CheckFailedError,
    OptionError,
    OutputExistsError,
    RecipeError,
    RunError,
    did_you_mean,
)
from pocketlens.files import size_on_disk, write_aside
from pocketlens.recipe import Recipe, load_recipe

if TYPE_CHECKING:
    from pocketlens.data import Dataset
    from pocketlens.evaluation import Evaluation
    from pocketlens.parity import Parity
    from pocketlens.training import Epoch, Step

__all__ = ["STAGES", "Run", "Watcher", "run"]

STAGES = ("data", "train", "evaluate", "convert", "verify", "app", "report")

MODEL_SUFFIXES = (".mlpackage", ".mlmodel")


class Watcher:
    """Is told how a run goes. This one says nothing; the command line shows a progress bar."""

    def stage(self, name: str, *, done: bool) -> None:
        """A stage begins, or was finished in an earlier call."""

    def note(self, text: str) -> None:
        """Something the user must know."""

    def download(self, file: str, received: int, total: int | None) -> None:
        """So many bytes of a file have come."""

    def step(self, step: Step) -> None:
        """The training has come so far."""

    def epoch(self, epoch: Epoch) -> None:
        """An epoch is finished."""


@dataclass(frozen=True)
class Run:
    """A run folder: where its parts are, and what is in them.

    Args:
        folder: The folder.

    Raises:
        RunError: When a part is asked for that is not there or is damaged.
    """

    folder: Path

    @cached_property
    def recipe(self) -> Recipe:
        """The resolved recipe."""
        return Recipe.from_toml(self._text("recipe.toml"), source=f"{self.folder}/recipe.toml")

    @property
    def stages(self) -> dict[str, float]:
        """The finished stages and how many seconds each took."""
        if not (self.folder / "stages.json").exists():
            return {}
        stages = self._json("stages.json")
        return {name: float(stages[name]) for name in STAGES if name in stages}

    @property
    def data(self) -> dict[str, Any]:
        """Where the images came from and how many they are."""
        return self._json("data.json")

    @property
    def metrics(self) -> dict[str, Any]:
        """The training in figures, and the recogniser's evaluation."""
        return self._json("metrics.json")

    @property
    def evaluation(self) -> Evaluation:
        """The recogniser on the test set."""
        from pocketlens.evaluation import Evaluation

        return Evaluation.from_dict(self.metrics["recognizer"])

    @property
    def check(self) -> dict[str, Any]:
        """The Core ML file in figures, with its parity."""
        return self._json("parity.json")

    @property
    def parity(self) -> Parity:
        """How far the Core ML file agrees with the recogniser."""
        from pocketlens.parity import Parity

        return Parity.from_dict(self.check["parity"])

    @property
    def model(self) -> Path:
        """The Core ML file."""
        model = self.recipe.model
        return self.folder / f"{model.name}.{model.format}"

    @property
    def app(self) -> Path:
        """The folder of the Xcode project."""
        return self.folder / "app"

    @property
    def report(self) -> Path:
        """The report."""
        return self.folder / "report.html"

    def load(self, split: str, *, watcher: Watcher | None = None) -> Dataset:
        """The run's own images, `train` or `test`."""
        from pocketlens.data import load_data

        source = self.data["source"] if (self.folder / "data.json").exists() else ""
        return load_data(
            source or self.recipe.data.source,
            split=split,
            input_spec=self.recipe.input,
            seed=self.recipe.seed,
            progress=watcher.download if watcher else None,
        )

    def _text(self, name: str) -> str:
        try:
            return (self.folder / name).read_text(encoding="utf-8")
        except FileNotFoundError as error:
            raise RunError(
                f"{self.folder} has no {name}; expected a run folder that is that far: "
                f"pocketlens run --out {self.folder}"
            ) from error
        except (OSError, UnicodeDecodeError) as error:
            raise RunError(f"{self.folder / name} cannot be read: {error}") from error

    def _json(self, name: str) -> dict[str, Any]:
        try:
            found = json.loads(self._text(name))
        except (ValueError, RecursionError) as error:
            raise RunError(f"{self.folder / name} is not JSON: {error}") from error
        if not isinstance(found, dict):
            raise RunError(f"{self.folder / name} is not a JSON object")
        return found

    def write(self, name: str, content: dict[str, Any]) -> None:
        """Write one of the run's JSON files, whole."""
        write_aside(self.folder / name, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def run(
    recipe: str | Path | Recipe = "quick",
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
        KeyboardInterrupt: Ctrl-C; the weights reached are kept.
        PocketlensError: Whatever a stage raises.
    """
    if until not in STAGES:
        raise OptionError(f"there is no stage '{until}'; {did_you_mean(until, STAGES)}")
    resolved = load_recipe(recipe, overrides)
    check(resolved)
    watcher = watcher or Watcher()
    target = Run(Path(out) if out else Path("runs") / resolved.name)
    _open(target, resolved, resume=resume, force=force)
    work = _Work(target, watcher, resume=resume)
    for name in STAGES[: STAGES.index(until) + 1]:
        finished = target.stages
        watcher.stage(name, done=name in finished)
        if name in finished:
            continue
        started = time.perf_counter()
        getattr(work, name)()
        target.write("stages.json", {**finished, name: round(time.perf_counter() - started, 3)})
    return target


def check(recipe: Recipe) -> None:
    """Find out before any work whether the recipe can be carried out.

    Raises:
        RecipeError: With every fault found.
    """
    import torch

    from pocketlens import augment, networks
    from pocketlens.app import check_options

    faults = networks.faults(recipe.network) + augment.faults(recipe.augment)
    if not networks.faults(recipe.network):
        try:
            with torch.device("meta"):
                networks.build(recipe.network, recipe.input, 2)
        except RecipeError as error:
            faults += error.faults
    if not augment.faults(recipe.augment) and (augmentation := augment.build(recipe.augment)):
        height, width, channels = recipe.input.shape
        try:
            blank = torch.zeros((2, channels, height, width), dtype=torch.uint8)
            augmentation(blank, torch.Generator())
        except OptionError as error:
            faults.append(str(error))
    if not recipe.model.name or set(recipe.model.name) & set("/\\:\0"):
        faults.append(f"model.name is a file name without / \\ :; received: {recipe.model.name!r}")
    options = recipe.app
    faults += check_options(options.name, options.bundle_id, options.team or None)
    if faults:
        raise RecipeError(faults, source=f"recipe '{recipe.name}'")


def _open(target: Run, recipe: Recipe, *, resume: bool, force: bool) -> None:
    """Make the run folder, or find that it holds a run of the same recipe."""
    folder = target.folder
    if folder.exists() and not folder.is_dir():
        raise OutputExistsError(f"{folder} is a file; expected a folder; choose another --out")
    ours = (folder / "recipe.toml").is_file()
    if folder.exists() and not ours and any(folder.iterdir()):
        raise OutputExistsError(f"{folder} is not empty and not a run folder; choose another --out")
    if ours and force:
        _clear(target)
        ours = False
    if not ours:
        write_aside(folder / "recipe.toml", recipe.to_toml())
        return
    if differences := recipe.differences(target.recipe):
        raise OutputExistsError(
            f"{folder} holds a run of another recipe ({'; '.join(differences[:5])}); "
            "choose another --out, or start again with --force"
        )
    unfinished = (folder / "checkpoint").exists() and "train" not in target.stages
    if unfinished and not resume:
        raise OutputExistsError(
            f"{folder} holds an unfinished training; go on with --resume, or start again "
            "with --force"
        )


def _clear(target: Run) -> None:
    """Remove what an older run wrote; anything else in the folder stays."""
    import shutil

    names = ["stages.json", "data.json", "checkpoint", "history.jsonl", "weights.safetensors"]
    names += ["metrics.json", "parity.json", "report.html", "figures", "app", "recipe.toml"]
    models = [f for f in target.folder.iterdir() if f.suffix in MODEL_SUFFIXES]
    for path in [*(target.folder / name for name in names), *models]:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


class _Work:
    """The stages. Images are loaded once, by the first stage of this call that needs them."""

    def __init__(self, run: Run, watcher: Watcher, *, resume: bool) -> None:
        self.run = run
        self.watcher = watcher
        self.resume = resume

    @cached_property
    def train_set(self) -> Dataset:
        return self.run.load("train", watcher=self.watcher)

    @cached_property
    def test_set(self) -> Dataset:
        return self.run.load("test", watcher=self.watcher)

    @cached_property
    def figures(self) -> Path:
        folder = self.run.folder / "figures"
        folder.mkdir(exist_ok=True)
        return folder

    def data(self) -> None:
        from pocketlens.data import resolve
        from pocketlens.report import figures

        recipe = self.run.recipe
        resolved = resolve(recipe.data.source, progress=self.watcher.download)
        content: dict[str, Any] = {
            "requested": recipe.data.source,
            "source": resolved.name,
            "note": resolved.note,
        }
        if resolved.note:
            self.watcher.note(resolved.note)
        self.run.write("data.json", content)  # from here on, `Run.load` uses this source
        rest, held = self.train_set.split(recipe.data.validation, seed=recipe.seed)
        content |= {
            "classes": list(self.train_set.classes),
            "train": len(rest),
            "validation": len(held),
            "test": len(self.test_set),
        }
        figures.draw_samples(self.train_set, self.figures / "samples.png")
        figures.draw_pixels(self.train_set, 0, self.figures / "pixels.png")
        figures.draw_one_hot(self.train_set, self.figures / "one_hot.svg")
        figures.draw_balance([self.train_set, self.test_set], self.figures / "balance.svg")
        self.run.write("data.json", content)

    def train(self) -> None:
        from pocketlens.report import figures
        from pocketlens.training import train

        folder = self.run.folder
        training = train(
            self.run.recipe,
            self.train_set,
            folder=folder,
            resume=self.resume and (folder / "checkpoint").exists(),
            on_step=self.watcher.step,
            on_epoch=self.watcher.epoch,
        )
        training.recognizer.save(folder / "weights.safetensors", force=True)
        if training.interrupted:
            epochs = len(training.history)
            go_on = (
                f"go on with: pocketlens run {folder / 'recipe.toml'} --out {folder} --resume"
                if epochs
                else "no epoch was finished"
            )
            raise KeyboardInterrupt(
                f"interrupted after {epochs} of {self.run.recipe.training.epochs} epochs; the "
                f"weights reached are in {folder / 'weights.safetensors'}; {go_on}"
            )
        figures.draw_history([asdict(e) for e in training.history], self.figures / "history.svg")
        self.run.write(
            "metrics.json",
            {
                "network": self.run.recipe.network.name,
                "parameters": training.recognizer.parameters,
                "device": training.device,
                "training_seconds": training.seconds,
                "best_epoch": training.best_epoch,
                "temperature": training.recognizer.temperature,
            },
        )

    def evaluate(self) -> None:
        from pocketlens.evaluation import evaluate
        from pocketlens.recognizer import Recognizer
        from pocketlens.report import figures

        evaluation = evaluate(Recognizer.load(self.run.folder), self.test_set)
        figures.draw_confusion(evaluation, self.figures / "confusion.svg")
        figures.draw_mistakes(self.test_set, evaluation, self.figures / "mistakes.png")
        figures.draw_reliability(evaluation, self.figures / "reliability.svg")
        content = self.run.metrics | {"recognizer": evaluation.to_dict()}
        self.run.write("metrics.json", content)

    def convert(self) -> None:
        from pocketlens.conversion import ModelMetadata, convert
        from pocketlens.recognizer import Recognizer

        model = self.run.recipe.model
        convert(
            Recognizer.load(self.run.folder),
            self.run.model,
            format=model.format,
            precision=model.precision,
            metadata=ModelMetadata(model.author, model.licence, model.version, model.description),
            force=True,
        )

    def verify(self) -> None:
        from pocketlens.coreml import load
        from pocketlens.parity import verify
        from pocketlens.recognizer import Recognizer
        from pocketlens.report import figures

        started = time.perf_counter()
        model = load(self.run.model)
        load_seconds = time.perf_counter() - started
        parity = verify(Recognizer.load(self.run.folder), model, self.test_set)
        figures.draw_parity(parity, self.figures / "parity.svg")
        self.run.write(
            "parity.json",
            {
                "file": self.run.model.name,
                "file_bytes": size_on_disk(self.run.model),
                "format": self.run.recipe.model.format,
                "precision": self.run.recipe.model.precision,
                "load_seconds": load_seconds,
                "milliseconds_per_image": _milliseconds(model.probabilities, self.test_set),
                "parity": parity.to_dict(),
            },
        )
        if not parity.passed:
            raise CheckFailedError(
                f"{self.run.model} does not agree with the trained network: {parity}; try "
                "--set model.precision=float32"
            )

    def app(self) -> None:
        from pocketlens.app import create_app

        options = self.run.recipe.app
        create_app(
            self.run.model,
            self.run.app,
            name=options.name,
            bundle_id=options.bundle_id,
            team=options.team or None,
            force=True,
        )

    def report(self) -> None:
        from pocketlens.report import write_report

        write_report(self.run.folder)


def _milliseconds(predict: Callable[..., Any], data: Dataset, *, rounds: int = 5) -> float:
    """Median over rounds of the time for one image, asked in batches of up to 200."""
    images = data.images[:200]
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        predict(images)
        times.append((time.perf_counter() - started) / len(images))
    return statistics.median(times) * 1000

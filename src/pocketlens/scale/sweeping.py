"""`sweep`: search for a better recipe; the best one is written, trained and checked.

The folder of a sweep:

    sweep.json     what is searched, and how
    trials/        a JSON file for each trial that ended; what `resume` continues from
    best.toml      the best recipe
    best/          its run: the Core ML file, checked, and the app
    report.html    all trials on one page
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pocketlens import pipeline
from pocketlens.callbacks import Callback
from pocketlens.data.file_sources import FileSource
from pocketlens.errors import (
    CheckFailedError,
    OptionError,
    OutputError,
    OutputExistsError,
    RunError,
    did_you_mean,
    require,
)
from pocketlens.evaluation.accuracy import percent
from pocketlens.files import size_text, temporary_folder, write_aside
from pocketlens.locking import LOCK, owned
from pocketlens.recipe import Overrides, Recipe, load_recipe, parse_overrides
from pocketlens.report.canvas import plural
from pocketlens.run_contents import RECIPE
from pocketlens.run_files import damaged, read_part
from pocketlens.run_folder import Run, read_run
from pocketlens.scale.cluster import LOCAL, check_address, connected
from pocketlens.scale.page import write_page
from pocketlens.scale.search import Dimension, check_space, parse_space, value_text
from pocketlens.scale.trial import Budget, recipe_at
from pocketlens.scale.trials import (
    BEST_RECIPE,
    TRIALS,
    Trial,
    best_of,
    read_trials,
    run_best,
    write_trial,
)
from pocketlens.scale.tuning import Plan, run_trials

__all__ = ["Sweep", "read_sweep", "sweep"]

SETTINGS, BEST, REPORT = "sweep.json", "best", "report.html"
METHODS = ("bayesian", "random")

MOST_TRIALS = 100_000


@dataclass(frozen=True)
class Settings:
    """`sweep.json`: what is searched, and how."""

    recipe: str
    search: tuple[str, ...]
    method: str
    held: float
    seed: int
    bytes: int | None
    milliseconds: float | None


@dataclass(frozen=True)
class Sweep:
    """What a sweep found.

    Args:
        folder: Its folder.
        space: What was searched.
        trials: All trials that ended, by number.
        best: The best of them; None if none is done and within the budget.
        recipe: The recipe of the best one; None likewise.
        run: Its run; None until it was trained.
    """

    folder: Path
    space: tuple[Dimension, ...]
    trials: tuple[Trial, ...]
    best: Trial | None
    recipe: Recipe | None
    run: Run | None

    def values(self, trial: Trial) -> dict[str, str]:
        """The values that a trial tried, as text."""
        return {
            each.key: value_text(each.value(trial.coordinates[each.key])) for each in self.space
        }

    def to_dict(self) -> dict[str, Any]:
        """A dictionary for JSON."""
        return {
            "folder": str(self.folder),
            "trials": [{**each.to_dict(), "values": self.values(each)} for each in self.trials],
            "best": self.best.number if self.best else None,
            "recipe": str(self.folder / BEST_RECIPE) if self.recipe else None,
            "run": str(self.run.folder) if self.run else None,
            "report": str(self.folder / REPORT),
        }


def sweep(
    recipe: str | Path | Recipe,
    search: Iterable[str] | Mapping[str, str],
    *,
    trials: int = 20,
    out: str | Path | None = None,
    overrides: Overrides = (),
    on: str = LOCAL,
    method: str = "bayesian",
    max_bytes: int | None = None,
    max_ms: float | None = None,
    held: float = 0.1,
    processors: int = 1,
    gpus: float = 0.0,
    seed: int = 0,
    resume: bool = False,
    force: bool = False,
    train_best: bool = True,
    watch: Callable[[Trial, bool], object] = lambda _trial, _ended: None,
    callbacks: Iterable[Callback] = (),
) -> Sweep:
    """Search for a better recipe with Ray Tune; train and check the best one.

    Each trial trains one recipe without a part of the training images, converts it, and measures
    the accuracy of the Core ML file on that part. Test images are not used: they are for the run of
    the best recipe. Trials whose validation accuracy is low after a few epochs are stopped early
    (ASHA, Li et al., "A System for Massively Parallel Hyperparameter Tuning", 2020). The best of
    many trials looks a little better than it is, as it is chosen on the images that measure it.

    Args:
        recipe: As for `run`.
        search: What varies: `["training.learning_rate=log:0.001..0.1",
            "network.channels=[16,32],[32,64]"]`, or a dictionary. A range whose ends are whole
            numbers has only whole numbers.
        trials: The number of trials, at least 1.
        out: The folder to write; default: `runs/<recipe name>-sweep`.
        overrides: Changed keys of the recipe, the same in all trials.
        on: `local`, or the address of a Ray cluster, `ray://HOST:PORT`. The images must be on its
            machines, under the same path.
        method: `bayesian` (Optuna's TPE sampler) or `random`.
        max_bytes: The largest size of the Core ML file.
        max_ms: The longest time per image in milliseconds, measured on the Core ML file, one image
            at a time, on the machine of the trial.
        held: The share of the training images to compare the trials on, in [0.01, 0.5].
        processors: Processors for each trial; as many trials run at a time as fit.
        gpus: GPUs for each trial, such as 0.5 for two trials on one.
        seed: Seed of the search.
        resume: Continue a sweep in `out`: trials that ended are kept; `trials` may be larger.
        force: Start again: remove the sweep in `out` first.
        train_best: Train the best recipe with all images, and check it, as `run` does.
        watch: Called with each trial after an epoch (False) and when it ended (True).
        callbacks: Called as the run of the best recipe proceeds.

    Returns:
        All trials, and the best one.

    Raises:
        MissingExtraError: Ray, Optuna or PyTorch is not installed.
        OptionError: An invalid argument.
        RecipeError: An invalid recipe, or a search over a key that does not exist or a value that
            cannot be; all of them, before the first trial.
        OutputExistsError: `out` has a sweep, and neither `resume` nor `force` is set.
        ClusterError: The cluster does not answer, or has another version.
        CheckFailedError: No trial is within the budget, or all failed.
        KeyboardInterrupt: Ctrl-C; the trials that ended are kept.
    """
    require("optuna", "ray", "torch", purpose="a sweep")
    _check_options(trials, method, held, processors, gpus, max_bytes, max_ms)
    check_address(on)
    space = parse_space(search)
    resolved = _with_paths(pipeline.check(recipe, parse_overrides(overrides)))
    check_space(resolved, space)
    budget = Budget(max_bytes, max_ms)
    plan = Plan(resolved, space, trials, method, held, budget, processors, gpus, seed)
    folder = Path(out) if out else Path("runs") / f"{resolved.name}-sweep"
    texts = tuple(each.text for each in space)
    settings = Settings(resolved.to_toml(), texts, method, float(held), seed, max_bytes, max_ms)
    with owned(folder):
        _open(folder, settings, resume=resume, force=force)
        earlier = read_trials(folder)

        def finished(trial: Trial) -> None:
            write_trial(folder, trial)
            watch(trial, True)

        if len(earlier) < trials:
            with connected(on), temporary_folder() as storage:
                run_trials(
                    plan,
                    earlier,
                    on=on,
                    storage=str(storage),
                    finished=finished,
                    progress=lambda trial: watch(trial, False),
                )
        found = read_trials(folder)
        best = best_of(found)
        if best is None:
            write_page(folder / REPORT, resolved, space, found, budget, None)
            raise CheckFailedError(_none(found, budget, folder))
        winner = recipe_at(resolved, space, best.coordinates)
        write_aside(folder / BEST_RECIPE, _best_text(winner, best, len(found), folder))
        run = None
        if train_best:
            run = pipeline.run(
                winner,
                out=folder / BEST,
                resume=True,
                force=_is_other(folder / BEST, winner),
                callbacks=callbacks,
            )
        write_page(folder / REPORT, resolved, space, found, budget, run)
    return Sweep(folder, space, tuple(found), best, winner, run)


def read_sweep(folder: str | Path) -> Sweep:
    """Read the folder of a sweep.

    Args:
        folder: The folder, as written by `sweep`.

    Raises:
        RunError: It is not the folder of a sweep, or a file is damaged.
    """
    folder = Path(folder)
    settings = _settings(folder)
    if settings is None:
        raise RunError(
            f"{folder} is not the folder of a sweep: it has no {SETTINGS}; expected the --out of "
            "a sweep"
        )
    recipe = Recipe.from_toml(settings.recipe, source=str(folder / SETTINGS))
    space = _space(folder, settings)
    trials = read_trials(folder)
    best = best_of(trials)
    winner = recipe_at(recipe, space, best.coordinates) if best else None
    run = read_run(folder / BEST) if (folder / BEST / RECIPE).is_file() else None
    return Sweep(folder, space, tuple(trials), best, winner, run)


def _check_options(
    trials: int,
    method: str,
    held: float,
    processors: int,
    gpus: float,
    max_bytes: int | None,
    max_ms: float | None,
) -> None:
    """Check the numbers of a sweep.

    Raises:
        OptionError: One is out of range.
    """
    if method not in METHODS:
        raise OptionError(f"there is no method '{method}'; {did_you_mean(method, METHODS)}")
    for name, value, low, high in (
        ("trials", trials, 1, MOST_TRIALS),
        ("held", held, 0.01, 0.5),
        ("processors", processors, 1, 1024),
        ("gpus", gpus, 0, 64),
        ("max_bytes", max_bytes, 1, math.inf),
        ("max_ms", max_ms, 0, math.inf),
    ):
        if value is not None and not (low <= value <= high):
            end = f"from {low} to {high}" if math.isfinite(high) else f"{low} or more"
            raise OptionError(f"{name} must be {end}; received: {value!r}")


def _with_paths(recipe: Recipe) -> Recipe:
    """The recipe with complete paths: trials run in folders of their own."""
    source, changes = FileSource.parse(recipe.data.source), {}
    if source is not None:
        changes["data.source"] = f"{source.kind}{source.path.absolute()}"
    for key, path in (
        ("data.background", recipe.data.background),
        ("training.start", recipe.training.start),
    ):
        if path:
            changes[key] = str(Path(path).expanduser().absolute())
    return load_recipe(recipe, changes)


def _open(folder: Path, settings: Settings, *, resume: bool, force: bool) -> None:
    """Prepare the folder of a sweep.

    Raises:
        OutputExistsError: It holds something else, or a sweep that is neither to be continued nor
            replaced, or another sweep.
    """
    existing = _settings(folder)
    names = {path.name for path in folder.iterdir()} - {LOCK}
    if existing is None and names:
        raise OutputExistsError(
            f"{folder} is not empty and is not the folder of a sweep; choose another --out"
        )
    if existing is not None and not read_trials(folder):
        existing = None  # nothing that could be kept
    if existing is not None and force:
        for path in (folder / TRIALS).glob("[0-9]*.json"):
            path.unlink()
        for name in (BEST_RECIPE, REPORT):
            (folder / name).unlink(missing_ok=True)
        existing = None
    if existing is not None and not resume:
        raise OutputExistsError(
            f"{folder} has a sweep; continue it with --resume, or start again with --force"
        )
    if existing is not None and existing != settings:
        changed = [
            name for name, value in vars(settings).items() if getattr(existing, name) != value
        ]
        raise OutputExistsError(
            f"{folder} has another sweep: {', '.join(changed)} differ; choose another --out, or "
            "start again with --force"
        )
    try:
        (folder / TRIALS).mkdir(exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder} cannot be written: {error.strerror or error}") from error
    if existing is None:
        write_aside(folder / SETTINGS, json.dumps(asdict(settings), indent=2) + "\n")


def _settings(folder: Path) -> Settings | None:
    return read_part(folder / SETTINGS, Settings, "the settings of a sweep")


def _space(folder: Path, settings: Settings) -> tuple[Dimension, ...]:
    try:
        return parse_space(settings.search)
    except OptionError as error:
        raise damaged(folder / SETTINGS, str(error)) from error


def _is_other(best: Path, recipe: Recipe) -> bool:
    """Whether a folder has the run of another recipe, which was the best one before."""
    if not (best / RECIPE).is_file():
        return False
    resolved = pipeline.check(recipe, out=best)
    return bool(read_run(best).recipe.differences(resolved))


def _best_text(recipe: Recipe, best: Trial, count: int, folder: Path) -> str:
    """The best recipe as TOML, with where it comes from."""
    low, high = best.interval or (0.0, 0.0)
    lines = [
        f"# The best of {plural(count, 'trial')} of a sweep, trial {best.number}: "
        f"{percent(best.accuracy or 0.0)}",
        f"# ({percent(low)} to {percent(high)}) of {best.images:,} images that its training did "
        "not see.",
        "#",
        f"#     {run_best(folder)}",
    ]
    return "\n".join(lines) + "\n\n" + recipe.to_toml()


def _none(trials: list[Trial], budget: Budget, folder: Path) -> str:
    """Why no trial can be chosen."""
    failed = [each for each in trials if each.state == "failed"]
    if failed and len(failed) == len(trials):
        return f"all {plural(len(trials), 'trial')} failed; the first one: {failed[0].reason}"
    limits = []
    if budget.bytes is not None:
        sizes = [each.bytes for each in trials if each.bytes is not None]
        found = f"; the smallest file has {size_text(min(sizes))}" if sizes else ""
        limits.append(f"{size_text(budget.bytes)}{found}")
    if budget.milliseconds is not None:
        times = [each.milliseconds for each in trials if each.milliseconds is not None]
        found = f"; the fastest one takes {min(times):.3g} ms" if times else ""
        limits.append(f"{budget.milliseconds:g} ms an image{found}")
    text = f" of {' and '.join(limits)}" if limits else ""
    return (
        f"none of {plural(len(trials), 'trial')} is within the budget{text}; all are in "
        f"{folder / REPORT}. Search smaller networks, or allow more"
    )

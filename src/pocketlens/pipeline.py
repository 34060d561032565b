"""`run`: data → train → evaluate → convert → verify → app → web → report, resumable.

Only a recipe with `web.enabled` has the stage `web`.

Each stage reads what the earlier ones wrote to the run folder, writes its own files, and is then
recorded in `stages.json`. A second call continues after the last finished stage.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

from pocketlens.callbacks import Callback, check_callbacks
from pocketlens.data.drawn_things import is_drawn
from pocketlens.data.file_sources import FileSource
from pocketlens.data.folder import count_images
from pocketlens.data.recipe_images import count_training_images
from pocketlens.errors import (
    DataError,
    OptionError,
    OutputError,
    PluginError,
    RecipeError,
    RunError,
    TrainingError,
    did_you_mean,
    printable,
    require,
)
from pocketlens.locking import owned
from pocketlens.naming import defaults, names_for_data
from pocketlens.networks.backbones import method_errors, packages_of
from pocketlens.recipe import (
    Overrides,
    Recipe,
    list_recipes,
    load_recipe,
    parse_overrides,
)
from pocketlens.registry import AUGMENTATIONS, NETWORKS
from pocketlens.report.drawer import Drawer
from pocketlens.run_contents import DATA, STAGES, stages_of
from pocketlens.run_folder import Run, read_finished, read_run
from pocketlens.run_state import (
    complete_stages,
    open_run,
    remove_results,
    remove_run,
    write_finished,
)
from pocketlens.stages import Stages, refuse_problems

__all__ = ["STAGES", "check", "run"]

MAX_NAME = 200
"""The longest name of a run or model, in bytes; with a suffix it has to be a file name."""

PACKAGES = ("coremltools", "matplotlib", "onnxruntime", "torch")
"""What the stages need; checked before the first one, so that none is missing at the last."""

DRAWING = ("data", "train", "evaluate", "verify")
"""The stages that draw figures."""


def run(
    recipe: str | Path | Recipe | None = None,
    *,
    out: str | Path | None = None,
    overrides: Overrides = (),
    resume: bool = False,
    force: bool = False,
    strict: bool = False,
    until: str = "report",
    callbacks: Iterable[Callback] = (),
) -> Run:
    """Run a recipe: from images to a checked Core ML file, an app and a report.

    Args:
        recipe: The name of a shipped recipe, the path of a TOML file, or a `Recipe`. By default
            `photos` if `overrides` name a folder or CSV file as `data.source`, else `digits`.
        out: The run folder; default: `runs/<recipe name>`. If it already holds a run of the same
            recipe, its finished stages are skipped.
        overrides: Changed keys of the recipe, such as `{"training.epochs": 3}`.
        resume: Continue an interrupted training from its checkpoint.
        force: Start again: remove the run in `out` first.
        strict: Stop if the check of a folder or CSV file finds a problem, see `check_data`.
        until: The last stage to run; one of `STAGES`. Only a recipe with `web.enabled` has `web`.
        callbacks: Called as the run proceeds.

    Returns:
        The finished run.

    Raises:
        MissingExtraError: PyTorch or Matplotlib is not installed.
        RecipeError: An invalid recipe; all errors are listed, before the first stage starts.
        OutputExistsError: `out` contains something else, or an unfinished training while neither
            `resume` nor `force` is set.
        CheckFailedError: The Core ML file does not agree with the trained network; or `strict` is
            set, and there is a problem.
        OutputError: The folder cannot be written (no permission, disk full), was removed, or
            another process works in it.
        KeyboardInterrupt: Ctrl-C; the best weights so far are kept.
        PocketlensError: Any error of a stage.
    """
    if until not in STAGES:
        raise OptionError(f"there is no stage '{until}'; {did_you_mean(until, STAGES)}")
    require(*PACKAGES, purpose="a run")
    overrides = parse_overrides(overrides)
    recipe = recipe or default_recipe(overrides)
    resolved = check(recipe, overrides, out=None if force else out)
    require(*packages_of(resolved.network), purpose=f"the recipe '{resolved.name}'")
    if resolved.web.enabled and resolved.web.url:
        require("segno", purpose="a QR code in the report")
    callbacks = check_callbacks(callbacks)
    asked, fitting = (
        each.training.batch_size for each in (load_recipe(recipe, overrides), resolved)
    )
    if fitting < asked and resolved.training.method == "epochs":
        for callback in callbacks:
            callback.note(
                f"training.batch_size is {fitting} instead of {asked}, as there are no more "
                "training images"
            )
    folder = Path(out) if out else Path("runs") / resolved.name
    planned = [each for each in stages_of(resolved) if STAGES.index(each) <= STAGES.index(until)]
    with owned(folder):
        new = open_run(folder, resolved, resume=resume, force=force)
        finished = complete_stages(folder)
        left = [stage for stage in planned if stage not in finished]
        # A training that was finished before continues after its last epoch: nothing is left.
        resume = resume or "train" in read_finished(folder)
        checked = read_run(folder).data_check if strict and "data" in finished else None
        if checked:
            refuse_problems(checked)
        if left:
            remove_results(folder, left[0], finished)
        with Drawer() if set(left) & set(DRAWING) else nullcontext() as drawer:
            work = Stages(folder, resolved, callbacks, drawer, left, resume=resume, strict=strict)
            try:
                for stage in planned:
                    for callback in callbacks:
                        callback.stage(stage, done=stage in finished)
                    if stage in left:
                        finished[stage] = work.run(stage)
                        write_finished(folder, finished)
            except BaseException:
                if new and not finished:  # nothing was written that could be resumed
                    with suppress(OSError, OutputError):
                        remove_run(folder)
                raise
        return read_run(folder)


def check(
    recipe: str | Path | Recipe,
    overrides: Overrides = (),
    *,
    out: str | Path | None = None,
) -> Recipe:
    """The recipe, after all checks that are possible before the run starts.

    Its batch size is at most the number of training images, unless an override sets it.

    Args:
        recipe: As for `run`.
        overrides: As for `run`.
        out: The run folder. If the run has already loaded its images, they are not checked again.

    Raises:
        OptionError: There is no such recipe, or an override is not of the form KEY=VALUE.
        RecipeError: An invalid recipe; all errors are listed: those of the file, and those of its
            data, network, augmentation, device and app.
    """
    pairs = parse_overrides(overrides)
    try:
        resolved = load_recipe(recipe, pairs)
    except RecipeError as error:
        raise RecipeError(
            [*error.errors, *_errors(error.valid)], source=error.source, valid=error.valid
        ) from None
    resolved = _named(recipe, resolved, pairs, out)
    training = pairs.get("training")
    if resolved.training.method == "epochs" and not (
        "training.batch_size" in pairs or (training is not None and "batch_size" in training)
    ):
        fitting = _fitting_batch_size(resolved, out)
        resolved = resolved.replace(training={"batch_size": fitting})
    valid = dict(vars(resolved))
    if out and (Path(out) / DATA).is_file():
        del valid["data"]
    if errors := _errors(valid):
        raise RecipeError(errors, source=f"recipe '{resolved.name}'")
    return resolved


def default_recipe(pairs: Mapping[str, Any]) -> str:
    """`photos` for a folder or CSV file of the user, `doodles` for drawn things, else `digits`."""
    table = pairs.get("data")
    source = pairs.get("data.source") or (table.get("source") if isinstance(table, Mapping) else "")
    if FileSource.parse(str(source or "")):
        return "photos"
    return "doodles" if is_drawn(str(source or "")) else "digits"


def _named(
    recipe: str | Path | Recipe,
    resolved: Recipe,
    pairs: Mapping[str, Any],
    out: str | Path | None,
) -> Recipe:
    """A shipped recipe on the user's own data, named after it instead of after the recipe's.

    A run that has loaded its images keeps its description, which lists its classes.
    """
    source = FileSource.parse(resolved.data.source)
    if str(recipe) not in list_recipes() or source is None:
        return resolved
    classes: tuple[str, ...] = ()
    with suppress(OptionError, DataError):  # reported with the other errors
        classes = tuple(count_images(source, "train"))
    names = names_for_data(resolved.data.source, str(recipe), classes)
    if out and (Path(out) / DATA).is_file():
        with suppress(RecipeError, RunError):  # reported when the folder is opened
            names["model.description"] = read_run(out).recipe.model.description
    return load_recipe(resolved, defaults(pairs, names))


def _fitting_batch_size(recipe: Recipe, out: str | Path | None) -> int:
    """The batch size of the recipe, or the number of its training images if there are fewer.

    A run that has loaded its images keeps its own.
    """
    size = recipe.training.batch_size
    # What these raise is reported with the other errors, or when the folder is opened.
    with suppress(OptionError, DataError, PluginError, RecipeError, RunError):
        if out and (Path(out) / DATA).is_file():
            return min(size, read_run(out).recipe.training.batch_size)
        return min(size, max(2, count_training_images(recipe.data, seed=recipe.seed)))
    return size


def _errors(valid: Mapping[str, Any]) -> list[str]:
    """The errors that each package finds in its table; `valid` lacks tables with other errors."""
    from pocketlens import augment, networks
    from pocketlens import data as sources
    from pocketlens.app import check_options
    from pocketlens.web.options import check_web_options

    data, network, augmentation, training, model, app, web = (
        valid.get(key) for key in ("data", "network", "augment", "training", "model", "app", "web")
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
        trained = training is not None and training.method == "epochs"
        batch_size = training.batch_size if training and trained else 0
        found += sources.errors(data, seed=valid.get("seed", 0), batch_size=batch_size)
    known = _as_shipped(valid)
    unsuitable = networks.errors(network, valid.get("input")) if network and not known else []
    found += unsuitable
    # The backbone of a shipped recipe suits every method.
    sure = unsuitable or (known and network and network.name == "backbone")
    if network and training and training.on_features and not sure:
        found += method_errors(training.method, network)
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
    if web:
        found += check_web_options(web.name or None, web.url or None)
    return found


def _as_shipped(valid: Mapping[str, Any]) -> bool:
    """Whether the network, its input and the augmentation are those of a shipped recipe.

    A test checks that these are valid. Checking them here would import PyTorch before the run
    starts; it is imported later, while the figures of the data are drawn.
    """
    tables = ("network", "input", "augment")
    found = (load_recipe(name) for name in list_recipes())
    shipped = next(
        (each for each in found if all(valid.get(key) == getattr(each, key) for key in tables)),
        None,
    )
    if shipped is None or "data" not in valid or valid["data"].nothing != shipped.data.nothing:
        return False
    try:
        plugins = NETWORKS.is_plugin(shipped.network.name)
        return not plugins and not AUGMENTATIONS.is_plugin(shipped.augment.name)
    except PluginError:  # another package has the same name, which the full check reports
        return False

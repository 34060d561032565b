"""How a run folder changes: opened, its stages recorded, results that are out of date removed.

Rules: one process at a time; a stage that starts again first removes what it and the later stages
have written before, so nothing of an older model stays beside a new one.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from itertools import takewhile
from pathlib import Path

from pocketlens.errors import OutputError, OutputExistsError, PocketlensError
from pocketlens.files import LEFTOVER, read_limited, remove_leftovers, write_aside
from pocketlens.locking import LOCK
from pocketlens.recipe import MAX_RECIPE_BYTES, Recipe
from pocketlens.run_contents import (
    APP,
    CHECKPOINT,
    CONTENTS,
    FIGURES,
    HISTORY,
    METRICS,
    MODEL_SUFFIXES,
    RECIPE,
    STAGE_TIMES,
    STAGES,
    SUITE,
    WEB,
    WEB_LISTING,
    WEIGHTS,
    Stage,
    run_command,
    stages_of,
)
from pocketlens.run_folder import Finished, read_finished, read_run
from pocketlens.toml import parse_toml

__all__ = [
    "complete_stages",
    "open_run",
    "remove_results",
    "remove_run",
    "write_finished",
]

KEPT = (CHECKPOINT, HISTORY, WEIGHTS, APP, WEB)
"""Not removed when its stage starts again: an unfinished training continues from these, and an app
or a website may have files that the user has changed or added. They count only if they belong to
the current model."""


def open_run(folder: Path, recipe: Recipe, *, resume: bool, force: bool) -> bool:
    """Prepare the folder for a run of `recipe`, and write its recipe.

    Returns:
        Whether the run is a new one.

    Raises:
        OutputExistsError: The folder holds something else, a run of another recipe, or an
            unfinished training while neither `resume` nor `force` is set.
        OutputError: It cannot be written.
    """
    is_run = (folder / RECIPE).is_file()
    names = {path.name for path in folder.iterdir()} - {LOCK}
    if is_run or all(map(LEFTOVER.fullmatch, names)):
        remove_leftovers(folder)
        names = {path.name for path in folder.iterdir()} - {LOCK}
    if (folder / WEB_LISTING).is_file():  # of a run that was removed
        names -= {WEB}
    if names and not is_run:
        raise OutputExistsError(
            f"{folder} is not empty and is not a run folder; choose another --out"
        )
    if is_run and (force or _is_replaceable(folder, recipe)):
        remove_run(folder)
        is_run = False
    if not is_run:
        write_aside(folder / RECIPE, recipe.to_toml())
        return True
    existing = read_run(folder)
    # Only the website and the report depend on `web`, which can so be changed later.
    if differences := replace(existing.recipe, web=recipe.web).differences(recipe):
        raise OutputExistsError(
            f"{folder} holds a run of another recipe ({'; '.join(differences[:5])}); "
            "choose another --out, or start again with --force"
        )
    if (folder / CHECKPOINT).exists() and "train" not in read_finished(folder) and not resume:
        raise OutputExistsError(
            f"{folder} holds an unfinished training; continue it with --resume, or start again "
            f"with --force; to continue it: {run_command(folder, '--resume')}"
        )
    if existing.recipe != recipe:
        write_aside(folder / RECIPE, recipe.to_toml())
    return False


def _is_replaceable(folder: Path, recipe: Recipe) -> bool:
    """Whether the folder has nothing of a run but a recipe that `run` itself wrote, and data.

    A run that failed before its training leaves that; another recipe may take its place.
    """
    if any((folder / name).exists() for name in (CHECKPOINT, WEIGHTS, METRICS, APP)):
        return False
    text = (folder / RECIPE).read_bytes()
    try:
        existing = Recipe.from_toml(text.decode())
    except (PocketlensError, UnicodeDecodeError):
        return False
    return existing != recipe and existing.to_toml().encode() == text


def complete_stages(folder: Path) -> dict[Stage, Finished]:
    """The finished stages, up to the first whose files are not all there any more.

    That one and those after it are repeated.
    """
    run = read_run(folder)
    missing = set(run.missing)
    lost = {item.stage for item in CONTENTS if item.path in missing}
    if run.model is None:
        lost.add("convert")
    if run.report is None:
        lost.add("report")
    if run.metrics is not None and run.evaluation is None:
        lost = (lost - {"train"}) | {"evaluate"}  # `metrics.json` lacks only the evaluation
    recorded = read_finished(folder)
    whole = takewhile(lambda each: each in run.stages and each not in lost, stages_of(run.recipe))
    return {stage: recorded[stage] for stage in whole}


def write_finished(folder: Path, finished: Mapping[Stage, Finished]) -> None:
    """Write `stages.json`."""
    content = {stage: asdict(each) for stage, each in finished.items()}
    write_aside(folder / STAGE_TIMES, json.dumps(content, indent=2) + "\n")


def remove_results(folder: Path, first: Stage, finished: Mapping[Stage, Finished]) -> None:
    """Remove what the stages from `first` on have written, so that nothing out of date stays.

    Raises:
        OutputError: Something cannot be removed.
    """
    again = STAGES[STAGES.index(first) :]
    paths = [
        folder / item.path for item in CONTENTS if item.stage in again and item.path not in KEPT
    ]
    if "train" in again:
        paths.append(folder / SUITE)
    if "convert" in again:
        paths += _core_ml_files(folder)
    # First the record: if this is interrupted, the results do not count any more.
    if (folder / STAGE_TIMES).exists():
        write_finished(folder, finished)
    _remove(paths)


def remove_run(folder: Path) -> None:
    """Remove everything that a run wrote; other files in the folder stay.

    Raises:
        OutputError: Something cannot be removed.
    """
    # A website stays until the new one replaces it: it may be a repository of git.
    paths = [folder / item.path for item in CONTENTS if item.path not in (RECIPE, WEB)]
    # The recipe goes last: if this is interrupted, the folder must still count as a run.
    _remove([*paths, *_core_ml_files(folder), folder / RECIPE])
    with suppress(OSError):  # it has files of the user
        (folder / FIGURES).rmdir()


def _core_ml_files(folder: Path) -> list[Path]:
    """The Core ML files of the run, in both formats: `convert RUN` writes the other one.

    Only files in the folder itself: a recipe from elsewhere may name `../other`.
    """
    names = set()
    # A damaged recipe or record does not tell which Core ML file is the run's.
    with suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
        names.add(_model_name(folder / RECIPE))
    with suppress(PocketlensError, KeyError):
        names.add(Path(read_finished(folder)["convert"].file).stem)
    files = {f"{name}{suffix}" for name in names for suffix in MODEL_SUFFIXES}
    return [path for path in folder.iterdir() if path.name in files]


def _model_name(file: Path) -> str:
    text = read_limited(file, MAX_RECIPE_BYTES).decode()
    return str(parse_toml(text)["model"]["name"])


def _remove(paths: Iterable[Path]) -> None:
    for path in paths:
        try:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(
                f"{error.filename or path} cannot be removed: {error.strerror or error}; "
                "remove it yourself, or choose another --out"
            ) from error

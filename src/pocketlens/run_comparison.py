"""`compare_runs`: several runs side by side: what differs in their recipes, and what came of it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pocketlens.errors import OptionError
from pocketlens.recipe import WITHOUT_EFFECT, Recipe
from pocketlens.run_folder import Run, read_run

__all__ = ["ComparedRun", "RunComparison", "compare_runs"]


@dataclass(frozen=True)
class ComparedRun:
    """One of the runs; None for what it does not have (yet).

    Args:
        folder: The run folder.
        settings: The keys of its recipe on which the runs differ.
        data: The source that was used.
        test_images: The number of test images.
        accuracy: The accuracy of the trained network on them, in [0, 1].
        interval: The 95 % Wilson score interval of the accuracy.
        core_ml_accuracy: The accuracy of the Core ML file on them, in [0, 1].
        camera_accuracy: The accuracy of the Core ML file on simulated photos, in [0, 1].
        parameters: The number of parameters.
        file_bytes: The size of the Core ML file.
        milliseconds: The time of the Core ML file per image, where the run was made.
        training_seconds: How long the training took.
        validation: The validation accuracy after each epoch, in [0, 1].
    """

    folder: Path
    settings: dict[str, Any]
    data: str | None
    test_images: int | None
    accuracy: float | None
    interval: tuple[float, float] | None
    core_ml_accuracy: float | None
    camera_accuracy: float | None
    parameters: int | None
    file_bytes: int | None
    milliseconds: float | None
    training_seconds: float | None
    validation: tuple[float, ...]


@dataclass(frozen=True)
class RunComparison:
    """Several runs side by side.

    Args:
        runs: The runs, in the order in which they were named.
        notes: Why the numbers of some cannot be compared.
    """

    runs: tuple[ComparedRun, ...]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """A dictionary for JSON."""
        return {
            "runs": [{**vars(each), "folder": str(each.folder)} for each in self.runs],
            "notes": list(self.notes),
        }


def compare_runs(folders: Sequence[str | os.PathLike[str]]) -> RunComparison:
    """Read runs, and put what differs in their recipes beside their results.

    Args:
        folders: Two or more run folders; they may be unfinished.

    Raises:
        OptionError: Fewer than two, or one twice.
        RunError: One is not a run folder, or a file in it is damaged.
    """
    paths = [Path(each) for each in folders]
    if len(paths) < 2:
        raise OptionError(f"a comparison needs two or more run folders; received: {len(paths)}")
    if len({path.resolve() for path in paths}) < len(paths):
        raise OptionError("a run folder is named twice; name each once")
    runs = [read_run(path) for path in paths]
    settings = _differences([run.recipe for run in runs])
    compared = tuple(_compared(run, chosen) for run, chosen in zip(runs, settings, strict=True))
    return RunComparison(compared, tuple(_notes(runs)))


def _compared(run: Run, settings: dict[str, Any]) -> ComparedRun:
    evaluation, metrics, check, camera = run.evaluation, run.metrics, run.check, run.camera
    photos = camera.table("camera") if camera else None
    return ComparedRun(
        run.folder,
        settings,
        run.data.source if run.data else None,
        evaluation.n if evaluation else None,
        evaluation.accuracy if evaluation else None,
        evaluation.interval if evaluation else None,
        check.parity.accuracy_b if check else None,
        photos.scores[0][0].accuracy if photos else None,
        metrics.parameters if metrics else None,
        check.file_bytes if check else None,
        check.milliseconds_per_image if check else None,
        metrics.training_seconds if metrics else None,
        tuple(
            each.validation_accuracy for each in run.history if each.validation_accuracy is not None
        ),
    )


def _differences(recipes: Sequence[Recipe]) -> list[dict[str, Any]]:
    """The keys of each recipe on which they differ, in the order of the recipe."""
    tables = [recipe.settings for recipe in recipes]
    keys = dict.fromkeys(key for table in tables for key in table)
    differing = [
        key
        for key in keys
        if not any(key == each or key.startswith(f"{each}.") for each in WITHOUT_EFFECT)
        and any(table.get(key) != tables[0].get(key) for table in tables)
    ]
    return [{key: table[key] for key in differing if key in table} for table in tables]


def _notes(runs: Sequence[Run]) -> list[str]:
    notes = []
    described = {(run.data.source, run.data.test) for run in runs if run.data}
    if len(described) > 1:
        listed = ", ".join(f"{source} ({count:,})" for source, count in sorted(described))
        notes.append(f"the runs have different test images, {listed}: do not compare accuracies")
    notes += [f"{run.folder} has no test result yet" for run in runs if run.evaluation is None]
    measured = [run for run in runs if run.evaluation]
    if len(described) == 1 and len(measured) == 2:
        one, other = (run.evaluation.interval for run in measured if run.evaluation)
        if one[0] <= other[1] and other[0] <= one[1]:
            notes.append(
                "the confidence intervals of the accuracies overlap: on so few images, the "
                "difference may be chance"
            )
    return notes

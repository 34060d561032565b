"""`pocketlens evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pocketlens.cli.datasets import Data, test_set
from pocketlens.cli.inputs import (
    InputOptions,
    assumed_text,
    is_run,
    owner,
    refuse_options,
    takes_input_options,
)
from pocketlens.cli.shell import Force, Json, Out, command, print_json, say
from pocketlens.commands import command as command_line

if TYPE_CHECKING:
    from pocketlens.data import Dataset
    from pocketlens.evaluation import Evaluation
    from pocketlens.evaluation.robustness import SuiteResult
    from pocketlens.prediction import Predictor


@command(
    example=(
        "pocketlens evaluate runs/quick",
        "pocketlens evaluate Digits.mlpackage --data mnist --json",
        "pocketlens evaluate Foreign.mlmodel --data photos --color bgr --labels labels.txt",
        "pocketlens evaluate runs/quick --suite",
        "pocketlens evaluate Digits.mlpackage --data mnist --suite --out results",
    )
)
@takes_input_options()
def evaluate(
    model: Annotated[Path, typer.Argument(help="A run folder or a Core ML file.")],
    data: Data = None,
    suite: Annotated[
        bool,
        typer.Option("--suite", help="Also test robustness."),
    ] = False,
    limit: Annotated[
        int | None, typer.Option(help="Images per test of the suite; default: 1000.", min=1)
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(help="Show labels from this confidence; default: the model's.", min=0, max=1),
    ] = None,
    out: Out = None,
    force: Force = False,
    *,
    told: InputOptions,
    json: Json = False,
) -> None:
    """Measure a model on test images.

    --data takes the folder test of a folder with train and test; any other folder is used whole.
    Accuracy with its confidence interval, loss, calibration, and precision and recall per class.
    With --suite also robustness: corruptions, rotations, sizes, positions, simulated photos, and
    empty scenes. The tables are printed, and written with figures to --out (default for a run: its
    folder suite/).
    """
    from pocketlens.coreml.file.time_limit import default_time_limit
    from pocketlens.model_files import load

    if not suite:
        refuse_options(
            "only --suite uses them; add --suite, or remove them",
            limit=limit,
            threshold=threshold,
            out=out,
            force=force,
        )
    run = owner(model)
    predictor: Predictor
    if is_run(model):
        from pocketlens.recognizer import Recognizer

        predictor = told.applied(Recognizer.load(model))
    else:
        predictor = told.applied(load(model, time_limit=default_time_limit()))
        run = run if data is not None else None
    if not suite:
        measured = test_set(run, data, predictor.input_spec)
        evaluation = _show_evaluation(predictor, measured, json=json)
        if evaluation.warning and data is not None and not json:
            asked = command_line("verify", model, "--data", Path(data), *told.words())
            say(f"does it read these images in the wrong way? {asked}")
        return
    from pocketlens.report.suite_figures import check_folder

    folder = out or (model / "suite" if is_run(model) else None)
    force = force or out is None  # the results inside a run folder are replaced
    if folder:
        check_folder(folder, force=force)
    # The suite moves and photographs images in their original size.
    images = test_set(run, data, predictor.input_spec, original_size=True)
    found = _examined(predictor, images, limit, threshold)
    _show_suite(found, folder, force=force, json=json)


def _show_evaluation(predictor: Predictor, images: Dataset, *, json: bool) -> Evaluation:
    from pocketlens.evaluation.accuracy import evaluate as measure
    from pocketlens.evaluation.accuracy import percent

    found = measure(predictor, images)
    if json:
        print_json(found.to_dict())
        return found
    say(*str(found).split("\n"))
    say("class        precision   recall   images")
    for score in found.per_class:
        precision = "–" if score.precision is None else percent(score.precision)
        recall = "–" if score.recall is None else percent(score.recall)
        say(f"{score.name:12} {precision:>9} {recall:>8} {score.count:8,}")
    if assumed := assumed_text(predictor.input_spec):
        say(assumed)
    return found


def _examined(
    predictor: Predictor, images: Dataset, limit: int | None, threshold: float | None
) -> SuiteResult:
    from pocketlens.evaluation.robustness import run_suite
    from pocketlens.evaluation.robustness.examination import LIMIT

    return run_suite(
        predictor,
        images,
        limit=limit or LIMIT,
        threshold=threshold,
        progress=lambda name: say(f"{name} …", error=True, flush=True),
    )


def _show_suite(found: SuiteResult, folder: Path | None, *, force: bool, json: bool) -> None:
    from pocketlens.report.suite_figures import write_suite

    written = write_suite(found, folder, force=force) if folder else []
    if json:
        print_json({**found.to_dict(), "files": [str(path) for path in written]})
        return
    say(*str(found).split("\n"))
    say("", f"{found.seconds:.0f} s")
    if folder:
        say(f"wrote {folder} ({len(written)} files)")
    else:
        say("to write the tables as figures and JSON, add: --out FOLDER")

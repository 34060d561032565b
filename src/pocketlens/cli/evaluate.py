"""`pocketlens evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pocketlens.cli.inputs import Data, is_run, source_name, test_set
from pocketlens.cli.shell import Force, Json, Out, command, print_json, say
from pocketlens.errors import OptionError

if TYPE_CHECKING:
    from pocketlens.data import Dataset
    from pocketlens.evaluation.robustness import SuiteResult
    from pocketlens.image import InputSpec
    from pocketlens.prediction import Predictor
    from pocketlens.run_folder import Run


@command(
    example=(
        "pocketlens evaluate runs/quick",
        "pocketlens evaluate Digits.mlpackage --data mnist --json",
        "pocketlens evaluate runs/quick --suite",
        "pocketlens evaluate Digits.mlpackage --data mnist --suite --out results",
    )
)
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
    json: Json = False,
) -> None:
    """Measure a model on test images.

    Accuracy with its confidence interval, loss, calibration, and precision and recall per class.
    With --suite also robustness: corruptions, rotations, sizes, positions, simulated photos, and
    empty scenes. The tables are printed, and written with figures to --out (default for a run: its
    folder suite/).
    """
    from pocketlens.coreml import load
    from pocketlens.run_folder import read_run

    _check_options(suite=suite, limit=limit, threshold=threshold, out=out, force=force)
    run = read_run(model) if is_run(model) else None
    predictor: Predictor
    if run:
        from pocketlens.recognizer import Recognizer

        predictor = Recognizer.load(model)
    else:
        predictor = load(model)
    if not suite:
        _show_evaluation(predictor, test_set(run, data, predictor.input_spec), json=json)
        return
    from pocketlens.report.suite_figures import check_folder

    folder = out or (model / "suite" if run else None)
    force = force or out is None  # the results inside a run folder are replaced
    if folder:
        check_folder(folder, force=force)
    images = _originals(run, data, predictor.input_spec)
    found = _examined(predictor, images, limit, threshold)
    _show_suite(found, folder, force=force, json=json)


def _check_options(*, suite: bool, **options: object) -> None:
    given = [f"--{name}" for name, value in options.items() if value not in (None, False)]
    if given and not suite:
        raise OptionError(
            f"{', '.join(given)} needs --suite; add --suite, or remove {', '.join(given)}"
        )


def _show_evaluation(predictor: Predictor, images: Dataset, *, json: bool) -> None:
    from pocketlens.evaluation.accuracy import evaluate as measure
    from pocketlens.evaluation.accuracy import percent

    found = measure(predictor, images)
    if json:
        print_json(found.to_dict())
        return
    say(*str(found).split("\n"))
    say("class        precision   recall   images")
    for score in found.per_class:
        precision = "–" if score.precision is None else percent(score.precision)
        recall = "–" if score.recall is None else percent(score.recall)
        say(f"{score.name:12} {precision:>9} {recall:>8} {score.count:8,}")


def _originals(run: Run | None, data: str | None, spec: InputSpec) -> Dataset:
    """The test images in their original size, as the suite moves and photographs them. The images
    of a folder have no common size, so they get the size of the model's input."""
    from pocketlens.data import load_data

    if data is None and run is None:
        raise OptionError(
            "a model file contains no images; add --data SOURCE, such as --data mnist"
        )
    source, seed = data and source_name(data), 0
    if data is None and run is not None:
        source, seed = run.data.source if run.data else run.recipe.data.source, run.recipe.seed
    own = None if source and not source.startswith("folder:") else spec
    return load_data(source or "auto", split="test", input_spec=own, seed=seed)


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

"""`pocketlens evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pocketlens.cli.inputs import Data, is_run, test_set
from pocketlens.cli.shell import Json, command, print_json


@command(
    example=(
        "pocketlens evaluate runs/quick",
        "pocketlens evaluate Digits.mlpackage --data mnist --json",
    )
)
def evaluate(
    model: Annotated[Path, typer.Argument(help="A run folder or a Core ML file.")],
    data: Data = None,
    json: Json = False,
) -> None:
    """Measure a recogniser on test images.

    Accuracy with its interval, loss, calibration, precision and recall of each class.
    """
    from pocketlens.coreml import load
    from pocketlens.evaluation import evaluate as measure
    from pocketlens.evaluation import percent
    from pocketlens.prediction import Predictor
    from pocketlens.run_folder import read_run

    run = read_run(model) if is_run(model) else None
    predictor: Predictor
    if run:
        from pocketlens.recognizer import Recognizer

        predictor = Recognizer.load(model)
    else:
        predictor = load(model)
    found = measure(predictor, test_set(run, data, predictor.input_spec))
    if json:
        print_json(found.to_dict())
        return
    print(found)
    print("class        precision   recall   images")
    for score in found.per_class:
        precision = "–" if score.precision is None else percent(score.precision)
        recall = "–" if score.recall is None else percent(score.recall)
        print(f"{score.name:12} {precision:>9} {recall:>8} {score.count:8,}")

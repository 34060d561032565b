"""`pocketlens verify`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pocketlens.cli.inputs import Data, is_run, test_set
from pocketlens.cli.shell import Json, command, print_json
from pocketlens.errors import CheckFailedError, OptionError, RunError

if TYPE_CHECKING:
    from pocketlens.prediction import Predictor


@command(
    example=(
        "pocketlens verify runs/quick",
        "pocketlens verify model.keras Digits.mlpackage --data mnist",
        "pocketlens verify Half.mlpackage Full.mlpackage --data mnist",
    )
)
def verify(
    a: Annotated[Path, typer.Argument(help="A run folder, a Core ML file or a .keras file.")],
    b: Annotated[Path | None, typer.Argument(help="A Core ML file; a run has its own.")] = None,
    data: Data = None,
    agreement: Annotated[
        float, typer.Option(help="Smallest share of equal labels.", min=0, max=1)
    ] = 0.999,
    mean_difference: Annotated[float, typer.Option(help="Largest mean |Δp|.", min=0)] = 1e-3,
    json: Json = False,
) -> None:
    """Check that two recognizers agree; exit 1 if they do not.

    |Δp| of an image is its largest difference over the classes; the mean is over the images.
    """
    from pocketlens.coreml import load
    from pocketlens.evaluation.parity import Tolerance
    from pocketlens.evaluation.parity import verify as compare
    from pocketlens.run_folder import read_run

    run = read_run(a) if is_run(a) else None
    if b is None and run is None:
        raise OptionError(f"{a} is no run folder, so a second file is needed to hold it against")
    if b is None and run is not None and run.model is None:
        raise RunError(f"{a} has no Core ML file yet: pocketlens run {a / 'recipe.toml'} --out {a}")
    second = load(b or run.model)  # type: ignore[union-attr, arg-type]
    first: Predictor
    if run:
        from pocketlens.recognizer import Recognizer

        first = Recognizer.load(a)
    elif a.suffix == ".keras":
        from pocketlens.conversion import KerasPredictor

        # Keras names no classes and knows no crop: the Core ML file made from it does.
        first = KerasPredictor(a, second.classes, second.input_spec)
    else:
        first = load(a)
    images = test_set(run, data, second.input_spec)
    found = compare(first, second, images, tolerance=Tolerance(agreement, mean_difference))
    if json:
        print_json(found.to_dict())
    else:
        print(found)
    if not found.passed:
        raise CheckFailedError(f"{a} and {b or second.path} do not agree within the tolerance")

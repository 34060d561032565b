"""`pocketlens verify`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pocketlens.cli.inputs import Data, is_run, test_set
from pocketlens.cli.shell import Json, command, print_json, say
from pocketlens.errors import CheckFailedError, OptionError, RunError
from pocketlens.run_contents import run_command

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
    model: Annotated[Path, typer.Argument(help="A run folder, a Core ML file or a .keras file.")],
    other: Annotated[
        Path | None, typer.Argument(help="A Core ML file; default: the run's.")
    ] = None,
    data: Data = None,
    agreement: Annotated[
        float, typer.Option(help="Smallest accepted share of equal labels.", min=0, max=1)
    ] = 0.999,
    mean_difference: Annotated[
        float, typer.Option(help="Largest accepted mean |Δp|.", min=0)
    ] = 1e-3,
    json: Json = False,
) -> None:
    """Compare a Core ML file with its source; exit 1 if they differ.

    A run folder contains both; otherwise pass two models. |Δp| is the largest difference in
    probability over the classes of an image; its mean is over all images.
    """
    from pocketlens.coreml import load
    from pocketlens.evaluation.parity import Tolerance
    from pocketlens.evaluation.parity import verify as compare
    from pocketlens.run_folder import read_run

    run = read_run(model) if is_run(model) else None
    if other is None and run is None:
        raise OptionError(
            f"{model} is not a run folder; pass a second model to compare with, and data: "
            f"pocketlens verify {model} OTHER --data SOURCE"
        )
    if other is None and run is not None and run.model is None:
        run_it = run_command(model)
        raise RunError(f"{model} has no Core ML file yet; create it with: {run_it}")
    second = load(other or run.model)  # type: ignore[union-attr, arg-type]
    first: Predictor
    if run:
        from pocketlens.recognizer import Recognizer

        first = Recognizer.load(model)
    elif model.suffix == ".keras":
        from pocketlens.conversion import KerasPredictor

        # A Keras file has no class names and no crop; the Core ML file made from it has both.
        first = KerasPredictor(model, second.classes, second.input_spec)
    else:
        first = load(model)
    images = test_set(run, data, second.input_spec)
    found = compare(first, second, images, tolerance=Tolerance(agreement, mean_difference))
    if json:
        print_json(found.to_dict())
    else:
        say(*str(found).split("\n"))
    if not found.passed:
        raise CheckFailedError(
            f"{model} and {other or second.path} do not agree within the tolerance"
        )

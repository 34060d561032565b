"""`pocketlens verify`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pocketlens.cli.datasets import Data, arrays_or_images, test_set
from pocketlens.cli.inputs import (
    InputOptions,
    assumed_text,
    core_ml_file,
    is_core_ml,
    is_run,
    is_source,
    owner,
    takes_input_options,
)
from pocketlens.cli.shell import Json, command, print_json, say
from pocketlens.commands import command as command_line
from pocketlens.errors import CheckFailedError, OptionError

SHOWN = 50
"""On about how many images the first difference is looked for."""

if TYPE_CHECKING:
    from pocketlens.conversion.precision.findings import Float16Check
    from pocketlens.coreml import CoreMLModel
    from pocketlens.data import Dataset
    from pocketlens.evaluation import Reading
    from pocketlens.image import InputSpec
    from pocketlens.model_files import Model
    from pocketlens.prediction import Predictor


@command(
    example=(
        "pocketlens verify runs/quick",
        "pocketlens verify model.keras Digits.mlpackage --data mnist",
        "pocketlens verify model.pt2 Forecast.mlpackage --data X.npz",
        "pocketlens verify Half.mlpackage Full.mlpackage --data mnist",
        "pocketlens verify Foreign.mlmodel --data photos     # is it read in the right way?",
    )
)
@takes_input_options()
def verify(
    model: Annotated[
        Path, typer.Argument(help="A run folder, a Core ML file, or the file of a model.")
    ],
    other: Annotated[
        Path | None, typer.Argument(help="A Core ML file or a run folder; default: the run's.")
    ] = None,
    data: Data = None,
    agreement: Annotated[
        float, typer.Option(help="Smallest accepted share of equal labels.", min=0, max=1)
    ] = 0.999,
    mean_difference: Annotated[
        float, typer.Option(help="Largest accepted mean |Δp|.", min=0)
    ] = 5e-3,
    tolerance: Annotated[
        float | None,
        typer.Option(
            help="Of arrays: largest accepted difference, as a share of the largest number; "
            "default: 0.01.",
            min=0,
        ),
    ] = None,
    *,
    told: InputOptions,
    json: Json = False,
) -> None:
    """Compare a Core ML file with its source; exit 1 if they differ.

    A run folder contains both; otherwise pass two models. |Δp| is the largest difference in
    probability over the classes of an image; its mean is over all images.

    With --data, it also asks whether another reading of the images would be better: another color
    order, scale or order of labels, inverted or turned images. If so, exit 1. The options for the
    input apply to both models.

    A model that takes arrays is compared on --data X.npz, X.npy, X.csv or a folder of these;
    without it, on made-up arrays. So is one that takes an image and returns arrays; its data may
    be images, too.

    It also says which ops of the Core ML file compute something else in float16 than in float32;
    that is no failure. --json has the range of each op, too.
    """
    from pocketlens.conversion.precision.checking import float16_risks
    from pocketlens.conversion.sources import kind_of_file
    from pocketlens.coreml import CoreMLModel
    from pocketlens.coreml.file.time_limit import default_time_limit
    from pocketlens.coreml.runtime.emulation import runs_as_graph
    from pocketlens.evaluation import Readings, Tolerance, find_readings
    from pocketlens.evaluation import verify as compare
    from pocketlens.model_files import load

    source = is_source(model)
    if source:
        kind_of_file(model)
    if other is not None and told.given in ((), ("--labels",)) and (source or is_core_ml(model)):
        second_file = load(core_ml_file(other), time_limit=default_time_limit())
        # A Core ML file with an image and no classes may get them by --labels.
        plain = not second_file.classes and not told.given
        if not _takes_image(second_file) or plain:
            names = told.names()
            _verify_arrays(model, second_file, data, names, agreement, tolerance, json=json)
            return
    elif other is None and not told.given and is_core_ml(model):
        only = load(core_ml_file(model), time_limit=default_time_limit())
        if isinstance(only, CoreMLModel) and not _takes_image(only) and runs_as_graph(only):
            _check_arrays(only, data, json=json)
            return
    if tolerance is not None:
        raise OptionError("--tolerance is for models that take arrays; remove it")
    run = None if source else owner(model)
    alone = other is None and (source or not is_run(model))
    if alone and (data is None or source):
        raise OptionError(
            f"{model} is not a run folder; pass a second model to compare with, and data: "
            + command_line("verify", model, "OTHER", "--data", "SOURCE")
        )
    file = core_ml_file(other or model)
    given = load(file, time_limit=default_time_limit())
    second = told.applied(given)
    run_given = not source and is_run(model)
    owned = run if run_given or data else None
    images = test_set(owned, data, second.input_spec)
    found = None
    if other is not None or run_given:
        first = _source(model, told, second)
        limits = Tolerance(agreement, mean_difference)
        # A model that crops in another way gets images of its own.
        own = None
        if _shape(first.input_spec) != _shape(second.input_spec):
            own = test_set(owned, data, first.input_spec)
        found = compare(first, second, images, tolerance=limits, dataset_of_a=own)
    asked: Readings | None = None
    if data is not None or other is not None:
        asked = find_readings(second, images)
    differs = _differs(given, second)
    where = ""
    if found and not found.passed and not told.given:
        where = _first_difference(first, given, images)
    risks = None
    if isinstance(second, CoreMLModel):
        risks = float16_risks(second, images, layers=json)
    if json:
        parity = found.to_dict() if found else {}
        if where:
            parity["first_difference"] = where
        print_json(
            {
                **parity,
                "reading": asked and asked.to_dict(),
                "not_in_file": differs,
                "float16": risks and risks.to_dict(),
            }
        )
    else:
        if found and asked:  # which has found the same on fewer images
            asked = replace(asked, warning=None)
        for each in (found, asked, assumed_text(second.input_spec)):
            say(*str(each).split("\n")) if each is not None else None
        if where:
            say(where)
        _say_risks(risks, file)
        if differs:
            say(
                f"note: {', '.join(differs)} given here: the file itself reads its images in "
                f"another way; write them into it with: {told.mending(file)}"
            )
    if found and not found.passed:
        raise CheckFailedError(f"{model} and {file} do not agree within the tolerance")
    if asked and not asked.passed:
        better = asked.better or asked.drawings
        assert better is not None
        mend = _mending(file, told, better, given, second)
        raise CheckFailedError(f"{file} reads these images better in another way; {mend}")


def _takes_image(model: Model) -> bool:
    from pocketlens.coreml import CoreMLModel

    if isinstance(model, CoreMLModel):
        return model.interface.image is not None
    return model.asset.input_spec is not None


def _verify_arrays(
    model: Path,
    file: Model,
    data: str | None,
    labels: Sequence[str] | None,
    agreement: float,
    tolerance: float | None,
    *,
    json: bool,
) -> None:
    """Compare models whose outputs are arrays."""
    from pocketlens.conversion.precision.checking import float16_risks
    from pocketlens.conversion.verifying import verify_arrays
    from pocketlens.coreml import CoreMLModel

    spec = file.input_spec if _takes_image(file) else None
    given = arrays_or_images(data, spec)
    found = verify_arrays(
        model, file, given, labels=labels, tolerance=tolerance, agreement=agreement
    )
    risks = float16_risks(file, given, layers=json) if isinstance(file, CoreMLModel) else None
    if json:
        print_json({**found.to_dict(), "float16": risks and risks.to_dict()})
    else:
        say(*str(found).split("\n"))
        _say_risks(risks, file.path)
    if not found.passed:
        raise CheckFailedError(f"{model} and {file.path} do not agree within the tolerance")


def _check_arrays(file: CoreMLModel, data: str | None, *, json: bool) -> None:
    """What float16 does to a model from arrays to arrays, without its source."""
    from pocketlens.conversion.precision.checking import check_float16

    found = check_float16(file, data, layers=json)
    if json:
        print_json({"float16": found.to_dict()})
    else:
        say(*str(found).split("\n"))
        _say_step(found, file.path)


def _say_risks(risks: Float16Check | None, file: Path) -> None:
    """The ops that float16 spoils, if there are any, and what to do."""
    if risks and not risks.passed:
        say(*str(risks).split("\n"))
        _say_step(risks, file)


def _say_step(risks: Float16Check, file: Path) -> None:
    if not risks.passed:
        form = "" if file.suffix == ".mlpackage" else "--format mlpackage "
        say(f"convert it again with {form}--precision mixed, or --precision float32")


def _mending(
    file: Path, told: InputOptions, better: Reading, given: Predictor, second: Predictor
) -> str:
    """What to do about a better reading."""
    if not better.options:
        return "turn the images, or train the model on images like these"
    after = second.with_input(labels=better.labels, **better.values)
    if (after.classes, after.input_spec) == (given.classes, given.input_spec):
        return f"it does so without {' '.join(told.given)}"
    return f"pass {better.options} here, and write it into the file with: " + told.mending(
        file, better
    )


def _source(model: Path, told: InputOptions, second: Predictor) -> Predictor:
    """The model to compare with, reading its images as the options say."""
    if is_source(model):
        from pocketlens.conversion import ArraySource, SourceOptions, open_source

        # Such a file has no class names and no crop; the Core ML file made from it has both.
        options = SourceOptions(labels=second.classes, input_spec=second.input_spec)
        source = open_source(model, options)
        if isinstance(source, ArraySource):
            raise OptionError(
                f"{model} takes arrays and the Core ML file an image; expected the Core ML file "
                "that was made from it"
            )
        return source
    if is_run(model):
        from pocketlens.recognizer import Recognizer

        return told.applied(Recognizer.load(model))
    from pocketlens.coreml.file.time_limit import default_time_limit
    from pocketlens.model_files import load

    return told.applied(load(model, time_limit=default_time_limit()))


def _first_difference(source: Predictor, model: Model, images: Dataset) -> str:
    """The first op of the Core ML file that differs, for the worst image; "" if not known."""
    from pocketlens.coreml import CoreMLModel

    if not isinstance(model, CoreMLModel):
        return ""
    from pocketlens.conversion import ImageSource

    some = images.images[:: max(1, len(images) // SHOWN)]
    if not isinstance(source, ImageSource) or source.classes != model.classes:
        return ""
    if (
        source.input_spec.shape != model.input_spec.shape
        or source.input_spec.shape != some.shape[1:]
    ):
        return ""
    want, got = source.probabilities(some), model.probabilities(some)
    worst = int(abs(want - got).max(axis=1).argmax())
    return source.first_difference(model, some[worst], want[worst])


def _shape(spec: InputSpec) -> tuple[object, ...]:
    """What decides how an image is cropped and resized."""
    return (*spec.shape, spec.crop)


def _differs(given: Predictor, told: Predictor) -> list[str]:
    """The options that change what the Core ML file itself does with its pixels and labels."""
    names = [
        f"--{name}"
        for name in ("color", "scale", "bias")
        if getattr(given.input_spec, name) != getattr(told.input_spec, name)
    ]
    return names + (["--labels"] if given.classes != told.classes else [])

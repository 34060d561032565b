"""`pocketlens convert`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pocketlens.cli.inputs import Data, is_run, test_set, time_limit
from pocketlens.cli.shell import Force, Json, Out, command, print_json, say
from pocketlens.commands import command as command_line
from pocketlens.errors import CheckFailedError, OptionError

if TYPE_CHECKING:
    from pocketlens.image import InputSpec


@command(
    example=(
        "pocketlens convert runs/quick --format mlmodel",
        "pocketlens convert model.keras --labels labels.txt --scale 1/255 --out Digits.mlpackage",
        "pocketlens convert model.keras --labels cat,dog --color bgr --scale 1 \\",
        "    --bias=-103.939,-116.779,-123.68 --data folder:photos",
    )
)
def convert(
    model: Annotated[Path, typer.Argument(help="A run folder or a .keras file.")],
    out: Out = None,
    format: Annotated[  # noqa: A002 - the option's word
        str | None, typer.Option(help="mlpackage or mlmodel; default: from the suffix of --out.")
    ] = None,
    precision: Annotated[str, typer.Option(help="float16 or float32.")] = "float16",
    labels: Annotated[
        str | None, typer.Option(help="Class names of a Keras model: a text file, or a,b,c.")
    ] = None,
    size: Annotated[
        str | None, typer.Option(help="HEIGHTxWIDTH, if the Keras model accepts any size.")
    ] = None,
    color: Annotated[
        str | None,
        typer.Option(help="gray, rgb or bgr; default: gray or rgb, from the number of channels."),
    ] = None,
    scale: Annotated[str, typer.Option(help="Factor for the pixels, such as 1/255.")] = "1/255",
    bias: Annotated[str, typer.Option(help="Added after scaling; also one per channel.")] = "0",
    crop: Annotated[str, typer.Option(help="center-crop, fit or fill.")] = "center-crop",
    author: str = "",
    license: str = "",  # noqa: A002 - the field's name in Core ML
    model_version: Annotated[str, typer.Option("--model-version")] = "",
    description: str = "",
    head: Annotated[
        str | None,
        typer.Option(help="logits or probabilities: a Keras model's outputs; default: detected."),
    ] = None,
    check: Annotated[
        bool,
        typer.Option(
            "--check/--no-check", help="Compare the file with its source on test images first."
        ),
    ] = True,
    data: Data = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Convert a run or a Keras 3 model to Core ML.

    The file is written only if it computes what its source computes: it runs here on test images
    first. If not, exit 1. With --data, it is also compared with its source on these images.
    """
    from pocketlens.conversion import KerasPredictor, ModelMetadata
    from pocketlens.conversion import convert as make
    from pocketlens.coreml import load
    from pocketlens.evaluation.parity import verify
    from pocketlens.prediction import Predictor
    from pocketlens.run_folder import read_run

    metadata = ModelMetadata(author, license, model_version, description)
    run = read_run(model) if is_run(model) else None
    source: Predictor
    if run:
        from pocketlens.recognizer import Recognizer

        source = Recognizer.load(model)
        own = run.recipe.model
        metadata = ModelMetadata(
            author or own.author,
            license or own.license,
            model_version or own.version,
            description or own.description,
        )
        target = out or run.folder / f"{own.name}.{format or own.format}"
        path = make(
            source,
            target,
            format=format,
            precision=precision,
            metadata=metadata,
            check=check,
            force=force,
        )
    else:
        if labels is None:
            raise OptionError(
                f"{model} has no class names; add --labels FILE (one per line) or --labels a,b,c"
            )
        names = tuple(labels.split(",")) if "," in labels else labels
        spec = _input_spec(model, size, color, scale, bias, crop)
        target = out or model.with_suffix("")
        path = make(
            model,
            target,
            format=format,
            precision=precision,
            metadata=metadata,
            labels=names,
            input_spec=spec,
            head=head,
            check=check,
            force=force,
        )
        source = KerasPredictor(model, names, spec, head=head)

    parity = None
    if data is not None:
        made = load(path, time_limit=time_limit())
        parity = verify(source, made, test_set(run, data, made.input_spec))
    if json:
        print_json({"model": str(path), "parity": parity and parity.to_dict()})
    else:
        say(f"wrote {path}")
        if parity:
            say(*str(parity).split("\n"))
        else:
            data_of = () if run else ("--data", "SOURCE")
            say(f"compare it with its source: {command_line('verify', model, path, *data_of)}")
    if parity and not parity.passed:
        raise CheckFailedError(f"{path} does not agree with {model} within the tolerance")


def _input_spec(
    model: Path, size: str | None, color: str | None, scale: str, bias: str, crop: str
) -> InputSpec:
    from pocketlens.conversion import image_shape
    from pocketlens.image import InputSpec

    height, width, channels = image_shape(model)
    if size is not None:
        try:
            height, width = (int(side) for side in size.lower().split("x"))
        except ValueError as error:
            raise OptionError(
                f"--size must be HEIGHTxWIDTH, such as 28x28; received: {size!r}"
            ) from error
    if height is None or width is None:
        raise OptionError(f"{model} accepts any input size; add --size HEIGHTxWIDTH")
    return InputSpec.from_dict(
        {
            "height": height,
            "width": width,
            "color": color or ("gray" if channels == 1 else "rgb"),
            "scale": _numbers("--scale", scale),
            "bias": _numbers("--bias", bias),
            "crop": crop,
        }
    )


def _numbers(option: str, text: str) -> list[float]:
    """The numbers in `1/255` or `0.5,0.5,0.5`."""
    numbers = []
    for part in text.split(","):
        above, slash, below = part.partition("/")
        try:
            numbers.append(float(above) / (float(below) if slash else 1.0))
        except (ValueError, ZeroDivisionError) as error:
            raise OptionError(
                f"{option} must be a number, a fraction such as 1/255, or one per channel, "
                f"separated by commas; received: {text!r}"
            ) from error
    return numbers

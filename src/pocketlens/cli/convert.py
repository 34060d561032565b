"""`pocketlens convert`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pocketlens.cli.inputs import Data, is_run, test_set
from pocketlens.cli.shell import Force, Json, Out, command, print_json
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
        str | None, typer.Option(help="mlpackage or mlmodel; default: as --out ends.")
    ] = None,
    precision: Annotated[str, typer.Option(help="float16 or float32.")] = "float16",
    labels: Annotated[
        str | None, typer.Option(help="Classes of a Keras model: a text file, or a,b,c.")
    ] = None,
    size: Annotated[
        str | None, typer.Option(help="HEIGHTxWIDTH, where the Keras model leaves it open.")
    ] = None,
    color: Annotated[
        str | None, typer.Option(help="gray, rgb or bgr; default: gray or rgb by channels.")
    ] = None,
    scale: Annotated[str, typer.Option(help="Factor of each pixel, such as 1/255.")] = "1/255",
    bias: Annotated[str, typer.Option(help="Added after the scale; one, or one a channel.")] = "0",
    crop: Annotated[str, typer.Option(help="center-crop, fit or fill.")] = "center-crop",
    author: str = "",
    license: str = "",
    model_version: Annotated[str, typer.Option("--model-version")] = "",
    description: str = "",
    data: Data = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Make a Core ML file of a run or of a Keras 3 model.

    With --data, the file is checked against its model on the spot.
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
            source, target, format=format, precision=precision, metadata=metadata, force=force
        )
    else:
        if labels is None:
            raise OptionError(
                f"{model} names no classes; add --labels FILE (one a line) or --labels a,b,c"
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
            force=force,
        )
        source = KerasPredictor(model, names, spec)

    parity = None
    if data is not None:
        made = load(path)
        parity = verify(source, made, test_set(None, data, made.input_spec))
    if json:
        print_json({"model": str(path), "parity": parity and parity.to_dict()})
    else:
        print(f"wrote {path}")
        if parity:
            print(parity)
        else:
            against = f"{model}" if run else f"{model} {path} --data SOURCE"
            print(f"check it with: pocketlens verify {against}")
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
                f"--size is HEIGHTxWIDTH, such as 28x28; received: {size!r}"
            ) from error
    if height is None or width is None:
        raise OptionError(f"{model} leaves its input's size open; add --size HEIGHTxWIDTH")
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
    """`1/255` or `0.5,0.5,0.5` as numbers."""
    numbers = []
    for part in text.split(","):
        above, slash, below = part.partition("/")
        try:
            numbers.append(float(above) / (float(below) if slash else 1.0))
        except (ValueError, ZeroDivisionError) as error:
            raise OptionError(
                f"{option} is a number, a fraction such as 1/255, or one a channel separated by "
                f"commas; received: {text!r}"
            ) from error
    return numbers

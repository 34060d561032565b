"""`pocketlens convert`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pocketlens.cli.datasets import Data, arrays_or_images, test_set
from pocketlens.cli.inputs import (
    InputOptions,
    assumed_text,
    is_core_ml,
    is_run,
    is_source,
    refuse_options,
    takes_input_options,
)
from pocketlens.cli.shell import Force, Json, Out, command, print_json, say
from pocketlens.cli.terminal import note
from pocketlens.commands import command as command_line
from pocketlens.errors import CheckFailedError, OptionError

if TYPE_CHECKING:
    from pocketlens.conversion import ArraySource
    from pocketlens.evaluation import Parity
    from pocketlens.evaluation.arrays import ArrayInput, ArrayParity
    from pocketlens.prediction import Predictor


@command(
    example=(
        "pocketlens convert runs/quick --format mlmodel",
        "pocketlens convert model.keras --labels labels.txt --scale 1/255 --out Digits.mlpackage",
        "pocketlens convert model.keras --labels cat,dog --color bgr --scale 1 \\",
        "    --bias=-103.939,-116.779,-123.68 --data folder:photos",
        "pocketlens convert model.onnx --shape input=1,3,224,224 --out Depth.mlpackage",
        "pocketlens convert model.pt2 --precision mixed --data X.npz --out Forecast.mlpackage",
        "pocketlens convert model.pt2 --out Forecast.mlpackage   # arrays in, arrays out",
        "pocketlens convert depth.pt2 --inputs image --scale 1/255 --out Depth.mlpackage",
        "pocketlens convert motion.onnx --labels walk,run --inputs array --out Motion.mlpackage",
        "pocketlens convert runs/quick --format aimodel    # Core AI, experimental",
        "pocketlens convert Foreign.mlpackage --color rgb --out Mended.mlpackage",
    )
)
@takes_input_options()
def convert(
    model: Annotated[
        Path,
        typer.Argument(help="A run folder, a Core ML file, or a model of another framework."),
    ],
    out: Out = None,
    format: Annotated[  # noqa: A002 - the option's word
        str | None,
        typer.Option(
            help="mlpackage, mlmodel or aimodel (Core AI, experimental); default: from the suffix "
            "of --out."
        ),
    ] = None,
    precision: Annotated[
        str,
        typer.Option(help="float16, float32 or mixed: float16, except for ops that need float32."),
    ] = "float16",
    *,
    told: InputOptions,
    size: Annotated[
        str | None,
        typer.Option(help="HEIGHTxWIDTH, if the model accepts any size; several with commas."),
    ] = None,
    shape: Annotated[
        list[str] | None,
        typer.Option(
            help="NAME=SIZES, such as input=1,3,224,224: the shape of an input of an ONNX or "
            "Keras file that is not fixed; may be repeated."
        ),
    ] = None,
    inputs: Annotated[
        str | None,
        typer.Option(
            help="image or array: what the model takes; default: an image, if there are --labels "
            "and the input has the shape of one."
        ),
    ] = None,
    author: Annotated[str, typer.Option(help="The author, as Xcode shows it.")] = "",
    license: Annotated[str, typer.Option(help="The license, as Xcode shows it.")] = "",  # noqa: A002
    model_version: Annotated[
        str, typer.Option("--model-version", help="The version, as Xcode shows it.")
    ] = "",
    description: Annotated[str, typer.Option(help="What the model recognizes.")] = "",
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
    """Convert a run or another model, or mend a Core ML file.

    A model with --labels that takes an image becomes a classifier of images; any other has arrays
    as inputs and outputs. With --inputs image, it takes an image and returns arrays; with --labels
    and --inputs array, it classifies arrays. Of a Core ML file, only its input and its labels can
    be changed.

    The file is written only if it computes what its source computes: it runs here on test images
    first. If not, exit 1. A note names the ops that float16 spoils; with --precision mixed, they
    compute in float32, those that need it on --data or else on made-up data.

    With --data, it is also compared with its source on these images, and exit 1 if it would read
    them better in another color order, scale or order of labels.
    """
    from pocketlens.conversion import (
        ArraySource,
        ModelMetadata,
        SourceOptions,
        open_source,
        verify_arrays,
    )
    from pocketlens.conversion import convert as make
    from pocketlens.coreml.file.time_limit import default_time_limit
    from pocketlens.evaluation import find_readings
    from pocketlens.evaluation.parity import verify
    from pocketlens.heads import check_meaning
    from pocketlens.model_files import is_core_ai, load
    from pocketlens.run_folder import read_run

    metadata: ModelMetadata | None = ModelMetadata(author, license, model_version, description)
    run = read_run(model) if not is_source(model) and is_run(model) else None
    source: Predictor | ArraySource
    if run:
        from pocketlens.recognizer import Recognizer

        refuse_options(
            f"{model} is a run folder, and its recipe sets its input and classes; remove them",
            **vars(told),
            size=size,
            shape=shape,
            inputs=inputs,
        )

        source = Recognizer.load(model)
        own = run.recipe.model
        metadata = ModelMetadata(
            author or own.author,
            license or own.license,
            model_version or own.version,
            description or own.description,
        )
        target = out or run.folder / f"{own.name}.{format or own.format}"
    elif is_core_ai(model):
        raise OptionError(
            f"{model} is a Core AI model, whose network is not converted again; pass the model "
            "that it was made from"
        )
    elif is_core_ml(model):
        refuse_options(
            f"{model} is a Core ML file, whose network is not converted again; remove them",
            precision=None if precision == "float16" else precision,
            size=size,
            shape=shape,
            inputs=inputs,
            author=author or None,
            license=license or None,
            model_version=model_version or None,
            description=description or None,
            no_check=not check,
        )
        if out is None:
            raise OptionError("the changed Core ML file needs a name: add --out FILE")
        source, target = told.applied(load(model, time_limit=default_time_limit())), out
        metadata = None
    else:
        source = open_source(
            model,
            SourceOptions(
                labels=None if (names := told.names()) is None else tuple(names),
                values=told.values(),
                assume=True,
                sizes=_sizes(size),
                head=check_meaning(told.head),
                inputs=_shapes(shape),
                takes=_taken(inputs),
            ),
        )
        target = out or model.with_suffix("")
    given: Any = None
    if isinstance(source, ArraySource):
        given = arrays_or_images(data, source.input_spec)
    elif data is not None and not is_core_ml(model):
        given = test_set(run, data, source.input_spec)
    path = make(
        source,
        target,
        format=format,
        precision=precision,
        metadata=metadata,
        data=given,
        check=check,
        force=force,
    )
    if not check and data is None:
        note(f"{path} was not compared with its source")

    parity: Parity | ArrayParity | None = None
    reading = None
    if isinstance(source, ArraySource):
        parity = None if data is None else verify_arrays(source, path, given)
    elif data is not None:
        made = load(path, time_limit=default_time_limit())
        images = given or test_set(run, data, made.input_spec)
        parity = verify(source, made, images)
        reading = find_readings(made, images)
    if json:
        found = {"parity": parity and parity.to_dict(), "reading": reading and reading.to_dict()}
        kept = _float32_ops(path)
        print_json({"model": str(path), "assumed": _assumed(source), "float32_ops": kept, **found})
    else:
        say(f"wrote {path}")
        for line in () if run else _input_lines(source):
            say(line)
        for op, reason in _float32_ops(path).items():
            say(f"in float32: '{op}': {reason}")
        if precision == "mixed" and not _float32_ops(path):
            say("in float32: nothing needs it, so all of the file is in float16")
        if parity:
            # The reading has found the same warning on fewer images.
            for each in (parity, reading and replace(reading, warning=None)):
                say(*str(each).split("\n")) if each else None
        else:
            arrays = isinstance(source, ArraySource) and source.input_spec is None
            data_of = () if run else ("--data", "X.npz" if arrays else "SOURCE")
            asked = (path,) if is_core_ml(model) else (model, path)
            what = "check it" if is_core_ml(model) else "compare it with its source"
            say(f"{what}: {command_line('verify', *asked, *data_of)}")
    if parity and not parity.passed:
        raise CheckFailedError(f"{path} does not agree with {model} within the tolerance")
    if reading and not reading.passed:
        better = reading.better or reading.drawings
        assert better is not None
        mend = (
            "turn the images, or train the model on images like these"
            if run or not better.options
            else f"convert it again with --force {better.options}"
        )
        raise CheckFailedError(f"{path} reads these images better in another way; {mend}")


def _float32_ops(path: Path) -> dict[str, str]:
    """The ops that the file keeps in float32 by `--precision mixed`, and why."""
    from pocketlens.conversion.precision.mixed import kept_ops
    from pocketlens.model_files import inspect

    return kept_ops(inspect(path)["metadata"]["user"])


def _assumed(source: Predictor | ArraySource) -> list[str]:
    """The fields of the InputSpec that are assumed."""
    spec = source.input_spec
    return [] if spec is None else list(spec.assumed)


def _input_lines(source: Predictor | ArraySource) -> list[str]:
    """What is known and what is assumed about the input of a model."""
    from pocketlens.conversion import ArraySource, ImageSource

    lines = list(source.notes) if isinstance(source, (ArraySource, ImageSource)) else []
    spec = source.input_spec
    if isinstance(source, ArraySource):
        lines += [
            f"input {each.name}: an image of {spec.height}x{spec.width}"
            if spec is not None
            else f"input {each.name}: {each.dtype} {each.expected}"
            for each in source.inputs
        ]
        lines.append(f"output{'s' * (len(source.outputs) > 1)}: {', '.join(source.outputs)}")
    if spec is not None and (text := assumed_text(spec)) is not None:
        lines.append(text)
    return lines


def _taken(inputs: str | None) -> str | None:
    """The option `--inputs`, checked."""
    from pocketlens.conversion.source_kinds import SourceOptions

    return SourceOptions(inputs=inputs).takes


def _shapes(texts: list[str] | None) -> dict[str, ArrayInput] | None:
    """The shapes in options such as `input=1,3,224,224`, by name; None without any."""
    from pocketlens.evaluation.arrays import ArrayInput

    found = {}
    for text in texts or ():
        name, equals, sizes = text.rpartition("=")
        try:
            found[name] = ArrayInput(name, tuple(int(size) for size in sizes.split(",")))
        except ValueError:
            equals = ""
        if not name or not equals:
            raise OptionError(
                f"--shape must be NAME=SIZES, such as input=1,3,224,224; received: {text!r}"
            )
    return found or None


def _sizes(size: str | None) -> tuple[tuple[int, int], ...]:
    """The sizes of images in an option such as `224x224`, or `224x224,320x320`."""
    try:
        pairs = [each.split("x") for each in size.lower().split(",")] if size else []
        return tuple((int(height), int(width)) for height, width in pairs)
    except ValueError as error:
        raise OptionError(
            f"--size must be HEIGHTxWIDTH, such as 28x28; received: {size!r}"
        ) from error

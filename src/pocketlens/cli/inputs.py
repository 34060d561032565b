"""Options and helpers of the commands that take a run folder or a model file."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from pocketlens.cli.shell import say
from pocketlens.cli.terminal import note
from pocketlens.commands import command
from pocketlens.errors import OptionError, RunError
from pocketlens.run_contents import MODEL_SUFFIXES, RECIPE, run_command

if TYPE_CHECKING:
    from typing import TypeVar

    from pocketlens.evaluation import Reading
    from pocketlens.image import InputSpec
    from pocketlens.prediction import Predictor
    from pocketlens.run_folder import Run

    AnyPredictor = TypeVar("AnyPredictor", bound=Predictor)

__all__ = [
    "IMAGE_SUFFIXES",
    "InputOptions",
    "assumed_text",
    "core_ml_file",
    "is_core_ml",
    "is_run",
    "is_source",
    "owner",
    "refuse_options",
    "say_assumed",
    "takes_input_options",
]

IMAGE_SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".jpe", ".webp", ".gif", ".bmp", ".tif", ".tiff"),
    *(".ppm", ".pgm", ".pbm", ".avif", ".heic", ".heif"),
)
"""Of the files that are read in a folder. A file that is named itself may have any suffix."""


@dataclass(frozen=True)
class InputOptions:
    """What the options say about a model's input and classes; None: the option is not given.

    `takes_input_options` gives them to a command, so they are the same everywhere.
    """

    ink: Annotated[
        str | None, typer.Option(help="The lines of drawings: dark (on white) or light (on black).")
    ] = None
    scale: Annotated[
        str | None,
        typer.Option(help="Factor for the pixels, such as 1/255; also one per channel."),
    ] = None
    bias: Annotated[str | None, typer.Option(help="Added after scaling; also one per channel.")] = (
        None
    )
    color: Annotated[
        str | None, typer.Option(help="The model's color order: gray, rgb or bgr.")
    ] = None
    crop: Annotated[str | None, typer.Option(help="center-crop, fit or fill.")] = None
    labels: Annotated[
        str | None,
        typer.Option(help="Class names in the order of the outputs: a text file, or a,b,c."),
    ] = None
    head: Annotated[
        str | None,
        typer.Option(
            help="logits or probabilities: the outputs of a model without class names; "
            "default: detected."
        ),
    ] = None

    @property
    def given(self) -> tuple[str, ...]:
        """The options that are given, such as `--ink`."""
        return tuple(f"--{name}" for name, value in vars(self).items() if value is not None)

    def values(self) -> dict[str, Any]:
        """The fields of an InputSpec that are given, for `InputSpec.with_values`.

        Raises:
            OptionError: A number is not a number.
        """
        found: dict[str, Any] = {
            name: value
            for name in ("ink", "color", "crop")
            if (value := getattr(self, name)) is not None
        }
        for name in ("scale", "bias"):
            if (text := getattr(self, name)) is not None:
                found[name] = _numbers(f"--{name}", text)
        return found

    def names(self) -> Sequence[str] | None:
        """The class names that are given, or None.

        Raises:
            OptionError: The text file cannot be read, or names are empty or not unique.
        """
        if self.labels is None:
            return None
        from pocketlens.conversion.labels import read_labels

        inline = "," in self.labels and not Path(self.labels).is_file()
        return read_labels(
            tuple(name.strip() for name in self.labels.split(",")) if inline else self.labels
        )

    def words(self, better: Reading | None = None) -> list[str]:
        """The options that are given, as they are typed.

        Args:
            better: What it changes is used in place of these options.
        """
        from pocketlens.evaluation.reading_changes import option_values

        texts = {name: value for name, value in vars(self).items() if value is not None}
        if better is not None:
            texts |= option_values(better.values, better.labels)
        return [
            word
            for name, text in texts.items()
            for word in ([f"--{name}={text}"] if text.startswith("-") else [f"--{name}", text])
        ]

    def mending(self, file: Path, better: Reading | None = None) -> str:
        """The command that writes these options, and a better reading, into a Core ML file.

        Args:
            file: The Core ML file.
            better: What it changes is used in place of these options.
        """
        out = Path(f"{file.stem}-mended{file.suffix}")
        return command("convert", file, *self.words(better), "--out", out)

    def applied(self, model: AnyPredictor) -> AnyPredictor:
        """The model, reading its images as the options say; itself if none is given.

        Raises:
            OptionError: An option that does not fit the model.
        """
        if not self.given:
            return model
        from pocketlens.coreml import CoreMLModel

        if self.head is not None and not isinstance(model, CoreMLModel):
            raise OptionError("--head is for a model file without class names; remove it")
        said = {} if self.head is None else {"head": self.head}
        other = model.with_input(labels=self.names(), **said, **self.values())
        if isinstance(other, CoreMLModel) and other.score_output and self.head is None:
            output, head = other.score_output, other.head
            note(f"the numbers of the output '{output}' are read as {head} (--head)")
        return other


def takes_input_options(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the options of InputOptions, in place of its parameter `told`.

    Args:
        names: Only these options; default: all of them.
    """
    types = get_type_hints(InputOptions, include_extras=True)
    options = [
        inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=types[name]
        )
        for name in names or types
    ]

    def replace_told(function: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(function, eval_str=True)
        parameters: list[inspect.Parameter] = []
        for parameter in signature.parameters.values():
            parameters.extend(options if parameter.name == "told" else [parameter])

        @functools.wraps(function)
        def with_told(**values: Any) -> None:
            told = InputOptions(**{each.name: values.pop(each.name) for each in options})
            function(**values, told=told)

        # Typer reads the options here.
        with_told.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        return with_told

    return replace_told


def _numbers(option: str, text: str) -> tuple[float, ...]:
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
    return tuple(numbers)


def refuse_options(reason: str, **values: object) -> None:
    """Refuse options that would have no effect here.

    Args:
        reason: Why, and what to do.
        values: The value of each option by its name, None or False if it is not given.

    Raises:
        OptionError: One of them is given.
    """
    given = [
        f"--{name.replace('_', '-')}"
        for name, value in values.items()
        if value not in (None, False)
    ]
    if given:
        raise OptionError(f"{', '.join(given)} cannot be used here: {reason}")


def is_run(path: Path) -> bool:
    """Whether `path` is a run folder; an `.mlpackage` is a folder, too.

    Raises:
        OptionError: `path` does not exist, or it can be neither a run folder nor a model file.
    """
    expected = "expected a run folder or a model file"
    if not path.exists():
        raise OptionError(f"{path} does not exist; {expected}")
    if path.suffix.lower() in IMAGE_SUFFIXES:
        raise OptionError(f"{path} is an image; {expected} in its place")
    if (path / RECIPE).is_file():
        return True
    if path.is_dir() and not is_core_ml(path):
        runs = sorted(found.parent for found in path.glob(f"*/{RECIPE}"))
        here = f", such as {', '.join(map(str, runs[:3]))}" if runs else ""
        raise OptionError(f"{path} has no {RECIPE}, so it is not a run folder; {expected}{here}")
    return False


def is_source(path: Path) -> bool:
    """Whether `path` is a file or a folder that only `convert` and `verify` read.

    Those that cannot be converted are among them: opening them says why.
    """
    if is_core_ml(path) or not path.exists() or (path / RECIPE).is_file():
        return False
    from pocketlens.conversion.sources import is_source_file

    return is_source_file(path)


def is_core_ml(path: Path) -> bool:
    """Whether `path` looks like a Core ML file."""
    return path.suffix.lower() in MODEL_SUFFIXES or (path / "Manifest.json").exists()


def core_ml_file(path: Path) -> Path:
    """The path itself, or the Core ML model of a run folder."""
    if not is_run(path):
        return path
    from pocketlens.run_folder import read_run

    model = read_run(path).model
    if model is None:
        raise RunError(
            f"{path} has no Core ML model yet; resume the run with: {run_command(path, '--resume')}"
        )
    return model


def owner(path: Path) -> Run | None:
    """The run that a run folder, or a Core ML file inside one, belongs to; None for any other."""
    from pocketlens.run_folder import read_run

    folder = path if is_run(path) else path.absolute().parent
    return read_run(folder) if (folder / RECIPE).is_file() else None


def assumed_text(spec: InputSpec) -> str | None:
    """What is only assumed about a model's input, as a line of text; None if all is known."""
    if not spec.assumed:
        return None
    from pocketlens.evaluation.reading_changes import numbers_text

    values = {
        name: value if isinstance(value := getattr(spec, name), str) else numbers_text(value)
        for name in spec.assumed
    }
    listed = ", ".join(f"{name} {value}" for name, value in values.items())
    return f"assumed, as the file does not say it: {listed}"


def say_assumed(file: Path, told: InputOptions) -> None:
    """Print what is still only assumed about a file's input, after what was said about it."""
    from pocketlens.image import InputSpec
    from pocketlens.model_files import inspect

    spec = InputSpec.from_dict(inspect(file)["input_spec"]).with_values(**told.values())
    if text := assumed_text(spec):
        say(text)

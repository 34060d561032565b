"""Options and helpers of the commands that take a run folder or a model file, and data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pocketlens.errors import OptionError
from pocketlens.run_contents import RECIPE

if TYPE_CHECKING:
    from typing import TypeVar

    from pocketlens.data import Dataset
    from pocketlens.image import InputSpec
    from pocketlens.prediction import Predictor
    from pocketlens.run_folder import Run

    AnyPredictor = TypeVar("AnyPredictor", bound=Predictor)

__all__ = [
    "Bias",
    "Color",
    "Crop",
    "Data",
    "Ink",
    "InputOptions",
    "Labels",
    "Scale",
    "is_run",
    "source_name",
    "test_set",
]

Data = Annotated[
    str | None,
    typer.Option("--data", help="A folder of images, mnist, strokes or auto; default: the run's."),
]

Ink = Annotated[
    str | None, typer.Option(help="The lines of drawings: dark (on white) or light (on black).")
]
Scale = Annotated[
    str | None, typer.Option(help="Factor for the pixels, such as 1/255; also one per channel.")
]
Bias = Annotated[str | None, typer.Option(help="Added after scaling; also one per channel.")]
Color = Annotated[str | None, typer.Option(help="The model's color order: gray, rgb or bgr.")]
Crop = Annotated[str | None, typer.Option(help="center-crop, fit or fill.")]
Labels = Annotated[
    str | None,
    typer.Option(help="Class names in the order of the outputs: a text file, or a,b,c."),
]


@dataclass(frozen=True)
class InputOptions:
    """What the options say about a model's input and classes; None: the option is not given.

    Every command that has these options passes them here, so they mean the same everywhere.
    """

    ink: str | None = None
    scale: str | None = None
    bias: str | None = None
    color: str | None = None
    crop: str | None = None
    labels: str | None = None

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

    def applied(self, model: AnyPredictor) -> AnyPredictor:
        """The model, reading its images as the options say; itself if none is given."""
        return model.with_input(labels=self.names(), **self.values()) if self.given else model


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


def source_name(data: str) -> str:
    """The name of a data source as recipes have it: a folder's path becomes `folder:PATH`.

    The path is made absolute, so that the run can be continued from another folder. A folder that
    is called like a built-in source is `./mnist`.
    """
    from pocketlens.registry import SOURCES

    if data in SOURCES.builtin or data.startswith("folder:"):
        return data
    path = Path(data).expanduser()
    is_path = any(mark in data for mark in "/\\~.") or path.is_dir()
    return f"folder:{path.absolute()}" if is_path else data


def is_run(path: Path) -> bool:
    """Whether `path` is a run folder; an `.mlpackage` is a folder, too.

    Raises:
        OptionError: `path` does not exist.
    """
    if not path.exists():
        raise OptionError(f"{path} does not exist; expected a run folder or a model file")
    return (path / RECIPE).is_file()


def test_set(run: Run | None, data: str | None, input_spec: InputSpec) -> Dataset:
    """The test images of `--data`, or those of the run.

    Raises:
        OptionError: There is neither.
    """
    from pocketlens.data import load_data

    if data is not None:
        return load_data(source_name(data), split="test", input_spec=input_spec)
    if run is None:
        raise OptionError(
            "a model file contains no images; add --data SOURCE, such as --data mnist"
        )
    return run.load("test")

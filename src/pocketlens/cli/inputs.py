"""What `evaluate` and `verify` are pointed at: a run, a Core ML file or a Keras file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pocketlens.errors import OptionError

if TYPE_CHECKING:
    from pocketlens.data import Dataset
    from pocketlens.image import InputSpec
    from pocketlens.run_folder import Run

__all__ = ["Data", "is_run", "test_set"]

Data = Annotated[
    str | None,
    typer.Option("--data", help="mnist, strokes, auto or folder:PATH; a run has its own."),
]


def is_run(path: Path) -> bool:
    """Whether `path` is a run folder (an `.mlpackage` is a folder too).

    Raises:
        OptionError: Nothing is there.
    """
    if not path.exists():
        raise OptionError(f"{path} does not exist; expected a run folder or a model file")
    return (path / "recipe.toml").is_file()


def test_set(run: Run | None, data: str | None, input_spec: InputSpec) -> Dataset:
    """The test images of `--data`, or the run's own.

    Raises:
        OptionError: Neither is given.
    """
    from pocketlens.data import load_data

    if data is not None:
        return load_data(data, split="test", input_spec=input_spec)
    if run is None:
        raise OptionError("a file has no images of its own; add --data, such as --data mnist")
    return run.load("test")

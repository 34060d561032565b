"""Options and helpers of the commands that take a run folder or a model file, and data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pocketlens.errors import OptionError
from pocketlens.run_contents import RECIPE

if TYPE_CHECKING:
    from pocketlens.data import Dataset
    from pocketlens.image import InputSpec
    from pocketlens.run_folder import Run

__all__ = ["Data", "is_run", "source_name", "test_set"]

Data = Annotated[
    str | None,
    typer.Option("--data", help="A folder of images, mnist, strokes or auto; default: the run's."),
]


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

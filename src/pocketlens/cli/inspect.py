"""`pocketlens inspect`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pocketlens.cli.inputs import core_ml_file
from pocketlens.cli.shell import Json, command, print_json, say


@command(
    example=(
        "pocketlens inspect Digits.mlpackage",
        "pocketlens inspect Digits.mlpackage --json",
    )
)
def inspect(
    file: Annotated[Path, typer.Argument(help="A Core ML file or a run folder.")],
    json: Json = False,
) -> None:
    """Show the contents of a Core ML file.

    Inputs, outputs, classes, preprocessing, metadata, ops and weights. Works for every kind of
    model, including those that do not run here. Long lists are shortened; with --json, all of it.
    """
    from pocketlens.cli.description import description_lines
    from pocketlens.model_files import inspect

    description = inspect(core_ml_file(file))
    if json:
        print_json(description)
    else:
        say(*description_lines(description))

"""`pocketlens report`: write the report of a run again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pocketlens.cli.shell import Json, command, print_json, say


@command(example=("pocketlens report runs/quick",))
def report(run: Annotated[Path, typer.Argument(help="A run folder.")], json: Json = False) -> None:
    """Write the report.html of a run again."""
    from pocketlens.report import write_report

    path = write_report(run)
    if json:
        print_json({"report": str(path)})
    else:
        say(f"wrote {path}")

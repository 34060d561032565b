"""`pocketlens ops`."""

from __future__ import annotations

from dataclasses import asdict
from itertools import groupby
from typing import Annotated

import typer

from pocketlens.cli.shell import Json, command, print_json, say
from pocketlens.errors import OptionError


@command(
    example=(
        "pocketlens ops",
        "pocketlens ops --missing",
        "pocketlens ops --chosen",
        "pocketlens ops --json",
    )
)
def ops(
    missing: Annotated[
        bool, typer.Option("--missing", help="List only what does not run.")
    ] = False,
    chosen: Annotated[
        bool,
        typer.Option("--chosen", help="List only ops whose meaning we chose, and why."),
    ] = False,
    json: Json = False,
) -> None:
    """List the Core ML ops, layers and model types that run here.

    Where Apple's text leaves the meaning of an op open, or a device differs from it, the list says
    which meaning we chose, why, and by what source.
    """
    from pocketlens.coreml.ops.registry import ops as list_ops

    if missing and chosen:
        raise OptionError("--missing and --chosen exclude each other; pass one of them")
    rows = [
        row
        for row in list_ops()
        if not (missing and row.supported) and not (chosen and not row.chosen)
    ]
    if json:
        print_json([asdict(row) for row in rows])
        return
    for dialect, group in groupby(rows, key=lambda row: row.dialect):
        found = list(group)
        running = sum(row.supported for row in found)
        title = dialect.replace("_", " ")
        shown = f"listed, {running} run" if not chosen else "with a chosen meaning"
        say(f"{title}: {len(found)} {'missing' if missing else shown}")
        width = max(len(row.op) for row in found)
        for row in found:
            since = ", ".join(f"CoreML{version}" for version in row.versions if version)
            remarks = "; ".join(part for part in (since, row.remark) if part)
            mark = " " if row.supported else "-"
            say(f"{mark} {row.op:{width}}  {remarks}".rstrip())
            for each in row.chosen:
                say(f"      chosen: {each.meaning}")
                say(f"        because {each.reason}; source: {each.source}")

"""`pocketlens ops`."""

from __future__ import annotations

from dataclasses import asdict
from itertools import groupby
from typing import Annotated

import typer

from pocketlens.cli.shell import Json, command, print_json, say


@command(
    example=(
        "pocketlens ops",
        "pocketlens ops --missing",
        "pocketlens ops --json",
    )
)
def ops(
    missing: Annotated[
        bool, typer.Option("--missing", help="List only what does not run.")
    ] = False,
    json: Json = False,
) -> None:
    """List the Core ML ops, layers and model types that run here.

    Generated from the registry that the runtime uses.
    """
    from pocketlens.coreml.ops.registry import ops as list_ops

    rows = [row for row in list_ops() if not (missing and row.supported)]
    if json:
        print_json([asdict(row) for row in rows])
        return
    for dialect, group in groupby(rows, key=lambda row: row.dialect):
        found = list(group)
        running = sum(row.supported for row in found)
        title = dialect.replace("_", " ")
        say(f"{title}: {len(found)} {'missing' if missing else f'listed, {running} run'}")
        width = max(len(row.op) for row in found)
        for row in found:
            since = ", ".join(f"CoreML{version}" for version in row.versions if version)
            remarks = "; ".join(part for part in (since, row.remark) if part)
            mark = " " if row.supported else "-"
            say(f"{mark} {row.op:{width}}  {remarks}".rstrip())

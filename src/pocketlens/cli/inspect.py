"""`pocketlens inspect`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pocketlens.cli.shell import Json, command, print_json, say


@command(
    example=(
        "pocketlens inspect Digits.mlpackage",
        "pocketlens inspect Digits.mlpackage --json",
    )
)
def inspect(
    file: Annotated[Path, typer.Argument(help="A Core ML file.")], json: Json = False
) -> None:
    """Show the contents of a Core ML file.

    Inputs, outputs, classes, preprocessing, metadata, ops and weights. Works for every kind of
    model, including those that do not run here.
    """
    from pocketlens.coreml import inspect

    description = inspect(file)
    if json:
        print_json(description)
    else:
        say(*_lines(description))


def _lines(content: object, indent: str = "") -> list[str]:
    """A description as indented text; short values stay on one line."""
    if not isinstance(content, dict):
        return [f"{indent}{_one_line(content)}"]
    lines = []
    width = max((len(str(key)) for key in content), default=0)
    for key, value in content.items():
        rows = value if isinstance(value, list) and any(isinstance(v, dict) for v in value) else []
        if isinstance(value, dict) and value:
            lines += [f"{indent}{key}", *_lines(value, indent + "  ")]
        elif rows:
            lines.append(f"{indent}{key}")
            lines += [f"{indent}  {_one_line(row)}" for row in rows]
        else:
            lines.append(f"{indent}{key:{width}}  {_one_line(value)}")
    return lines


def _one_line(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{k} {_one_line(v)}" for k, v in value.items() if v not in (None, ""))
    if isinstance(value, list):
        shown = ", ".join(_one_line(item) for item in value[:20])
        return shown + (f", … {len(value)} in total" if len(value) > 20 else "")
    return "–" if value is None or value == "" else str(value)

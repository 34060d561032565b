"""`pocketlens onnx`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pocketlens.cli.inputs import core_ml_file
from pocketlens.cli.shell import Force, Json, command, print_json, say


@command(
    example=(
        "pocketlens onnx Digits.mlpackage -o digits.onnx",
        "pocketlens onnx Translator.mlpackage -o decoder.onnx --function decode",
    )
)
def onnx(
    file: Annotated[Path, typer.Argument(help="A Core ML file or a run folder.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The ONNX file to write.")],
    function: Annotated[
        str | None, typer.Option(help="The function, if an ML Program has several.")
    ] = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Export a Core ML model to ONNX."""
    from pocketlens.coreml import export_onnx

    written = export_onnx(core_ml_file(file), out, function=function, force=force)
    if json:
        print_json({"file": str(written), "bytes": written.stat().st_size})
    else:
        say(written)

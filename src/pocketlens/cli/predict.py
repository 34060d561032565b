"""`pocketlens predict`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pocketlens.cli.shell import Json, command, print_json, say


@command(
    example=(
        "pocketlens predict Digits.mlpackage photo.jpg",
        "pocketlens predict Digits.mlpackage *.png --top 1 --json",
    )
)
def predict(
    file: Annotated[Path, typer.Argument(help="A Core ML file.")],
    images: Annotated[list[Path], typer.Argument(help="Image files.")],
    top: Annotated[int, typer.Option(help="How many classes to print.", min=1)] = 3,
    json: Json = False,
) -> None:
    """Classify images with a Core ML model."""
    from pocketlens.coreml import load

    model = load(file)
    answers = model.predict(images)
    if json:
        print_json(
            [
                {"image": str(path), "label": answer.label, "top": dict(answer.top(top))}
                for path, answer in zip(images, answers, strict=True)
            ]
        )
        return
    for path, answer in zip(images, answers, strict=True):
        say(f"{path}: " + ", ".join(f"{label} {100 * p:.2f} %" for label, p in answer.top(top)))

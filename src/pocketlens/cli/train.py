"""`pocketlens train`."""

from __future__ import annotations

from dataclasses import asdict

from pocketlens.cli.run import Force, Recipe, Resume, start
from pocketlens.cli.shell import Json, Out, Overrides, command, print_json


@command(
    example=(
        "pocketlens train quick --out runs/quick",
        "pocketlens train quick --out runs/quick --set training.epochs=4 --force",
    )
)
def train(
    recipe: Recipe = "digits",
    out: Out = None,
    overrides: Overrides = None,
    resume: Resume = False,
    force: Force = False,
    json: Json = False,
) -> None:
    """Load the data and train, no further.

    `pocketlens run` with the same --out does the rest.
    """
    done = start(recipe, out, overrides, resume=resume, force=force, until="train", json=json)
    if json:
        assert done.metrics is not None  # its last stage wrote it
        print_json({"weights": str(done.folder / "weights.safetensors"), **asdict(done.metrics)})
    else:
        print(f"weights are in {done.folder / 'weights.safetensors'}")
        print(f"go on with: pocketlens run {done.folder / 'recipe.toml'} --out {done.folder}")

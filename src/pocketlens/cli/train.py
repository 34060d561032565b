"""`pocketlens train`."""

from __future__ import annotations

from dataclasses import asdict

from pocketlens.cli.run import Data, Force, Recipe, Resume, RunFolder, overrides_of, start
from pocketlens.cli.shell import Json, Overrides, command, print_json, say
from pocketlens.run_contents import WEIGHTS, run_command


@command(
    example=(
        "pocketlens train quick --out runs/quick",
        "pocketlens train quick --out runs/quick --set training.epochs=4 --force",
    )
)
def train(
    recipe: Recipe = "digits",
    data: Data = None,
    out: RunFolder = None,
    overrides: Overrides = None,
    resume: Resume = False,
    force: Force = False,
    json: Json = False,
) -> None:
    """Load the data and train only.

    `pocketlens run` with the same --out continues with the other stages.
    """
    settings = overrides_of(data, overrides)
    done = start(recipe, out, settings, resume=resume, force=force, until="train", json=json)
    if json:
        assert done.metrics is not None  # written by the last stage
        print_json({"weights": str(done.folder / WEIGHTS), **asdict(done.metrics)})
    else:
        say(f"wrote {done.folder / WEIGHTS}")
        say(f"continue with: {run_command(done.folder)}")

"""`pocketlens sweep`."""

from __future__ import annotations

import re
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pocketlens.cli.datasets import source_name
from pocketlens.cli.shell import Json, Overrides, command, print_json, say
from pocketlens.errors import OptionError

if TYPE_CHECKING:
    from pocketlens.scale import Sweep
    from pocketlens.scale.trials import Trial

UNITS = {"": 1, "b": 1, "kb": 1000, "mb": 1000**2, "kib": 1024, "mib": 1024**2}


@command(
    example=(
        "pocketlens sweep quick --search training.learning_rate=log:0.001..0.1 --trials 8",
        "pocketlens sweep tiny --search training.weight_decay=log:0.001..0.1 --max-bytes 40kB",
        "pocketlens sweep quick --search network.channels=[16,32,64],[8,16,32] --max-ms 1",
        "pocketlens sweep mine.toml --search training.optimizer=adamw,muon --on ray://head:10001",
        "pocketlens sweep quick --search training.epochs=1..4 --trials 12 --resume",
    )
)
def sweep(
    recipe: Annotated[str, typer.Argument(help="Name of a shipped recipe, or a .toml file.")],
    search: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUES", help="LOW..HIGH, log:LOW..HIGH or A,B; repeatable."),
    ] = None,
    trials: Annotated[int, typer.Option(help="How many recipes to try.")] = 20,
    data: Annotated[
        str | None, typer.Option(help="A folder of images, mnist or strokes; as for run.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="The folder to write; default: runs/NAME-sweep."),
    ] = None,
    overrides: Overrides = None,
    max_bytes: Annotated[
        str | None, typer.Option(help="Largest Core ML file, such as 40kB.")
    ] = None,
    max_ms: Annotated[float | None, typer.Option(help="Most milliseconds per image.")] = None,
    method: Annotated[str, typer.Option(help="bayesian or random.")] = "bayesian",
    held: Annotated[float, typer.Option(help="Share of the images to compare trials on.")] = 0.1,
    on: Annotated[str, typer.Option(help="local, or a Ray cluster: ray://HOST:PORT.")] = "local",
    processors: Annotated[int, typer.Option(help="Processors for each trial.")] = 1,
    gpus: Annotated[float, typer.Option(help="GPUs for each trial, such as 0.5.")] = 0.0,
    seed: Annotated[int, typer.Option(help="Seed of the search.")] = 0,
    only_search: Annotated[
        bool, typer.Option("--only-search", help="Do not train the best recipe.")
    ] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the sweep in --out.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Start again.")] = False,
    json: Json = False,
) -> None:
    """Search for a better recipe; train and check the best one.

    Each trial trains one recipe and measures its Core ML file. Bad ones are stopped early. It runs
    on this computer or on a Ray cluster.
    """
    from pocketlens.cli.trials import Board
    from pocketlens.recipe import parse_override
    from pocketlens.scale import sweep as search_recipes
    from pocketlens.scale.search import parse_space

    settings = dict(map(parse_override, overrides or ()))
    if data is not None:
        settings = {"data.source": source_name(data)} | settings
    space = parse_space(search or ())
    with nullcontext() if json else Board(space) as board:
        found = search_recipes(
            recipe,
            search or (),
            trials=trials,
            out=out,
            overrides=settings,
            on=on,
            method=method,
            max_bytes=None if max_bytes is None else parse_bytes(max_bytes),
            max_ms=max_ms,
            held=held,
            processors=processors,
            gpus=gpus,
            seed=seed,
            resume=resume,
            force=force,
            train_best=not only_search,
            watch=board.show if board else _silent,
            callbacks=[board] if board else [],
        )
    if json:
        print_json(found.to_dict())
    else:
        say(*_summary(found))


def _silent(_trial: Trial, _ended: bool) -> None:
    """Shows nothing, for `--json`."""


def _summary(found: Sweep) -> list[str]:
    """The best recipe and what comes next."""
    from pocketlens.evaluation.accuracy import percent
    from pocketlens.files import size_text
    from pocketlens.scale.trials import run_best

    best = found.best
    assert best is not None  # else `sweep` raises
    assert best.interval is not None
    low, high = best.interval
    lines = [
        "",
        f"best: trial {best.number} of {len(found.trials)}, {percent(best.accuracy or 0.0)} "
        f"({percent(low)} to {percent(high)}) of {best.images:,} images that it was not trained on,"
        f" {size_text(best.bytes or 0)}, {best.milliseconds or 0.0:.3g} ms an image",
        *(f"  {key} = {value}" for key, value in found.values(best).items()),
    ]
    if found.run is not None and found.run.evaluation is not None:
        low, high = found.run.evaluation.interval
        lines.append(
            f"trained with all images: {percent(found.run.evaluation.accuracy)} "
            f"({percent(low)} to {percent(high)}) of {found.run.evaluation.n:,} test images; "
            f"wrote {found.run.folder}"
        )
    else:
        lines.append(f"to train it: {run_best(found.folder)}")
    return [*lines, f"all trials: {found.folder / 'report.html'}"]


def parse_bytes(text: str) -> int:
    """The number of bytes that a size such as `40kB`, `1.5 MB` or `512` stands for.

    Raises:
        OptionError: Not a size.
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", text)
    unit = UNITS.get(found[2].lower()) if found else None
    if found is None or unit is None or not 1 <= float(found[1]) * unit < 2**60:
        raise OptionError(f"a size must be such as 40kB, 1.5MB or 512; received: {text!r:.80}")
    return round(float(found[1]) * unit)

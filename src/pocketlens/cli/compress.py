"""`pocketlens compress`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pocketlens.cli.datasets import source_name
from pocketlens.cli.inputs import is_core_ml, is_run
from pocketlens.cli.shell import Force, Json, Out, command, print_json, say
from pocketlens.cli.terminal import note
from pocketlens.errors import CheckFailedError, OptionError


@command(
    example=(
        "pocketlens compress runs/digits",
        "pocketlens compress runs/digits --max-loss 0.1 --ios 18 --out Small.mlpackage",
        "pocketlens compress Birds.mlpackage --data photos",
        "pocketlens compress Digits.mlmodel --data mnist --kinds linear-8,palette-4 --json",
    )
)
def compress(
    model: Annotated[Path, typer.Argument(help="A run folder or a Core ML file.")],
    out: Out = None,
    max_loss: Annotated[
        float, typer.Option(help="Most accuracy to lose, in percentage points.")
    ] = 0.3,
    data: Annotated[
        str | None,
        typer.Option(help="A folder of images, a CSV file or mnist; default: the run's."),
    ] = None,
    kinds: Annotated[
        str | None, typer.Option(help="Only these kinds, such as linear-8,palette-4.")
    ] = None,
    ios: Annotated[
        int | None, typer.Option(help="18 also tries what needs iOS 18; default: as the file.")
    ] = None,
    figure: Annotated[
        Path | None, typer.Option(help="Also draw size against accuracy, as .png or .svg.")
    ] = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Make a Core ML file smaller, within a loss of accuracy.

    Each kind of compression is written and measured on validation images. The smallest file within
    --max-loss is kept; if there is none, nothing is written and the exit code is 1. Test images are
    only for the report.
    """
    from pocketlens.compression import compress as make_smaller
    from pocketlens.files import refuse_existing
    from pocketlens.report.canvas import check_suffix
    from pocketlens.report.compression_figure import draw_compression, write_compression
    from pocketlens.run_folder import read_run

    if not is_run(model) and not is_core_ml(model):
        raise OptionError(
            f"{model} is neither a run folder nor a Core ML file (.mlpackage or .mlmodel); convert "
            "the model to Core ML first"
        )
    if figure is not None:
        check_suffix(figure)
        if not force:
            refuse_existing(figure)
    found = make_smaller(
        model,
        out,
        max_loss=max_loss,
        data=None if data is None else source_name(data),
        kinds=None if kinds is None else [name.strip() for name in kinds.split(",") if name],
        ios=ios,
        force=force,
        progress=lambda name: say(f"{name} …", error=True, flush=True),
    )
    for each in found.notes:
        note(each)
    if figure is not None:
        draw_compression(found, figure)
    run = read_run(model) if is_run(model) else None
    if run is not None:
        write_compression(found, run)
    if json:
        print_json({**found.to_dict(), "figure": None if figure is None else str(figure)})
    else:
        say(*str(found).split("\n"))
        if figure is not None:
            say(f"wrote {figure}")
        if found.path is not None:
            say(f"wrote {found.path}")
        if run is not None and run.report is not None:
            say(f"wrote {run.report}")
    if found.path is None:
        raise CheckFailedError(
            f"no candidate is smaller and loses at most {max_loss:g} percentage points; nothing "
            "was written; allow more with --max-loss"
        )

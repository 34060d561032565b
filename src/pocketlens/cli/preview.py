"""`pocketlens preview`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pocketlens.cli.inputs import (
    InputOptions,
    core_ml_file,
    takes_input_options,
)
from pocketlens.cli.serving import Lan, OpenPage, Port, announce, interruptible
from pocketlens.cli.shell import Json, command
from pocketlens.errors import OptionError

if TYPE_CHECKING:
    from pocketlens.preview.server import Address


@command(
    example=(
        "pocketlens preview Digits.mlpackage",
        "pocketlens preview runs/digits --collect corrections",
        "pocketlens preview Digits.mlpackage Small.mlpackage   # side by side",
        "pocketlens preview Digits.mlpackage --lan             # on your phone",
    )
)
@takes_input_options()
def preview(
    files: Annotated[list[Path], typer.Argument(help="One or two Core ML models, or run folders.")],
    port: Port = 8765,
    lan: Lan = False,
    collect: Annotated[
        Path | None, typer.Option(help="Store corrected images in this folder.")
    ] = None,
    open_page: OpenPage = True,
    *,
    told: InputOptions,
    as_json: Json = False,
) -> None:
    """Try a Core ML model live in the browser: camera, drawing, photo.

    The options for the input apply to both models of a comparison.
    """
    from pocketlens.coreml.file.time_limit import default_time_limit
    from pocketlens.model_files import load
    from pocketlens.preview import serve_preview

    if len(files) > 2:
        raise OptionError(f"expected one or two Core ML models; received: {len(files)}")
    paths = [core_ml_file(path) for path in files]
    if len({path.resolve() for path in paths}) < len(paths):
        raise OptionError(f"expected two different Core ML models; received {paths[0]} twice")
    names = [path.stem for path in paths]
    if len(set(names)) < len(names):
        # The page shows these names, so they do not tell where the files are.
        names = [f"{path.resolve().parent.name}/{path.stem}" for path in files]
    if len(set(names)) < len(names):
        names = [f"{number} {name}" for number, name in enumerate(names, 1)]
    seconds = default_time_limit()
    models = {
        name: told.applied(load(path, time_limit=seconds))
        for name, path in zip(names, paths, strict=True)
    }

    def ready(address: Address) -> None:
        announce(address, lan=lan, open_page=open_page, as_json=as_json, models=names)

    with interruptible():
        serve_preview(models, port=port, lan=lan, corrections=collect, ready=ready)

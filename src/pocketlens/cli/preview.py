"""`pocketlens preview`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pocketlens.cli.failures import INTERRUPTED
from pocketlens.cli.inputs import (
    InputOptions,
    core_ml_file,
    takes_input_options,
)
from pocketlens.cli.shell import Json, command, print_json, say
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
    port: Annotated[
        int, typer.Option(help="The port; 0 for any free port.", min=0, max=65535)
    ] = 8765,
    lan: Annotated[
        bool, typer.Option("--lan", help="Serve on the local network, over HTTPS.")
    ] = False,
    collect: Annotated[
        Path | None, typer.Option(help="Store corrected images in this folder.")
    ] = None,
    open_page: Annotated[
        bool, typer.Option("--open/--no-open", help="Open the page in the browser.")
    ] = True,
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
    from pocketlens.preview.inference import MODEL_THREADS
    from pocketlens.preview.threads import wait_for_threads
    from pocketlens.qr_code import qr_text

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
        if as_json:
            found = {"address": address.page, "origin": address.origin, "token": address.token}
            print_json({**found, "models": names}, indent=None)
        elif lan:
            say(*qr_text(address.page).split("\n"))
            say(
                "Scan the code with a phone on this network. Its browser warns about an unknown "
                "certificate, because the certificate was created for this run: continue anyway."
            )
        if not as_json:
            say(f"{address.page}   (press Ctrl-C to stop)", flush=True)
        if open_page and not lan:
            typer.launch(address.page_once)

    try:
        serve_preview(models, port=port, lan=lan, corrections=collect, ready=ready)
    except KeyboardInterrupt:
        if not wait_for_threads(MODEL_THREADS, seconds=1):
            # ONNX Runtime would crash at Python's exit while it runs a model in a thread.
            say("pocketlens: interrupted", error=True)
            os._exit(INTERRUPTED)
        raise

"""`pocketlens preview`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from pocketlens.cli.inputs import is_run
from pocketlens.cli.shell import Json, command
from pocketlens.errors import OptionError, RunError


@command(
    example=(
        "pocketlens preview Digits.mlpackage",
        "pocketlens preview runs/digits --collect corrections",
        "pocketlens preview Digits.mlpackage Small.mlpackage   # side by side",
        "pocketlens preview Digits.mlpackage --lan             # for the phone beside you",
    )
)
def preview(
    files: Annotated[list[Path], typer.Argument(help="Core ML files, or runs; two at most.")],
    port: Annotated[int, typer.Option(help="0: any that is free.", min=0, max=65535)] = 8765,
    lan: Annotated[bool, typer.Option("--lan", help="Serve to this network, over HTTPS.")] = False,
    collect: Annotated[
        Path | None, typer.Option(help="Keep corrected pictures in this folder.")
    ] = None,
    open_page: Annotated[
        bool, typer.Option("--open/--no-open", help="Open the page in the browser.")
    ] = True,
    as_json: Json = False,
) -> None:
    """Draw, hold up or drop something, and see what a Core ML file takes it for."""
    from pocketlens.coreml import load
    from pocketlens.preview import serve
    from pocketlens.preview.lan import qr_code

    if len(files) > 2:
        raise OptionError(f"preview shows one Core ML file or two; received: {len(files)}")
    paths = [_core_ml_file(path) for path in files]
    if len({path.resolve() for path in paths}) < len(paths):
        raise OptionError("preview compares two different files; received the same twice")
    names = [path.stem for path in paths]
    if len(set(names)) < len(names):
        names = [str(path) for path in files]
    models = dict(zip(names, map(load, paths), strict=True))

    def ready(address: str) -> None:
        if as_json:
            print(json.dumps({"address": address, "models": names}), flush=True)
        elif lan:
            print(qr_code(address))
            print(
                "Scan the code with a phone in this network. Its browser will say that it does not "
                "know the certificate, which was made for this run: go on."
            )
        if not as_json:
            print(f"{address}   (Ctrl-C ends it)", flush=True)
        if open_page and not lan:
            typer.launch(address)

    serve(models, port=port, lan=lan, corrections=collect, ready=ready)


def _core_ml_file(path: Path) -> Path:
    """The file itself, or a run's."""
    if not is_run(path):
        return path
    from pocketlens.run_folder import read_run

    model = read_run(path).model
    if model is None:
        raise RunError(
            f"{path} has no Core ML file yet; go on with: pocketlens run --out {path} --resume"
        )
    return model

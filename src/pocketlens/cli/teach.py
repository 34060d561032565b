"""`pocketlens teach`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pocketlens.cli.serving import Lan, OpenPage, Port, announce, interruptible
from pocketlens.cli.shell import Json, Out, command

if TYPE_CHECKING:
    from pocketlens.preview.server import Address


@command(
    example=(
        "pocketlens teach toys",
        "pocketlens teach toys --lan            # with the camera of your phone",
        "pocketlens teach toys --out runs/toys  # where the model and the app are written",
        "pocketlens run photos --data toys      # a report about the same examples",
    )
)
def teach(
    folder: Annotated[
        Path,
        typer.Argument(help="The folder of the examples, one subfolder per class; may be new."),
    ] = Path("taught"),
    port: Port = 8765,
    lan: Lan = False,
    out: Out = None,
    open_page: OpenPage = True,
    *,
    as_json: Json = False,
) -> None:
    """Teach a recognizer in the browser, by showing examples.

    Record or draw examples, train in seconds, try it at once, and take it with you. The model, the
    app, the web page and the ONNX file are written to FOLDER-model, or to --out.
    """
    from pocketlens.preview.teaching import teach as serve_teaching

    def ready(address: Address) -> None:
        announce(address, lan=lan, open_page=open_page, as_json=as_json, folder=str(folder))

    with interruptible():
        serve_teaching(folder, out=out, port=port, lan=lan, ready=ready)

"""The server of the page that teaches."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pocketlens.errors import OptionError, require
from pocketlens.locking import owned
from pocketlens.networks.backbones import packages_of
from pocketlens.preview.access import NoInvitations
from pocketlens.preview.server import PAGE, REQUIRED_PACKAGES, Address, guarded, serve
from pocketlens.recipe import Recipe, load_recipe

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from pocketlens.preview.guard import Guard
    from pocketlens.preview.teaching.teacher import Teacher

__all__ = ["create_teaching_server", "teach"]


def create_teaching_server(teacher: Teacher, *, origins: Sequence[str], token: str) -> Guard:
    """Create the ASGI application.

    Args:
        teacher: What the page works with.
        origins: The addresses that serve the page.
        token: The secret that a request must have.
    """
    from starlette.responses import FileResponse
    from starlette.routing import Mount, Route, WebSocketRoute

    from pocketlens.preview.live import Live
    from pocketlens.preview.teaching.api import TeachingApi

    async def page(_: Request) -> Response:
        return FileResponse(PAGE / "teach" / "index.html")

    routes = [
        Route("/", page),
        Mount("/api", routes=TeachingApi(teacher).routes),
        WebSocketRoute("/ws/live", Live(teacher.pool).connect),
        WebSocketRoute("/ws/events", teacher.events.connect),
    ]
    nobody = NoInvitations()
    return guarded(routes, origins=origins, token=token, invitations=nobody, close=teacher.close)


def teach(
    folder: str | os.PathLike[str] = "taught",
    *,
    out: str | os.PathLike[str] | None = None,
    recipe: str | Path | Recipe = "photos",
    port: int = 0,
    lan: bool = False,
    ready: Callable[[Address], None] | None = None,
) -> None:
    """Serve a page on which anybody makes a recognizer, until it is interrupted (Ctrl-C).

    On the page, classes get examples from the camera, from photos or from drawings; a recognizer
    learns from them in seconds and answers at once. The folder has a folder of images per class at
    every moment, as `run` and `check_data` read it.

    Args:
        folder: The data folder; created if it is missing.
        out: Where the Core ML file, the app, the web page and the ONNX model are written. Default:
            `FOLDER-model`, beside the folder.
        recipe: A recipe with `training.method = "features"`.
        port: The port; 0 for any free port.
        lan: Serve on this computer's address in the local network, over HTTPS, instead of on
            127.0.0.1.
        ready: Called with the page's address as soon as the page can be opened.

    Raises:
        OptionError: The port is in use, this computer is not on a network, the folder is a file,
            has folders `train` and `test` or too many images, or the recipe trains in another way.
        OutputError: The folder cannot be written, or another process teaches it.
        MissingExtraError: PyTorch or the pretrained weights are not installed.
        KeyboardInterrupt: After Ctrl-C, when the server has stopped.
    """
    purpose = "teaching"
    path, recipe = Path(folder), load_recipe(recipe)
    if recipe.training.method != "features":
        raise OptionError(
            f"the recipe '{recipe.name}' trains with the method {recipe.training.method!r}, which "
            'takes minutes; expected one with training.method = "features", such as photos'
        )
    require(*REQUIRED_PACKAGES, purpose=purpose)
    require("torch", "coremltools", "onnxruntime", *packages_of(recipe.network), purpose=purpose)
    from pocketlens.preview.teaching.teacher import Teacher

    place = path.resolve()
    target = place.with_name(f"{place.name}-model") if out is None else Path(out)
    if target.resolve().is_relative_to(place):
        raise OptionError(
            f"{target} is in the data folder, where each folder is a class; choose another --out"
        )
    with owned(path, hint="choose another folder"):
        teacher = Teacher(path, target, recipe)

        def create(origins: Sequence[str], token: str) -> Guard:
            return create_teaching_server(teacher, origins=origins, token=token)

        def begin(address: Address) -> None:
            teacher.start()
            if ready:
                ready(address)

        serve(create, port=port, lan=lan, ready=begin)

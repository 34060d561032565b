"""The server of the preview: on this computer, or with `lan` for a phone beside it."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from pocketlens.errors import MissingExtraError, OptionError
from pocketlens.prediction import Predictor

if TYPE_CHECKING:
    from starlette.applications import Starlette

__all__ = ["create_server", "serve"]

LOOPBACK = "127.0.0.1"
PAGE = Path(__file__).parent / "page"
MAX_MESSAGE = 4_000_000
"""The largest frame, in bytes."""

SHUTDOWN = 1
"""Seconds that open connections are given when the server is stopped."""


def create_server(
    models: Mapping[str, Predictor],
    *,
    origins: list[str],
    corrections: str | os.PathLike[str] | None = None,
) -> Starlette:
    """The ASGI application.

    Args:
        models: By their names on the page.
        origins: Under which it is served, such as `http://127.0.0.1:8765`; others are refused.
        corrections: A folder for pictures that were put right; None to keep none.
    """
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.routing import Mount, WebSocketRoute
    from starlette.staticfiles import StaticFiles

    from pocketlens.errors import PocketlensError
    from pocketlens.preview.api import Api, told
    from pocketlens.preview.corrections import Corrections
    from pocketlens.preview.duels import Duels
    from pocketlens.preview.guard import Guard
    from pocketlens.preview.live import Live
    from pocketlens.preview.looking import Eyes

    eyes = Eyes(dict(models))
    duels = Duels(eyes)
    classes = next(iter(models.values())).classes
    kept = None if corrections is None else Corrections(corrections, classes)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        eyes.close()

    return Starlette(
        routes=[
            Mount("/api", routes=Api(eyes, duels, kept).routes),
            WebSocketRoute("/ws/live", Live(eyes)),
            WebSocketRoute("/ws/duel/{code}", duels),
            Mount("/", StaticFiles(directory=PAGE, html=True)),
        ],
        middleware=[Middleware(Guard, origins=origins)],
        exception_handlers={PocketlensError: told},
        lifespan=lifespan,
    )


def serve(
    models: Mapping[str, Predictor],
    *,
    port: int = 0,
    lan: bool = False,
    corrections: str | os.PathLike[str] | None = None,
    ready: Callable[[str], None] | None = None,
) -> None:
    """Serve the preview until interrupted (Ctrl-C).

    Args:
        models: By their names on the page; two are shown side by side.
        port: 0 for any that is free.
        lan: Serve to the network that this computer is in, too, over HTTPS.
        corrections: A folder for pictures that were put right; None to keep none.
        ready: Told the page's address once it can be opened.

    Raises:
        OptionError: A port that is taken, no network, or no model.
        FeatureError: A model that is no image classifier.
        MissingExtraError: The extra `preview` is not installed.
    """
    try:
        import uvicorn
    except ImportError as error:
        raise MissingExtraError("uvicorn", "preview", "the preview") from error
    if not models:
        raise OptionError("a preview needs at least one Core ML file")
    from pocketlens.preview import lan as network

    host = network.address() if lan else LOOPBACK
    scheme = "https" if lan else "http"
    with TemporaryDirectory(prefix="pocketlens-preview-") as folder, _listening(host, port) as sock:
        port = sock.getsockname()[1]
        names = [host] if lan else [LOOPBACK, "localhost"]
        origins = [f"{scheme}://{name}:{port}" for name in names]
        secure = network.certificate(host, Path(folder)) if lan else None
        server = create_server(models, origins=origins, corrections=corrections)
        config = uvicorn.Config(
            server,
            log_level="warning",
            ws_max_size=MAX_MESSAGE,
            timeout_graceful_shutdown=SHUTDOWN,
            ssl_certfile=secure and str(secure[0]),
            ssl_keyfile=secure and str(secure[1]),
        )
        if ready:
            # The socket listens already: who connects now is answered in a moment.
            ready(origins[0])
        uvicorn.Server(config).run(sockets=[sock])


@contextlib.contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
        sock.listen(128)
    except OSError as error:
        sock.close()
        raise OptionError(
            f"port {port} of {host} cannot be used ({error.strerror}); choose another with --port, "
            "or leave it out for a free one"
        ) from error
    with sock:
        yield sock

"""The server of the preview: on this computer, or with `lan` for a phone beside it."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from pocketlens.errors import MissingExtraError, OptionError
from pocketlens.prediction import Predictor

if TYPE_CHECKING:
    import uvicorn
    from starlette.applications import Starlette
    from starlette.types import ASGIApp

__all__ = ["configure", "create_server", "serve"]

LOOPBACK = "127.0.0.1"
PAGE = Path(__file__).parent / "page"
NEEDED = ("httptools", "segno", "starlette", "trustme", "uvicorn", "websockets")

MAX_MESSAGE = 4_000_000
"""The largest frame, in bytes."""

MAX_CONNECTIONS = 256
"""Above, requests are answered with 503. Sockets have limits of their own, and lower ones."""

SHUTDOWN = 1
"""Seconds that requests in progress are given when the server is stopped."""


def create_server(
    models: Mapping[str, Predictor],
    *,
    origins: Sequence[str],
    corrections: str | os.PathLike[str] | None = None,
) -> ASGIApp:
    """The ASGI application.

    Args:
        models: By their names on the page.
        origins: Under which it is served, such as `http://127.0.0.1:8765`; others are refused.
        corrections: A folder for pictures that were put right; None to keep none.

    Raises:
        FeatureError: A model that is no classifier of one image.
        OptionError: `corrections` is a file.
    """
    from starlette.applications import Starlette
    from starlette.routing import Mount, WebSocketRoute
    from starlette.staticfiles import StaticFiles

    from pocketlens.preview.api import ERRORS, Api
    from pocketlens.preview.bridge import STREAMS, Bridge
    from pocketlens.preview.corrections import Corrections
    from pocketlens.preview.duel.rooms import Duels
    from pocketlens.preview.guard import Guard
    from pocketlens.preview.inference import Eyes
    from pocketlens.preview.live import Live

    classes = next(iter(models.values())).classes
    kept = None if corrections is None else Corrections(corrections, classes)
    eyes = Eyes(dict(models))
    duels = Duels(eyes)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        eyes.close()

    application = Starlette(
        routes=[
            Mount("/api", routes=Api(eyes, duels, kept).routes),
            WebSocketRoute("/ws/live", Live(eyes).welcome),
            WebSocketRoute("/ws/duel/{code}", duels.welcome),
            Mount(STREAMS, routes=Bridge(MAX_MESSAGE).routes),
            Mount("/", StaticFiles(directory=PAGE, html=True)),
        ],
        exception_handlers=ERRORS,
        lifespan=lifespan,
    )
    return Guard(application, origins)


def configure(application: ASGIApp, *, certified: str | None = None) -> uvicorn.Config:
    """How uvicorn serves it.

    Args:
        application: See `create_server`.
        certified: The address that a new certificate is made for; None to serve plain HTTP.
    """
    import uvicorn

    from pocketlens.preview.lan import certificate
    from pocketlens.preview.timeouts import Ending, ImpatientHttp, ImpatientWebSocket

    with TemporaryDirectory(prefix="pocketlens-preview-") as folder:
        chain, key = certificate(certified, Path(folder)) if certified else (None, None)
        config = uvicorn.Config(
            Ending(application),
            loop="asyncio",
            http=ImpatientHttp,
            ws=ImpatientWebSocket,
            lifespan="on",
            log_level="warning",
            access_log=False,
            proxy_headers=False,
            limit_concurrency=MAX_CONNECTIONS,
            ws_max_size=MAX_MESSAGE,
            ws_per_message_deflate=False,  # pictures are compressed already
            timeout_graceful_shutdown=SHUTDOWN,
            ssl_certfile=chain,
            ssl_keyfile=key,
        )
        config.load()  # reads the key, which is nowhere else when the folder is gone
    return config


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
        OptionError: A port that is taken, no network, no model, or `corrections` is a file.
        FeatureError: A model that is no image classifier.
        MissingExtraError: The extra `preview` is not installed.
        KeyboardInterrupt: It was interrupted, and has ended.
    """
    for name in NEEDED:
        if find_spec(name) is None:
            raise MissingExtraError(name, "preview", "the preview")
    if not models:
        raise OptionError("a preview needs at least one Core ML file")
    import uvicorn

    from pocketlens.preview import lan as network

    host = network.address() if lan else LOOPBACK
    with _listening(host, port) as sock:
        port = sock.getsockname()[1]
        names = [host] if lan else [LOOPBACK, "localhost"]
        origins = [f"{'https' if lan else 'http'}://{name}:{port}" for name in names]
        application = create_server(models, origins=origins, corrections=corrections)
        config = configure(application, certified=host if lan else None)
        if ready:
            # The socket listens already: who connects now is answered in a moment.
            ready(origins[0])
        uvicorn.Server(config).run(sockets=[sock])


@contextlib.contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    if os.name == "posix":  # on Windows it would share the port with who has it
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
        sock.listen(128)
    except OSError as error:
        sock.close()
        raise OptionError(
            f"port {port} of {host} cannot be used ({error.strerror}); choose another with --port; "
            "0 takes any that is free"
        ) from error
    with sock:
        yield sock

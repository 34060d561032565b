"""The server of the preview: on this computer only, or with `lan` on the local network."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pocketlens.errors import OptionError, require
from pocketlens.files import temporary_folder
from pocketlens.prediction import Predictor

if TYPE_CHECKING:
    import uvicorn
    from starlette.applications import Starlette
    from starlette.routing import BaseRoute
    from starlette.types import ASGIApp

    from pocketlens.preview.access import Invitations
    from pocketlens.preview.guard import Guard

__all__ = [
    "Address",
    "create_server",
    "guarded",
    "listening_socket",
    "serve",
    "serve_preview",
    "uvicorn_config",
]

LOOPBACK = "127.0.0.1"
PAGE = Path(__file__).parent / "page"
REQUIRED_PACKAGES = ("cryptography", "httptools", "segno", "starlette", "uvicorn", "websockets")

SHUTDOWN_TIMEOUT = 1
"""Seconds that running requests may take after the server is stopped."""


@dataclass(frozen=True)
class Address:
    """Where the page is, and the secret that opens it.

    Args:
        origin: Scheme, host and port, such as `http://127.0.0.1:8765`.
        token: The secret; programs send it in the header `Authorization: Bearer TOKEN`.
        single_use: A secret that works for one request of a browser, within a minute.
    """

    origin: str
    token: str
    single_use: str

    @property
    def page(self) -> str:
        """The address to open, with the token."""
        return f"{self.origin}/?token={self.token}"

    @property
    def page_once(self) -> str:
        """The address for starting a browser: other users of a computer can see it."""
        return f"{self.origin}/?token={self.single_use}"


def create_server(
    models: Mapping[str, Predictor],
    *,
    origins: Sequence[str],
    token: str,
    corrections: str | os.PathLike[str] | None = None,
) -> Guard:
    """Create the ASGI application.

    Args:
        models: The models by their names on the page.
        origins: The addresses that serve the page, such as `http://127.0.0.1:8765`. Requests under
            other addresses are rejected.
        token: The secret that a request must have.
        corrections: The folder for corrected images; None to store none.

    Raises:
        FeatureError: A model is not a classifier of one image.
        OptionError: `corrections` is a file.
    """
    from starlette.routing import Mount, WebSocketRoute

    from pocketlens.preview.api import Api
    from pocketlens.preview.corrections import Corrections
    from pocketlens.preview.duel.rooms import Duels
    from pocketlens.preview.inference import InferencePool
    from pocketlens.preview.live import Live

    classes = next(iter(models.values())).classes
    pool = InferencePool(dict(models))
    to_png = pool.decoders.to_png
    store = None if corrections is None else Corrections(corrections, classes, to_png)
    duels = Duels(pool)
    routes = [
        Mount("/api", routes=Api(pool, duels, store).routes),
        WebSocketRoute("/ws/live", Live(pool).connect),
        WebSocketRoute("/ws/duel/{code}", duels.connect),
    ]
    return guarded(routes, origins=origins, token=token, invitations=duels, close=pool.close)


def guarded(
    routes: Sequence[BaseRoute],
    *,
    origins: Sequence[str],
    token: str,
    invitations: Invitations,
    close: Callable[[], None],
) -> Guard:
    """An ASGI application with the page's files, the bridge and all limits.

    Args:
        routes: Its own requests, which come before the files of the page.
        origins: See `create_server`.
        token: See `create_server`.
        invitations: The guests that may use a part of it.
        close: Called when the server stops.
    """
    from starlette.applications import Starlette
    from starlette.routing import Mount
    from starlette.staticfiles import StaticFiles

    from pocketlens.preview.access import Access
    from pocketlens.preview.api import EXCEPTION_HANDLERS
    from pocketlens.preview.bridge import BRIDGE_PATH, Bridge
    from pocketlens.preview.connections import MAX_MESSAGE
    from pocketlens.preview.guard import Guard
    from pocketlens.preview.held import Held

    held = Held()

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[dict[str, Held]]:
        yield {"held": held}  # for the connections, see `WebSocketConnection`
        close()

    application = Starlette(
        routes=[
            *routes,
            Mount(BRIDGE_PATH, routes=Bridge(MAX_MESSAGE, held).routes),
            Mount("/", StaticFiles(directory=PAGE, html=True)),
        ],
        exception_handlers=EXCEPTION_HANDLERS,
        lifespan=lifespan,
    )
    address = urlsplit(origins[0])
    secure = address.scheme == "https"
    access = Access(token, port=address.port or 0, secure=secure, duels=invitations)
    return Guard(application, origins, access, held)


def uvicorn_config(application: ASGIApp, *, https_host: str | None = None) -> uvicorn.Config:
    """The configuration of uvicorn for the preview.

    Args:
        application: The result of `create_server`.
        https_host: The host of the new certificate for HTTPS; None to serve plain HTTP.
    """
    import uvicorn

    from pocketlens.preview.accepting import ShutdownMiddleware
    from pocketlens.preview.connections import MAX_MESSAGE, HttpConnection, WebSocketConnection
    from pocketlens.preview.lan import create_certificate

    with temporary_folder(name="pocketlens-preview") as folder:
        chain, key = create_certificate(https_host, folder) if https_host else (None, None)
        config = uvicorn.Config(
            ShutdownMiddleware(application),
            loop="asyncio",
            http=HttpConnection,
            ws=WebSocketConnection,
            lifespan="on",
            log_level="error",
            access_log=False,
            proxy_headers=False,
            ws_max_size=MAX_MESSAGE,
            ws_per_message_deflate=False,  # images are compressed already
            timeout_graceful_shutdown=SHUTDOWN_TIMEOUT,
            ssl_certfile=chain,
            ssl_keyfile=key,
        )
        config.load()  # reads the key, because the folder is deleted now
    return config


def serve_preview(
    models: Mapping[str, Predictor],
    *,
    port: int = 0,
    lan: bool = False,
    corrections: str | os.PathLike[str] | None = None,
    ready: Callable[[Address], None] | None = None,
) -> None:
    """Serve the preview until it is interrupted (Ctrl-C).

    Args:
        models: The models by their names on the page; two models are shown side by side.
        port: The port; 0 for any free port.
        lan: Serve on this computer's address in the local network, over HTTPS, instead of on
            127.0.0.1.
        corrections: The folder for corrected images; None to store none.
        ready: Called with the page's address as soon as the page can be opened.

    Raises:
        OptionError: The port is in use, this computer is not on a network, `models` is empty, or
            `corrections` is a file.
        FeatureError: A model is not a classifier of one image.
        MissingExtraError: The extra `preview` is not installed.
        KeyboardInterrupt: After Ctrl-C, when the server has stopped.
    """
    require(*REQUIRED_PACKAGES, purpose="the preview")
    if not models:
        raise OptionError("the preview needs at least one Core ML model")

    def create(origins: Sequence[str], token: str) -> Guard:
        return create_server(models, origins=origins, token=token, corrections=corrections)

    serve(create, port=port, lan=lan, ready=ready)


def serve(
    create: Callable[[Sequence[str], str], Guard],
    *,
    port: int,
    lan: bool,
    ready: Callable[[Address], None] | None,
) -> None:
    """Serve an application until it is interrupted (Ctrl-C).

    Args:
        create: Creates it, from the addresses that serve it and the secret that opens it.
        port: See `serve_preview`.
        lan: See `serve_preview`.
        ready: See `serve_preview`.

    Raises:
        OptionError: The port is in use, or this computer is not on a network.
        KeyboardInterrupt: After Ctrl-C, when the server has stopped.
    """
    from pocketlens.preview.accepting import MAX_CONNECTIONS, MAX_PER_ADDRESS, PreviewServer
    from pocketlens.preview.access import Access
    from pocketlens.preview.lan import local_address

    host = local_address() if lan else LOOPBACK
    with listening_socket(host, port) as sock:
        port = sock.getsockname()[1]
        names = [host] if lan else [LOOPBACK, "localhost"]
        origins = [f"{'https' if lan else 'http'}://{name}:{port}" for name in names]
        token = Access.new_token()
        application = create(origins, token)
        config = uvicorn_config(application, https_host=host if lan else None)
        if ready:
            # The socket listens already: connections wait until the server accepts them.
            ready(Address(origins[0], token, application.access.new_single_use_token()))
        per_address = MAX_PER_ADDRESS if lan else MAX_CONNECTIONS
        PreviewServer(config, per_address=per_address).run(sockets=[sock])


@contextlib.contextmanager
def listening_socket(host: str, port: int) -> Iterator[socket.socket]:
    """A TCP socket that listens on `host` and `port`.

    Raises:
        OptionError: The port cannot be used.
    """
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    if os.name == "posix":  # on Windows it would share the port with another program
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
        sock.listen(128)
    except OSError as error:
        sock.close()
        raise OptionError(
            f"port {port} on {host} cannot be used ({error.strerror}); choose another with --port, "
            "or any free port with --port 0"
        ) from error
    with sock:
        yield sock

"""Rejects requests from other sites, requests under foreign host names, and bodies without end.

Every page that is open in the browser can send requests to a server on loopback. Two checks protect
it. The `Host` header must be one of the server's own; otherwise a foreign name that resolves to
127.0.0.1 would work (DNS rebinding). And the `Origin` header, which browsers send and a page cannot
forge, must be one of the server's own, too.
"""

from __future__ import annotations

from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketClose

from pocketlens.preview.sockets import POLICY_VIOLATION

__all__ = ["HEADERS", "MAX_BODY", "Guard"]

MAX_BODY = 20_000_000
"""The largest body of a request, in bytes."""

MAX_LENGTH_DIGITS = 12
"""The longest `Content-Length` that is parsed, in digits."""

TOO_LARGE = f"expected at most {MAX_BODY} bytes; send a smaller image"
DEFAULT_PORTS = {"http": ":80", "https": ":443"}

HEADERS = {
    # Only content of this server, and images that the page itself creates.
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
        "connect-src 'self'; media-src 'self' blob:; manifest-src 'self'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    ),
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(self)",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cache-control": "no-cache",
}
"""Headers of every response."""


class Guard:
    """The outermost ASGI application: every request and every response passes through it.

    Args:
        app: The application to protect. It must turn an `HTTPException` into a response.
        origins: The addresses that serve the page, such as `http://127.0.0.1:8765`.
    """

    def __init__(self, app: ASGIApp, origins: Sequence[str]) -> None:
        self.app = app
        self.address = origins[0]
        self.origins = frozenset(form for origin in origins for form in _spellings(origin.lower()))
        self.hosts = frozenset(origin.partition("://")[2] for origin in self.origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        error = self._check(headers)
        if scope["type"] == "websocket":
            app = WebSocketClose(POLICY_VIOLATION, error) if error else self.app
            await app(scope, receive, send)
            return
        send = _with_headers(send)
        if error:
            await JSONResponse({"error": error}, status_code=403)(scope, receive, send)
        elif _declares_too_large(headers):
            await JSONResponse({"error": TOO_LARGE}, status_code=413)(scope, receive, send)
        else:
            await self.app(scope, _with_limit(receive), send)

    def _check(self, headers: Headers) -> str | None:
        """The reason to reject a request; None to let it through."""
        hosts, origins = headers.getlist("host"), headers.getlist("origin")
        host = ", ".join(hosts)
        if host.lower() not in self.hosts:
            return f"unknown host name {host[:100]!r}; open {self.address}"
        origin = ", ".join(origins)
        if origins and origin.lower() not in self.origins:
            return f"requests from {origin[:100]!r} are not allowed; open {self.address}"
        return None


def _spellings(origin: str) -> tuple[str, str]:
    """An origin as it is, and without its port if that is the default port of its scheme."""
    return origin, origin.removesuffix(DEFAULT_PORTS[origin.partition("://")[0]])


def _declares_too_large(headers: Headers) -> bool:
    length = headers.get("content-length", "0")
    return not length.isdecimal() or len(length) > MAX_LENGTH_DIGITS or int(length) > MAX_BODY


def _with_limit(receive: Receive) -> Receive:
    """`receive` with a limit, for a body without a declared length or longer than declared."""
    received = 0

    async def limited() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > MAX_BODY:
            raise HTTPException(413, TOO_LARGE)
        return message

    return limited


def _with_headers(send: Send) -> Send:
    """`send` that adds `HEADERS` to the response, except for headers that are already set."""

    async def adding(message: Message) -> None:
        if message["type"] == "http.response.start":
            present = {name.lower() for name, _ in message["headers"]}
            ours = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
            added = [pair for pair in ours if pair[0] not in present]
            message["headers"] = [*message["headers"], *added]
        await send(message)

    return adding

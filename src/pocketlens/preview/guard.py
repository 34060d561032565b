"""Keeps strangers out: pages of other sites, other names for this computer, bodies without end.

A server on loopback can be reached by every page that the browser has open. Two checks stop that:
the `Host` must be one of ours (else a foreign name that resolves to 127.0.0.1 would do: DNS
rebinding), and an `Origin`, which browsers send and no page can forge, must be ours, too.
"""

from __future__ import annotations

from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketClose

from pocketlens.preview.sockets import POLICY

__all__ = ["HEADERS", "MAX_BODY", "Guard"]

MAX_BODY = 20_000_000
"""The largest body of a request, in bytes."""

MAX_DIGITS = 12
TOO_LARGE = f"expected at most {MAX_BODY} bytes; send a smaller picture"
USUAL_PORTS = {"http": ":80", "https": ":443"}

HEADERS = {
    # Only what this server sends, and pictures that the page itself has made.
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


class Guard:
    """The outermost ASGI application, so that what any other answers goes through it.

    Args:
        app: What is guarded. It answers an `HTTPException` by its status.
        origins: Under which the page is served, such as `http://127.0.0.1:8765`.
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
        fault = self._fault(headers)
        if scope["type"] == "websocket":
            app = WebSocketClose(POLICY, fault) if fault else self.app
            await app(scope, receive, send)
            return
        send = _with_headers(send)
        if fault:
            await JSONResponse({"error": fault}, status_code=403)(scope, receive, send)
        elif _says_too_large(headers):
            await JSONResponse({"error": TOO_LARGE}, status_code=413)(scope, receive, send)
        else:
            await self.app(scope, _counted(receive), send)

    def _fault(self, headers: Headers) -> str | None:
        hosts, origins = headers.getlist("host"), headers.getlist("origin")
        host = ", ".join(hosts)
        if host.lower() not in self.hosts:
            return f"this server is not called {host[:100]!r}; open {self.address}"
        origin = ", ".join(origins)
        if origins and origin.lower() not in self.origins:
            return f"a page of {origin[:100]!r} may not talk to this server"
        return None


def _spellings(origin: str) -> tuple[str, str]:
    """An origin as it is, and as browsers write it when its port is the usual one."""
    return origin, origin.removesuffix(USUAL_PORTS[origin.partition("://")[0]])


def _says_too_large(headers: Headers) -> bool:
    length = headers.get("content-length", "0")
    return not length.isdecimal() or len(length) > MAX_DIGITS or int(length) > MAX_BODY


def _counted(receive: Receive) -> Receive:
    """For a body that does not say how long it is, or is longer than it says."""
    received = 0

    async def counting() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > MAX_BODY:
            raise HTTPException(413, TOO_LARGE)
        return message

    return counting


def _with_headers(send: Send) -> Send:
    async def adding(message: Message) -> None:
        if message["type"] == "http.response.start":
            given = {name.lower() for name, _ in message["headers"]}
            more = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
            added = [pair for pair in more if pair[0] not in given]
            message["headers"] = [*message["headers"], *added]
        await send(message)

    return adding

"""Keeps strangers out: pages of other sites, other names for this computer, bodies without end.

A server on loopback can be reached by every page that the browser has open. Two checks stop that:
the `Host` must be one of ours (else a foreign name that resolves to 127.0.0.1 would do: DNS
rebinding), and an `Origin`, which browsers send and no page can forge, must be ours, too.
"""

from __future__ import annotations

from collections.abc import Iterable

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketClose

__all__ = ["Guard"]

MAX_BODY = 20_000_000
"""The largest body of a request, in bytes."""

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
    """ASGI middleware.

    Args:
        app: What is guarded.
        origins: Under which the page is served, such as `http://127.0.0.1:8765`.
    """

    def __init__(self, app: ASGIApp, origins: Iterable[str]) -> None:
        self.app = app
        self.origins = frozenset(origins)
        self.hosts = frozenset(origin.partition("://")[2] for origin in self.origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        fault = self._fault(headers)
        if fault and scope["type"] == "websocket":
            await WebSocketClose(code=1008, reason=fault)(scope, receive, send)
        elif fault:
            await PlainTextResponse(fault + "\n", status_code=403)(scope, receive, send)
        elif scope["type"] == "websocket":
            await self.app(scope, receive, send)
        else:
            await self._bounded(scope, receive, send, headers)

    def _fault(self, headers: Headers) -> str | None:
        host, origin = headers.get("host", ""), headers.get("origin")
        if host not in self.hosts:
            return f"this server is not called {host!r}; open {min(self.origins)}"
        if origin is not None and origin not in self.origins:
            return f"a page of {origin!r} may not talk to this server"
        return None

    async def _bounded(self, scope: Scope, receive: Receive, send: Send, headers: Headers) -> None:
        too_large = PlainTextResponse(f"expected at most {MAX_BODY} bytes\n", status_code=413)
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > MAX_BODY:
            await too_large(scope, receive, send)
            return
        received = 0
        answered = False

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > MAX_BODY:
                raise BodyTooLargeError
            return message

        async def with_headers(message: Message) -> None:
            nonlocal answered
            if message["type"] == "http.response.start":
                answered = True
                given = {name for name, _ in message["headers"]}
                message["headers"] = [
                    *message["headers"],
                    *(
                        (name.encode(), value.encode())
                        for name, value in HEADERS.items()
                        if name.encode() not in given
                    ),
                ]
            await send(message)

        try:
            await self.app(scope, counted, with_headers)
        except BodyTooLargeError:
            if not answered:
                await too_large(scope, receive, send)


class BodyTooLargeError(Exception):
    """More than `MAX_BODY` bytes were sent without saying so beforehand."""

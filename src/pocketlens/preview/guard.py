"""Rejects requests from other sites, requests without the token, and bodies without end.

Every page that is open in the browser can send requests to a server on loopback. Two checks protect
it. The `Host` header must be one of the server's own; otherwise a foreign name that resolves to
127.0.0.1 would work (DNS rebinding). And the `Origin` header, which browsers send and a page cannot
forge, must be one of the server's own, too. Other users of the computer can connect as well;
`access.py` asks everyone for the token.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketClose

from pocketlens.preview.access import GUEST, Access, Visitor
from pocketlens.preview.bridge import BRIDGE_PATH
from pocketlens.preview.held import BUSY, Held
from pocketlens.preview.sockets import POLICY_VIOLATION

__all__ = ["HEADERS", "MAX_BODY", "Guard"]

MAX_BODY = 20_000_000
"""The largest body of a request, in bytes."""

MAX_LENGTH_DIGITS = 12
"""The longest `Content-Length` that is parsed, in digits."""

TOO_LARGE = f"expected at most {MAX_BODY} bytes; send a smaller image"
UNKNOWN_CLIENT = (
    "open the address that pocketlens printed in the terminal, with its token; other programs send "
    "the header 'Authorization: Bearer TOKEN'"
)
NO_DUEL = "this duel does not exist any more, or its code is wrong; ask for a new link"
NOT_INVITED = "the link to a duel allows no more than to play it; " + UNKNOWN_CLIENT
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
        access: Decides who may use the preview.
        held: Counts the bytes of bodies; by default on its own.
    """

    def __init__(
        self, app: ASGIApp, origins: Sequence[str], access: Access, held: Held | None = None
    ) -> None:
        self.app = app
        self.address = origins[0]
        self.origins = frozenset(form for origin in origins for form in _spellings(origin.lower()))
        self.hosts = frozenset(origin.partition("://")[2] for origin in self.origins)
        self.access = access
        self.held = held or Held()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, _with_headers(send))
        else:
            await self.app(scope, receive, send)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        error, visitor = self._check(headers), self.access.visitor(headers)
        if visitor is None:
            error = error or UNKNOWN_CLIENT
        elif not visitor.may_request("GET", scope["path"]):
            error = error or NOT_INVITED
        else:
            scope[GUEST] = visitor.duel
        app = WebSocketClose(POLICY_VIOLATION, error) if error else self.app
        await app(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        if error := self._check(headers):
            await _refusal(403, error, headers)(scope, receive, send)
            return
        visitor = self.access.visitor(headers)
        if scope["path"] == "/" and scope["method"] == "GET":
            query = dict(parse_qsl(scope["query_string"].decode("latin-1")))
            if "token" in query:
                await self._exchange(query, headers)(scope, receive, send)
                return
            if visitor is None and "duel" in query:
                token = self.access.invited(query["duel"], (scope["client"] or ("",))[0])
                if token is None:
                    await _refusal(401, NO_DUEL, headers)(scope, receive, send)
                    return
                visitor, send = Visitor(query["duel"]), _with_cookie(send, self.access, token)
        if visitor is None:
            await _refusal(401, UNKNOWN_CLIENT, headers)(scope, receive, send)
        elif not _is_allowed(visitor, scope):
            await _refusal(403, NOT_INVITED, headers)(scope, receive, send)
        elif _declares_too_large(headers):
            await _refusal(413, TOO_LARGE, headers)(scope, receive, send)
        else:
            scope[GUEST] = visitor.duel
            await self._answer(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, with limits for its body and for all bodies together."""
        received = 0

        async def limited() -> Message:
            nonlocal received
            message = await receive()
            size = len(message.get("body", b""))
            received += size
            self.held.add(size)
            if received > MAX_BODY:  # without a declared length, or longer than declared
                raise HTTPException(413, TOO_LARGE)
            if self.held.is_full:
                raise HTTPException(503, BUSY, {"retry-after": "5", "connection": "close"})
            return message

        try:
            await self.app(scope, limited, send)
        finally:
            self.held.add(-received)

    def _exchange(self, query: dict[str, str], headers: Headers) -> Response:
        """Answer the first visit: a cookie instead of the token in the address."""
        if not self.access.exchange(query.pop("token")):
            return _refusal(401, UNKNOWN_CLIENT, headers)
        there = f"/?{urlencode(query)}" if query else "/"
        cookie = {"set-cookie": self.access.cookie(self.access.token)}
        if headers.get("sec-fetch-site", "none") in ("none", "same-origin"):
            return Response(status_code=303, headers={"location": there, **cookie})
        # Opened by a link on another site. A browser would send no strict cookie along with this
        # redirect, but it does if this page leads on.
        page = f'<meta http-equiv="refresh" content="0; url={html.escape(there)}">'
        return HTMLResponse(page, headers=cookie)

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


def _is_allowed(visitor: Visitor, scope: Scope) -> bool:
    method, path = scope["method"], scope["path"]
    if path.startswith(BRIDGE_PATH) and method == "GET":
        query = dict(parse_qsl(scope["query_string"].decode("latin-1")))
        path = query.get("to", "").partition("?")[0]
        return visitor.duel is None or (
            path.startswith("/ws/") and visitor.may_request(method, path)
        )
    return visitor.may_request(method, path)


def _refusal(status: int, error: str, headers: Headers) -> Response:
    """An error, as a page for a browser and as JSON for programs."""
    added = {"www-authenticate": "Bearer"} if status == 401 else {}
    has_body = "transfer-encoding" in headers or headers.get("content-length", "0") != "0"
    if has_body and status in (401, 403):  # the body of a refused request is not even read
        added["connection"] = "close"
    if "text/html" in headers.get("accept", ""):
        page = f"<!doctype html><title>Pocketlens preview</title><p>{html.escape(error)}</p>"
        return HTMLResponse(page, status, added)
    return JSONResponse({"error": error}, status, added)


def _with_cookie(send: Send, access: Access, token: str) -> Send:
    """`send` that adds a cookie to the response."""

    async def adding(message: Message) -> None:
        if message["type"] == "http.response.start":
            pair = (b"set-cookie", access.cookie(token).encode())
            message["headers"] = [*message["headers"], pair]
        await send(message)

    return adding


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

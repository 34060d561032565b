"""WebSocket messages over plain HTTP requests, for browsers that block the WebSocket.

Safari on an iPhone opens no WebSocket to a server with an unknown certificate, even after the user
has accepted the certificate for the page (WebKit bug 145819). In that case the page sends each
message in a request of its own and receives the answers as Server-Sent Events:

    GET /bridge/KEY?to=/ws/live     opens a stream: each message is the data of one event; at the
                                    end comes an event `close`: {"code": 1000, "reason": "..."}
    POST /bridge/KEY                sends one message: text for text/plain, otherwise bytes

KEY is 32 random hexadecimal digits that the page chooses; only the page knows them. The endpoint of
the WebSocket produces the answers. For it, the bridge looks like a WebSocket.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator, Callable

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from pocketlens.preview.held import Held
from pocketlens.preview.sockets import MAX_TEXT, run_until_first

__all__ = ["BRIDGE_PATH", "Bridge"]

BRIDGE_PATH = "/bridge/"
"""The path of the bridge. Its event streams end only when the page closes them."""

KEY = re.compile(r"[0-9a-f]{32}")
QUEUE_SIZE = 4
"""Messages that may wait in one direction; the sender of another message has to wait."""

KEEP_ALIVE = 15.0
"""Seconds after which a comment is sent on an idle stream, to notice that the page is gone."""

DISCONNECT = {"type": "websocket.disconnect", "code": 1001, "reason": ""}


class Bridge:
    """The open tunnels and the routes that serve them.

    Args:
        max_message: The largest message from a page, in bytes.
        held: Counts the messages that wait.
    """

    def __init__(self, max_message: int, held: Held) -> None:
        self.max_message = max_message
        self.held = held
        self.tunnels: dict[str, Tunnel] = {}
        self.routes = [
            Route("/{key}", self.open_stream, methods=["GET"]),
            Route("/{key}", self.post_message, methods=["POST"]),
        ]

    async def open_stream(self, request: Request) -> Response:
        key, to = request.path_params["key"], request.query_params.get("to", "")
        # A page of another site could request this address as an image, without an Origin header.
        if request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
            raise HTTPException(403, "the bridge accepts only requests from the preview's own page")
        if not KEY.fullmatch(key) or key in self.tunnels:
            raise HTTPException(400, "expected a key of 32 hexadecimal digits that is not in use")
        if not to.startswith("/ws/"):
            raise HTTPException(
                400,
                f"'to' must be the path of a WebSocket, such as /ws/live; received: {to[:100]!r}",
            )
        tunnel = self.tunnels[key] = Tunnel()
        tunnel.endpoint = asyncio.create_task(tunnel.run(request, to))

        def on_close() -> None:
            del self.tunnels[key]
            tunnel.close()

        return Stream(tunnel.events(), on_close)

    async def post_message(self, request: Request) -> Response:
        tunnel = self.tunnels.get(request.path_params["key"])
        if tunnel is None:
            raise HTTPException(404, "no stream is open with this key")
        body = await request.body()
        if len(body) > self.max_message:
            raise HTTPException(413, f"expected at most {self.max_message} bytes")
        message: Message = {"type": "websocket.receive"}
        if request.headers.get("content-type", "").startswith("text/plain"):
            if len(body) > MAX_TEXT:
                raise HTTPException(413, f"expected at most {MAX_TEXT} bytes of text")
            message = {"type": "websocket.receive", "text": body.decode(errors="replace")}
        else:
            message["bytes"] = self.held.message(body)
        await run_until_first(tunnel.incoming.put(message), tunnel.wait_closed())
        return Response(status_code=204)


class Stream(StreamingResponse):
    """A response of events; calls `on_close` after the last event or when the page is gone."""

    def __init__(self, events: AsyncIterator[str], on_close: Callable[[], None]) -> None:
        super().__init__(events, media_type="text/event-stream")
        self.on_close = on_close

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self.on_close()


class Tunnel:
    """The server's side of one WebSocket whose messages travel in HTTP requests."""

    endpoint: asyncio.Task[None]
    """The task that runs the WebSocket endpoint."""

    def __init__(self) -> None:
        self.incoming: asyncio.Queue[Message] = asyncio.Queue(QUEUE_SIZE)
        """Messages from the page to the endpoint."""
        self.outgoing: asyncio.Queue[Message] = asyncio.Queue(QUEUE_SIZE)
        """Messages from the endpoint to the page."""
        self.closed = asyncio.Event()
        self.incoming.put_nowait({"type": "websocket.connect"})

    async def run(self, request: Request, to: str) -> None:
        """Run the WebSocket endpoint at `to` until it ends."""
        try:
            await request.app(_websocket_scope(request, to), self.incoming.get, self.send)
        finally:
            with contextlib.suppress(asyncio.QueueFull):
                self.outgoing.put_nowait({"type": "websocket.close"})

    async def send(self, message: Message) -> None:
        """Queue a message of the endpoint.

        Raises:
            OSError: The page is gone; Starlette expects this exception.
        """
        if self.closed.is_set():
            raise OSError("the page is gone")
        await self.outgoing.put(message)

    async def wait_closed(self) -> None:
        await self.closed.wait()

    async def events(self) -> AsyncIterator[str]:
        """The endpoint's messages as Server-Sent Events, until the endpoint closes."""
        while True:
            try:
                message = await asyncio.wait_for(self.outgoing.get(), KEEP_ALIVE)
            except TimeoutError:
                if self.endpoint.done():
                    return
                yield ": keep-alive\n\n"
                continue
            if message["type"] == "websocket.send":
                yield f"data: {message['text']}\n\n"
            elif message["type"] == "websocket.close":
                close = {"code": message.get("code", 1000), "reason": message.get("reason") or ""}
                yield f"event: close\ndata: {json.dumps(close)}\n\n"
                return

    def close(self) -> None:
        """Disconnect the endpoint: the page is gone, or has received the close event."""
        self.closed.set()
        for queue in (self.outgoing, self.incoming):
            while not queue.empty():
                queue.get_nowait()
        self.incoming.put_nowait(DISCONNECT)


def _websocket_scope(request: Request, to: str) -> Scope:
    """The ASGI scope of a WebSocket to the path `to`, as if the sender of `request` opened it."""
    path, _, query = to.partition("?")
    scope = request.scope
    return {
        **{
            name: scope.get(name)
            for name in ("asgi", "client", "headers", "http_version", "server")
        },
        "type": "websocket",
        "scheme": "wss" if scope["scheme"] == "https" else "ws",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": query.encode(),
        "subprotocols": [],
    }

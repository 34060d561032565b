"""WebSockets over plain requests, for browsers that make none.

Safari on an iPhone opens no WebSocket to a server whose certificate it does not know, even after
its user has gone on to the page (WebKit bug 145819). There the page sends each message in a request
of its own, and hears the answers as Server-Sent Events:

    GET /bridge/KEY?to=/ws/live     a stream: every message as the data of an event; at the end an
                                    event `close` with {"code": 1000, "reason": "..."}
    POST /bridge/KEY                one message: text/plain a text, anything else bytes

KEY is 32 hexadecimal digits, drawn by the page; nobody else knows them. The WebSocket's own
endpoint answers, and does not tell the difference.
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

from pocketlens.preview.sockets import first_of

__all__ = ["STREAMS", "Bridge"]

STREAMS = "/bridge/"
"""Where the bridge is: requests that end with the page, not with the answer."""

KEY = re.compile(r"[0-9a-f]{32}")
MAX_WAITING = 4
"""Messages in one direction that wait; whoever has one more waits with it."""

STILL_HERE = 15.0
"""Seconds after which something is sent, so that a page that is gone is noticed."""

LOST = {"type": "websocket.disconnect", "code": 1001, "reason": ""}


class Bridge:
    """The streams that are open.

    Args:
        max_message: The largest message of a page, in bytes.
    """

    def __init__(self, max_message: int) -> None:
        self.max_message = max_message
        self.tunnels: dict[str, Tunnel] = {}
        self.routes = [
            Route("/{key}", self.listen, methods=["GET"]),
            Route("/{key}", self.say, methods=["POST"]),
        ]

    async def listen(self, request: Request) -> Response:
        key, to = request.path_params["key"], request.query_params.get("to", "")
        # A page of another site could ask for this as for a picture, which names no origin.
        if request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
            raise HTTPException(403, "only the page of this server is heard here")
        if not KEY.fullmatch(key) or key in self.tunnels:
            raise HTTPException(400, "expected a name of 32 hexadecimal digits that is not in use")
        if not to.startswith("/ws/"):
            raise HTTPException(400, f"'to' is {to[:100]!r}; expected the path of a WebSocket")
        tunnel = self.tunnels[key] = Tunnel()
        tunnel.work = asyncio.create_task(tunnel.run(request, to))

        def gone() -> None:
            del self.tunnels[key]
            tunnel.hang_up()

        return Stream(tunnel.events(), gone)

    async def say(self, request: Request) -> Response:
        tunnel = self.tunnels.get(request.path_params["key"])
        if tunnel is None:
            raise HTTPException(404, "nothing is open by this name")
        body = await request.body()
        if len(body) > self.max_message:
            raise HTTPException(413, f"expected at most {self.max_message} bytes")
        message: Message = {"type": "websocket.receive", "bytes": body}
        if request.headers.get("content-type", "").startswith("text/plain"):
            message = {"type": "websocket.receive", "text": body.decode(errors="replace")}
        await first_of(tunnel.said.put(message), tunnel.over())
        return Response(status_code=204)


class Stream(StreamingResponse):
    """Events; `gone` is called when the last one is sent, or the page is gone."""

    def __init__(self, events: AsyncIterator[str], gone: Callable[[], None]) -> None:
        super().__init__(events, media_type="text/event-stream")
        self.gone = gone

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self.gone()


class Tunnel:
    """One WebSocket as its endpoint sees it, whose messages come and go by other ways."""

    work: asyncio.Task[None]
    """The endpoint."""

    def __init__(self) -> None:
        self.said: asyncio.Queue[Message] = asyncio.Queue(MAX_WAITING)
        self.heard: asyncio.Queue[Message] = asyncio.Queue(MAX_WAITING)
        self.ended = asyncio.Event()
        self.said.put_nowait({"type": "websocket.connect"})

    async def run(self, request: Request, to: str) -> None:
        """The endpoint at `to`, from its beginning to its end."""
        try:
            await request.app(_scope(request, to), self.said.get, self.hear)
        finally:
            with contextlib.suppress(asyncio.QueueFull):
                self.heard.put_nowait({"type": "websocket.close"})

    async def hear(self, message: Message) -> None:
        """The endpoint says something."""
        if self.ended.is_set():
            raise OSError("the page is gone")
        await self.heard.put(message)

    async def over(self) -> None:
        await self.ended.wait()

    async def events(self) -> AsyncIterator[str]:
        """What the endpoint says, as events, until it closes."""
        while True:
            try:
                message = await asyncio.wait_for(self.heard.get(), STILL_HERE)
            except TimeoutError:
                if self.work.done():
                    return
                yield ": still here\n\n"
                continue
            if message["type"] == "websocket.send":
                yield f"data: {message['text']}\n\n"
            elif message["type"] == "websocket.close":
                said = {"code": message.get("code", 1000), "reason": message.get("reason") or ""}
                yield f"event: close\ndata: {json.dumps(said)}\n\n"
                return

    def hang_up(self) -> None:
        """The page is gone, or has been told of the end: the endpoint comes to its own."""
        self.ended.set()
        for queue in (self.heard, self.said):
            while not queue.empty():
                queue.get_nowait()
        self.said.put_nowait(LOST)


def _scope(request: Request, to: str) -> Scope:
    """What ASGI calls the scope of a WebSocket to `to`, asked for by who made the request."""
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

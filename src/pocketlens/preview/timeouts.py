"""Who is waited for, and for how long: pages that do not read, requests when the server ends."""

from __future__ import annotations

import asyncio

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from pocketlens.preview.bridge import STREAMS

__all__ = ["Ending", "ImpatientHttp", "ImpatientWebSocket"]

SLOW = 5.0
"""Seconds after which a page that takes nothing of what it was sent is dropped."""


class _Dropping(asyncio.Protocol):
    """Drops a page which does not read.

    Else whatever is sent to it waits for ever, and so does the connection's close.
    """

    loop: asyncio.AbstractEventLoop
    transport: asyncio.Transport
    dropping: asyncio.TimerHandle | None = None

    def pause_writing(self) -> None:
        super().pause_writing()
        self.dropping = self.loop.call_later(SLOW, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._keep()

    def connection_lost(self, exc: Exception | None) -> None:
        self._keep()
        super().connection_lost(exc)

    def _keep(self) -> None:
        if self.dropping is not None:
            self.dropping.cancel()
            self.dropping = None


class ImpatientWebSocket(_Dropping, WebSocketsSansIOProtocol):
    """A WebSocket whose end does not wait for a page that does not read."""

    def shutdown(self) -> None:
        super().shutdown()
        if self.dropping is not None:
            self.transport.abort()


class ImpatientHttp(_Dropping, HttpToolsProtocol):
    """A connection whose end waits for the request in progress alone.

    Requests that wait behind it would be begun while the server ends, and after: each may start a
    thread that nobody is left to stop, and the process would wait for that. A stream of events has
    no end of its own.
    """

    def shutdown(self) -> None:
        super().shutdown()
        if self.dropping is not None or self.pipeline:
            self.transport.abort()
        elif self.cycle is not None and self.cycle.scope["path"].startswith(STREAMS):
            self.transport.close()


class Ending:
    """ASGI middleware: requests that are cut off by the server's end are told so.

    What uvicorn still waits for when its time is up it cancels, and then reports as a crash.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answered = False

        async def noted(message: Message) -> None:
            nonlocal answered
            answered = True
            await send(message)

        try:
            await self.app(scope, receive, noted)
        except asyncio.CancelledError:
            if scope["type"] == "http" and not answered:
                ended = JSONResponse({"error": "the preview has ended"}, status_code=503)
                await ended(scope, receive, send)

"""Timeouts: drops connections that do not read, and requests that are still open at shutdown."""

from __future__ import annotations

import asyncio

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from pocketlens.preview.bridge import BRIDGE_PATH

__all__ = ["HttpWithTimeout", "ShutdownMiddleware", "WebSocketWithTimeout"]

WRITE_TIMEOUT = 5.0
"""Seconds after which a connection that reads nothing of what it was sent is dropped."""


class _WriteTimeout(asyncio.Protocol):
    """Drops a client that does not read.

    Without it, every write to that client would wait forever, and so would closing the connection.
    """

    loop: asyncio.AbstractEventLoop
    transport: asyncio.Transport
    write_timer: asyncio.TimerHandle | None = None
    """Runs while the client does not read."""

    def pause_writing(self) -> None:
        super().pause_writing()
        self.write_timer = self.loop.call_later(WRITE_TIMEOUT, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._cancel_write_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel_write_timer()
        super().connection_lost(exc)

    def _cancel_write_timer(self) -> None:
        if self.write_timer is not None:
            self.write_timer.cancel()
            self.write_timer = None


class WebSocketWithTimeout(_WriteTimeout, WebSocketsSansIOProtocol):
    """A WebSocket whose shutdown does not wait for a client that does not read."""

    def shutdown(self) -> None:
        super().shutdown()
        if self.write_timer is not None:
            self.transport.abort()


class HttpWithTimeout(_WriteTimeout, HttpToolsProtocol):
    """An HTTP connection whose shutdown waits only for the request in progress.

    Pipelined requests behind it would still be started during and after the shutdown. Each of them
    may start a thread that nobody stops, and the process would wait for that thread. An event
    stream of the bridge never ends by itself, so it is closed.
    """

    def shutdown(self) -> None:
        super().shutdown()
        if self.write_timer is not None or self.pipeline:
            self.transport.abort()
        elif self.cycle is not None and self.cycle.scope["path"].startswith(BRIDGE_PATH):
            self.transport.close()


class ShutdownMiddleware:
    """ASGI middleware that answers requests which the shutdown interrupts, with status 503.

    Uvicorn cancels the requests that are still running after its shutdown timeout, and without a
    response it would report each of them as a crash.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        responded = False

        async def tracking_send(message: Message) -> None:
            nonlocal responded
            responded = True
            await send(message)

        try:
            await self.app(scope, receive, tracking_send)
        except asyncio.CancelledError:
            if scope["type"] == "http" and not responded:
                stopped = JSONResponse({"error": "the preview has been stopped"}, status_code=503)
                await stopped(scope, receive, send)

"""`PreviewServer` accepts connections and drops those that take too long.

If there are too many, the oldest idle one has to go, so that connections that nobody uses cannot
lock out a page.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
import time
from collections.abc import Iterator
from typing import Any

import uvicorn
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pocketlens.preview.connections import (
    WRITE_SECONDS,
    Connection,
    HttpConnection,
    WebSocketConnection,
)

__all__ = ["MAX_CONNECTIONS", "MAX_PER_ADDRESS", "PreviewServer", "ShutdownMiddleware"]

MAX_CONNECTIONS = 256
"""The most connections; fewer if the system allows the process few open files."""

MAX_PER_ADDRESS = 64
"""The most connections from one address of the network, so that one device cannot take all."""

HANDSHAKE_SECONDS = 10.0

SWEEP_SECONDS = 0.5
ACCEPT_PAUSE = 0.2
"""Seconds between two attempts to accept a connection while the system has no file descriptor."""

NO_DESCRIPTORS = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class PreviewServer(uvicorn.Server):
    """Uvicorn with its own way to accept connections.

    Args:
        config: The configuration.
        per_address: The most connections from one address.
    """

    def __init__(self, config: uvicorn.Config, *, per_address: int = MAX_CONNECTIONS) -> None:
        super().__init__(config)
        self.most = min(MAX_CONNECTIONS, _open_files() // 2)
        self.per_address = per_address
        self.opening: dict[asyncio.Task[None], str] = {}
        """Connections whose TLS handshake is not finished, with their addresses, oldest first."""
        self.own_tasks: list[asyncio.Task[None]] = []
        self.last_report = -float("inf")

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=[])
        accepting = [self._accept(sock) for sock in sockets or []]
        self.own_tasks = [asyncio.create_task(task) for task in (*accepting, self._sweep())]

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        asyncio.get_running_loop().set_exception_handler(_without_late_clients)
        for task in self.own_tasks:
            task.cancel()
        await asyncio.gather(*self.own_tasks, return_exceptions=True)
        for task in self.opening:  # now each of them has begun, and closes its socket
            task.cancel()
        await super().shutdown(sockets)
        if self.force_exit:  # uvicorn leaves this out after a second Ctrl-C
            await self.lifespan.shutdown()

    def connected(self) -> Iterator[Connection]:
        """The connections that are not being closed."""
        for each in self.server_state.connections:
            assert isinstance(each, HttpConnection | WebSocketConnection)
            if not each.transport.is_closing():
                yield each

    async def _accept(self, sock: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        sock.setblocking(False)
        while True:
            try:
                client, (host, *_) = await loop.sock_accept(sock)
            except OSError as error:
                if error.errno in NO_DESCRIPTORS:
                    self._report(error)
                    self._make_room(None)
                    await asyncio.sleep(ACCEPT_PAUSE)
                continue
            if not self._has_room(host):
                client.close()
                continue
            task = asyncio.create_task(self._open(client))
            self.opening[task] = host
            task.add_done_callback(lambda done: self.opening.pop(done, None))
            await asyncio.sleep(0)  # `sock_accept` does not wait while more clients are there

    def _report(self, error: OSError) -> None:
        """Print one line, at most once a minute."""
        if time.monotonic() > self.last_report + 60:
            self.last_report = time.monotonic()
            logging.getLogger("uvicorn.error").error(
                "connections have to wait: %s; raise the limit of open files (ulimit -n)",
                error.strerror,
            )

    def _has_room(self, host: str) -> bool:
        """Whether a connection from `host` fits; an idle one may have to go."""
        hosts = [_host(each) for each in self.connected()] + list(self.opening.values())
        if hosts.count(host) >= self.per_address:
            return self._make_room(host)
        return len(hosts) < self.most or self._make_room(None)

    def _make_room(self, host: str | None) -> bool:
        """Drop the oldest idle connection, of `host` or of anybody; False if there is none."""
        idle = [c for c in self.connected() if c.is_idle() and host in (None, _host(c))]
        if idle:
            min(idle, key=lambda each: each.began or 0.0).transport.abort()
            return True
        for task, address in self.opening.items():
            if host in (None, address):
                task.cancel()
                del self.opening[task]
                return True
        return False

    async def _open(self, client: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        tls: dict[str, Any] = {}
        if self.config.ssl is not None:
            tls = {
                "ssl": self.config.ssl,
                "ssl_handshake_timeout": HANDSHAKE_SECONDS,
                "ssl_shutdown_timeout": WRITE_SECONDS,
            }

        def protocol() -> HttpConnection:
            return HttpConnection(self.config, self.server_state, self.lifespan.state, _loop=loop)

        # OSError: the client is gone, or its handshake failed or took too long.
        with contextlib.suppress(OSError):
            await loop.connect_accepted_socket(protocol, client, **tls)

    async def _sweep(self) -> None:
        """Drop the connections that take too long."""
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            now = asyncio.get_running_loop().time()
            for each in list(self.server_state.connections):
                assert isinstance(each, HttpConnection | WebSocketConnection)
                if each.is_overdue(now):
                    each.transport.abort()


def _without_late_clients(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Print what asyncio prints, except for a client that came as `sock_accept` was cancelled.

    asyncio accepts it, finds its future cancelled, and raises an error that nobody can catch.
    """
    if not isinstance(context.get("exception"), asyncio.InvalidStateError):
        loop.default_exception_handler(context)


def _host(connection: Connection) -> str:
    return connection.client[0] if connection.client else ""


def _open_files() -> int:
    """How many files the process may open."""
    try:
        import resource
    except ImportError:  # Windows
        return 2 * MAX_CONNECTIONS
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 2 * MAX_CONNECTIONS if soft == resource.RLIM_INFINITY else soft


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

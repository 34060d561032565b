"""Limits of connections: their number, sizes and times, before a request reaches the application.

- `HttpConnection` and `WebSocketConnection` are uvicorn's protocols with limits.
- `PreviewServer` accepts connections. If there are too many, the oldest idle one has to go, so that
  connections that nobody uses cannot lock out a page. Twice a second it drops the connections that
  take too long.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
import time
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any, TypeAlias

import uvicorn
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from pocketlens.preview.bridge import BRIDGE_PATH
from pocketlens.preview.guard import MAX_BODY

if TYPE_CHECKING:
    from asyncio import Transport

__all__ = [
    "MAX_CONNECTIONS",
    "MAX_MESSAGE",
    "MAX_PER_ADDRESS",
    "HttpConnection",
    "PreviewServer",
    "ShutdownMiddleware",
    "WebSocketConnection",
]

MAX_CONNECTIONS = 256
"""The most connections; fewer if the system allows the process few open files."""

MAX_PER_ADDRESS = 64
"""The most connections from one address of the network, so that one device cannot take all."""

MAX_HEAD_BYTES, MAX_HEADER_BYTES, MAX_HEADERS = 16_384, 8_000, 64
"""The largest head of a request, the largest header and the most headers."""

MAX_PIPELINED = 16
"""Requests that may wait for the answer to an earlier one on the same connection."""

MAX_DISCARDED = 5 * MAX_BODY
"""Bytes of a body that are read without keeping them, so that the sender gets its error."""

MAX_MESSAGE = 4_000_000
"""The largest WebSocket message, in bytes."""

MAX_FRAGMENTS = 5000
"""The most frames of one WebSocket message."""

HANDSHAKE_SECONDS = 10.0
HEAD_SECONDS = 10.0
BODY_SECONDS = 10.0
MIN_RATE = 20_000
"""A body or a message may take `BODY_SECONDS` and one more second for each 20 kB received."""

WRITE_SECONDS = 5.0
"""Seconds after which a connection that reads nothing of what it was sent is dropped."""

SWEEP_SECONDS = 0.5
ACCEPT_PAUSE = 0.2
"""Seconds between two attempts to accept a connection while the system has no file descriptor."""

NO_DESCRIPTORS = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class _Timed(asyncio.Protocol):
    """A connection that can take too long.

    Without the timer for writing, every write to a client that does not read would wait forever,
    and so would closing the connection.
    """

    loop: asyncio.AbstractEventLoop
    transport: Transport
    write_timer: asyncio.TimerHandle | None = None
    """Runs while the client does not read."""

    closing_since: float | None = None

    def pause_writing(self) -> None:
        super().pause_writing()
        self.write_timer = self.loop.call_later(WRITE_SECONDS, self.transport.abort)

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

    def is_overdue(self, now: float) -> bool:
        """Whether the connection has to be dropped."""
        if self.transport.is_closing():  # it waits until the client has read everything
            self.closing_since = self.closing_since or now
            return now > self.closing_since + WRITE_SECONDS
        return False


def _is_too_slow(now: float, began: float, received: int) -> bool:
    return now > began + BODY_SECONDS + received / MIN_RATE


class HttpConnection(_Timed, HttpToolsProtocol):
    """An HTTP connection with limits.

    Its shutdown waits only for the request in progress. Pipelined requests behind it would still be
    started during and after the shutdown. An event stream of the bridge never ends by itself, so it
    is closed.
    """

    stage = "head"
    """What is being received: the `head` of a request, its `body`, or nothing (`done`)."""

    began = 0.0
    received = 0
    """Bytes of this request."""

    head_bytes = header_count = 0

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.began = self.loop.time()

    def data_received(self, data: bytes) -> None:
        self.received += len(data)
        super().data_received(data)
        if self.transport.is_closing() or self.transport.get_protocol() is not self:
            return
        if self.stage == "head" and self.received > MAX_HEAD_BYTES:
            self.send_400_response("The head of the request is too large.")
        elif self.received > MAX_DISCARDED or len(self.pipeline) > MAX_PIPELINED:
            self.transport.abort()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.stage, self.began, self.header_count, self.head_bytes = "head", self.loop.time(), 0, 0
        if self.cycle is not None:  # otherwise this is the first request, which is counted already
            self.received = 0

    def on_url(self, url: bytes) -> None:
        if not url.isascii():
            raise ValueError("a URL is ASCII")
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self.header_count += 1
        self._count(len(name) + len(value) + 4)
        super().on_header(name, value)

    def _count(self, size: int) -> None:
        """Count a part of the head. The error becomes an answer with status 400."""
        self.head_bytes += size
        if (
            size > MAX_HEADER_BYTES
            or self.head_bytes > MAX_HEAD_BYTES
            or self.header_count > MAX_HEADERS
        ):
            raise ValueError("the head of the request is too large")

    def on_headers_complete(self) -> None:
        self.stage = "body"
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self.stage = "done"
        super().on_message_complete()

    def is_overdue(self, now: float) -> bool:
        if super().is_overdue(now):
            return True
        if self.flow.read_paused:  # the rest waits for the answer to an earlier request
            self.began = now
        if self.stage == "body":
            return _is_too_slow(now, self.began, self.received)
        # Between two requests, uvicorn's own timer for connections that are kept alive runs.
        return self.stage == "head" and now > self.began + HEAD_SECONDS

    def is_idle(self) -> bool:
        """Whether it can be dropped without an error for anybody who uses the page."""
        answered = self.cycle is None or self.cycle.response_complete
        return self.stage == "head" or (self.stage == "done" and answered)

    def shutdown(self) -> None:
        super().shutdown()
        if self.write_timer is not None or self.pipeline:
            self.transport.abort()
        elif self.cycle is not None and self.cycle.scope["path"].startswith(BRIDGE_PATH):
            self.transport.close()


class WebSocketConnection(_Timed, WebSocketsSansIOProtocol):
    """A WebSocket with limits; its shutdown does not wait for a client that does not read."""

    began: float | None = None
    """When the message began that is being received; None between two messages."""

    received = 0
    """Bytes of this message."""

    between_frames = False
    """Whether the parser waits for the first byte of a frame."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        at_eof = self.conn.reader.at_eof

        def wait_for_a_frame() -> Generator[None, None, bool]:
            self.between_frames = True
            ended = yield from at_eof()
            self.between_frames = False
            return ended

        # The parser calls it before each frame. An empty buffer says nothing: the parser takes the
        # head of a frame out of it, and then waits for the rest.
        self.conn.reader.at_eof = wait_for_a_frame  # type: ignore[method-assign]

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.between_frames and not self.frames:
            self.began, self.received = None, 0
            return
        if self.began is None:
            self.began = self.loop.time()
        self.received += len(data)
        if self.received > 2 * MAX_MESSAGE or len(self.frames) > MAX_FRAGMENTS:
            self.transport.abort()

    def send_receive_event_to_app(self) -> None:
        if self.curr_msg_data_type == "text" and not _is_utf8(b"".join(self.frames)):
            self.frames = []
            self.conn.send_close(1007, "text must be UTF-8")
            self.handle_parser_exception()
            return
        super().send_receive_event_to_app()

    def handle_parser_exception(self) -> None:
        if self.conn.close_sent is None:  # not even the handshake could be read
            self.transport.close()
        else:
            super().handle_parser_exception()

    def is_overdue(self, now: float) -> bool:
        if super().is_overdue(now):
            return True
        if self.began is None:
            return False
        if self.read_paused:  # the rest waits until the application has taken the last message
            self.began = now
        return _is_too_slow(now, self.began, self.received)

    def is_idle(self) -> bool:
        return False

    def shutdown(self) -> None:
        super().shutdown()
        if self.write_timer is not None:
            self.transport.abort()


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


Connection: TypeAlias = HttpConnection | WebSocketConnection


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

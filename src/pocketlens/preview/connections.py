"""Limits of one connection: sizes and times, before a request reaches the application.

`HttpConnection` and `WebSocketConnection` are uvicorn's protocols with limits; `PreviewServer`
(`accepting.py`) drops those for which `is_overdue` is true.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import TYPE_CHECKING, Any, TypeAlias

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from pocketlens.preview.bridge import BRIDGE_PATH
from pocketlens.preview.guard import MAX_BODY
from pocketlens.preview.held import BUSY, Held
from pocketlens.preview.sockets import MAX_TEXT, MESSAGE_TOO_BIG, TRY_AGAIN_LATER

if TYPE_CHECKING:
    from asyncio import Transport

__all__ = ["MAX_MESSAGE", "WRITE_SECONDS", "Connection", "HttpConnection", "WebSocketConnection"]

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

HEAD_SECONDS = 10.0
BODY_SECONDS = 10.0
MIN_RATE = 20_000
"""A body or a message may take `BODY_SECONDS` and one more second for each 20 kB received."""

WRITE_SECONDS = 5.0
"""Seconds after which a connection that reads nothing of what it was sent is dropped."""


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
        self.held: Held = self.app_state.get("held") or Held()
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
            self._forget()
        else:
            if self.began is None:
                self.began = self.loop.time()
            self.received += len(data)
            self.held.add(len(data))
            if self.received > 2 * MAX_MESSAGE or len(self.frames) > MAX_FRAGMENTS:
                self.transport.abort()
        if self.held.is_full and not self.transport.is_closing():
            if self.handshake_complete and not self.close_sent:
                self._end(TRY_AGAIN_LATER, BUSY)
            else:
                self.transport.abort()

    def _forget(self) -> None:
        """Nothing of a message is being received any more."""
        self.held.add(-self.received)
        self.began, self.received = None, 0

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget()
        super().connection_lost(exc)

    def send_receive_event_to_app(self) -> None:
        data = b"".join(self.frames)
        if self.close_sent:  # the message is dropped
            super().send_receive_event_to_app()
        elif self.curr_msg_data_type == "bytes":
            self.frames = [self.held.message(data)]
            super().send_receive_event_to_app()
        elif len(data) > MAX_TEXT:
            self._end(MESSAGE_TOO_BIG, f"expected at most {MAX_TEXT} bytes of text")
        elif not _is_utf8(data):
            self._end(1007, "text must be UTF-8")
        else:
            super().send_receive_event_to_app()

    def _end(self, code: int, reason: str) -> None:
        """Close the WebSocket because of what the client sent."""
        self.frames = []
        self.conn.send_close(code, reason)
        self.handle_parser_exception()

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

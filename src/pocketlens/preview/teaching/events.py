"""Tells all open pages that something has changed, so that two of them stay in step."""

from __future__ import annotations

import asyncio
import threading

from starlette.websockets import WebSocket, WebSocketDisconnect

from pocketlens.preview.sockets import TRY_AGAIN_LATER, close_with_reason, run_until_first

__all__ = ["Events"]

MAX_SOCKETS = 64

PAUSE = 0.15
"""Seconds after a message; changes meanwhile are told together."""


class Events:
    """The endpoint `/ws/events`: it sends `{"revision": 7}` after each change.

    `changed` may be called from any thread.
    """

    def __init__(self) -> None:
        self.revision = 0
        self._lock = threading.Lock()
        self._waiting: dict[asyncio.Event, asyncio.AbstractEventLoop] = {}

    def changed(self) -> None:
        """Something has changed."""
        with self._lock:
            self.revision += 1
            for event, loop in self._waiting.items():
                if not loop.is_closed():
                    loop.call_soon_threadsafe(event.set)

    async def connect(self, socket: WebSocket) -> None:
        await socket.accept()
        if len(self._waiting) >= MAX_SOCKETS:
            await close_with_reason(
                socket, TRY_AGAIN_LATER, f"{MAX_SOCKETS} pages are connected already"
            )
            return
        event = asyncio.Event()
        with self._lock:
            self._waiting[event] = asyncio.get_running_loop()
        try:
            await run_until_first(_receive(socket), self._send(socket, event))
        finally:
            with self._lock:
                del self._waiting[event]

    async def _send(self, socket: WebSocket, event: asyncio.Event) -> None:
        while True:
            event.clear()
            try:
                await socket.send_json({"revision": self.revision})
            except WebSocketDisconnect:
                return
            await asyncio.sleep(PAUSE)
            await event.wait()


async def _receive(socket: WebSocket) -> None:
    """Wait until the page disconnects; it has nothing to say."""
    while (await socket.receive())["type"] != "websocket.disconnect":
        pass

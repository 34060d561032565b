"""Frames over a WebSocket: one in flight, and of those that come meanwhile only the newest.

A page sends binary messages: one byte of flags, four bytes of a number (big-endian), then the
contents of a picture file (PNG, JPEG, WebP). Flags: 1, a still picture, which is judged by itself;
2, send what the model sees. It gets text messages, JSON:

    {"id": 7, "skipped": 0, "models": [{"name": "Digits", "shown": "4", "confidence": 0.98,
     "top": [["4", 0.98], ["9", 0.01]], "milliseconds": 0.5, "seen": null}]}

or `{"id": 7, "error": "the picture cannot be read: ..."}`. The text message `reset` starts the
smoothing anew, as for another camera.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from pocketlens.errors import PocketlensError
from pocketlens.preview.looking import Eyes, Look, pixels
from pocketlens.preview.steady import Steady

__all__ = ["TOP", "Live", "said"]

STILL, SEEN = 1, 2
HEADER = 5
TOP = 10
"""How many classes are told."""

MAX_SOCKETS = 128
SLOW = 5.0
"""Seconds after which a reader that takes nothing is dropped."""

TRY_AGAIN_LATER, POLICY = 1013, 1008


class Live:
    """The endpoint, and how many are connected to it.

    Args:
        eyes: Who looks at the frames.
        most: How many may be connected at once.
    """

    def __init__(self, eyes: Eyes, *, most: int = MAX_SOCKETS) -> None:
        self.eyes = eyes
        self.most = most
        self.connected = 0

    async def __call__(self, socket: WebSocket) -> None:
        await socket.accept()
        if self.connected >= self.most:
            await socket.close(TRY_AGAIN_LATER, f"{self.most} pages are connected already")
            return
        self.connected += 1
        try:
            await Conversation(socket, self.eyes).run()
        finally:
            self.connected -= 1


class Conversation:
    """One page: a task that receives, and one that looks and answers."""

    def __init__(self, socket: WebSocket, eyes: Eyes) -> None:
        self.socket = socket
        self.eyes = eyes
        self.steady = {name: Steady.of(model) for name, model in eyes.models.items()}
        self.newest: bytes | None = None
        self.skipped = 0
        self.something = asyncio.Event()

    async def run(self) -> None:
        receiving = asyncio.create_task(self.receive())
        answering = asyncio.create_task(self.answer())
        done, _ = await asyncio.wait({receiving, answering}, return_when=asyncio.FIRST_COMPLETED)
        for task in (receiving, answering):
            task.cancel()
        await asyncio.gather(receiving, answering, return_exceptions=True)
        with contextlib.suppress(RuntimeError, WebSocketDisconnect):  # it may be closed already
            await self.socket.close()
        for task in done:
            task.result()

    async def receive(self) -> None:
        """Keep the newest frame, until the page is gone."""
        while True:
            message = await self.socket.receive()
            if message["type"] == "websocket.disconnect":
                return
            if message.get("text") == "reset":
                for steady in self.steady.values():
                    steady.reset()
            elif (data := message.get("bytes")) is not None and len(data) > HEADER:
                self.skipped += self.newest is not None
                self.newest = data
                self.something.set()
            else:
                await self.socket.close(POLICY, "expected a frame: flags, number, picture")
                return

    async def answer(self) -> None:
        """Look at one frame after the other; drop a page that does not read the answers."""
        while True:
            await self.something.wait()
            self.something.clear()
            data, self.newest = self.newest, None
            skipped, self.skipped = self.skipped, 0
            assert data is not None
            flags, number = data[0], int.from_bytes(data[1:HEADER], "big")
            answer: dict[str, Any] = {"id": number, "skipped": skipped}
            try:
                looks = await self.eyes.look(data[HEADER:])
                answer["models"] = [self.judged(look, flags) for look in looks]
            except PocketlensError as error:
                answer["error"] = str(error)
            try:
                await asyncio.wait_for(self.socket.send_json(answer), SLOW)
            except (TimeoutError, WebSocketDisconnect):
                return

    def judged(self, look: Look, flags: int) -> dict[str, Any]:
        steady = self.steady[look.name]
        if flags & STILL:
            steady = Steady.of(self.eyes.models[look.name], still=True)
        return said(look, steady.add(look.probabilities), seen=bool(flags & SEEN))


def said(look: Look, shown: str | None, *, seen: bool, top: int = TOP) -> dict[str, Any]:
    """What a model said of a picture, for JSON; its label only when it is to be shown."""
    return {
        "name": look.name,
        "shown": shown,
        "confidence": None
        if shown is None
        else float(look.probabilities[look.classes.index(shown)]),
        "top": look.top(top),
        "milliseconds": round(look.milliseconds, 3),
        "seen": pixels(look.seen) if seen else None,
    }

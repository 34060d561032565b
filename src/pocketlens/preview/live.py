"""Frames over a WebSocket: one in flight, and of those that come meanwhile only the newest.

A page connects to `/ws/live` and sends binary messages: one byte of flags, four bytes of a number
(big-endian), then the contents of a picture file (PNG, JPEG, WebP) of at most `MAX_FRAME_PIXELS`.
Flags: 1, a still picture, which is judged by itself; 2, send what the model sees. It gets text
messages, JSON:

    {"id": 7, "skipped": 0, "models": [{"name": "Digits", "shown": "4", "confidence": 0.98,
     "top": [["4", 0.98], ["9", 0.01]], "milliseconds": 0.5, "seen": null}]}

or `{"id": 7, "error": "the picture cannot be read: ..."}`. `top` is of this frame, `shown` and its
`confidence` are of the last few. Frames that were passed over for a newer one are not answered but
counted in `skipped`. The text message `reset` starts the smoothing anew for the frames after it, as
for another camera. Anything else closes the socket.
"""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from pocketlens.errors import PocketlensError
from pocketlens.preview.inference import MAX_FRAME_PIXELS, Eyes, Look, pixels
from pocketlens.preview.smoothing import Steady
from pocketlens.preview.sockets import POLICY, TRY_AGAIN_LATER, first_of, refuse

__all__ = ["HEADER", "SEEN", "STILL", "TOP", "Live", "said"]

STILL, SEEN = 1, 2
HEADER = 5
TOP = 10
"""How many classes are told."""

MAX_SOCKETS = 128


class Live:
    """The endpoint, and how many are connected to it.

    Args:
        eyes: Who looks at the frames.
    """

    def __init__(self, eyes: Eyes) -> None:
        self.eyes = eyes
        self.connected = 0

    async def welcome(self, socket: WebSocket) -> None:
        await socket.accept()
        if self.connected >= MAX_SOCKETS:
            await refuse(socket, TRY_AGAIN_LATER, f"{MAX_SOCKETS} pages are connected already")
            return
        self.connected += 1
        try:
            conversation = Conversation(socket, self.eyes)
            await first_of(conversation.receive(), conversation.answer())
        finally:
            self.connected -= 1


class Conversation:
    """One page: a task that receives, and one that looks and answers."""

    def __init__(self, socket: WebSocket, eyes: Eyes) -> None:
        self.socket = socket
        self.eyes = eyes
        self.newest: tuple[bytes, dict[str, Steady]] | None = None
        self.skipped = 0
        self.something = asyncio.Event()
        self.start_anew()

    def start_anew(self) -> None:
        # A frame keeps those that it came under: what is in flight says nothing of what follows.
        self.steady = {name: Steady.of(model) for name, model in self.eyes.models.items()}

    async def receive(self) -> None:
        """Keep the newest frame, until the page is gone."""
        while (message := await self.socket.receive())["type"] != "websocket.disconnect":
            if message.get("text") == "reset":
                self.start_anew()
            elif (data := message.get("bytes")) is not None and len(data) >= HEADER:
                self.skipped += self.newest is not None
                self.newest = (data, self.steady)
                self.something.set()
            else:
                await refuse(self.socket, POLICY, "expected a frame: flags, number, picture")
                return

    async def answer(self) -> None:
        """Look at one frame after the other, until the page is gone."""
        while True:
            await self.something.wait()
            self.something.clear()
            assert self.newest is not None
            (data, steady), self.newest = self.newest, None
            skipped, self.skipped = self.skipped, 0
            number = int.from_bytes(data[1:HEADER], "big")
            answer: dict[str, Any] = {"id": number, "skipped": skipped}
            try:
                looks = await self.eyes.look(data[HEADER:], max_pixels=MAX_FRAME_PIXELS)
            except PocketlensError as error:
                answer["error"] = str(error)
            else:
                answer["models"] = [self.judged(look, data[0], steady) for look in looks]
            try:
                await self.socket.send_json(answer)
            except WebSocketDisconnect:
                return

    def judged(self, look: Look, flags: int, steady: dict[str, Steady]) -> dict[str, Any]:
        if flags & STILL:
            by_itself = Steady.of(self.eyes.models[look.name], still=True)
            return said(look, by_itself, seen=bool(flags & SEEN))
        return said(look, steady[look.name], seen=bool(flags & SEEN))


def said(look: Look, steady: Steady, *, seen: bool, top: int = TOP) -> dict[str, Any]:
    """What a model said of a picture, and what `steady` shows once it has taken it in; for JSON."""
    shown = steady.add(look.probabilities)
    return {
        "name": look.name,
        "shown": shown,
        "confidence": steady.confidence,
        "top": look.top(top),
        "milliseconds": round(look.milliseconds, 3),
        "seen": pixels(look.seen) if seen else None,
    }

"""Live predictions over a WebSocket: one frame at a time, and of waiting frames only the newest.

A page connects to `/ws/live` and sends binary messages: one byte of flags, four bytes with the
number of the frame (big-endian), then the content of an image file (PNG, JPEG, WebP...) of at
most `MAX_FRAME_PIXELS` pixels. The flags are 1 for a still image, which is not smoothed, 2 to
receive the model's input pixels, too, and 4 or 8 for a drawing in dark or light lines: a model of
the other ink gets it inverted. The answers are JSON text messages:

    {"id": 7, "skipped": 0, "models": [{"name": "Digits", "shown": "4", "confidence": 0.98,
     "verdict": "4", "top": [["4", 0.98], ["9", 0.01]], "milliseconds": 0.5, "seen": null}]}

or `{"id": 7, "error": "the image ..."}`. `top` belongs to this frame; `shown`, `confidence` and
`verdict` (the label, `nothing` or `not sure`) are smoothed over the last frames. A frame that is
replaced by a newer one before it is processed gets no answer; the next answer counts it in
`skipped`. The text message `reset` restarts the smoothing,
for example when the camera changes. Any other message closes the WebSocket.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from pocketlens.errors import PocketlensError
from pocketlens.image import Ink
from pocketlens.prediction import Predictor
from pocketlens.preview.decoders import FRAME
from pocketlens.preview.inference import (
    InferencePool,
    InferenceResult,
    encode_pixels,
)
from pocketlens.preview.smoothing import Smoother
from pocketlens.preview.sockets import (
    POLICY_VIOLATION,
    TRY_AGAIN_LATER,
    close_with_reason,
    run_until_first,
)

__all__ = ["DARK", "HEADER_BYTES", "LIGHT", "SEEN", "STILL", "TOP", "Live", "result_to_json"]

STILL, SEEN, DARK, LIGHT = 1, 2, 4, 8
"""Flags of a frame: a still image; send the model's input pixels; the ink of a drawing."""

HEADER_BYTES = 5
TOP = 10
"""How many classes an answer lists."""

MAX_SOCKETS = 128
IDLE_SECONDS = 10.0
"""A page that has sent nothing for this long makes room for another one, and reconnects later."""


class Live:
    """The endpoint `/ws/live`.

    Args:
        pool: The models that process the frames.
    """

    def __init__(self, pool: InferencePool) -> None:
        self.pool = pool
        self.sessions: dict[Session, None] = {}
        """The connected pages, in the order of their connections."""

    async def connect(self, socket: WebSocket) -> None:
        await socket.accept()
        if len(self.sessions) >= MAX_SOCKETS and not await self._make_room():
            await close_with_reason(
                socket, TRY_AGAIN_LATER, f"{MAX_SOCKETS} pages are connected already"
            )
            return
        session = Session(socket, self.pool)
        self.sessions[session] = None
        try:
            await run_until_first(session.receive(), session.answer())
        finally:
            self.sessions.pop(session, None)

    async def _make_room(self) -> bool:
        """Disconnect the page that has sent nothing for the longest time."""
        oldest = min(self.sessions, key=lambda session: session.last_message)
        if time.monotonic() < oldest.last_message + IDLE_SECONDS:
            return False
        del self.sessions[oldest]
        await close_with_reason(
            oldest.socket, TRY_AGAIN_LATER, "another page was opened, and this one was idle"
        )
        return True


class Session:
    """One connected page. One task receives frames, another processes and answers them."""

    def __init__(self, socket: WebSocket, pool: InferencePool) -> None:
        self.socket = socket
        self.pool = pool
        self.newest: tuple[bytes, dict[Predictor, Smoother]] | None = None
        self.skipped = 0
        self.last_message = time.monotonic()
        self.frame_received = asyncio.Event()
        self.reset()

    def reset(self) -> None:
        # New smoothers instead of `Smoother.reset`: a frame that is being processed keeps the old
        # ones, so that it cannot influence the frames after the reset.
        self.smoothers: dict[Predictor, Smoother] = {}

    async def receive(self) -> None:
        """Keep the newest frame, until the page disconnects."""
        while (message := await self.socket.receive())["type"] != "websocket.disconnect":
            self.last_message = time.monotonic()
            if message.get("text") == "reset":
                self.reset()
            elif (data := message.get("bytes")) is not None and len(data) >= HEADER_BYTES:
                self.skipped += self.newest is not None
                self.newest = (data, self.smoothers)
                self.frame_received.set()
            else:
                await close_with_reason(
                    self.socket,
                    POLICY_VIOLATION,
                    "expected 'reset' or a frame: flags (1 byte), number (4 bytes), image file",
                )
                return

    async def answer(self) -> None:
        """Process and answer one frame after the other, until the page disconnects."""
        while True:
            await self.frame_received.wait()
            self.frame_received.clear()
            assert self.newest is not None
            (data, smoothers), self.newest = self.newest, None
            skipped, self.skipped = self.skipped, 0
            number = int.from_bytes(data[1:HEADER_BYTES], "big")
            answer: dict[str, Any] = {"id": number, "skipped": skipped}
            try:
                results = await self.pool.predict(
                    data[HEADER_BYTES:], limit=FRAME, ink=_ink(data[0])
                )
            except PocketlensError as error:
                answer["error"] = str(error)
            else:
                answer["models"] = [self._to_json(each, data[0], smoothers) for each in results]
            try:
                await self.socket.send_json(answer)
            except WebSocketDisconnect:
                return

    def _to_json(
        self, result: InferenceResult, flags: int, smoothers: dict[Predictor, Smoother]
    ) -> dict[str, Any]:
        if flags & STILL:
            smoother = Smoother.for_model(result.model, still=True)
        else:  # a page that teaches has another model from time to time
            new = Smoother.for_model(result.model)
            smoother = smoothers.setdefault(result.model, new)
        return result_to_json(result, smoother, seen=bool(flags & SEEN))


def _ink(flags: int) -> Ink | None:
    """The ink of a drawing; None for any other image."""
    if flags & DARK:
        return "dark"
    return "light" if flags & LIGHT else None


def result_to_json(
    result: InferenceResult, smoother: Smoother, *, seen: bool, top: int = TOP
) -> dict[str, Any]:
    """The answer of one model as JSON; adds the result to `smoother`.

    Args:
        result: The model's output for one image.
        smoother: Decides which label is shown.
        seen: Whether to include the model's input pixels.
        top: How many classes to list.
    """
    shown = smoother.add(result.probabilities)
    return {
        "name": result.name,
        "shown": shown,
        "confidence": smoother.confidence,
        "verdict": smoother.verdict,
        "top": result.top(top),
        "milliseconds": round(result.milliseconds, 3),
        "seen": encode_pixels(result.pixels) if seen else None,
    }

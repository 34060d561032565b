"""Duels over WebSockets: rooms by code, two players each."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import time
from dataclasses import replace

from starlette.websockets import WebSocket, WebSocketDisconnect

from pocketlens.errors import OptionError, PocketlensError
from pocketlens.preview.duel import Match
from pocketlens.preview.looking import Eyes
from pocketlens.preview.steady import Steady

__all__ = ["Duels"]

LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ"  # without I and O, which look like digits
CODE = 4
MAX_ROOMS = 100
IDLE = 120.0
"""Seconds after which a room that nobody has come to is given up."""

TICK = 0.1
HOLD = 3
"""For how many drawings in a row the model must say the same."""

SLOW = 5.0
POLICY, TRY_AGAIN_LATER = 1008, 1013


class Room:
    """One match, and the sockets of its players."""

    def __init__(self, match: Match) -> None:
        self.match = match
        self.sockets: dict[str, WebSocket] = {}
        self.opened = time.monotonic()

    async def tell(self) -> None:
        """Tell both players how things stand; one that does not listen is let go."""
        now = time.monotonic()
        for key, socket in list(self.sockets.items()):
            if key in self.match.players:
                try:
                    await asyncio.wait_for(socket.send_json(self.match.seen_by(key, now)), SLOW)
                except (TimeoutError, WebSocketDisconnect, RuntimeError):
                    await self.drop(key)

    async def drop(self, key: str) -> None:
        """A player is gone."""
        socket = self.sockets.pop(key, None)
        self.match.leave(key)
        if socket is not None:
            with contextlib.suppress(RuntimeError, WebSocketDisconnect):
                await socket.close()


class Duels:
    """All rooms. The first of the models is asked.

    A player connects to `/ws/duel/CODE?name=NAME`, sends drawings as binary messages (the contents
    of a picture file) and `{"again": true}` for another match, and is told after every change how
    things stand (`Match.seen_by`).
    """

    def __init__(self, eyes: Eyes) -> None:
        self.eyes = eyes
        self.model = next(iter(eyes.models.values()))
        self.rooms: dict[str, Room] = {}
        self._clock: asyncio.Task[None] | None = None

    def open(self) -> str:
        """A new room's code.

        Raises:
            OptionError: Too many rooms, or a model that nobody can draw for.
        """
        now = time.monotonic()
        for code, room in list(self.rooms.items()):
            if not room.sockets and now - room.opened > IDLE:
                del self.rooms[code]
        if len(self.rooms) >= MAX_ROOMS:
            raise OptionError(f"{MAX_ROOMS} duels are going on; wait for one to end")
        match = Match(self.model.classes, seed=secrets.randbits(32))
        while (code := "".join(secrets.choice(LETTERS) for _ in range(CODE))) in self.rooms:
            pass
        self.rooms[code] = Room(match)
        return code

    async def __call__(self, socket: WebSocket) -> None:
        code = socket.path_params["code"].upper()
        await socket.accept()
        room = self.rooms.get(code)
        if room is None:
            await socket.close(POLICY, f"there is no duel {code[:CODE]!r}")
            return
        if self._clock is None or self._clock.done():
            self._clock = asyncio.create_task(self._run_clock())
        key = secrets.token_hex(8)
        try:
            room.match.join(key, socket.query_params.get("name", ""), time.monotonic())
        except OptionError as error:
            await socket.close(TRY_AGAIN_LATER, str(error))
            return
        room.sockets[key] = socket
        try:
            await room.tell()
            await self._play(room, key, socket)
        finally:
            await room.drop(key)
            await room.tell()
            if not room.sockets:
                self.rooms.pop(code, None)

    async def _play(self, room: Room, key: str, socket: WebSocket) -> None:
        display = replace(Steady.of(self.model, still=True).display, hold=HOLD)
        steady = Steady(self.model.classes, display)
        round_seen = 0
        while (message := await socket.receive())["type"] != "websocket.disconnect":
            if (picture := message.get("bytes")) is None:
                if _is_again(message.get("text") or ""):
                    room.match.again(time.monotonic())
                    await room.tell()
                continue
            if room.match.round != round_seen:
                round_seen = room.match.round
                steady.reset()
            try:
                look = (await self.eyes.look(picture))[0]
            except PocketlensError as error:
                await asyncio.wait_for(socket.send_json({"error": str(error)}), SLOW)
                continue
            label = steady.add(look.probabilities)
            if room.match.recognised(key, label, time.monotonic()):
                await room.tell()

    async def _run_clock(self) -> None:
        while self.rooms:
            await asyncio.sleep(TICK)
            now = time.monotonic()
            for room in list(self.rooms.values()):
                if room.match.tick(now):
                    await room.tell()


def _is_again(text: str) -> bool:
    try:
        return json.loads(text) == {"again": True}
    except (ValueError, RecursionError):
        return False

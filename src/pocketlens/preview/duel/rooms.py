"""Duels over WebSockets: rooms by code, two players each."""

from __future__ import annotations

import asyncio
import json
import math
import secrets
import time
from dataclasses import replace

from starlette.websockets import WebSocket, WebSocketDisconnect

from pocketlens.errors import OptionError, PocketlensError
from pocketlens.preview.duel.match import Match
from pocketlens.preview.inference import MAX_FRAME_PIXELS, Eyes
from pocketlens.preview.smoothing import Steady
from pocketlens.preview.sockets import POLICY, TRY_AGAIN_LATER, first_of, refuse

__all__ = ["Duels"]

LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ"  # without I and O, which look like digits
CODE = 4
MAX_ROOMS = 50
IDLE = 120.0
"""Seconds that an empty room is kept: until the first comes, or one who was cut off is back."""

HOLD = 3
"""For how many drawings in a row the model must say the same."""

PACE = 0.05
"""Seconds from one drawing that is judged to the next, so that sending more often wins nothing."""


class Room:
    """One match, and for each of its players whether there is news to tell."""

    def __init__(self, match: Match) -> None:
        self.match = match
        self.news: dict[str, asyncio.Event] = {}
        self.empty_since = time.monotonic()

    def join(self, key: str, name: str) -> None:
        self.match.join(key, name, time.monotonic())
        self.news[key] = asyncio.Event()
        self.changed()

    def leave(self, key: str) -> None:
        self.match.leave(key)
        del self.news[key]
        self.empty_since = time.monotonic()
        self.changed()

    def changed(self) -> None:
        """Both are told at once, and neither waits for the other's network."""
        for news in self.news.values():
            news.set()

    def given_up(self) -> bool:
        return not self.news and time.monotonic() - self.empty_since > IDLE

    async def tell(self, key: str, socket: WebSocket) -> None:
        """Tell a player how things stand whenever they change, until it is gone."""
        news = self.news[key]
        while True:
            news.clear()
            try:
                await socket.send_json(self.match.seen_by(key, time.monotonic()))
            except WebSocketDisconnect:
                return
            while not news.is_set():
                await self._wait(news)

    async def _wait(self, news: asyncio.Event) -> None:
        """Until something happens, or it is time for the match to go on."""
        try:
            await asyncio.wait_for(news.wait(), self.match.left(time.monotonic()))
        except TimeoutError:
            if self.match.tick(time.monotonic()):
                self.changed()


class Duels:
    """All rooms. The first of the models is asked.

    A player connects to `/ws/duel/CODE?name=NAME`, sends drawings as binary messages (the contents
    of a picture file) and `{"again": true}` for another match, and is told after every change how
    things stand (`Match.seen_by`); or `{"error": "..."}`. Drawings count while the phase is
    `drawing`; others are not looked at.
    """

    def __init__(self, eyes: Eyes) -> None:
        self.eyes = eyes
        self.name, self.model = next(iter(eyes.models.items()))
        self.rooms: dict[str, Room] = {}

    def open(self) -> str:
        """A new room's code.

        Raises:
            OptionError: Too many rooms, or a model that nobody can draw for.
        """
        self._tidy()
        if len(self.rooms) >= MAX_ROOMS:
            raise OptionError(f"{MAX_ROOMS} duels are going on; wait for one to end")
        match = Match(self.model.classes, seed=secrets.randbits(32))
        while (code := "".join(secrets.choice(LETTERS) for _ in range(CODE))) in self.rooms:
            pass
        self.rooms[code] = Room(match)
        return code

    async def welcome(self, socket: WebSocket) -> None:
        code = socket.path_params["code"].upper()
        await socket.accept()
        self._tidy()
        room = self.rooms.get(code)
        if room is None:
            await refuse(socket, POLICY, f"there is no duel {code[:CODE]!r}")
            return
        key = secrets.token_hex(8)
        try:
            room.join(key, socket.query_params.get("name", ""))
        except OptionError as error:
            await refuse(socket, TRY_AGAIN_LATER, str(error))
            return
        try:
            await first_of(room.tell(key, socket), self._play(room, key, socket))
        finally:
            room.leave(key)

    def _tidy(self) -> None:
        self.rooms = {code: room for code, room in self.rooms.items() if not room.given_up()}

    async def _play(self, room: Room, key: str, socket: WebSocket) -> None:
        """Judge what a player draws, until it is gone."""
        match = room.match
        display = replace(Steady.of(self.model, still=True).display, hold=HOLD)
        steady = Steady(self.model.classes, display)
        judged, last = 0, -math.inf
        while (message := await socket.receive())["type"] != "websocket.disconnect":
            try:
                if (picture := message.get("bytes")) is None:
                    _check_again(message.get("text") or "")
                    match.again(time.monotonic())
                    room.changed()
                    continue
                now = time.monotonic()
                if match.phase != "drawing" or now < last + PACE:
                    continue
                last = now
                if judged != match.rounds:
                    judged = match.rounds
                    steady.reset()
                looks = await self.eyes.look(
                    picture, max_pixels=MAX_FRAME_PIXELS, names=(self.name,)
                )
            except PocketlensError as error:
                if not await _told(socket, error):
                    return
                continue
            label = steady.add(looks[0].probabilities)
            # The round may have ended meanwhile, and the next one begun.
            if judged == match.rounds and match.recognized(key, label, time.monotonic()):
                room.changed()


def _check_again(text: str) -> None:
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        message = None
    if message != {"again": True}:
        raise OptionError('expected a drawing, or {"again": true}')


async def _told(socket: WebSocket, error: PocketlensError) -> bool:
    """Tell a player what was wrong; whether it is still there."""
    try:
        await socket.send_json({"error": str(error)})
    except WebSocketDisconnect:
        return False
    return True

"""Duels over WebSockets: each room has a code and two players."""

from __future__ import annotations

import asyncio
import hmac
import json
import math
import secrets
import time
from dataclasses import replace

from starlette.websockets import WebSocket, WebSocketDisconnect

from pocketlens.errors import OptionError, PocketlensError
from pocketlens.preview.decoders import FRAME
from pocketlens.preview.duel.match import Match
from pocketlens.preview.inference import InferencePool
from pocketlens.preview.smoothing import Smoother
from pocketlens.preview.sockets import (
    POLICY_VIOLATION,
    TRY_AGAIN_LATER,
    close_with_reason,
    run_until_first,
)

__all__ = ["Duels"]

LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ"  # without I and O, which look like digits
CODE_LENGTH = 12
"""55 bits: too many to try, as `access.py` counts wrong codes; short enough to type."""

MAX_ROOMS = 50

EMPTY_ROOM_SECONDS = 120.0
"""How long an empty room is kept, for the first player or for one who lost the connection."""

HOLD = 3
"""How many drawings in a row the model must recognize as the prompt."""

MIN_INTERVAL = 0.05
"""Seconds between two drawings that are judged, so that sending faster is no advantage."""


class Room:
    """One match, and for each player an event that is set when the state has changed."""

    def __init__(self, match: Match) -> None:
        self.match = match
        self.guest_token = secrets.token_urlsafe(16)
        """What a guest's browser keeps after opening the link."""
        self.changes: dict[str, asyncio.Event] = {}
        self.empty_since = time.monotonic()

    def join(self, key: str, name: str) -> None:
        self.match.join(key, name, time.monotonic())
        self.changes[key] = asyncio.Event()
        self.notify()

    def leave(self, key: str) -> None:
        self.match.leave(key)
        del self.changes[key]
        self.empty_since = time.monotonic()
        self.notify()

    def notify(self) -> None:
        """Send the new state to both players, without waiting for either network."""
        for changed in self.changes.values():
            changed.set()

    def is_abandoned(self) -> bool:
        return not self.changes and time.monotonic() - self.empty_since > EMPTY_ROOM_SECONDS

    async def send_states(self, key: str, socket: WebSocket) -> None:
        """Send a player the state after every change, until the player disconnects."""
        changed = self.changes[key]
        while True:
            changed.clear()
            try:
                await socket.send_json(self.match.state_for(key, time.monotonic()))
            except WebSocketDisconnect:
                return
            while not changed.is_set():
                await self._wait(changed)

    async def _wait(self, changed: asyncio.Event) -> None:
        """Wait for a change, or until the next phase starts by itself."""
        try:
            await asyncio.wait_for(changed.wait(), self.match.seconds_left(time.monotonic()))
        except TimeoutError:
            if self.match.tick(time.monotonic()):
                self.notify()


class Duels:
    """All rooms. The first model of the preview judges the drawings.

    A player connects to `/ws/duel/CODE?name=NAME` and sends drawings as binary messages (the
    content of an image file) and the text `{"again": true}` for another match. The server sends the
    state after every change (`Match.state_for`), or `{"error": "..."}`. Only drawings that arrive
    in the phase `drawing` are judged; others are ignored.
    """

    def __init__(self, pool: InferencePool) -> None:
        self.pool = pool
        self.name, self.model = next(iter(pool.models.items()))
        self.rooms: dict[str, Room] = {}

    def create(self) -> str:
        """Create a room.

        Returns:
            The code of the room.

        Raises:
            OptionError: Too many rooms, or the model has fewer than two classes to draw.
        """
        self._remove_abandoned()
        if len(self.rooms) >= MAX_ROOMS:
            raise OptionError(f"{MAX_ROOMS} duels are running, the maximum; try again later")
        match = Match(self.model.classes, seed=secrets.randbits(32))
        while (code := "".join(secrets.choice(LETTERS) for _ in range(CODE_LENGTH))) in self.rooms:
            pass
        self.rooms[code] = Room(match)
        return code

    def guest_token(self, code: str) -> str | None:
        """The token of a duel's guests; None if there is no duel with this code."""
        self._remove_abandoned()
        room = self.rooms.get(_normal(code))
        return None if room is None else room.guest_token

    def duel_of_guest(self, token: str) -> str | None:
        """The code of the duel with this guest token; compared in constant time."""
        given = token.encode(errors="replace")
        found = [
            code
            for code, room in self.rooms.items()
            if hmac.compare_digest(given, room.guest_token.encode())
        ]
        return found[0] if found else None

    async def connect(self, socket: WebSocket) -> None:
        code = _normal(socket.path_params["code"])
        await socket.accept()
        self._remove_abandoned()
        room = self.rooms.get(code)
        if room is None:
            reason = f"no duel with the code {code[:CODE_LENGTH]!r}"
            await close_with_reason(socket, POLICY_VIOLATION, reason)
            return
        key = secrets.token_hex(8)
        try:
            room.join(key, socket.query_params.get("name", ""))
        except OptionError as error:
            await close_with_reason(socket, TRY_AGAIN_LATER, str(error))
            return
        try:
            await run_until_first(room.send_states(key, socket), self._judge(room, key, socket))
        finally:
            room.leave(key)

    def _remove_abandoned(self) -> None:
        self.rooms = {code: room for code, room in self.rooms.items() if not room.is_abandoned()}

    async def _judge(self, room: Room, key: str, socket: WebSocket) -> None:
        """Judge a player's drawings, until the player disconnects."""
        match = room.match
        display = replace(Smoother.for_model(self.model, still=True).display, hold=HOLD)
        smoother = Smoother(self.model.classes, display)
        judged_round, last = 0, -math.inf
        while (message := await socket.receive())["type"] != "websocket.disconnect":
            try:
                if (drawing := message.get("bytes")) is None:
                    _check_again(message.get("text") or "")
                    match.play_again(time.monotonic())
                    room.notify()
                    continue
                now = time.monotonic()
                if match.phase != "drawing" or now < last + MIN_INTERVAL:
                    continue
                last = now
                if judged_round != match.total_rounds:
                    judged_round = match.total_rounds
                    smoother.reset()
                results = await self.pool.predict(drawing, limit=FRAME, names=(self.name,))
            except PocketlensError as error:
                if not await _send_error(socket, error):
                    return
                continue
            label = smoother.add(results[0].probabilities)
            # During the prediction, this round may have ended and the next one started.
            if judged_round == match.total_rounds and match.recognized(
                key, label, time.monotonic()
            ):
                room.notify()


def _normal(code: str) -> str:
    """A code as it was typed or pasted: without spaces and dashes, in capitals."""
    return "".join(letter for letter in code[: 3 * CODE_LENGTH].upper() if letter.isalpha())


def _check_again(text: str) -> None:
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        message = None
    if message != {"again": True}:
        raise OptionError(f'expected a drawing or {{"again": true}}; received: {text[:40]!r}')


async def _send_error(socket: WebSocket, error: PocketlensError) -> bool:
    """Send a player an error message; returns False if the player has disconnected."""
    try:
        await socket.send_json({"error": str(error)})
    except WebSocketDisconnect:
        return False
    return True

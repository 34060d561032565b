"""Duels of two players over real WebSockets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from pocketlens.preview import connections
from pocketlens.preview.duel import match, rooms
from preview.server import (
    QUARTERS,
    TIMEOUT,
    Gate,
    Quarters,
    RunningServer,
    disconnect,
    image_bytes,
    masked_message,
    raw_socket,
    serving,
    wait_until,
)


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(match, "COUNTDOWN_SECONDS", 0.2)
    monkeypatch.setattr(match, "PAUSE_SECONDS", 0.1)
    monkeypatch.setattr(rooms, "MIN_INTERVAL", 0.0)


@pytest.fixture
def server() -> Iterator[RunningServer]:
    with serving(Quarters()) as address:
        yield address


def create_duel(server: RunningServer) -> str:
    with server.client() as client:
        answer = client.post("/api/duels")
    assert answer.status_code == 201
    code: str = answer.json()["code"]
    assert len(code) == 12
    return code


class Player:
    """One player's page."""

    def __init__(self, server: RunningServer, code: str, name: str = "") -> None:
        self.stack = ExitStack()
        path = f"/ws/duel/{code}?name={name}"
        self.socket: ClientConnection = self.stack.enter_context(server.socket(path))

    def __enter__(self) -> Player:
        return self

    def __exit__(self, *_: object) -> None:
        self.stack.close()

    def receive(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(self.socket.recv(TIMEOUT))
        return message

    def receive_until(self, phase: str, number: int | None = None) -> dict[str, Any]:
        """Receive states until this phase; of round `number`, if given."""
        while True:
            state = self.receive()
            if state["phase"] == phase and number in (None, state["round"]):
                return state

    def draw(self, label: str, times: int = 1) -> None:
        for _ in range(times):
            self.socket.send(image_bytes(label))

    def receive_close(self) -> tuple[int | None, str | None]:
        with pytest.raises(ConnectionClosed):
            while True:
                self.socket.recv(TIMEOUT)
        return self.socket.close_code, self.socket.close_reason


def test_complete_match(server: RunningServer) -> None:
    code = create_duel(server)
    with Player(server, code, "Ann") as ann, Player(server, code.lower(), "Bob") as bob:
        for number in (1, 2, 3):
            states = [player.receive_until("drawing", number) for player in (ann, bob)]
            assert states[0]["prompt"] == states[1]["prompt"] in QUARTERS
            assert [state["other"]["name"] for state in states] == ["Bob", "Ann"]
            assert all(0 < state["seconds"] <= match.ROUND_SECONDS for state in states)
            ann.draw(next(label for label in QUARTERS if label != states[0]["prompt"]), 5)
            bob.draw(states[0]["prompt"], 3)
            ended = "pause" if number < 3 else "over"
            states = [player.receive_until(ended) for player in (ann, bob)]
            assert [state["won"] for state in states] == [False, True]
            assert [state["you"]["score"] for state in states] == [0, number]
        ann.socket.send('{"again": true}')
        states = [player.receive_until("countdown", 1) for player in (ann, bob)]
        assert [state["you"]["score"] for state in states] == [0, 0]
        assert all(state["prompt"] is None for state in states)


def test_prompt_must_be_recognized_three_times_in_a_row(server: RunningServer) -> None:
    code = create_duel(server)
    with Player(server, code) as one, Player(server, code) as two:
        prompt = one.receive_until("drawing")["prompt"]
        wrong = next(label for label in QUARTERS if label != prompt)
        for _ in range(3):
            one.draw(prompt, 2)
            one.draw(wrong)
        one.draw("nothing", 3)
        one.socket.send(b"no image")
        # The error comes when all drawings before it are judged.
        assert "unsupported image format" in one.receive()["error"]
        two.draw(prompt, 3)
        assert two.receive_until("pause")["won"] is True
        assert one.receive_until("pause")["won"] is False


def test_drawings_before_the_prompt_are_ignored() -> None:
    gate = Gate()
    with serving(Quarters(before=gate)) as server:
        gate.reset()
        code = create_duel(server)
        with Player(server, code) as one:
            for label in QUARTERS:
                one.draw(label, 3)
            one.receive_until("waiting")
            one.socket.send("marker: all messages before it are processed")
            assert "error" in one.receive()
            assert not gate.images.acquire(blocking=False)  # no drawing was judged
            with Player(server, code) as two:
                prompt = one.receive_until("drawing")["prompt"]
                one.draw(prompt, 2)
                one.socket.send(b"no image")
                assert "error" in one.receive()
                two.draw(prompt, 3)
                assert two.receive_until("pause")["won"] is True


class Halves(Quarters):
    """A model with two classes, so that every second round has the same prompt."""

    classes = QUARTERS[:2]

    def probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        rows = super().probabilities(images)[:, :2]
        normalized: NDArray[np.float32] = rows / rows.sum(1, keepdims=True)
        return normalized


def test_late_result_of_an_old_round_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    """The model is so slow that another round with the same prompt has started."""
    monkeypatch.setattr(match, "ROUND_SECONDS", 1.0)
    gate = Gate()
    with serving(Halves(before=gate)) as server:
        code = create_duel(server)
        with Player(server, code) as slow, Player(server, code) as other:
            prompt = slow.receive_until("drawing", 1)["prompt"]
            gate.reset()
            slow.draw(prompt, 2)
            gate.wait_for_image()
            gate.wait_for_image()
            gate.open.clear()
            slow.draw(prompt)  # the third one in a row
            gate.wait_for_image()
            other.receive_until("countdown", 3)
            monkeypatch.setattr(match, "ROUND_SECONDS", TIMEOUT)
            assert other.receive_until("drawing", 3)["prompt"] == prompt
            gate.open.set()
            slow.receive_until("drawing", 3)
            slow.socket.send(b"no image")
            assert "error" in slow.receive()  # now the drawing is judged, and nobody has won
            other.draw(prompt, 3)
            assert slow.receive_until("pause", 3)["won"] is False


def test_faster_sending_is_no_advantage(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of drawings that arrive in quick succession, only the first is judged."""
    monkeypatch.setattr(rooms, "MIN_INTERVAL", 1000.0)
    code = create_duel(server)
    with Player(server, code) as one, Player(server, code) as two:
        prompt = one.receive_until("drawing")["prompt"]
        one.draw(prompt, 200)
        one.socket.send("marker: all messages before it are processed")
        assert "error" in one.receive()
        monkeypatch.setattr(rooms, "MIN_INTERVAL", 0.0)
        two.draw(prompt, 3)
        assert two.receive_until("pause")["won"] is True


def test_round_without_a_winner(server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(match, "ROUND_SECONDS", 0.2)
    code = create_duel(server)
    with Player(server, code) as one, Player(server, code) as two:
        assert one.receive_until("pause")["won"] is None
        assert two.receive_until("pause")["won"] is None
        assert one.receive_until("drawing", 2)["prompt"] is not None


@pytest.mark.parametrize("connection_lost", [False, True])
def test_player_leaves(server: RunningServer, connection_lost: bool) -> None:
    code = create_duel(server)
    with Player(server, code, "Ann") as ann:
        with Player(server, code, "Bob") as bob:
            ann.receive_until("drawing")
            if connection_lost:
                disconnect(bob.socket)
        alone = ann.receive_until("waiting")
        assert alone["other"] is None
        with Player(server, code, "Cat") as cat:
            assert ann.receive_until("countdown", 1)["other"]["name"] == "Cat"
            assert cat.receive_until("drawing", 1)["other"]["name"] == "Ann"


def test_empty_room_is_kept_for_a_while(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = create_duel(server)
    for _ in range(3):
        with Player(server, code) as only:
            assert only.receive_until("waiting")["you"]["score"] == 0
    monkeypatch.setattr(rooms, "EMPTY_ROOM_SECONDS", -1.0)

    def is_removed() -> bool:
        with Player(server, code) as late:
            try:
                late.receive()
            except ConnectionClosed:
                return late.socket.close_reason == f"no duel with the code {code!r}"
            return False

    wait_until(is_removed)


@pytest.mark.parametrize(
    "code", ["ABCD", "abcd", "A", "%F0%9F%98%80%F0%9F%98%80", "%22", "x" * 500]
)
def test_unknown_code_is_rejected(server: RunningServer, code: str) -> None:
    with Player(server, code) as player:
        code_of_close, reason = player.receive_close()
    assert code_of_close == 1008
    assert (reason or "").startswith("no duel with the code ")


def test_third_player_is_rejected(server: RunningServer) -> None:
    code = create_duel(server)
    with Player(server, code) as one, Player(server, code), Player(server, code) as three:
        close = three.receive_close()
        assert close == (1013, "this duel already has two players; start a new one")
        assert one.receive_until("drawing")["other"]["name"] == "Player 2"


@pytest.mark.parametrize("text", ["", "again", "{}", '{"again": false}', "[" * 1000, "1"])
def test_invalid_message_is_answered_with_an_error(server: RunningServer, text: str) -> None:
    with Player(server, create_duel(server)) as only:
        only.receive()
        only.socket.send(text)
        expected = f'expected a drawing or {{"again": true}}; received: {text[:40]!r}'
        assert only.receive() == {"error": expected}
        only.socket.send('{"again": true}')
        assert only.receive()["phase"] == "waiting"


def test_number_of_duels_is_limited(server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rooms, "MAX_ROOMS", 5)
    codes = [create_duel(server) for _ in range(5)]
    assert len(set(codes)) == 5
    assert all(set(code) <= set(rooms.LETTERS) for code in codes)
    with server.client() as client:
        full = client.post("/api/duels")
        assert full.status_code == 400
        assert full.json() == {"error": "5 duels are running, the maximum; try again later"}
        monkeypatch.setattr(rooms, "EMPTY_ROOM_SECONDS", -1.0)
        assert client.post("/api/duels").status_code == 201
    # Duels with players are kept, and are independent of each other.
    monkeypatch.setattr(rooms, "EMPTY_ROOM_SECONDS", 120.0)
    code = create_duel(server)
    with Player(server, code) as one, Player(server, code) as two:
        monkeypatch.setattr(rooms, "EMPTY_ROOM_SECONDS", -1.0)
        other = create_duel(server)
        assert other != code
        prompt = one.receive_until("drawing")["prompt"]
        two.draw(prompt, 3)
        assert one.receive_until("pause")["won"] is False


def test_player_who_does_not_read_does_not_block_the_other(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "WRITE_SECONDS", 1000.0)
    code = create_duel(server)
    with raw_socket(server, f"/ws/duel/{code}") as silent, Player(server, code) as reader:
        prompt = reader.receive_until("drawing", 1)["prompt"]
        silent.settimeout(1.0)
        flood = masked_message(b"invalid", text=True) * 1000
        with pytest.raises(TimeoutError):
            while True:
                silent.sendall(flood)
        # Now the server cannot send to this player, but it must still send to the other one.
        for number in (1, 2, 3):
            if number > 1:
                prompt = reader.receive_until("drawing", number)["prompt"]
            reader.draw(prompt, 3)
            assert reader.receive_until("pause" if number < 3 else "over")["won"] is True


def test_model_with_one_class_is_rejected() -> None:
    class One(Quarters):
        classes = ("only",)

    with serving(One(after=lambda rows: rows[:, :1])) as server, server.client() as client:
        answer = client.post("/api/duels")
        assert answer.status_code == 400
        assert "at least two classes besides 'nothing'" in answer.json()["error"]
        assert client.get("/api/model").status_code == 200

"""Two players over real sockets."""

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

from pocketlens.preview import timeouts
from pocketlens.preview.duel import match, rooms
from preview.server import (
    PATIENCE,
    QUARTERS,
    Address,
    Gate,
    Quarters,
    eventually,
    hang_up,
    masked,
    picture,
    raw_socket,
    serving,
)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(match, "COUNTDOWN", 0.2)
    monkeypatch.setattr(match, "PAUSE", 0.1)
    monkeypatch.setattr(rooms, "PACE", 0.0)


@pytest.fixture
def here() -> Iterator[Address]:
    with serving(Quarters()) as address:
        yield address


def opened(here: Address) -> str:
    with here.client() as client:
        answer = client.post("/api/duels")
    assert answer.status_code == 201
    code: str = answer.json()["code"]
    assert len(code) == 4
    return code


class Player:
    """A page in a duel."""

    def __init__(self, here: Address, code: str, name: str = "") -> None:
        self.open = ExitStack()
        path = f"/ws/duel/{code}?name={name}"
        self.socket: ClientConnection = self.open.enter_context(here.socket(path))

    def __enter__(self) -> Player:
        return self

    def __exit__(self, *_: object) -> None:
        self.open.close()

    def told(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.socket.recv(PATIENCE))
        return found

    def until(self, phase: str, number: int | None = None) -> dict[str, Any]:
        """Read on until this phase; of round `number`, if given."""
        while True:
            found = self.told()
            if found["phase"] == phase and number in (None, found["round"]):
                return found

    def draw(self, label: str, times: int = 1) -> None:
        for _ in range(times):
            self.socket.send(picture(label))

    def is_closed(self) -> tuple[int | None, str | None]:
        with pytest.raises(ConnectionClosed):
            while True:
                self.socket.recv(PATIENCE)
        return self.socket.close_code, self.socket.close_reason


def test_a_whole_match(here: Address) -> None:
    code = opened(here)
    with Player(here, code, "Ann") as ann, Player(here, code.lower(), "Bob") as bob:
        for number in (1, 2, 3):
            views = [player.until("drawing", number) for player in (ann, bob)]
            assert views[0]["prompt"] == views[1]["prompt"] in QUARTERS
            assert [view["other"]["name"] for view in views] == ["Bob", "Ann"]
            assert all(0 < view["seconds"] <= match.ROUND for view in views)
            ann.draw(next(label for label in QUARTERS if label != views[0]["prompt"]), 5)
            bob.draw(views[0]["prompt"], 3)
            ended = "pause" if number < 3 else "over"
            views = [player.until(ended) for player in (ann, bob)]
            assert [view["won"] for view in views] == [False, True]
            assert [view["you"]["score"] for view in views] == [0, number]
        ann.socket.send('{"again": true}')
        views = [player.until("countdown", 1) for player in (ann, bob)]
        assert [view["you"]["score"] for view in views] == [0, 0]
        assert all(view["prompt"] is None for view in views)


def test_the_model_must_say_it_three_times_in_a_row(here: Address) -> None:
    code = opened(here)
    with Player(here, code) as one, Player(here, code) as two:
        prompt = one.until("drawing")["prompt"]
        wrong = next(label for label in QUARTERS if label != prompt)
        for _ in range(3):
            one.draw(prompt, 2)
            one.draw(wrong)
        one.draw("nothing", 3)
        one.socket.send(b"no picture")
        assert "is not a picture" in one.told()["error"]  # all before it have been judged
        two.draw(prompt, 3)
        assert two.until("pause")["won"] is True
        assert one.until("pause")["won"] is False


def test_what_is_drawn_before_the_prompt_does_not_count() -> None:
    gate = Gate()
    with serving(Quarters(before=gate)) as here:
        gate.forget()
        code = opened(here)
        with Player(here, code) as one:
            for label in QUARTERS:
                one.draw(label, 3)
            one.until("waiting")
            one.socket.send("all before this has been taken in")
            assert "error" in one.told()
            assert not gate.waiting.acquire(blocking=False)  # and nothing was looked at
            with Player(here, code) as two:
                prompt = one.until("drawing")["prompt"]
                one.draw(prompt, 2)
                one.socket.send(b"no picture")
                assert "error" in one.told()
                two.draw(prompt, 3)
                assert two.until("pause")["won"] is True


class Halves(Quarters):
    """Two classes, so that every second round has the same prompt."""

    classes = QUARTERS[:2]

    def probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        rows = super().probabilities(images)[:, :2]
        found: NDArray[np.float32] = rows / rows.sum(1, keepdims=True)
        return found


def test_a_drawing_of_an_old_round_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """The model takes so long that another round with the same prompt has begun."""
    monkeypatch.setattr(match, "ROUND", 1.0)
    gate = Gate()
    with serving(Halves(before=gate)) as here:
        code = opened(here)
        with Player(here, code) as slow, Player(here, code) as other:
            prompt = slow.until("drawing", 1)["prompt"]
            gate.forget()
            slow.draw(prompt, 2)
            gate.reached()
            gate.reached()
            gate.open.clear()
            slow.draw(prompt)  # the third in a row
            gate.reached()
            other.until("countdown", 3)
            monkeypatch.setattr(match, "ROUND", PATIENCE)
            assert other.until("drawing", 3)["prompt"] == prompt
            gate.open.set()
            slow.until("drawing", 3)
            slow.socket.send(b"no picture")
            assert "error" in slow.told()  # judged by now, and nobody has won
            other.draw(prompt, 3)
            assert slow.until("pause", 3)["won"] is False


def test_sending_more_often_wins_nothing(here: Address, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of drawings that follow each other at once only the first is judged."""
    monkeypatch.setattr(rooms, "PACE", 1000.0)
    code = opened(here)
    with Player(here, code) as one, Player(here, code) as two:
        prompt = one.until("drawing")["prompt"]
        one.draw(prompt, 200)
        one.socket.send("all before this has been taken in")
        assert "error" in one.told()
        monkeypatch.setattr(rooms, "PACE", 0.0)
        two.draw(prompt, 3)
        assert two.until("pause")["won"] is True


def test_nobody_draws_it_in_time(here: Address, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(match, "ROUND", 0.2)
    code = opened(here)
    with Player(here, code) as one, Player(here, code) as two:
        assert one.until("pause")["won"] is None
        assert two.until("pause")["won"] is None
        assert one.until("drawing", 2)["prompt"] is not None


@pytest.mark.parametrize("abruptly", [False, True])
def test_a_player_who_leaves(here: Address, abruptly: bool) -> None:
    code = opened(here)
    with Player(here, code, "Ann") as ann:
        with Player(here, code, "Bob") as bob:
            ann.until("drawing")
            if abruptly:
                hang_up(bob.socket)
        alone = ann.until("waiting")
        assert alone["other"] is None
        with Player(here, code, "Cat") as cat:
            assert ann.until("countdown", 1)["other"]["name"] == "Cat"
            assert cat.until("drawing", 1)["other"]["name"] == "Ann"


def test_a_room_waits_for_one_who_was_cut_off(
    here: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = opened(here)
    for _ in range(3):
        with Player(here, code) as only:
            assert only.until("waiting")["you"]["score"] == 0
    monkeypatch.setattr(rooms, "IDLE", -1.0)

    def gone() -> bool:
        with Player(here, code) as late:
            try:
                late.told()
            except ConnectionClosed:
                return late.socket.close_reason == f"there is no duel {code!r}"
            return False

    eventually(gone)


@pytest.mark.parametrize(
    "code", ["ABCD", "abcd", "A", "%F0%9F%98%80%F0%9F%98%80", "%22", "x" * 500]
)
def test_no_such_duel(here: Address, code: str) -> None:
    with Player(here, code) as lost:
        closed, reason = lost.is_closed()
    assert closed == 1008
    assert (reason or "").startswith("there is no duel ")


def test_a_third_player(here: Address) -> None:
    code = opened(here)
    with Player(here, code) as one, Player(here, code), Player(here, code) as three:
        closed = three.is_closed()
        assert closed == (1013, "two are playing here already; start a duel of your own")
        assert one.until("drawing")["other"]["name"] == "Player 2"


@pytest.mark.parametrize("text", ["", "again", "{}", '{"again": false}', "[" * 100_000, "1"])
def test_what_is_no_message_is_told(here: Address, text: str) -> None:
    with Player(here, opened(here)) as only:
        only.told()
        only.socket.send(text)
        assert only.told() == {"error": 'expected a drawing, or {"again": true}'}
        only.socket.send('{"again": true}')
        assert only.told()["phase"] == "waiting"


def test_many_duels_at_once(here: Address, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rooms, "MAX_ROOMS", 5)
    codes = [opened(here) for _ in range(5)]
    assert len(set(codes)) == 5
    assert all(set(code) <= set(rooms.LETTERS) for code in codes)
    with here.client() as client:
        full = client.post("/api/duels")
        assert full.status_code == 400
        assert full.json() == {"error": "5 duels are going on; wait for one to end"}
        monkeypatch.setattr(rooms, "IDLE", -1.0)
        assert client.post("/api/duels").status_code == 201
    # Those that are played are kept, and do not disturb each other.
    monkeypatch.setattr(rooms, "IDLE", 120.0)
    code = opened(here)
    with Player(here, code) as one, Player(here, code) as two:
        monkeypatch.setattr(rooms, "IDLE", -1.0)
        other = opened(here)
        assert other != code
        prompt = one.until("drawing")["prompt"]
        two.draw(prompt, 3)
        assert one.until("pause")["won"] is False


def test_a_player_who_does_not_read_holds_nobody_up(
    here: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timeouts, "SLOW", 1000.0)
    code = opened(here)
    with raw_socket(here, f"/ws/duel/{code}") as deaf, Player(here, code) as reads:
        prompt = reads.until("drawing", 1)["prompt"]
        deaf.settimeout(1.0)
        flood = masked(b"no message", text=True) * 1000
        with pytest.raises(TimeoutError):
            while True:
                deaf.sendall(flood)
        # By now the server waits for this one, and for this one alone.
        for number in (1, 2, 3):
            if number > 1:
                prompt = reads.until("drawing", number)["prompt"]
            reads.draw(prompt, 3)
            assert reads.until("pause" if number < 3 else "over")["won"] is True


def test_a_model_that_nobody_can_draw_for() -> None:
    class One(Quarters):
        classes = ("only",)

    with serving(One(after=lambda rows: rows[:, :1])) as here, here.client() as client:
        answer = client.post("/api/duels")
        assert answer.status_code == 400
        assert "at least two classes besides 'nothing'" in answer.json()["error"]
        assert client.get("/api/model").status_code == 200

"""WebSockets over plain requests: the same answers, the same ends, no strangers."""

from __future__ import annotations

import json
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from pocketlens.preview import bridge, live
from pocketlens.preview.live import STILL
from pocketlens.preview.server import MAX_MESSAGE
from preview.server import (
    Address,
    Quarters,
    eventually,
    frame,
    picture,
    serving,
)


@pytest.fixture(scope="module")
def here() -> Iterator[Address]:
    with serving(Quarters()) as address:
        yield address


class Page:
    """A page that goes by the bridge."""

    def __init__(self, client: httpx.Client, stream: httpx.Response, path: str) -> None:
        self.client, self.stream, self.path = client, stream, path
        self.lines = stream.iter_lines()

    def send(self, message: bytes | str) -> httpx.Response:
        kind = {"content-type": "text/plain;charset=UTF-8"} if isinstance(message, str) else {}
        return self.client.post(self.path, content=message, headers=kind)

    def event(self) -> tuple[str, Any]:
        """The next event's kind, and what it says."""
        kind = "message"
        for line in self.lines:
            name, _, rest = line.partition(": ")
            if name == "event":
                kind = rest
            elif name == "data":
                return kind, json.loads(rest)
        return "end", None


@contextmanager
def bridged(here: Address, to: str, **headers: str) -> Iterator[Page]:
    path = f"/bridge/{secrets.token_hex(16)}"
    with (
        here.client() as client,
        client.stream("GET", path, params={"to": to}, headers=headers) as stream,
    ):
        assert stream.status_code == 200
        assert stream.headers["content-type"].startswith("text/event-stream")
        yield Page(client, stream, path)


def test_frames_are_answered_as_over_a_websocket(here: Address) -> None:
    with bridged(here, "/ws/live") as page, here.socket() as other:
        for number, name in enumerate(("top left", "bottom right", "nothing")):
            sent = frame(picture(name), number, STILL)
            assert page.send(sent).status_code == 204
            kind, said = page.event()
            other.send(sent)
            wanted = json.loads(other.recv())
            for each in (said, wanted):
                del each["models"][0]["milliseconds"]
            assert (kind, said) == ("message", wanted)
        page.send(frame(b"junk", 9))
        assert "not a picture this program reads" in page.event()[1]["error"]
        assert page.send("reset").status_code == 204
        page.send(frame(picture("top left"), 10))
        assert page.event()[1]["id"] == 10


def test_the_endpoint_closes(here: Address) -> None:
    with bridged(here, "/ws/live") as page:
        page.send(b"no")
        reason = "expected a frame: flags, number, picture"
        assert page.event() == ("close", {"code": 1008, "reason": reason})
        assert page.event()[0] == "end"
        assert page.send(b"no").status_code == 404
    with bridged(here, "/ws/nowhere") as page:
        assert page.event()[0] == "close"


def test_a_duel_of_which_one_goes_by_the_bridge(here: Address) -> None:
    with here.client() as client:
        code = client.post("/api/duels").json()["code"]
    with here.socket(f"/ws/duel/{code}?name=Ann") as ann:
        assert json.loads(ann.recv())["phase"] == "waiting"
        with bridged(here, f"/ws/duel/{code}?name=Bob") as bob:
            assert bob.event()[1]["you"]["name"] == "Bob"
            assert json.loads(ann.recv())["other"]["name"] == "Bob"
            bob.send("what?")
            assert "expected a drawing" in bob.event()[1]["error"]
        # Bob's page is gone without a word.
        while json.loads(ann.recv())["phase"] != "waiting":
            pass


def test_it_counts_among_the_pages(here: Address, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "MAX_SOCKETS", 1)
    with bridged(here, "/ws/live") as first:
        first.send(frame(picture("top left"), 1))
        assert first.event()[1]["id"] == 1
        with bridged(here, "/ws/live") as second:
            assert second.event()[1]["code"] == 1013

    def free() -> bool:
        with bridged(here, "/ws/live") as again:
            again.send(frame(picture("top left"), 2))
            return again.event()[0] == "message"

    eventually(free)  # who has left is no longer counted


def test_a_page_that_is_gone_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also by a stream on which nothing happens."""
    monkeypatch.setattr(bridge, "STILL_HERE", 0.05)
    with serving(Quarters()) as here, bridged(here, "/ws/live") as page:
        assert next(line for line in page.lines if line) == ": still here"
        page.stream.extensions["network_stream"].get_extra_info("socket").shutdown(socket.SHUT_RDWR)
        with here.client() as client:
            eventually(lambda: client.post(page.path, content=b"12345").status_code == 404)


@pytest.mark.parametrize(
    ("name", "to", "headers", "status", "words"),
    [
        ("a" * 32, "/ws/live", {"sec-fetch-site": "cross-site"}, 403, "only the page"),
        ("a" * 32, "/ws/live", {"origin": "http://elsewhere"}, 403, "may not talk"),
        ("a" * 31, "/ws/live", {}, 400, "32 hexadecimal digits"),
        ("a" * 32, "/api/model", {}, 400, "the path of a WebSocket"),
        ("a" * 32, "", {}, 400, "the path of a WebSocket"),
    ],
)
def test_strangers(
    here: Address, name: str, to: str, headers: dict[str, str], status: int, words: str
) -> None:
    with here.client() as client:
        answer = client.get(f"/bridge/{name}", params={"to": to}, headers=headers)
    assert answer.status_code == status
    assert words in answer.json()["error"]


def test_a_name_in_use_and_messages_without_end(here: Address) -> None:
    with bridged(here, "/ws/live") as page:
        with here.client() as client:
            again = client.get(page.path, params={"to": "/ws/live"})
            assert (again.status_code, page.path in str(again.url)) == (400, True)
        large = page.send(bytes(MAX_MESSAGE + 1))
        assert large.status_code == 413
        assert "at most 4000000 bytes" in large.json()["error"]
        page.send(frame(picture("top left"), 3))
        assert page.event()[1]["id"] == 3

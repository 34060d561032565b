"""WebSocket messages over plain HTTP requests: same answers, same close codes, no foreign pages."""

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
from pocketlens.preview.connections import MAX_MESSAGE
from pocketlens.preview.live import STILL
from preview.server import (
    Quarters,
    RunningServer,
    frame,
    image_bytes,
    serving,
    wait_until,
)


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with serving(Quarters()) as address:
        yield address


class Page:
    """A page that uses the bridge."""

    def __init__(self, client: httpx.Client, stream: httpx.Response, path: str) -> None:
        self.client, self.stream, self.path = client, stream, path
        self.lines = stream.iter_lines()

    def send(self, message: bytes | str) -> httpx.Response:
        headers = {"content-type": "text/plain;charset=UTF-8"} if isinstance(message, str) else {}
        return self.client.post(self.path, content=message, headers=headers)

    def event(self) -> tuple[str, Any]:
        """The type of the next event and its data; `end` after the last event."""
        event_type = "message"
        for line in self.lines:
            name, _, rest = line.partition(": ")
            if name == "event":
                event_type = rest
            elif name == "data":
                return event_type, json.loads(rest)
        return "end", None


@contextmanager
def bridged(server: RunningServer, to: str, **headers: str) -> Iterator[Page]:
    path = f"/bridge/{secrets.token_hex(16)}"
    with (
        server.client() as client,
        client.stream("GET", path, params={"to": to}, headers=headers) as stream,
    ):
        assert stream.status_code == 200
        assert stream.headers["content-type"].startswith("text/event-stream")
        yield Page(client, stream, path)


def test_answers_equal_those_of_a_websocket(server: RunningServer) -> None:
    with bridged(server, "/ws/live") as page, server.socket() as other:
        for number, name in enumerate(("top left", "bottom right", "nothing")):
            message = frame(image_bytes(name), number, STILL)
            assert page.send(message).status_code == 204
            event_type, answer = page.event()
            other.send(message)
            expected = json.loads(other.recv())
            for each in (answer, expected):
                del each["models"][0]["milliseconds"]
            assert (event_type, answer) == ("message", expected)
        page.send(frame(b"junk", 9))
        assert "unsupported image format" in page.event()[1]["error"]
        assert page.send("reset").status_code == 204
        page.send(frame(image_bytes("top left"), 10))
        assert page.event()[1]["id"] == 10


def test_endpoint_closes_the_stream(server: RunningServer) -> None:
    with bridged(server, "/ws/live") as page:
        page.send(b"no")
        reason = "expected 'reset' or a frame: flags (1 byte), number (4 bytes), image file"
        assert page.event() == ("close", {"code": 1008, "reason": reason})
        assert page.event()[0] == "end"
        assert page.send(b"no").status_code == 404
    with bridged(server, "/ws/nowhere") as page:
        assert page.event()[0] == "close"


def test_duel_with_one_player_on_the_bridge(server: RunningServer) -> None:
    with server.client() as client:
        code = client.post("/api/duels").json()["code"]
    with server.socket(f"/ws/duel/{code}?name=Ann") as ann:
        assert json.loads(ann.recv())["phase"] == "waiting"
        with bridged(server, f"/ws/duel/{code}?name=Bob") as bob:
            assert bob.event()[1]["you"]["name"] == "Bob"
            assert json.loads(ann.recv())["other"]["name"] == "Bob"
            bob.send("what?")
            assert "expected a drawing" in bob.event()[1]["error"]
        # Bob's page is closed without a message.
        while json.loads(ann.recv())["phase"] != "waiting":
            pass


def test_bridge_counts_as_a_socket(server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "MAX_SOCKETS", 1)
    with bridged(server, "/ws/live") as first:
        first.send(frame(image_bytes("top left"), 1))
        assert first.event()[1]["id"] == 1
        with bridged(server, "/ws/live") as second:
            assert second.event()[1]["code"] == 1013

    def has_free_place() -> bool:
        with bridged(server, "/ws/live") as again:
            again.send(frame(image_bytes("top left"), 2))
            return again.event()[0] == "message"

    wait_until(has_free_place)  # closed pages are no longer counted


def test_lost_page_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also on an idle stream."""
    monkeypatch.setattr(bridge, "KEEP_ALIVE", 0.05)
    with serving(Quarters()) as server, bridged(server, "/ws/live") as page:
        assert next(line for line in page.lines if line) == ": keep-alive"
        page.stream.extensions["network_stream"].get_extra_info("socket").shutdown(socket.SHUT_RDWR)
        with server.client() as client:
            wait_until(lambda: client.post(page.path, content=b"12345").status_code == 404)


@pytest.mark.parametrize(
    ("key", "to", "headers", "status", "message"),
    [
        (
            "a" * 32,
            "/ws/live",
            {"sec-fetch-site": "cross-site"},
            403,
            "only requests from the preview's own page",
        ),
        ("a" * 32, "/ws/live", {"origin": "http://elsewhere"}, 403, "are not allowed"),
        ("a" * 31, "/ws/live", {}, 400, "32 hexadecimal digits"),
        ("a" * 32, "/api/model", {}, 400, "'to' must be the path of a WebSocket"),
        ("a" * 32, "", {}, 400, "'to' must be the path of a WebSocket"),
    ],
)
def test_invalid_request_is_rejected(
    server: RunningServer, key: str, to: str, headers: dict[str, str], status: int, message: str
) -> None:
    with server.client() as client:
        answer = client.get(f"/bridge/{key}", params={"to": to}, headers=headers)
    assert answer.status_code == status
    assert message in answer.json()["error"]


def test_key_in_use_and_large_messages_are_rejected(server: RunningServer) -> None:
    with bridged(server, "/ws/live") as page:
        with server.client() as client:
            again = client.get(page.path, params={"to": "/ws/live"})
            assert (again.status_code, page.path in str(again.url)) == (400, True)
        large = page.send(bytes(MAX_MESSAGE + 1))
        assert large.status_code == 413
        assert "at most 4000000 bytes" in large.json()["error"]
        page.send(frame(image_bytes("top left"), 3))
        assert page.event()[1]["id"] == 3

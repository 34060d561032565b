"""Frames over a real WebSocket: the protocol, newest wins, garbage, slow and many readers."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from websockets.exceptions import ConnectionClosed, ConnectionClosedError
from websockets.sync.client import ClientConnection

from pocketlens.coreml import load
from pocketlens.image import InputSpec
from pocketlens.prediction import Predictor
from pocketlens.preview import live, patience
from pocketlens.preview.live import SEEN, STILL
from pocketlens.preview.server import MAX_MESSAGE
from preview.server import (
    CLASSES,
    PATIENCE,
    QUARTERS,
    SIDE,
    Address,
    Gate,
    Quarters,
    eventually,
    expected,
    frame,
    hang_up,
    masked,
    picture,
    quarter,
    quarters_file,
    raw_socket,
    serving,
)


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Address]:
    path = quarters_file(tmp_path_factory.mktemp("models") / "Quarters.mlmodel")
    with serving(load(path)) as address:
        yield address


def answer(page: ClientConnection, *message: bytes | str) -> dict[str, Any]:
    for each in message:
        page.send(each)
    found: dict[str, Any] = json.loads(page.recv(PATIENCE))
    return found


def test_an_answer(here: Address) -> None:
    with here.socket() as page:
        found = answer(page, frame(picture("top right"), 7, STILL | SEEN))
    assert found.keys() == {"id", "skipped", "models"}
    assert (found["id"], found["skipped"]) == (7, 0)
    (said,) = found["models"]
    keys = {"name", "shown", "confidence", "top", "milliseconds", "seen"}
    assert said.keys() == keys
    assert said["name"] == "Quarters"
    assert said["shown"] == "top right" == said["top"][0][0]
    assert said["confidence"] == said["top"][0][1]
    assert said["confidence"] == pytest.approx(expected(quarter("top right")).max(), abs=1e-5)
    assert [p for _, p in said["top"]] == sorted((p for _, p in said["top"]), reverse=True)
    assert said["milliseconds"] > 0
    seen = said["seen"]
    assert (seen["width"], seen["height"], seen["channels"]) == (SIDE, SIDE, 1)
    pixels = np.frombuffer(base64.b64decode(seen["data"]), np.uint8).reshape(SIDE, SIDE)
    np.testing.assert_array_equal(pixels, quarter("top right"))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_kinds_of_pictures(here: Address, kind: str) -> None:
    with here.socket() as page:
        found = answer(page, frame(picture("bottom left", kind), flags=STILL))
    assert found["models"][0]["shown"] == "bottom left"
    assert found["models"][0]["seen"] is None


@pytest.mark.parametrize("number", [0, 1, 2**31, 2**32 - 1])
def test_the_number_comes_back(here: Address, number: int) -> None:
    with here.socket() as page:
        assert answer(page, frame(picture("top left"), number))["id"] == number
        assert answer(page, frame(b"", number))["id"] == number


def test_moving_pictures_hold_before_they_show(here: Address) -> None:
    with here.socket() as page:
        shown = [
            answer(page, frame(picture("top left"), n))["models"][0]["shown"] for n in range(4)
        ]
        assert shown == [None, None, "top left", "top left"]
        still = answer(page, frame(picture("top right"), 5, STILL))
        assert still["models"][0]["shown"] == "top right"
        after = answer(page, frame(picture("top left"), 6))
        assert after["models"][0]["shown"] == "top left"  # the still one was judged by itself


def test_the_confidence_is_smoothed_and_the_bars_are_not(here: Address) -> None:
    with here.socket() as page:
        for number in range(3):
            said = answer(page, frame(picture("top left"), number))["models"][0]
        first = said["confidence"]
        weak = quarter("top left", 130)
        said = answer(page, frame(picture(weak), 4))["models"][0]
    now = float(expected(weak)[0])
    assert said["top"][0] == ["top left", pytest.approx(now, abs=1e-5)]
    assert said["confidence"] == pytest.approx(0.7 * first + 0.3 * now, abs=1e-5)


def test_reset_starts_anew(here: Address) -> None:
    with here.socket() as page:
        for number in range(3):
            shown = answer(page, frame(picture("top left"), number))["models"][0]["shown"]
        assert shown == "top left"
        page.send("reset")
        for number, wanted in [(4, None), (5, None), (6, "top left")]:
            found = answer(page, frame(picture("top left"), number))
            assert found["models"][0]["shown"] == wanted


def test_two_pages_do_not_know_of_each_other(here: Address) -> None:
    with here.socket() as one, here.socket() as two:
        for number in range(3):
            shown = [
                answer(page, frame(picture(label), number))["models"][0]["shown"]
                for page, label in ((one, "top left"), (two, "bottom right"))
            ]
        assert shown == ["top left", "bottom right"]


def test_two_models_look_at_the_same_frame() -> None:
    backwards = Quarters(after=lambda rows: rows[:, [3, 2, 1, 0, 4]])
    with serving({"one": Quarters(), "two": backwards}) as here, here.socket() as page:
        found = answer(page, frame(picture("top left"), flags=STILL))
    assert [(m["name"], m["shown"]) for m in found["models"]] == [
        ("one", "top left"),
        ("two", "bottom right"),
    ]


def test_the_newest_frame_wins() -> None:
    """While one is looked at, four come; the last of them is next, and three are counted."""
    gate = Gate()
    with serving(Quarters(before=gate)) as here, here.socket() as page:
        gate.forget()
        gate.open.clear()
        page.send(frame(picture("top left"), 1, STILL))
        gate.reached()
        for number, label in enumerate(QUARTERS, 2):
            page.send(frame(picture(label), number, STILL))
        page.ping().wait(PATIENCE)
        # The pong says that the bytes came; when this is answered, the frames were taken in, too.
        with here.client() as client:
            assert client.get("/api/model").status_code == 200
        gate.open.set()
        first, second = answer(page), answer(page)
        with pytest.raises(TimeoutError):
            page.recv(0.2)
    assert (first["id"], first["skipped"]) == (1, 0)
    assert first["models"][0]["shown"] == "top left"
    assert (second["id"], second["skipped"]) == (5, 3)
    assert second["models"][0]["shown"] == "bottom right"


def test_a_frame_from_before_the_reset_says_nothing_of_what_follows() -> None:
    gate = Gate()
    with serving(Quarters(before=gate)) as here, here.socket() as page:
        for number in range(2):
            answer(page, frame(picture("top left"), number))
        gate.forget()
        gate.open.clear()
        page.send(frame(picture("top left"), 2))  # the third: it may be shown
        gate.reached()
        page.send("reset")
        page.send(frame(picture("top left"), 3))
        gate.open.set()
        old, new = answer(page), answer(page)
    assert (old["id"], old["models"][0]["shown"]) == (2, "top left")
    assert (new["id"], new["models"][0]["shown"]) == (3, None)


GARBAGE = [b"", b"\0" * 64, b"not a picture", b"\x89PNG\r\n\x1a\n" + b"\xff" * 40, b"\xff\xd8\xff"]


def test_garbage_is_answered_and_the_socket_lives(here: Address) -> None:
    with here.socket() as page:
        for number, content in enumerate(GARBAGE * 20):
            found = answer(page, frame(content, number))
            assert found.keys() == {"id", "skipped", "error"}
            assert (found["id"], found["skipped"]) == (number, 0)
            assert found["error"].startswith("the picture ")
        found = answer(page, frame(picture("top left"), 1000, STILL))
        assert found["models"][0]["shown"] == "top left"


def test_a_frame_has_a_limit_of_pixels(here: Address) -> None:
    with here.socket() as page:
        found = answer(page, frame(picture(np.zeros((2000, 2001), np.uint8)), 3))
        assert "2001 × 2000 pixels; expected at most 4000000" in found["error"]
        assert "models" in answer(page, frame(picture(np.zeros((2000, 2000), np.uint8)), 4))


@pytest.mark.parametrize(
    "message", ["", "Reset", "reset ", '{"reset": true}', b"", b"\0", b"\0\0\0\1"]
)
def test_what_is_no_frame_closes_the_socket(here: Address, message: str | bytes) -> None:
    with here.socket() as page:
        page.send(message)
        with pytest.raises(ConnectionClosed):
            page.recv(PATIENCE)
        assert page.close_code == 1008
        assert page.close_reason == "expected a frame: flags, number, picture"


def test_a_message_has_a_limit_of_bytes(here: Address) -> None:
    with here.socket() as page:
        fits = bytes(MAX_MESSAGE - 5)
        assert "is not a picture" in answer(page, frame(fits, 8))["error"]
        with pytest.raises(ConnectionClosedError):
            for _ in range(2):
                answer(page, frame(fits + b"x", 9))
        assert page.close_code in (1009, 1006)  # the reason may be lost in what is still sent


def test_a_message_in_pieces_is_one_message(here: Address) -> None:
    content = frame(picture("top left"), 4, STILL)
    with here.socket() as page:
        page.send(iter([content[:3], content[3:40], content[40:]]))
        assert answer(page)["models"][0]["shown"] == "top left"


def test_at_most_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "MAX_SOCKETS", 3)
    with serving(Quarters()) as here, ExitStack() as pages, ExitStack() as last:
        for holder in (pages, pages, last):
            page = holder.enter_context(here.socket())
            assert answer(page, frame(picture("top left")))["id"] == 1
        with here.socket() as fourth:
            with pytest.raises(ConnectionClosed):
                fourth.recv(PATIENCE)
            assert (fourth.close_code, fourth.close_reason) == (
                1013,
                "3 pages are connected already",
            )
        last.close()

        def free() -> bool:
            with here.socket() as page:
                try:
                    return "models" in answer(page, frame(picture("top left")))
                except ConnectionClosed:
                    return False

        eventually(free)


@pytest.fixture
def endpoints(monkeypatch: pytest.MonkeyPatch) -> list[live.Live]:
    """Those of the servers that a test starts."""
    started: list[live.Live] = []
    make = live.Live.__init__

    def noted(self: live.Live, *given: Any) -> None:
        make(self, *given)
        started.append(self)

    monkeypatch.setattr(live.Live, "__init__", noted)
    return started


def test_a_page_that_drops_makes_room(endpoints: list[live.Live]) -> None:
    """No closing handshake: the network is gone, also while a frame is looked at."""
    gate = Gate()
    with serving(Quarters(before=gate)) as here:
        (endpoint,) = endpoints
        for hold in (False, True):
            with here.socket() as page:
                if hold:
                    gate.forget()
                    gate.open.clear()
                    page.send(frame(picture("top left")))
                    gate.reached()
                else:
                    answer(page, frame(picture("top left")))
                assert endpoint.connected == 1
                hang_up(page)
            eventually(lambda: endpoint.connected == 0)
            gate.open.set()


class Large(Predictor):
    """Its input, and so what a page is sent of it, is large."""

    classes = CLASSES
    input_spec = InputSpec(256, 256, "rgb")

    def probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.full((len(images), len(CLASSES)), 0.2, np.float32)


def test_a_slow_reader_is_dropped(
    monkeypatch: pytest.MonkeyPatch, endpoints: list[live.Live]
) -> None:
    """It sends and never reads: what it does not take must not pile up, nor hold its place."""
    monkeypatch.setattr(patience, "SLOW", 0.3)
    with serving(Large()) as here:
        (endpoint,) = endpoints
        flood = masked(frame(picture("top left"), flags=SEEN)) * 10
        with pytest.raises(ConnectionError), raw_socket(here) as raw:
            while True:
                raw.sendall(flood)
        eventually(lambda: endpoint.connected == 0)
        with here.socket() as page:
            assert "models" in answer(page, frame(picture("top left")))


def test_a_fault_of_ours_closes_the_socket_and_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    broken: list[bool] = []

    def fail() -> None:
        if broken:
            raise ZeroDivisionError("a fault of ours")

    with serving(Quarters(before=fail)) as here:
        with here.socket() as page:
            assert "models" in answer(page, frame(picture("top left")))
            broken.append(True)
            page.send(frame(picture("top left")))
            with pytest.raises(ConnectionClosed):
                page.recv(PATIENCE)
        broken.clear()
        with here.socket() as page:
            assert "models" in answer(page, frame(picture("top left")))
    assert capsys.readouterr().err.count("ZeroDivisionError: a fault of ours") == 1


def test_the_file_is_what_is_asked(here: Address, tmp_path: Path) -> None:
    """The numbers of the socket are those of `predict` on the same bytes."""
    noise = np.random.default_rng(3).integers(0, 256, (48, 64), np.uint8)
    model = load(quarters_file(tmp_path / "Quarters.mlmodel"))
    for kind in ("PNG", "JPEG"):
        content = picture(noise, kind)
        (tmp_path / "file").write_bytes(content)
        said = model.predict(tmp_path / "file").probabilities
        with here.socket() as page:
            top = answer(page, frame(content))["models"][0]["top"]
        assert dict(top) == pytest.approx(said, abs=1e-6)

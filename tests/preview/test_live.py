"""Live predictions over a real WebSocket: protocol, skipped frames, invalid data, slow readers."""

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
from pocketlens.preview import connections, live
from pocketlens.preview.connections import MAX_MESSAGE
from pocketlens.preview.live import DARK, LIGHT, SEEN, STILL
from preview.server import (
    CLASSES,
    QUARTERS,
    SIDE,
    TIMEOUT,
    Gate,
    Quarters,
    RunningServer,
    disconnect,
    expected,
    frame,
    image_bytes,
    masked_message,
    quarter,
    quarters_file,
    raw_socket,
    serving,
    wait_until,
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    path = quarters_file(tmp_path_factory.mktemp("models") / "Quarters.mlmodel")
    with serving(load(path)) as address:
        yield address


def answer(page: ClientConnection, *messages: bytes | str) -> dict[str, Any]:
    """Send messages and receive one answer."""
    for each in messages:
        page.send(each)
    reply: dict[str, Any] = json.loads(page.recv(TIMEOUT))
    return reply


def test_answer_has_all_fields(server: RunningServer) -> None:
    with server.socket() as page:
        reply = answer(page, frame(image_bytes("top right"), 7, STILL | SEEN))
    assert reply.keys() == {"id", "skipped", "models"}
    assert (reply["id"], reply["skipped"]) == (7, 0)
    (result,) = reply["models"]
    keys = {"name", "shown", "confidence", "verdict", "top", "milliseconds", "seen"}
    assert result.keys() == keys
    assert result["name"] == "Quarters"
    assert result["shown"] == "top right" == result["top"][0][0]
    assert result["verdict"] == "top right"
    assert result["confidence"] == result["top"][0][1]
    assert result["confidence"] == pytest.approx(expected(quarter("top right")).max(), abs=1e-5)
    assert [p for _, p in result["top"]] == sorted((p for _, p in result["top"]), reverse=True)
    assert result["milliseconds"] > 0
    seen = result["seen"]
    assert (seen["width"], seen["height"], seen["channels"]) == (SIDE, SIDE, 1)
    pixels = np.frombuffer(base64.b64decode(seen["data"]), np.uint8).reshape(SIDE, SIDE)
    np.testing.assert_array_equal(pixels, quarter("top right"))


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "WEBP"])
def test_image_formats(server: RunningServer, file_format: str) -> None:
    with server.socket() as page:
        reply = answer(page, frame(image_bytes("bottom left", file_format), flags=STILL))
    assert reply["models"][0]["shown"] == "bottom left"
    assert reply["models"][0]["seen"] is None


@pytest.mark.parametrize("number", [0, 1, 2**31, 2**32 - 1])
def test_answer_repeats_the_number(server: RunningServer, number: int) -> None:
    with server.socket() as page:
        assert answer(page, frame(image_bytes("top left"), number))["id"] == number
        assert answer(page, frame(b"", number))["id"] == number


def test_live_label_needs_three_frames(server: RunningServer) -> None:
    with server.socket() as page:
        shown = [
            answer(page, frame(image_bytes("top left"), n))["models"][0]["shown"] for n in range(4)
        ]
        assert shown == [None, None, "top left", "top left"]
        still = answer(page, frame(image_bytes("top right"), 5, STILL))
        assert still["models"][0]["shown"] == "top right"
        after = answer(page, frame(image_bytes("top left"), 6))
        assert after["models"][0]["shown"] == "top left"  # the still image did not change it


def test_confidence_is_smoothed_and_top_is_not(server: RunningServer) -> None:
    with server.socket() as page:
        for number in range(3):
            result = answer(page, frame(image_bytes("top left"), number))["models"][0]
        first = result["confidence"]
        weak = quarter("top left", 130)
        result = answer(page, frame(image_bytes(weak), 4))["models"][0]
    now = float(expected(weak)[0])
    assert result["top"][0] == ["top left", pytest.approx(now, abs=1e-5)]
    assert result["confidence"] == pytest.approx(0.7 * first + 0.3 * now, abs=1e-5)


def test_reset_restarts_the_smoothing(server: RunningServer) -> None:
    with server.socket() as page:
        for number in range(3):
            shown = answer(page, frame(image_bytes("top left"), number))["models"][0]["shown"]
        assert shown == "top left"
        page.send("reset")
        for number, wanted in [(4, None), (5, None), (6, "top left")]:
            reply = answer(page, frame(image_bytes("top left"), number))
            assert reply["models"][0]["shown"] == wanted


def test_pages_are_independent(server: RunningServer) -> None:
    with server.socket() as one, server.socket() as two:
        for number in range(3):
            shown = [
                answer(page, frame(image_bytes(label), number))["models"][0]["shown"]
                for page, label in ((one, "top left"), (two, "bottom right"))
            ]
        assert shown == ["top left", "bottom right"]


def test_two_models_process_the_same_frame() -> None:
    reversed_model = Quarters(after=lambda rows: rows[:, [3, 2, 1, 0, 4]])
    with serving({"one": Quarters(), "two": reversed_model}) as server, server.socket() as page:
        reply = answer(page, frame(image_bytes("top left"), flags=STILL))
    assert [(m["name"], m["shown"]) for m in reply["models"]] == [
        ("one", "top left"),
        ("two", "bottom right"),
    ]


def test_only_the_newest_waiting_frame_is_processed() -> None:
    """Four frames arrive while one is processed: the last is next, and three are skipped."""
    gate = Gate()
    with serving(Quarters(before=gate)) as server, server.socket() as page:
        gate.reset()
        gate.open.clear()
        page.send(frame(image_bytes("top left"), 1, STILL))
        gate.wait_for_image()
        for number, label in enumerate(QUARTERS, 2):
            page.send(frame(image_bytes(label), number, STILL))
        page.ping().wait(TIMEOUT)
        # The pong shows that the bytes have arrived. After a further request, the server has also
        # processed the messages.
        with server.client() as client:
            assert client.get("/api/model").status_code == 200
        gate.open.set()
        first, second = answer(page), answer(page)
        with pytest.raises(TimeoutError):
            page.recv(0.2)
    assert (first["id"], first["skipped"]) == (1, 0)
    assert first["models"][0]["shown"] == "top left"
    assert (second["id"], second["skipped"]) == (5, 3)
    assert second["models"][0]["shown"] == "bottom right"


def test_frame_before_a_reset_does_not_influence_later_frames() -> None:
    gate = Gate()
    with serving(Quarters(before=gate)) as server, server.socket() as page:
        for number in range(2):
            answer(page, frame(image_bytes("top left"), number))
        gate.reset()
        gate.open.clear()
        page.send(frame(image_bytes("top left"), 2))  # the third frame: its label is shown
        gate.wait_for_image()
        page.send("reset")
        page.send(frame(image_bytes("top left"), 3))
        gate.open.set()
        old, new = answer(page), answer(page)
    assert (old["id"], old["models"][0]["shown"]) == (2, "top left")
    assert (new["id"], new["models"][0]["shown"]) == (3, None)


INVALID_IMAGES = [
    b"",
    b"\0" * 64,
    b"not an image",
    b"\x89PNG\r\n\x1a\n" + b"\xff" * 40,
    b"\xff\xd8\xff",
]


def test_invalid_image_is_answered_with_an_error(server: RunningServer) -> None:
    with server.socket() as page:
        for number, content in enumerate(INVALID_IMAGES * 20):
            reply = answer(page, frame(content, number))
            assert reply.keys() == {"id", "skipped", "error"}
            assert (reply["id"], reply["skipped"]) == (number, 0)
            assert reply["error"].startswith("the image ")
        reply = answer(page, frame(image_bytes("top left"), 1000, STILL))
        assert reply["models"][0]["shown"] == "top left"


def test_frame_with_too_many_pixels_is_rejected(server: RunningServer) -> None:
    with server.socket() as page:
        reply = answer(page, frame(image_bytes(np.zeros((2000, 2001), np.uint8)), 3))
        assert "2001 × 2000 pixels; expected at most 4000000" in reply["error"]
        assert "models" in answer(page, frame(image_bytes(np.zeros((2000, 2000), np.uint8)), 4))


@pytest.mark.parametrize(
    "message", ["", "Reset", "reset ", '{"reset": true}', b"", b"\0", b"\0\0\0\1"]
)
def test_invalid_message_closes_the_socket(server: RunningServer, message: str | bytes) -> None:
    with server.socket() as page:
        page.send(message)
        with pytest.raises(ConnectionClosed):
            page.recv(TIMEOUT)
        assert page.close_code == 1008
        reason = "expected 'reset' or a frame: flags (1 byte), number (4 bytes), image file"
        assert page.close_reason == reason


def test_message_of_too_many_bytes_is_rejected(server: RunningServer) -> None:
    with server.socket() as page:
        largest = bytes(MAX_MESSAGE - 5)
        assert "unsupported image format" in answer(page, frame(largest, 8))["error"]
        with pytest.raises(ConnectionClosedError):
            for _ in range(2):
                answer(page, frame(largest + b"x", 9))
        assert page.close_code in (
            1009,
            1006,
        )  # 1006 if the client is still sending and misses the close frame


def test_fragmented_message(server: RunningServer) -> None:
    content = frame(image_bytes("top left"), 4, STILL)
    with server.socket() as page:
        page.send(iter([content[:3], content[3:40], content[40:]]))
        assert answer(page)["models"][0]["shown"] == "top left"


def test_number_of_sockets_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "MAX_SOCKETS", 3)
    with serving(Quarters()) as server, ExitStack() as pages, ExitStack() as last:
        for holder in (pages, pages, last):
            page = holder.enter_context(server.socket())
            assert answer(page, frame(image_bytes("top left")))["id"] == 1
        with server.socket() as fourth:
            with pytest.raises(ConnectionClosed):
                fourth.recv(TIMEOUT)
            assert (fourth.close_code, fourth.close_reason) == (
                1013,
                "3 pages are connected already",
            )
        last.close()

        def has_free_place() -> bool:
            with server.socket() as page:
                try:
                    return "models" in answer(page, frame(image_bytes("top left")))
                except ConnectionClosed:
                    return False

        wait_until(has_free_place)


@pytest.fixture
def endpoints(monkeypatch: pytest.MonkeyPatch) -> list[live.Live]:
    """The `Live` endpoints of the servers that a test starts."""
    started: list[live.Live] = []
    init = live.Live.__init__

    def recording_init(self: live.Live, *arguments: Any) -> None:
        init(self, *arguments)
        started.append(self)

    monkeypatch.setattr(live.Live, "__init__", recording_init)
    return started


def test_lost_connection_frees_its_place(endpoints: list[live.Live]) -> None:
    """Without a closing handshake, while idle and while a frame is processed."""
    gate = Gate()
    with serving(Quarters(before=gate)) as server:
        (endpoint,) = endpoints
        for busy in (False, True):
            with server.socket() as page:
                if busy:
                    gate.reset()
                    gate.open.clear()
                    page.send(frame(image_bytes("top left")))
                    gate.wait_for_image()
                else:
                    answer(page, frame(image_bytes("top left")))
                assert len(endpoint.sessions) == 1
                disconnect(page)
            wait_until(lambda: len(endpoint.sessions) == 0)
            gate.open.set()


class Large(Predictor):
    """A model with a large input, so that answers with the input pixels are large."""

    classes = CLASSES
    input_spec = InputSpec(256, 256, "rgb")

    def probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.full((len(images), len(CLASSES)), 0.2, np.float32)


def test_client_that_does_not_read_is_dropped(
    monkeypatch: pytest.MonkeyPatch, endpoints: list[live.Live]
) -> None:
    """It sends and never reads: answers must not accumulate, and its place must become free."""
    monkeypatch.setattr(connections, "WRITE_SECONDS", 0.3)
    with serving(Large()) as server:
        (endpoint,) = endpoints
        flood = masked_message(frame(image_bytes("top left"), flags=SEEN)) * 10
        with pytest.raises(ConnectionError), raw_socket(server) as raw:
            while True:
                raw.sendall(flood)
        wait_until(lambda: len(endpoint.sessions) == 0)
        with server.socket() as page:
            assert "models" in answer(page, frame(image_bytes("top left")))


def test_internal_error_closes_the_socket_and_is_printed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    broken: list[bool] = []

    def fail() -> None:
        if broken:
            raise ZeroDivisionError("internal")

    with serving(Quarters(before=fail)) as server:
        with server.socket() as page:
            assert "models" in answer(page, frame(image_bytes("top left")))
            broken.append(True)
            page.send(frame(image_bytes("top left")))
            with pytest.raises(ConnectionClosed):
                page.recv(TIMEOUT)
        broken.clear()
        with server.socket() as page:
            assert "models" in answer(page, frame(image_bytes("top left")))
    assert capsys.readouterr().err.count("ZeroDivisionError: internal") == 1


def test_results_equal_predict(server: RunningServer, tmp_path: Path) -> None:
    """The probabilities over the WebSocket equal those of `predict` for the same file."""
    noise = np.random.default_rng(3).integers(0, 256, (48, 64), np.uint8)
    model = load(quarters_file(tmp_path / "Quarters.mlmodel"))
    for file_format in ("PNG", "JPEG"):
        content = image_bytes(noise, file_format)
        (tmp_path / "file").write_bytes(content)
        expected_probabilities = model.predict(tmp_path / "file").probabilities
        with server.socket() as page:
            top = answer(page, frame(content))["models"][0]["top"]
        assert dict(top) == pytest.approx(expected_probabilities, abs=1e-6)


@pytest.mark.parametrize(("flags", "expected_quarter"), [(DARK, "as drawn"), (LIGHT, "inverted")])
def test_a_drawing_says_its_ink(server: RunningServer, flags: int, expected_quarter: str) -> None:
    """The model of the server takes drawings in dark ink."""
    with server.socket() as page:
        reply = answer(page, frame(image_bytes("top right"), 1, STILL | SEEN | flags))
    seen = base64.b64decode(reply["models"][0]["seen"]["data"])
    pixels = np.frombuffer(seen, np.uint8).reshape(SIDE, SIDE)
    drawn = quarter("top right")
    np.testing.assert_array_equal(pixels, drawn if expected_quarter == "as drawn" else 255 - drawn)

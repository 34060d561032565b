"""Limits of connections: nobody can hold the server's memory, places or file descriptors."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import ConnectionClosed

from pocketlens.preview import accepting, connections, held, live
from pocketlens.preview.accepting import MAX_CONNECTIONS, PreviewServer
from pocketlens.preview.connections import MAX_HEADERS
from pocketlens.preview.inference import InferencePool
from preview.server import (
    AUTHORIZATION,
    BEARER,
    TIMEOUT,
    Quarters,
    RunningServer,
    frame,
    image_bytes,
    masked_message,
    raw_socket,
    serving,
    wait_until,
)


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short times, so that the tests need not wait."""
    for name in ("HEAD_SECONDS", "BODY_SECONDS", "WRITE_SECONDS"):
        monkeypatch.setattr(connections, name, 0.3)
    monkeypatch.setattr(accepting, "HANDSHAKE_SECONDS", 0.3)
    monkeypatch.setattr(accepting, "SWEEP_SECONDS", 0.05)


@pytest.fixture
def server() -> Iterator[RunningServer]:
    with serving(Quarters()) as running:
        yield running


def connected(server: RunningServer) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=TIMEOUT)


def head(server: RunningServer, *more: str, line: str = "GET /api/model HTTP/1.1") -> bytes:
    lines = [line, f"Host: 127.0.0.1:{server.port}", AUTHORIZATION, *more]
    return "".join(f"{each}\r\n" for each in lines).encode()


def is_dropped(raw: socket.socket) -> bool:
    """Read until the server closes the connection."""
    try:
        while raw.recv(65536):
            pass
    except ConnectionError:
        pass
    return True


def status(raw: socket.socket) -> int:
    answer = b""
    while b"\r\n" not in answer:
        piece = raw.recv(65536)
        assert piece, "dropped without an answer"
        answer += piece
    return int(answer.split(b" ")[1])


def works(server: RunningServer) -> bool:
    with server.client() as client:
        return client.get("/api/model").status_code == 200


@pytest.mark.parametrize(
    "lines",
    [
        [f"X-{n}: y" for n in range(MAX_HEADERS)],
        ["X: " + "y" * 9000],
        [f"X-{n}: " + "y" * 3000 for n in range(8)],
        ["y" * 9000 + ": x"],
    ],
    ids=["many", "long value", "large together", "long name"],
)
def test_large_head_is_refused(server: RunningServer, lines: list[str]) -> None:
    with connected(server) as raw:
        raw.sendall(head(server, *lines) + b"\r\n")
        assert status(raw) == 400
        assert is_dropped(raw)
    assert works(server)


def test_endless_head_is_dropped_early(server: RunningServer) -> None:
    """Header lines, one header's value, or a URL, of 60 MB."""
    for begin, piece in (
        (head(server), b"X-Line: " + b"y" * 100 + b"\r\n"),
        (head(server) + b"X: ", b"y" * 1000),
        (b"GET /", b"y" * 1000),
        (b"", b"\r\n" * 500),
    ):
        sent = 0
        with connected(server) as raw:
            raw.sendall(begin)
            with pytest.raises(ConnectionError):
                while sent < 60_000_000:
                    raw.sendall(piece * 100)
                    sent += len(piece) * 100
        assert sent < 20_000_000  # what the system's buffers took
    assert works(server)


@pytest.mark.parametrize("line", ["GET /ä HTTP/1.1", "GET http://[ HTTP/1.1", "GET /\x00 HTTP/1.1"])
@pytest.mark.parametrize("upgrade", [False, True])
def test_invalid_urls(
    server: RunningServer, capfd: pytest.CaptureFixture[str], line: str, upgrade: bool
) -> None:
    more = ["Upgrade: websocket", "Connection: Upgrade"] if upgrade else []
    with connected(server) as raw:
        raw.sendall(head(server, *more, line=line) + b"\r\n")
        assert is_dropped(raw)
    assert works(server)
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize("sent", [b"", b"GET", b"GET / HTTP/1.1\r\nHost: x\r\nX", b"\r\n"])
def test_unfinished_head_is_dropped(short: None, server: RunningServer, sent: bytes) -> None:
    with connected(server) as raw:
        raw.sendall(sent)
        assert is_dropped(raw)


def test_head_that_drips_is_dropped(short: None, server: RunningServer) -> None:
    """The time counts from its first byte, not from the last one."""
    with connected(server) as raw:
        raw.sendall(head(server))
        with pytest.raises(ConnectionError):
            while True:
                raw.sendall(b"X: y\r\n")
                time.sleep(0.02)


@pytest.mark.parametrize("encoding", ["Content-Length: 1000000", "Transfer-Encoding: chunked"])
def test_body_that_drips_is_dropped(
    short: None, server: RunningServer, encoding: str, capfd: pytest.CaptureFixture[str]
) -> None:
    piece = b"1\r\nx\r\n" if "chunked" in encoding else b"x"
    with connected(server) as raw:
        raw.sendall(head(server, encoding, line="POST /api/predict HTTP/1.1") + b"\r\n")
        with pytest.raises(ConnectionError):
            while True:
                raw.sendall(piece)
                time.sleep(0.02)
    assert works(server)
    assert capfd.readouterr().err == ""


def test_body_at_a_good_rate_is_accepted(
    short: None, server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes longer than the time for a body of a few bytes."""
    monkeypatch.setattr(connections, "MIN_RATE", 100)
    pieces = [b"x" * 1000] * 20
    begin = head(server, "Content-Length: 20000", line="POST /api/predict HTTP/1.1")
    start = time.monotonic()
    with connected(server) as raw:
        raw.sendall(begin + b"\r\n")
        for piece in pieces:
            raw.sendall(piece)
            time.sleep(0.03)
        assert status(raw) == 400  # not an image
    assert time.monotonic() - start > 0.5


def test_idle_websockets_and_slow_answers_are_kept(short: None, server: RunningServer) -> None:
    """Times apply to what is being received, not to pages that wait."""
    with server.socket() as page, server.client() as client:
        for _ in range(3):
            time.sleep(0.4)
            assert client.get("/api/model").status_code == 200
        page.send(frame(image_bytes("top left")))
        assert "models" in str(page.recv(TIMEOUT))


UNFINISHED = {
    "half a head": b"\x82",
    "a head without its length": b"\x82\xfe",
    "a head without its mask": b"\x82\x82",
    "no content": b"\x82\xfe\xff\xff" + bytes(4),
    "a part of the content": b"\x82\xfe\xff\xff" + bytes(9),
    "one of two bytes": b"\x82\x82" + bytes(5),
    "a part of a message": b"\x02\x81" + bytes(5),
}


@pytest.mark.parametrize("begin", UNFINISHED.values(), ids=UNFINISHED)
def test_unfinished_message_is_dropped(short: None, server: RunningServer, begin: bytes) -> None:
    with raw_socket(server) as raw:
        raw.settimeout(15)  # the server sends its first ping after 20 seconds
        raw.sendall(begin)
        assert is_dropped(raw)


def test_message_of_many_empty_frames_is_dropped(server: RunningServer) -> None:
    with raw_socket(server) as raw:
        raw.sendall(b"\x02\x80" + bytes(4))
        with pytest.raises(ConnectionError):
            for _ in range(10_000):
                raw.sendall((b"\x00\x80" + bytes(4)) * 100)
    assert works(server)


@pytest.mark.parametrize("text", [b"\xff\xfe", b"reset\x80", b"\xed\xa0\x80"])
def test_text_that_is_not_utf8(
    server: RunningServer, text: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    """It closes the WebSocket with code 1007, without a traceback."""
    with raw_socket(server) as raw:
        raw.sendall(masked_message(text + b" " * 200, text=True))
        assert close_code(raw) == 1007
    assert works(server)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("encoding", ["Content-Length: 1000", "Transfer-Encoding: chunked"])
@pytest.mark.parametrize(
    "path", ["/api/predict", "/api/corrections?label=nothing", "/bridge/" + "0" * 32]
)
def test_client_that_leaves_during_an_upload(
    server: RunningServer, path: str, encoding: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with connected(server) as raw:
        raw.sendall(head(server, encoding, line=f"POST {path} HTTP/1.1") + b"\r\n5\r\nhalf")
    assert works(server)
    wait_until(lambda: not server.server.server_state.tasks)
    assert capfd.readouterr().err == ""


def test_pipelined_requests_are_limited(server: RunningServer) -> None:
    with connected(server) as raw:
        raw.sendall((head(server) + b"\r\n") * 1000)
        assert is_dropped(raw)
    assert works(server)


def test_bodies_together_are_limited(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half bodies hold memory until they are complete."""
    monkeypatch.setattr(held, "MAX_HELD", 1_000_000)
    begin = head(server, "Content-Length: 500000", line="POST /api/predict HTTP/1.1") + b"\r\n"
    with ExitStack() as stack:
        for _ in range(3):
            raw = stack.enter_context(connected(server))
            raw.sendall(begin + bytes(400_000))
        assert status(raw) == 503
        with server.client() as client:
            assert client.get("/api/model").status_code == 200
    wait_until(lambda: not server.server.server_state.tasks)
    with server.client() as client:
        answers = [client.post("/api/predict", content=bytes(400_000)) for _ in range(5)]
    assert {answer.status_code for answer in answers} == {400}  # not an image


def held_bytes(server: RunningServer) -> int:
    found = server.server.lifespan.state["held"]
    assert isinstance(found, held.Held)
    return found.size


def close_code(raw: socket.socket) -> int:
    """Read until the server closes the WebSocket."""
    received = b""
    try:
        while piece := raw.recv(65536):
            received += piece
    except ConnectionResetError:  # after the close frame, if the server had more to read
        pass
    assert received[:1] == b"\x88", received
    return int.from_bytes(received[2:4], "big")


def test_unfinished_messages_together_are_limited(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held, "MAX_HELD", 1_000_000)
    begin = b"\x82\xff" + (3_000_000).to_bytes(8, "big") + bytes(4)
    with ExitStack() as stack:
        raws = [stack.enter_context(raw_socket(server)) for _ in range(3)]
        for raw in raws[:2]:
            raw.sendall(begin + bytes(400_000))
        wait_until(lambda: held_bytes(server) > 800_000)
        raws[2].sendall(begin + bytes(250_000))
        assert is_dropped(raws[2])
    wait_until(lambda: held_bytes(server) == 0)
    assert works(server)


def is_posted(client: httpx.Client, path: str, message: bytes) -> bool:
    """Whether the bridge took the message; it does as soon as its stream is open."""
    return client.post(path, content=message).status_code == 204


@pytest.mark.parametrize("bridged", [False, True], ids=["WebSocket", "bridge"])
def test_messages_that_wait_are_limited(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch, bridged: bool
) -> None:
    """Frames of pages whose answers take long: one is processed, the newest one waits."""

    begun: list[object] = []

    async def forever(_: object, data: object, **__: object) -> None:
        begun.append(data)
        await asyncio.Event().wait()

    monkeypatch.setattr(held, "MAX_HELD", 1_000_000)
    monkeypatch.setattr(InferencePool, "predict", forever)
    message = bytes(300_000)
    with ExitStack() as stack, server.client() as client:
        if bridged:
            keys = [f"{number:032x}" for number in range(2)]
            for key in keys:
                line = f"GET /bridge/{key}?to=/ws/live HTTP/1.1"
                stack.enter_context(connected(server)).sendall(head(server, line=line) + b"\r\n")
            for key in [*keys, keys[0]]:
                path = f"/bridge/{key}"
                wait_until(partial(is_posted, client, path, message))
            wait_until(lambda: held_bytes(server) == 900_000)
            raw = stack.enter_context(connected(server))
            length = f"Content-Length: {len(message)}"
            line = f"POST /bridge/{keys[1]} HTTP/1.1"
            raw.sendall(head(server, length, line=line) + b"\r\n" + message[:150_000])
            assert status(raw) == 503
        else:
            pages = [stack.enter_context(server.socket()) for _ in range(2)]
            for page in pages:
                page.send(message)
            wait_until(lambda: len(begun) == 2)
            pages[0].send(message)
            wait_until(lambda: held_bytes(server) == 900_000)
            with pytest.raises(ConnectionClosed):
                pages[1].send(message)
                pages[1].recv(TIMEOUT)
    wait_until(lambda: held_bytes(server) == 0)


def test_long_text_is_refused(server: RunningServer) -> None:
    with raw_socket(server) as raw:
        raw.sendall(masked_message(b"x" * 1001, text=True))
        assert close_code(raw) == 1009


def test_idle_connections_make_room(server: RunningServer) -> None:
    """More than there are places, without a request, with half of one, and after one."""
    with ExitStack() as stack, server.socket() as page:
        for number in range(MAX_CONNECTIONS + 50):
            raw = stack.enter_context(connected(server))
            if number % 3 == 1:
                raw.sendall(b"GET / HT")
            elif number % 3 == 2:
                raw.sendall(head(server) + b"\r\n")
        assert works(server)
        with server.socket() as other:
            for each in (page, other):
                each.send(frame(image_bytes("top left")))
                assert "models" in str(each.recv(TIMEOUT))
        assert len(server.server.server_state.connections) <= MAX_CONNECTIONS


def test_connections_of_one_address_are_limited(server: RunningServer) -> None:
    assert isinstance(server.server, PreviewServer)
    server.server.per_address = 5
    with ExitStack() as stack:
        pages = [stack.enter_context(server.socket()) for _ in range(5)]
        with connected(server) as raw:  # no page is idle enough to be dropped for it
            assert is_dropped(raw)
        for page in pages:
            page.send(frame(image_bytes("top left")))
            assert "models" in str(page.recv(TIMEOUT))


def test_idle_pages_make_room(monkeypatch: pytest.MonkeyPatch, server: RunningServer) -> None:
    """128 WebSockets that send nothing do not lock out a page that does."""
    monkeypatch.setattr(live, "MAX_SOCKETS", 5)
    with ExitStack() as stack:
        pages = [stack.enter_context(server.socket()) for _ in range(5)]
        for page in pages:
            page.send(frame(image_bytes("top left")))
            page.recv(TIMEOUT)
        with server.socket() as refused, pytest.raises(ConnectionClosed):
            refused.recv(TIMEOUT)
        assert refused.close_reason == "5 pages are connected already"
        monkeypatch.setattr(live, "IDLE_SECONDS", 0.0)
        with server.socket() as late:
            late.send(frame(image_bytes("top left")))
            assert "models" in str(late.recv(TIMEOUT))
        with pytest.raises(ConnectionClosed):
            pages[0].recv(TIMEOUT)
        assert pages[0].close_reason == "another page was opened, and this one was idle"


def https_status(server: RunningServer) -> int:
    # The certificate is tested in test_lan.py.
    with httpx.Client(verify=False, headers=BEARER, timeout=TIMEOUT, trust_env=False) as client:
        return client.get(f"https://127.0.0.1:{server.port}/api/model").status_code


def test_unfinished_handshake_is_dropped(short: None) -> None:
    with serving(Quarters(), https=True) as server:
        for sent in (b"", b"\x16\x03\x01", b"GET / HTTP/1.1\r\n"):
            with connected(server) as raw:
                raw.sendall(sent)
                assert is_dropped(raw)


def test_unfinished_handshakes_make_room(capfd: pytest.CaptureFixture[str]) -> None:
    with serving(Quarters(), https=True) as server, ExitStack() as stack:
        for _ in range(MAX_CONNECTIONS + 50):
            stack.enter_context(connected(server))
        assert https_status(server) == 200
        assert isinstance(server.server, PreviewServer)
        assert len(server.server.opening) <= MAX_CONNECTIONS
    assert capfd.readouterr().err == ""


OUT_OF_FILES = """
import resource, sys
sys.path.insert(0, "tests")
from preview.server import Quarters, serving
resource.setrlimit(resource.RLIMIT_NOFILE, (60, 60))
with serving(Quarters()) as server:
    server.server.most = 1000  # as if other files of the process took the rest
    print(server.port, flush=True)
    sys.stdin.read()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX limits")
def test_no_file_descriptors_is_one_line() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", OUT_OF_FILES],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        port = int(process.stdout.readline())
        raws = [socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT) for _ in range(100)]
        told = process.stderr.readline()
        for raw in raws:
            raw.close()
        with httpx.Client(headers=BEARER, timeout=TIMEOUT, trust_env=False) as client:
            assert client.get(f"http://127.0.0.1:{port}/api/model").status_code == 200
        process.stdin.close()
        rest = process.stderr.read()
    assert told.startswith("ERROR:    connections have to wait: Too many open files; raise the ")
    assert rest == ""


def test_few_open_files_mean_few_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    from pocketlens.preview.server import uvicorn_config

    monkeypatch.setattr(accepting, "_open_files", lambda: 64)

    async def application(*_: object) -> None:
        raise AssertionError("this test sends no request")

    assert PreviewServer(uvicorn_config(application)).most == 32


def test_a_client_that_comes_as_the_server_stops(caplog: pytest.LogCaptureFixture) -> None:
    from pocketlens.preview.server import listening_socket, uvicorn_config

    async def stops() -> None:
        config = uvicorn_config(application)
        server = PreviewServer(config)
        server.lifespan = config.lifespan_class(config)
        with listening_socket("127.0.0.1", 0) as sock:
            await server.startup(sockets=[sock])
            await asyncio.sleep(0)  # now it waits for clients
            with socket.create_connection(sock.getsockname()):
                # It stops before it sees that a client has come.
                await asyncio.create_task(server.shutdown())

    async def application(*_: object) -> None:
        pass

    asyncio.run(stops())
    assert "Traceback" not in caplog.text

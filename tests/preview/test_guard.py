"""Foreign host names, foreign pages and large bodies are rejected; headers on every response."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator

import pytest
from websockets.exceptions import InvalidStatus

from pocketlens.preview import guard
from pocketlens.preview.access import Access
from pocketlens.preview.duel.rooms import Duels
from pocketlens.preview.guard import HEADERS, MAX_BODY, Guard
from pocketlens.preview.inference import InferencePool
from preview.server import (
    AUTHORIZATION,
    TIMEOUT,
    TOKEN,
    Quarters,
    RunningServer,
    image_bytes,
    serving,
)


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with serving(Quarters()) as address:
        yield address


def exchange(server: RunningServer, request: bytes, *, end: bool = False) -> bytes:
    """Send raw bytes and read until the server closes; with `end`, close the sending side."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=TIMEOUT) as raw:
        raw.sendall(request)
        if end:
            raw.shutdown(socket.SHUT_WR)
        response = b""
        while piece := raw.recv(65536):
            response += piece
        return response


def get(server: RunningServer, *headers: str, path: str = "/api/model") -> tuple[int, bytes]:
    lines = [f"GET {path} HTTP/1.1", AUTHORIZATION, *headers, "Connection: close", "", ""]
    answer = exchange(server, "\r\n".join(lines).encode())
    return int(answer.split(b" ", 2)[1]), answer


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "LocalHost", "LOCALHOST"])
def test_own_host_names_are_accepted(server: RunningServer, name: str) -> None:
    assert get(server, f"Host: {name}:{server.port}")[0] == 200
    origin = f"http://{name}:{server.port}"
    assert get(server, f"Host: {name}:{server.port}", f"Origin: {origin}")[0] == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example:PORT",
        "127.0.0.1.evil.example:PORT",
        "localhost",
        "localhost:1",
        "localhost:PORT@evil.example",
        "[::1]:PORT",
        "0.0.0.0:PORT",
        "127.0.0.1:PORT\r\nHost: evil.example",
        "localhost.:PORT",
        "",
    ],
)
def test_foreign_host_name_is_rejected(server: RunningServer, host: str) -> None:
    status, answer = get(server, "Host: " + host.replace("PORT", str(server.port)))
    assert status == 403
    assert b'"models"' not in answer
    assert b"unknown host name" in answer
    assert f"open http://127.0.0.1:{server.port}".encode() in answer


def test_missing_host_is_rejected(server: RunningServer) -> None:
    assert exchange(server, b"GET /api/model HTTP/1.0\r\n\r\n").split(b" ")[1] == b"403"


FOREIGN = [
    "http://evil.example",
    "https://127.0.0.1:PORT",
    "http://127.0.0.1",
    "http://127.0.0.1:1",
    "http://127.0.0.1:PORT.evil.example",
    "null",
    "",
    "file://",
]


@pytest.mark.parametrize("origin", FOREIGN)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "OPTIONS"])
def test_foreign_origin_is_rejected(server: RunningServer, origin: str, method: str) -> None:
    sent = origin.replace("PORT", str(server.port))
    with server.client() as client:
        answer = client.request(method, "/api/model", headers={"Origin": sent})
    assert answer.status_code == 403
    message = f"requests from {sent!r} are not allowed; open http://127.0.0.1:{server.port}"
    assert answer.json() == {"error": message}
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("path", ["/ws/live", "/ws/duel/ABCD"])
@pytest.mark.parametrize("origin", FOREIGN)
def test_foreign_origin_gets_no_websocket(server: RunningServer, origin: str, path: str) -> None:
    sent = origin.replace("PORT", str(server.port)) or "http://"
    with pytest.raises(InvalidStatus) as rejected:
        server.socket(path, additional_headers={"Origin": sent})
    assert rejected.value.response.status_code == 403


def test_foreign_host_name_gets_no_websocket(server: RunningServer) -> None:
    upgrade = (
        "GET /ws/live HTTP/1.1\r\nHost: evil.example\r\nUpgrade: websocket\r\nConnection: Upgrade"
        "\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    assert b" 403 " in exchange(server, upgrade.encode()).split(b"\r\n")[0]


@pytest.mark.parametrize(
    ("origin", "hosts"),
    [
        ("http://127.0.0.1:80", {"127.0.0.1", "127.0.0.1:80"}),
        ("https://192.168.1.9:443", {"192.168.1.9", "192.168.1.9:443"}),
        ("http://127.0.0.1:443", {"127.0.0.1:443"}),
        ("http://127.0.0.1:8080", {"127.0.0.1:8080"}),
    ],
)
def test_default_port_may_be_omitted(origin: str, hosts: set[str]) -> None:
    async def application(*_: object) -> None:
        raise AssertionError("this test sends no request")

    access = Access(
        TOKEN, port=1, secure=False, duels=Duels(InferencePool({"Quarters": Quarters()}))
    )
    guarded = Guard(application, [origin], access)
    assert guarded.hosts == hosts
    assert guarded.origins == {f"{origin.partition('://')[0]}://{host}" for host in hosts}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/model", 200),
        ("HEAD", "/api/model", 200),
        ("GET", "/api/openapi.json", 200),
        ("POST", "/api/duels", 201),
        ("POST", "/api/predict", 400),
        ("GET", "/api/corrections", 400),
        ("GET", "/api/nowhere", 404),
        ("GET", "/nowhere.js", 404),
        ("GET", "/%2e%2e/server.py", 404),
        ("GET", "/..%2fserver.py", 404),
        ("GET", "/%00", 404),
        ("PUT", "/api/model", 405),
        ("POST", "/", 405),
    ],
)
def test_headers_on_every_response(
    server: RunningServer, method: str, path: str, status: int
) -> None:
    with server.client() as client:
        answer = client.request(method, path)
    assert answer.status_code == status
    assert {name: answer.headers[name] for name in HEADERS} == HEADERS
    if status >= 400 and method != "HEAD":
        assert answer.json()["error"]


def test_headers_on_rejections_and_internal_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        if broken:
            raise ZeroDivisionError("internal detail")

    broken = False
    with serving(Quarters(before=fail)) as server:
        broken = True
        with server.client() as client:  # closed after an internal error
            failed = client.post("/api/predict", content=image_bytes("top left"))
    broken = False
    with serving(Quarters()) as server, server.client() as client:
        foreign = client.get("/", headers={"Origin": "null"})
        monkeypatch.setattr(guard, "MAX_BODY", 10)
        large = client.post("/api/predict", content=bytes(11))
        streamed = client.post("/api/predict", content=iter([bytes(6), bytes(6)]))
        assert "transfer-encoding" in streamed.request.headers
    assert [a.status_code for a in (failed, foreign, large, streamed)] == [500, 403, 413, 413]
    for answer in (failed, foreign, large, streamed):
        assert {name: answer.headers[name] for name in HEADERS} == HEADERS
        assert answer.json()["error"]
    assert "internal detail" not in failed.text
    assert failed.json() == {"error": "internal error; see the terminal that runs the preview"}


def test_content_security_policy() -> None:
    policy = dict(each.split(" ", 1) for each in HEADERS["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert "unsafe" not in HEADERS["content-security-policy"]
    assert policy["frame-ancestors"] == "'none'"
    allowed = set(" ".join(policy.values()).split())
    assert allowed == {"'none'", "'self'", "blob:", "data:"}


def test_body_size_limit(server: RunningServer) -> None:
    """A body of exactly the limit is accepted; one more byte is rejected, declared or not."""
    with server.client() as client:
        largest = client.post("/api/predict", content=bytes(MAX_BODY))
        assert largest.status_code == 400
        assert "unsupported image format" in largest.json()["error"]
        pieces = [bytes(MAX_BODY // 4)] * 4
        assert client.post("/api/predict", content=iter(pieces)).status_code == 400
        message = {"error": f"expected at most {MAX_BODY} bytes; send a smaller image"}
        for content in (bytes(MAX_BODY + 1), iter([*pieces, b"x"])):
            answer = client.post("/api/predict", content=content)
            assert answer.status_code == 413
            assert answer.json() == message
        assert client.post("/api/predict", content=image_bytes("top left")).status_code == 200


@pytest.mark.parametrize("length", [str(MAX_BODY + 1), "9" * 18, "9" * 5000, "-1", "ten", "1, 1"])
def test_invalid_content_length_is_rejected(server: RunningServer, length: str) -> None:
    request = (
        f"POST /api/predict HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n{AUTHORIZATION}\r\n"
        f"Content-Length: {length}\r\nConnection: close\r\n\r\n"
    )
    assert exchange(server, request.encode()).split(b" ")[1] in (b"400", b"413")


def test_pipelined_requests_are_answered_in_order(server: RunningServer) -> None:
    host = f"Host: 127.0.0.1:{server.port}\r\n{AUTHORIZATION}\r\n"
    requests = [
        f"GET /api/model HTTP/1.1\r\n{host}\r\n",
        "GET /api/model HTTP/1.1\r\nHost: evil.example\r\n\r\n",
        f"GET /api/nowhere HTTP/1.1\r\n{host}Connection: close\r\n\r\n",
    ]
    responses = exchange(server, "".join(requests).encode())
    assert re.findall(rb"HTTP/1\.1 (\d+)", responses) == [b"200", b"403", b"404"]
    assert responses.count(b"content-security-policy") == 3


@pytest.mark.parametrize(
    "sent", [b"\0" * 100, b"GET", b"GET / HTTP/9.9\r\n\r\n", b"\x16\x03\x01\x02\0", b"\r\n" * 50]
)
def test_invalid_http_is_rejected(server: RunningServer, sent: bytes) -> None:
    answer = exchange(server, sent, end=True)
    assert answer == b"" or answer.split(b" ")[1] in (b"400", b"403", b"505")
    assert get(server, f"Host: localhost:{server.port}")[0] == 200

"""Strangers stay out: other names, other pages, bodies without end; headers on every response."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator

import pytest
from websockets.exceptions import InvalidStatus

from pocketlens.preview import guard
from pocketlens.preview.guard import HEADERS, MAX_BODY, Guard
from preview.server import PATIENCE, Address, Quarters, picture, serving


@pytest.fixture(scope="module")
def here() -> Iterator[Address]:
    with serving(Quarters()) as address:
        yield address


def ask(here: Address, request: bytes, *, end: bool = False) -> bytes:
    """What raw bytes are answered until the server closes; `end`: say that no more will come."""
    with socket.create_connection(("127.0.0.1", here.port), timeout=PATIENCE) as raw:
        raw.sendall(request)
        if end:
            raw.shutdown(socket.SHUT_WR)
        found = b""
        while piece := raw.recv(65536):
            found += piece
        return found


def get(here: Address, *headers: str, path: str = "/api/model") -> tuple[int, bytes]:
    lines = [f"GET {path} HTTP/1.1", *headers, "Connection: close", "", ""]
    answer = ask(here, "\r\n".join(lines).encode())
    return int(answer.split(b" ", 2)[1]), answer


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "LocalHost", "LOCALHOST"])
def test_our_own_names(here: Address, name: str) -> None:
    assert get(here, f"Host: {name}:{here.port}")[0] == 200
    origin = f"http://{name}:{here.port}"
    assert get(here, f"Host: {name}:{here.port}", f"Origin: {origin}")[0] == 200


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
def test_dns_rebinding(here: Address, host: str) -> None:
    status, answer = get(here, "Host: " + host.replace("PORT", str(here.port)))
    assert status == 403
    assert b'"models"' not in answer
    assert b"this server is not called" in answer
    assert f"open http://127.0.0.1:{here.port}".encode() in answer


def test_no_host_at_all(here: Address) -> None:
    assert ask(here, b"GET /api/model HTTP/1.0\r\n\r\n").split(b" ")[1] == b"403"


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
def test_foreign_pages(here: Address, origin: str, method: str) -> None:
    given = origin.replace("PORT", str(here.port))
    with here.client() as client:
        answer = client.request(method, "/api/model", headers={"Origin": given})
    assert answer.status_code == 403
    assert answer.json() == {"error": f"a page of {given!r} may not talk to this server"}
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("path", ["/ws/live", "/ws/duel/ABCD"])
@pytest.mark.parametrize("origin", FOREIGN)
def test_foreign_pages_get_no_socket(here: Address, origin: str, path: str) -> None:
    given = origin.replace("PORT", str(here.port)) or "http://"
    with pytest.raises(InvalidStatus) as refused:
        here.socket(path, additional_headers={"Origin": given})
    assert refused.value.response.status_code == 403


def test_no_socket_under_another_name(here: Address) -> None:
    upgrade = (
        "GET /ws/live HTTP/1.1\r\nHost: evil.example\r\nUpgrade: websocket\r\nConnection: Upgrade"
        "\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    assert b" 403 " in ask(here, upgrade.encode()).split(b"\r\n")[0]


@pytest.mark.parametrize(
    ("origin", "hosts"),
    [
        ("http://127.0.0.1:80", {"127.0.0.1", "127.0.0.1:80"}),
        ("https://192.168.1.9:443", {"192.168.1.9", "192.168.1.9:443"}),
        ("http://127.0.0.1:443", {"127.0.0.1:443"}),
        ("http://127.0.0.1:8080", {"127.0.0.1:8080"}),
    ],
)
def test_the_usual_port_need_not_be_written(origin: str, hosts: set[str]) -> None:
    async def application(*_: object) -> None:
        raise AssertionError("nothing is asked here")

    made = Guard(application, [origin])
    assert made.hosts == hosts
    assert made.origins == {f"{origin.partition('://')[0]}://{host}" for host in hosts}


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
def test_headers_on_every_response(here: Address, method: str, path: str, status: int) -> None:
    with here.client() as client:
        answer = client.request(method, path)
    assert answer.status_code == status
    assert {name: answer.headers[name] for name in HEADERS} == HEADERS
    if status >= 400 and method != "HEAD":
        assert answer.json()["error"]


def test_headers_on_refusals_and_faults(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        if broken:
            raise ZeroDivisionError("a fault of ours")

    broken = False
    with serving(Quarters(before=fail)) as here:
        broken = True
        with here.client() as client:  # which is closed after a fault
            fault = client.post("/api/predict", content=picture("top left"))
    broken = False
    with serving(Quarters()) as here, here.client() as client:
        foreign = client.get("/", headers={"Origin": "null"})
        monkeypatch.setattr(guard, "MAX_BODY", 10)
        large = client.post("/api/predict", content=bytes(11))
        streamed = client.post("/api/predict", content=iter([bytes(6), bytes(6)]))
        assert "transfer-encoding" in streamed.request.headers
    assert [a.status_code for a in (fault, foreign, large, streamed)] == [500, 403, 413, 413]
    for answer in (fault, foreign, large, streamed):
        assert {name: answer.headers[name] for name in HEADERS} == HEADERS
        assert answer.json()["error"]
    assert "a fault of ours" not in fault.text


def test_no_other_host_and_no_inline_script() -> None:
    policy = dict(each.split(" ", 1) for each in HEADERS["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert "unsafe" not in HEADERS["content-security-policy"]
    assert policy["frame-ancestors"] == "'none'"
    allowed = set(" ".join(policy.values()).split())
    assert allowed == {"'none'", "'self'", "blob:", "data:"}


def test_a_body_may_be_as_large_as_it_says(here: Address) -> None:
    """The limit itself is no fault; one byte more is, said beforehand or not."""
    with here.client() as client:
        fits = client.post("/api/predict", content=bytes(MAX_BODY))
        assert fits.status_code == 400
        assert "is not a picture" in fits.json()["error"]
        pieces = [bytes(MAX_BODY // 4)] * 4
        assert client.post("/api/predict", content=iter(pieces)).status_code == 400
        message = {"error": f"expected at most {MAX_BODY} bytes; send a smaller picture"}
        for content in (bytes(MAX_BODY + 1), iter([*pieces, b"x"])):
            answer = client.post("/api/predict", content=content)
            assert answer.status_code == 413
            assert answer.json() == message
        assert client.post("/api/predict", content=picture("top left")).status_code == 200


@pytest.mark.parametrize("length", [str(MAX_BODY + 1), "9" * 18, "9" * 5000, "-1", "ten", "1, 1"])
def test_what_a_body_says_of_its_length(here: Address, length: str) -> None:
    request = (
        f"POST /api/predict HTTP/1.1\r\nHost: 127.0.0.1:{here.port}\r\n"
        f"Content-Length: {length}\r\nConnection: close\r\n\r\n"
    )
    assert ask(here, request.encode()).split(b" ")[1] in (b"400", b"413")


def test_pipelined_requests_are_answered_in_order(here: Address) -> None:
    host = f"Host: 127.0.0.1:{here.port}\r\n"
    requests = [
        f"GET /api/model HTTP/1.1\r\n{host}\r\n",
        "GET /api/model HTTP/1.1\r\nHost: evil.example\r\n\r\n",
        f"GET /api/nowhere HTTP/1.1\r\n{host}Connection: close\r\n\r\n",
    ]
    found = ask(here, "".join(requests).encode())
    assert re.findall(rb"HTTP/1\.1 (\d+)", found) == [b"200", b"403", b"404"]
    assert found.count(b"content-security-policy") == 3


@pytest.mark.parametrize(
    "sent", [b"\0" * 100, b"GET", b"GET / HTTP/9.9\r\n\r\n", b"\x16\x03\x01\x02\0", b"\r\n" * 50]
)
def test_what_is_no_http_does_no_harm(here: Address, sent: bytes) -> None:
    answer = ask(here, sent, end=True)
    assert answer == b"" or answer.split(b" ")[1] in (b"400", b"403", b"505")
    assert get(here, f"Host: localhost:{here.port}")[0] == 200

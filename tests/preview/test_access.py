"""Who may use the preview: whoever has the token, and guests of a duel."""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.datastructures import Headers
from websockets.exceptions import ConnectionClosed, InvalidStatus

from pocketlens.preview import access
from pocketlens.preview.access import HOST, Access, Visitor
from preview.server import TIMEOUT, TOKEN, Quarters, RunningServer, image_bytes, serving


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RunningServer]:
    with serving(Quarters(), corrections=tmp_path / "corrections") as running:
        yield running


def stranger(server: RunningServer, **options: Any) -> httpx.Client:
    """A browser or program without a token."""
    return httpx.Client(base_url=server.http, timeout=TIMEOUT, trust_env=False, **options)


def added_correction(server: RunningServer) -> str:
    with server.client() as client:
        added = client.post("/api/corrections?label=nothing", content=image_bytes("nothing"))
    return f"/api/corrections/nothing/{added.json()['name']}"


REQUESTS = [
    ("GET", "/"),
    ("GET", "/main.js"),
    ("GET", "/nowhere"),
    ("GET", "/api/model"),
    ("GET", "/api/openapi.json"),
    ("POST", "/api/predict"),
    ("POST", "/api/explain"),
    ("POST", "/api/duels"),
    ("GET", "/api/corrections"),
    ("POST", "/api/corrections?label=nothing"),
    ("GET", "/bridge/" + "0" * 32 + "?to=/ws/live"),
    ("POST", "/bridge/" + "0" * 32),
    ("OPTIONS", "/api/model"),
]


@pytest.mark.parametrize(("method", "path"), REQUESTS)
@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer wrong", f"Basic {TOKEN}", f"Bearer {TOKEN}x"]
)
def test_stranger_is_refused(server: RunningServer, method: str, path: str, header: str) -> None:
    one = added_correction(server)
    headers = {"Authorization": header} if header else {}
    with stranger(server, headers=headers) as client:
        for asked in ((method, path), ("GET", one), ("DELETE", one)):
            answer = client.request(
                *asked, content=image_bytes("nothing") if "POST" in asked else None
            )
            assert answer.status_code == 401
            assert (
                "open the address that pocketlens printed in the terminal" in answer.json()["error"]
            )
            assert answer.headers["www-authenticate"] == "Bearer"
    with server.client() as client:
        assert client.get(one).status_code == 200


@pytest.mark.parametrize("path", ["/ws/live", "/ws/duel/ABCDEFGHJKLM"])
@pytest.mark.parametrize(
    "headers", [{}, {"Cookie": "pocketlens-1=x"}, {"Authorization": "Bearer x"}]
)
def test_stranger_gets_no_websocket(
    server: RunningServer, path: str, headers: dict[str, str]
) -> None:
    with pytest.raises(InvalidStatus) as refused:
        server.socket(path, additional_headers={"Authorization": "none", **headers})
    assert refused.value.response.status_code == 403


def test_browser_gets_a_page_instead_of_json(server: RunningServer) -> None:
    with stranger(server, headers={"Accept": "text/html,*/*"}) as client:
        answer = client.get("/")
    assert answer.status_code == 401
    assert answer.headers["content-type"].startswith("text/html")
    assert "open the address that pocketlens printed in the terminal" in answer.text


def test_token_is_exchanged_for_a_cookie(server: RunningServer) -> None:
    with stranger(server) as client:
        answer = client.get(f"/?token={TOKEN}")
        assert answer.status_code == 303
        assert answer.headers["location"] == "/"
        cookie = f"pocketlens-{server.port}={TOKEN}; Path=/; HttpOnly; SameSite=Strict"
        assert answer.headers["set-cookie"] == cookie
        assert client.get("/").status_code == 200  # the client keeps cookies
        assert client.get("/api/corrections").status_code == 200
        kept = client.get(f"/?duel=ABC&token={TOKEN}").headers["location"]
        assert kept == "/?duel=ABC"
        assert client.get("/?token=wrong").status_code == 401


def test_link_on_another_site_leads_to_the_page(server: RunningServer) -> None:
    """A browser would not send the strict cookie along with a redirect."""
    with stranger(server, headers={"Sec-Fetch-Site": "cross-site"}) as client:
        answer = client.get(f"/?token={TOKEN}&duel=%22%3E")
    assert answer.status_code == 200
    assert "set-cookie" in answer.headers
    assert answer.text == '<meta http-equiv="refresh" content="0; url=/?duel=%22%3E">'


def test_cookie_of_https_is_secure() -> None:
    made = Access("token", port=443, secure=True, duels=NoDuels())
    assert made.cookie("x") == "pocketlens-443=x; Path=/; HttpOnly; SameSite=Strict; Secure"


def test_websocket_with_the_cookie(server: RunningServer) -> None:
    cookie = {"Authorization": "none", "Cookie": f"a=b; pocketlens-{server.port}={TOKEN}"}
    with server.socket(additional_headers=cookie) as page:
        page.send("reset")


class NoDuels:
    def guest_token(self, code: str) -> str | None:
        return None

    def duel_of_guest(self, token: str) -> str | None:
        return None


def test_tokens_are_random_and_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = {Access.new_token() for _ in range(100)}
    assert len(tokens) == 100
    assert all(re.fullmatch(r"[\w-]{22}", token) for token in tokens)  # 128 bits
    compared = []
    compare = hmac.compare_digest

    def recording(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return compare(one, other)

    monkeypatch.setattr(hmac, "compare_digest", recording)
    made = Access("right", port=1, secure=False, duels=NoDuels())
    assert made.visitor(Headers({"authorization": "Bearer right"})) == HOST
    assert made.visitor(Headers({"authorization": "Bearer wröng"})) is None
    assert len(compared) == 2


def test_address_for_the_browser_works_once_and_soon() -> None:
    now = 0.0
    made = Access("right", port=1, secure=False, duels=NoDuels(), clock=lambda: now)
    once, late = made.new_single_use_token(), made.new_single_use_token()
    assert made.exchange(once)
    assert not made.exchange(once)
    now = access.SINGLE_USE_SECONDS + 1
    assert not made.exchange(late)
    assert made.exchange("right")
    assert not made.exchange("")


def create_duel(server: RunningServer) -> str:
    with server.client() as client:
        code: str = client.post("/api/duels").json()["code"]
    return code


def test_codes_of_duels_cannot_be_guessed(server: RunningServer) -> None:
    codes = {create_duel(server) for _ in range(20)}
    assert len(codes) == 20
    assert all(re.fullmatch("[A-HJ-NP-Z]{12}", code) for code in codes)  # 55 bits


def test_guest_may_play_and_nothing_more(server: RunningServer) -> None:
    one, code, other = added_correction(server), create_duel(server), create_duel(server)
    with stranger(server) as client:
        answer = client.get(f"/?duel={code.lower()}")
        assert answer.status_code == 200
        assert "<title>Pocketlens preview</title>" in answer.text
        cookie = answer.headers["set-cookie"]
        assert TOKEN not in cookie
        assert client.get("/main.js").status_code == 200
        assert client.get("/api/model").json()["corrections"] is None
        for method, path in [
            ("GET", "/api/corrections"),
            ("POST", "/api/corrections?label=nothing"),
            ("GET", one),
            ("DELETE", one),
            ("POST", "/api/predict"),
            ("POST", "/api/explain"),
            ("POST", "/api/duels"),
            ("GET", "/api/openapi.json"),
            ("GET", f"/bridge/{'0' * 32}?to=/ws/duel/{other}"),
            ("GET", f"/bridge/{'0' * 32}?to=/api/corrections"),
            ("DELETE", "/"),
        ]:
            refused = client.request(method, path)
            assert refused.status_code == 403, path
            assert "the link to a duel allows no more than to play it" in refused.json()["error"]
    headers = {"Authorization": "none", "Cookie": cookie.partition(";")[0]}
    for path in ("/ws/live", f"/ws/duel/{code}?name=Bob"):
        with server.socket(path, additional_headers=headers) as page:
            page.send("reset")
    with pytest.raises(InvalidStatus):
        server.socket(f"/ws/duel/{other}", additional_headers=headers)
    with server.client() as client:
        assert client.get(one).status_code == 200


def test_cookie_of_a_guest_ends_with_the_duel(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = create_duel(server)
    with stranger(server) as client:
        assert client.get(f"/?duel={code}").status_code == 200
        monkeypatch.setattr("pocketlens.preview.duel.rooms.EMPTY_ROOM_SECONDS", -1.0)
        create_duel(server)  # removes the empty one
        assert client.get("/main.js").status_code == 401
        answer = client.get(f"/?duel={code}")
        assert answer.status_code == 401
        assert "this duel does not exist any more" in answer.json()["error"]


def test_host_keeps_the_own_cookie_in_a_duel(server: RunningServer) -> None:
    code = create_duel(server)
    with server.client() as client:
        answer = client.get(f"/?duel={code}")
    assert answer.status_code == 200
    assert "set-cookie" not in answer.headers


class OneDuel(NoDuels):
    def guest_token(self, code: str) -> str | None:
        return "guest" if code == "RIGHT" else None


def test_wrong_codes_are_counted() -> None:
    now = 0.0
    made = Access("right", port=1, secure=False, duels=OneDuel(), clock=lambda: now)
    for number in range(access.MAX_TRIES):
        assert made.invited("RIGHT", "10.0.0.1") == "guest"
        assert made.invited(f"WRONG{number}", "10.0.0.1") is None
    assert made.invited("RIGHT", "10.0.0.1") is None
    assert made.invited("RIGHT", "10.0.0.2") == "guest"
    now = access.TRIES_SECONDS + 1
    assert made.invited("RIGHT", "10.0.0.1") == "guest"
    for number in range(3 * access.MAX_ADDRESSES):
        made.invited("WRONG", str(number))
    assert len(made.tries) <= access.MAX_ADDRESSES


def test_guest_closes_with_the_own_duel(server: RunningServer) -> None:
    """A WebSocket to a duel that is gone is closed with a reason."""
    with server.socket("/ws/duel/NOSUCHDUELAA") as page:
        with pytest.raises(ConnectionClosed):
            page.recv(TIMEOUT)
        assert page.close_reason == "no duel with the code 'NOSUCHDUELAA'"


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/", True),
        ("HEAD", "/style.css", True),
        ("POST", "/", False),
        ("GET", "/api", False),
        ("GET", "/api.js", True),
        ("GET", "/api/modelx", False),
        ("GET", "/ws/duel/abcd", True),
        ("GET", "/ws/duel/ABCDE", False),
        ("GET", "/ws/duel/ABCD/..", False),
        ("GET", "/ws/other", False),
    ],
)
def test_what_a_guest_may_request(method: str, path: str, allowed: bool) -> None:
    assert Visitor("ABCD").may_request(method, path) is allowed
    assert HOST.may_request(method, path)


def test_answers_have_no_absolute_paths(server: RunningServer, tmp_path: Path) -> None:
    with server.client() as client:
        answers = [client.get(path).text for path in ("/api/model", "/api/openapi.json", "/")]
        (tmp_path / "corrections").write_text("in the way")
        failed = client.post("/api/corrections?label=nothing", content=image_bytes("nothing"))
    assert failed.status_code == 500
    assert not any(str(tmp_path) in text for text in (*answers, failed.text))

"""Serving to a phone: the address, its certificate, the code that is scanned, real HTTPS."""

from __future__ import annotations

import ipaddress
import ssl
import stat
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import numpy as np
import pytest
import uvicorn
from cryptography import x509
from numpy.typing import NDArray
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from pocketlens.errors import OptionError
from pocketlens.preview import lan, server
from preview.server import PATIENCE, Quarters, eventually, frame, picture


@pytest.fixture
def issued(tmp_path: Path) -> tuple[Path, Path]:
    return lan.certificate("192.168.1.20", tmp_path)


def test_the_certificate_is_good_for_the_address(issued: tuple[Path, Path]) -> None:
    made = x509.load_pem_x509_certificate(issued[0].read_bytes())
    names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.IPAddress) == [ipaddress.ip_address("192.168.1.20")]
    now = datetime.now(UTC)
    assert made.not_valid_before_utc < now < made.not_valid_after_utc
    assert made.not_valid_after_utc - made.not_valid_before_utc < timedelta(days=825)
    uses = made.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert x509.ExtendedKeyUsageOID.SERVER_AUTH in uses
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*issued)


@pytest.mark.skipif(sys.platform == "win32", reason="file modes as POSIX has them")
def test_the_key_is_nobody_elses(issued: tuple[Path, Path]) -> None:
    assert stat.S_IMODE(issued[1].stat().st_mode) & 0o077 == 0
    assert b"PRIVATE KEY" in issued[1].read_bytes()


def test_every_run_has_its_own(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        lan.certificate("10.0.0.1", tmp_path / name)
    keys = {(tmp_path / name / "key.pem").read_bytes() for name in ("one", "two")}
    assert len(keys) == 2


def test_the_address_is_one_of_ours() -> None:
    try:
        found = lan.address()
    except OptionError as error:
        pytest.skip(f"no network here: {error}")
    assert ipaddress.ip_address(found).version == 4
    with server._listening(found, 0) as sock:  # what is not ours cannot be bound
        assert sock.getsockname()[0] == found


def test_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    class Unconnected(lan.socket.socket):
        def connect(self, address: object) -> None:
            raise OSError(101, "Network is unreachable")

    monkeypatch.setattr(lan.socket, "socket", Unconnected)
    with pytest.raises(OptionError, match="is in no network .*; leave out --lan"):
        lan.address()


# A reader of QR codes, as far as the codes go that an address makes: versions 2 and 3, bytes. It is
# written after ISO/IEC 18004 and shares nothing with what draws them.


def modules(drawn: str) -> NDArray[np.bool_]:
    """The dark modules of a code drawn in half blocks, without the quiet zone."""
    dark = {" ": (1, 1), "▀": (0, 1), "▄": (1, 0), "█": (0, 0)}
    rows: list[list[int]] = []
    for line in drawn.splitlines():
        pairs = [dark[letter] for letter in line]
        rows += [[top for top, _ in pairs], [bottom for _, bottom in pairs]]
    width = len(rows[0])
    whole = np.array(rows[:width], bool)
    assert not whole[:4].any()
    assert not whole[:, :4].any()
    assert not whole[:, -4:].any()
    return whole[4:-4, 4:-4]


MASKS = [
    lambda i, j: (i + j) % 2 == 0,
    lambda i, j: i % 2 == 0,
    lambda i, j: j % 3 == 0,
    lambda i, j: (i + j) % 3 == 0,
    lambda i, j: (i // 2 + j // 3) % 2 == 0,
    lambda i, j: (i * j) % 2 + (i * j) % 3 == 0,
    lambda i, j: ((i * j) % 2 + (i * j) % 3) % 2 == 0,
    lambda i, j: ((i + j) % 2 + (i * j) % 3) % 2 == 0,
]


def read_code(code: NDArray[np.bool_]) -> str:
    size = len(code)
    assert size in (25, 29), "versions 2 and 3"
    finder = np.array(
        [[max(abs(i - 3), abs(j - 3)) not in (2,) for j in range(7)] for i in range(7)]
    )
    for corner in (code[:7, :7], code[:7, -7:], code[-7:, :7]):
        np.testing.assert_array_equal(corner, finder)
    fixed = np.zeros_like(code)
    fixed[:9, :9] = fixed[:9, -8:] = fixed[-8:, :9] = True
    fixed[6], fixed[:, 6] = True, True
    fixed[-9:-4, -9:-4] = True
    told = sum(int(code[8, column]) << (4 - column) for column in range(5)) ^ 0b10101
    level, mask = told >> 3, told & 0b111
    upwards = True
    places = []
    for right in [*range(size - 1, 6, -2), *range(5, 0, -2)]:
        rows = reversed(range(size)) if upwards else range(size)
        places += [(row, column) for row in rows for column in (right, right - 1)]
        upwards = not upwards
    bits = [code[at] ^ MASKS[mask](*at) for at in places if not fixed[at]]
    data = np.packbits(np.array(bits, bool)).tobytes()
    if size == 29 and level == 0b11:  # two blocks, their bytes in turn
        data = data[:34:2] + data[1:34:2]
    number = int.from_bytes(data, "big")
    total = 8 * len(data)
    assert number >> (total - 4) == 0b0100, "bytes"
    length = number >> (total - 12) & 0xFF
    return (number >> (total - 12 - 8 * length) & (1 << 8 * length) - 1).to_bytes(length).decode()


@pytest.mark.parametrize(
    "address",
    [
        "https://10.0.0.1:8765",
        "https://192.168.1.20:8765",
        "https://192.168.100.200:54321",
        "https://172.16.254.1:443",
    ],
)
def test_the_code_says_the_address(address: str) -> None:
    assert read_code(modules(lan.qr_code(address))) == address


def test_https_and_wss(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """All of `serve`, on an address of this computer in place of the network's."""
    kept: list[bytes] = []
    certificate = lan.certificate

    def noted(host: str, folder: Path) -> tuple[Path, Path]:
        chain, key = certificate(host, folder)
        kept.append(chain.read_bytes())
        places.append(folder)
        return chain, key

    places: list[Path] = []
    servers: list[uvicorn.Server] = []
    run = uvicorn.Server.run

    def watched(self: uvicorn.Server, **options: object) -> None:
        servers.append(self)
        run(self, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(lan, "address", lambda: "127.0.0.1")
    monkeypatch.setattr(lan, "certificate", noted)
    monkeypatch.setattr(uvicorn.Server, "run", watched)
    addresses: list[str] = []
    thread = threading.Thread(
        target=server.serve,
        args=({"Quarters": Quarters()},),
        kwargs={"lan": True, "ready": addresses.append},
    )
    thread.start()
    try:
        eventually(lambda: addresses or not thread.is_alive())
        (address,) = addresses
        assert address.startswith("https://127.0.0.1:")
        assert not places[0].exists()  # the key is on no disk while it is used
        trusted = ssl.create_default_context(cadata=kept[0].decode())
        trusted.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        with httpx.Client(verify=trusted, timeout=PATIENCE, trust_env=False) as client:
            answer = client.post(f"{address}/api/predict", content=picture("top right"))
            assert answer.json()["models"][0]["shown"] == "top right"
            assert client.get(f"{address}/api/openapi.json").json()["servers"] == [{"url": address}]
        with pytest.raises(httpx.ConnectError, match="certificate"):
            httpx.get(address, timeout=PATIENCE, trust_env=False)
        live = address.replace("https", "wss") + "/ws/live"
        with connect(live, ssl=trusted, proxy=None, open_timeout=PATIENCE) as page:
            page.send(frame(picture("top left")))
            assert '"top left"' in str(page.recv(PATIENCE))
        foreign = {"Origin": address.replace("https", "http")}
        with pytest.raises(InvalidStatus):
            connect(live, ssl=trusted, proxy=None, additional_headers=foreign)
    finally:
        eventually(lambda: servers or not thread.is_alive())
        servers[0].should_exit = True
        thread.join(PATIENCE)
        assert not thread.is_alive()

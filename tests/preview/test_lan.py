"""Serving to a phone: address, certificate, QR code, real HTTPS."""

from __future__ import annotations

import ipaddress
import socket
import ssl
import stat
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from pocketlens.errors import OptionError
from pocketlens.preview import lan, server
from preview.server import TIMEOUT, Quarters, frame, image_bytes, wait_until


@pytest.fixture
def issued(tmp_path: Path) -> tuple[Path, Path]:
    return lan.create_certificate("192.168.1.20", tmp_path)


def test_certificate_is_valid_for_the_address(issued: tuple[Path, Path]) -> None:
    certificate = x509.load_pem_x509_certificate(issued[0].read_bytes())
    assert certificate.subject.rfc4514_string() == "CN=192.168.1.20,O=Pocketlens preview"
    assert certificate.issuer == certificate.subject
    now = datetime.now(UTC)
    assert certificate.not_valid_before_utc < now < certificate.not_valid_after_utc
    assert certificate.not_valid_after_utc - certificate.not_valid_before_utc < timedelta(days=10)

    def extension(kind: type[x509.ExtensionType]) -> Any:
        return certificate.extensions.get_extension_for_class(kind)

    names = extension(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.IPAddress) == [ipaddress.ip_address("192.168.1.20")]
    host = socket.gethostname().partition(".")[0].lower()
    assert set(names.get_values_for_type(x509.DNSName)) <= {host, f"{host}.local"}
    constraints = extension(x509.BasicConstraints)
    assert constraints.critical
    assert constraints.value.ca is False
    usage = extension(x509.KeyUsage)
    assert usage.critical
    assert usage.value.digital_signature
    assert not usage.value.key_cert_sign
    uses = extension(x509.ExtendedKeyUsage).value
    assert list(uses) == [ExtendedKeyUsageOID.SERVER_AUTH]
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*issued)


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX file modes")
def test_key_is_private(issued: tuple[Path, Path]) -> None:
    assert stat.S_IMODE(issued[1].stat().st_mode) & 0o077 == 0
    assert b"PRIVATE KEY" in issued[1].read_bytes()


def test_every_run_has_a_new_key(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        lan.create_certificate("10.0.0.1", tmp_path / name)
    keys = {(tmp_path / name / "key.pem").read_bytes() for name in ("one", "two")}
    assert len(keys) == 2


def test_address_belongs_to_this_computer() -> None:
    try:
        address = lan.local_address()
    except OptionError as error:
        pytest.skip(f"this computer is not on a network: {error}")
    assert ipaddress.ip_address(address).version == 4
    with server.listening_socket(address, 0) as sock:  # fails for foreign addresses
        assert sock.getsockname()[0] == address


def test_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    class Unconnected(socket.socket):
        def connect(self, address: object) -> None:
            raise OSError(101, "Network is unreachable")

    monkeypatch.setattr(socket, "socket", Unconnected)
    with pytest.raises(OptionError, match="is not on a network .*; run the command without --lan"):
        lan.local_address()


# A reader for QR codes of versions 2 and 3 in byte mode, which are enough for an address. It
# follows ISO/IEC 18004 and is independent of the code that draws them.


def test_https_and_wss(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The complete `serve_preview`, on 127.0.0.1 instead of the network address."""
    certificates: list[bytes] = []
    create_certificate = lan.create_certificate

    def recording(host: str, folder: Path) -> tuple[Path, Path]:
        chain, key = create_certificate(host, folder)
        certificates.append(chain.read_bytes())
        folders.append(folder)
        return chain, key

    folders: list[Path] = []
    servers: list[uvicorn.Server] = []
    run = uvicorn.Server.run

    def recording_run(self: uvicorn.Server, sockets: list[socket.socket] | None = None) -> None:
        servers.append(self)
        run(self, sockets)

    monkeypatch.setattr(lan, "local_address", lambda: "127.0.0.1")
    monkeypatch.setattr(lan, "create_certificate", recording)
    monkeypatch.setattr(uvicorn.Server, "run", recording_run)
    addresses: list[server.Address] = []
    thread = threading.Thread(
        target=server.serve_preview,
        args=({"Quarters": Quarters()},),
        kwargs={"lan": True, "ready": addresses.append},
    )
    thread.start()
    try:
        wait_until(lambda: addresses or not thread.is_alive())
        ((address, token),) = [(found.origin, found.token) for found in addresses]
        bearer = {"Authorization": f"Bearer {token}"}
        assert address.startswith("https://127.0.0.1:")
        assert not folders[0].exists()  # the key is deleted from the disk
        trusted = ssl.create_default_context(cadata=certificates[0].decode())
        trusted.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        with httpx.Client(
            headers=bearer, verify=trusted, timeout=TIMEOUT, trust_env=False
        ) as client:
            answer = client.post(f"{address}/api/predict", content=image_bytes("top right"))
            assert answer.json()["models"][0]["shown"] == "top right"
            assert client.get(f"{address}/api/openapi.json").json()["servers"] == [{"url": address}]
        with pytest.raises(httpx.ConnectError, match="certificate"):
            httpx.get(address, timeout=TIMEOUT, trust_env=False)
        live = address.replace("https", "wss") + "/ws/live"
        with connect(
            live, ssl=trusted, proxy=None, open_timeout=TIMEOUT, additional_headers=bearer
        ) as page:
            page.send(frame(image_bytes("top left")))
            assert '"top left"' in str(page.recv(TIMEOUT))
        foreign = {**bearer, "Origin": address.replace("https", "http")}
        with pytest.raises(InvalidStatus):
            connect(live, ssl=trusted, proxy=None, open_timeout=TIMEOUT, additional_headers=foreign)
    finally:
        wait_until(lambda: servers or not thread.is_alive())
        servers[0].should_exit = True
        thread.join(TIMEOUT)
        assert not thread.is_alive()

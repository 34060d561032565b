"""A small replacement for MNIST's four files, and a web server that misbehaves on request."""

from __future__ import annotations

import gzip
import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from pocketlens.data import idx_sets
from pocketlens.data.idx_sets import SETS, IdxFile


def idx_bytes(values: np.ndarray) -> bytes:
    """The content of an IDX file of unsigned bytes with `values`."""
    header = bytes((0, 0, 8, values.ndim)) + np.array(values.shape, ">u4").tobytes()
    return header + values.astype(np.uint8).tobytes()


def make_tiny(monkeypatch: pytest.MonkeyPatch, name: str) -> dict[str, bytes]:
    """Replace a set by 40 + 20 random images without mirrors; returns the decompressed files."""
    random = np.random.default_rng(0)
    contents, splits, idx_set = {}, {}, SETS[name]
    for split, count in (("train", 40), ("test", 20)):
        images = idx_bytes(random.integers(0, 256, (count, 28, 28)))
        labels = idx_bytes(np.arange(count) % len(idx_set.classes) + idx_set.first_label)
        pair = []
        for file, content in zip(idx_set.files(split), (images, labels), strict=True):
            pair.append(tiny_file(file, content))
            contents[file.name] = content
        splits[split] = (pair[0], pair[1])
    tiny = replace(idx_set, mirrors=(), train=splits["train"], test=splits["test"])
    monkeypatch.setitem(idx_sets.SETS, name, tiny)
    return contents


def tiny_file(file: IdxFile, content: bytes) -> IdxFile:
    kind = file.checksum.partition(":")[0]
    checked = gzip.compress(content, mtime=0) if file.of_gzip else content
    digest = hashlib.new(kind, checked).hexdigest()
    return replace(file, size=len(content), checksum=f"{kind}:{digest}")


@pytest.fixture
def tiny_mnist(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """See `make_tiny`."""
    return make_tiny(monkeypatch, "mnist")


@pytest.fixture
def tiny_set(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], dict[str, bytes]]:
    """`make_tiny`, undone after the test."""
    return lambda name: make_tiny(monkeypatch, name)


@pytest.fixture
def set_mirrors(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Replace the mirrors of sets: `set_mirrors(url, "mnist")`."""

    def change(url: str, *names: str) -> None:
        for name in names:
            monkeypatch.setitem(SETS, name, replace(SETS[name], mirrors=(url,)))

    return change


@pytest.fixture
def save(tmp_path: Path) -> Callable[[dict[str, bytes]], Path]:
    """Write gzipped files into the `mnist` folder of a data folder; returns the data folder."""

    def write(contents: dict[str, bytes]) -> Path:
        folder = tmp_path / "data" / "mnist"
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            (folder / f"{name}.gz").write_bytes(gzip.compress(content, mtime=0))
        return folder.parent

    return write


@dataclass
class Site:
    """The files of a server, its behavior, and the requests that it received.

    Args:
        url: Its address.
        files: Content by path.
        cut: By path, the number of bytes after which the first response ends too early.
        ranges: Whether it supports `Range`.
        hang: Whether it never responds.
        lengths: Whether it sends `Content-Length`.
        drip: Seconds between two bytes of the headers (`drip_headers`) or of the content.
        drip_headers: Whether it is the headers that come byte by byte, without end.
        wrong_range: Whether it responds to a range request with a different range.
        headers: More headers, by path.
        requests: Path and `Range` header of each request.
    """

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    cut: dict[str, int] = field(default_factory=dict)
    ranges: bool = True
    hang: bool = False
    lengths: bool = True
    drip: float = 0.0
    drip_headers: bool = False
    wrong_range: bool = False
    headers: dict[str, dict[str, str]] = field(default_factory=dict)
    requests: list[tuple[str, str | None]] = field(default_factory=list)


class Handler(BaseHTTPRequestHandler):
    site: Site

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass

    def do_GET(self) -> None:
        site, requested = self.site, self.headers.get("Range")
        site.requests.append((self.path, requested))
        if site.hang:
            time.sleep(0.6)
            return
        if site.drip_headers:
            self.drip(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 10_000)
            return
        body = site.files.get(self.path)
        if body is None:
            self.send_error(404)
            return
        start, size = 0, len(body)
        if requested and site.ranges:
            first, _, last = requested.removeprefix("bytes=").partition("-")
            start = int(first)
            body = body[: int(last) + 1] if last else body
            if start >= len(body):
                self.send_error(416)
                return
            shown = start + 1 if site.wrong_range else start
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {shown}-{len(body) - 1}/{size}")
        else:
            self.send_response(200)
        for name, value in site.headers.get(self.path, {}).items():
            self.send_header(name, value)
        if site.lengths:
            self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        end = site.cut.pop(self.path, len(body))
        if site.drip:
            self.drip(body[start:end])
        else:
            self.wfile.write(body[start:end])

    def drip(self, content: bytes) -> None:
        """Send one byte at a time, until the other side has gone."""
        for place in range(len(content)):
            try:
                self.wfile.write(content[place : place + 1])
            except OSError:
                return
            time.sleep(self.site.drip)


@pytest.fixture
def serve() -> Iterator[Callable[..., Site]]:
    """Start servers; the arguments of each call are fields of `Site`."""
    servers = []

    def start(**behavior: object) -> Site:
        site = Site(**behavior)  # type: ignore[arg-type]
        handler = type("SiteHandler", (Handler,), {"site": site})
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}).start()
        servers.append(server)
        site.url = f"http://127.0.0.1:{server.server_port}/"
        return site

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()

"""Downloads from mirrors: limited in size, resumed, checked, and then renamed into place."""

from __future__ import annotations

import base64
import hashlib
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import quote

from pocketlens.errors import DataError, DataNotFoundError, OutputError
from pocketlens.files import open_nofollow

if TYPE_CHECKING:
    import httpx

__all__ = ["Progress", "fetch"]

Progress: TypeAlias = Callable[[str, int, "int | None"], None]
"""Called with the file's name, the bytes so far, and the total bytes (None if unknown)."""

ATTEMPTS = 4
"""The most attempts per mirror for an interrupted transfer; each must bring some bytes."""

CONNECT_SECONDS = 5.0
READ_SECONDS = 20.0

TOTAL_SECONDS = 900.0
"""The most time for one file from one mirror, all attempts together."""

LEAST_RATE = 2000.0
RATE_SECONDS = 30.0
"""The fewest bytes per second that a mirror must send, on average over this time."""


def fetch(
    name: str,
    folder: Path,
    *,
    mirrors: Sequence[str],
    limit: int,
    check: Callable[[Path], None],
    first: int | None = None,
    progress: Progress | None = None,
    read_seconds: float = READ_SECONDS,
    total_seconds: float = TOTAL_SECONDS,
    rate_seconds: float = RATE_SECONDS,
) -> Path:
    """Download `name` into `folder` from the first mirror that sends the right content.

    An unfinished download is kept as `NAME.part`, and a later call resumes it. The file gets its
    final name only after `check`, so a file with that name is complete. If the server sends the md5
    of a whole file (`x-goog-hash`, as Google's storage does), that is checked as well.

    Args:
        name: The file's name, on the mirrors and in `folder`.
        folder: The target folder; created if missing.
        mirrors: Base URLs, tried in order.
        limit: The largest size in bytes that is accepted.
        check: Raises DataError if a file has the wrong content.
        first: How many bytes are wanted, from the start of the file; default: all of it. If the
            file is longer, what was received stays `NAME.part`.
        progress: Called after each chunk.
        read_seconds: How long to wait for a mirror that sends nothing.
        total_seconds: The most time for one mirror, headers and redirects included.
        rate_seconds: A mirror must send `LEAST_RATE` bytes per second on average over this time.

    Returns:
        The path of the file, or of its part.

    Raises:
        DataNotFoundError: No mirror sent the file; the message has the reason for each mirror.
        OutputError: The folder cannot be written to.
    """
    import httpx

    part = folder / f"{name}.part"
    errors = []
    timeout = httpx.Timeout(read_seconds, connect=CONNECT_SECONDS)
    # `identity`: sizes and ranges would be wrong if a proxy decompressed the file.
    headers = {"Accept-Encoding": "identity"}
    with httpx.Client(timeout=timeout, headers=headers, follow_redirects=True) as client:
        for mirror in mirrors:
            url = f"{mirror.rstrip('/')}/{quote(name)}"
            transfer = _Transfer(client, url, part, limit, first, progress, rate_seconds)
            try:
                with _time_limit(total_seconds, transfer):
                    transfer.run(check)
                return part.replace(folder / name) if transfer.whole else part
            except (httpx.HTTPError, DataError) as error:
                late = f"it took more than {total_seconds:g} seconds" if transfer.late else ""
                errors.append(f"{mirror}: {late or _reason(error)}")
            except OSError as error:
                raise OutputError(
                    f"{error.filename or folder} cannot be written: {error.strerror or error}; "
                    "set POCKETLENS_DATA to a folder that can be written to"
                ) from error
    raise DataNotFoundError(
        f"{name} could not be downloaded ({'; '.join(errors) or 'no mirror is known'})"
    )


class _Transfer:
    """The download of one file from one mirror."""

    def __init__(
        self,
        client: httpx.Client,
        url: str,
        part: Path,
        limit: int,
        first: int | None,
        progress: Progress | None,
        rate_seconds: float,
    ) -> None:
        self.client = client
        self.url = url
        self.part = part
        self.limit = limit
        self.first = first
        self.whole = True
        self.md5 = ""
        self.progress = progress
        self.rate_seconds = rate_seconds
        self.late = False
        self.connections: list[Any] = []

    def stop(self) -> None:
        """End the connections, also while another thread waits for them; called when late."""
        self.late = True
        for stream in self.connections:
            connection = stream.get_extra_info("socket")
            with suppress(OSError, AttributeError):  # it has ended already
                connection.shutdown(socket.SHUT_RDWR)

    def _trace(self, event: str, info: dict[str, Any]) -> None:
        """Called by httpx: remember the connections."""
        if event.endswith(("connect_tcp.complete", "start_tls.complete")):
            self.connections.append(info["return_value"])

    def run(self, check: Callable[[Path], None]) -> None:
        """Download and check the file. A file that fails the check is deleted."""
        resumed = self._size() > 0
        self._receive()
        try:
            if self.whole and self.md5:
                self._check_md5()
            check(self.part)
        except DataError:
            self.part.unlink(missing_ok=True)
            if not resumed:
                raise
            # The old part may be from another mirror, with other compression: start again.
            self.run(check)

    def _size(self) -> int:
        if self.part.is_symlink():  # not ours: we write no links
            self.part.unlink()
        return self.part.stat().st_size if self.part.exists() else 0

    def _receive(self) -> None:
        import httpx

        for attempt in range(1, ATTEMPTS + 1):
            before = self._size()
            try:
                return self._request(before)
            except httpx.TransportError:
                if self.late or attempt == ATTEMPTS or self._size() <= before:
                    raise
        return None

    def _request(self, start: int) -> None:
        if self.first is not None and start >= self.first:
            self.whole = False
            return None
        end = "" if self.first is None else self.first - 1
        headers = {"Range": f"bytes={start}-{end}"} if start or end else {}
        traced = {"trace": self._trace}
        with self.client.stream("GET", self.url, headers=headers, extensions=traced) as response:
            if start and response.status_code == 416:  # the part is as long as the file, or longer
                self.part.unlink()
                return self._request(0)
            response.raise_for_status()
            if response.status_code != 206:
                start = 0
            elif not response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
                raise DataError("the server sent a different part of the file than requested")
            self.md5 = _md5_of(response.headers.get("x-goog-hash", ""))
            total = _total(response, start)
            wanted = total if self.first is None else min(self.first, total or self.first)
            self.whole = wanted == total or self.first is None
            self._check_size(total or 0)
            self.part.parent.mkdir(parents=True, exist_ok=True)
            if not start:
                self.part.unlink(missing_ok=True)
            with open_nofollow(self.part, "r+b" if start else "xb") as file:
                file.seek(start)
                since, received = time.monotonic(), 0
                for piece in response.iter_raw():
                    if not self.whole:  # the server may send all of it nevertheless
                        piece = piece[: max(0, (wanted or 0) - start)]
                    start += len(piece)
                    received += len(piece)
                    self._check_size(start)
                    seconds = time.monotonic() - since
                    if seconds >= self.rate_seconds:
                        if received < LEAST_RATE * seconds:
                            raise DataError(
                                f"too slow: {received / seconds:,.0f} bytes per second; expected "
                                f"at least {LEAST_RATE:,.0f}"
                            )
                        since, received = time.monotonic(), 0
                    file.write(piece)
                    if self.progress:
                        self.progress(self.part.stem, start, wanted)
                    if not self.whole and start == wanted:
                        break
                self.whole = self.whole or start < (wanted or 0)  # the file is shorter
        return None

    def _check_md5(self) -> None:
        with self.part.open("rb") as file:
            received = hashlib.file_digest(file, "md5").hexdigest()
        if received != self.md5:
            raise DataError(f"the md5 of the file is {received}; expected: {self.md5}")

    def _check_size(self, size: int) -> None:
        if size > self.limit:
            self.part.unlink(missing_ok=True)
            raise DataError(f"the file has {size} bytes or more; expected at most {self.limit}")


@contextmanager
def _time_limit(seconds: float, transfer: _Transfer) -> Iterator[None]:
    timer = threading.Timer(seconds, transfer.stop)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _total(response: httpx.Response, start: int) -> int | None:
    """The size of the whole file; None if the server does not say."""
    if response.status_code == 206:
        size = response.headers.get("Content-Range", "").rpartition("/")[2]
        if size.isdecimal():
            return int(size)
    length = response.headers.get("Content-Length", "")
    return start + int(length) if length.isdecimal() else None


def _md5_of(header: str) -> str:
    """The md5 in hexadecimal in a header such as `crc32c=..., md5=...`; empty if there is none."""
    found = re.search(r"md5=([A-Za-z0-9+/]{22}==)", header)
    return base64.b64decode(found[1]).hex() if found else ""


def _reason(error: Exception) -> str:
    import httpx

    if isinstance(error, httpx.HTTPStatusError):
        return f"HTTP status {error.response.status_code}"
    if isinstance(error, httpx.TimeoutException):
        return "timed out"
    return str(error) or type(error).__name__

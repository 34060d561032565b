"""Downloads from mirrors: size-limited, resumed when cut, checked, then renamed into place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from pocketlens.errors import DataError, DataNotFoundError, OutputError

if TYPE_CHECKING:
    import httpx

__all__ = ["Progress", "fetch"]

Progress: TypeAlias = Callable[[str, int, "int | None"], None]
"""Called with the file's name, the bytes here so far, and the bytes in all (None: not told)."""

ATTEMPTS = 4
"""How often a cut transfer is taken up again at one mirror, as long as each try brings bytes."""

CONNECT_SECONDS = 5.0
READ_SECONDS = 20.0


def fetch(
    name: str,
    folder: Path,
    *,
    mirrors: Sequence[str],
    limit: int,
    check: Callable[[Path], None],
    progress: Progress | None = None,
    read_seconds: float = READ_SECONDS,
) -> Path:
    """Download `name` into `folder` from the first mirror that gives the right bytes.

    What has arrived lies in `NAME.part`, and a later call goes on from there. The file gets its
    own name only after `check`, so a file with that name is whole.

    Args:
        name: The file's name, at the mirrors and here.
        folder: Where it goes; made if missing.
        mirrors: Base URLs, tried in order.
        limit: The most bytes accepted.
        check: Raises DataError on a file with the wrong content.
        progress: Called after each piece.
        read_seconds: How long a silent mirror is waited for.

    Raises:
        DataNotFoundError: No mirror gave the file; the message has each mirror's reason.
        OutputError: The folder cannot be written.
    """
    import httpx

    part = folder / f"{name}.part"
    faults = []
    timeout = httpx.Timeout(read_seconds, connect=CONNECT_SECONDS)
    # `identity`: a proxy that unzips on the way would spoil sizes and ranges.
    headers = {"Accept-Encoding": "identity"}
    with httpx.Client(timeout=timeout, headers=headers, follow_redirects=True) as client:
        for mirror in mirrors:
            transfer = _Transfer(client, f"{mirror.rstrip('/')}/{name}", part, limit, progress)
            try:
                transfer.run(check)
                return part.replace(folder / name)
            except (httpx.HTTPError, DataError) as error:
                faults.append(f"{mirror}: {_reason(error)}")
            except OSError as error:
                raise OutputError(
                    f"{error.filename or folder} cannot be written: {error.strerror or error}; "
                    "choose a folder that can be, with POCKETLENS_DATA"
                ) from error
    raise DataNotFoundError(
        f"{name} could not be downloaded ({'; '.join(faults) or 'no mirror is known'})"
    )


class _Transfer:
    """One file from one mirror."""

    def __init__(
        self, client: httpx.Client, url: str, part: Path, limit: int, progress: Progress | None
    ) -> None:
        self.client = client
        self.url = url
        self.part = part
        self.limit = limit
        self.progress = progress

    def run(self, check: Callable[[Path], None]) -> None:
        """Receive and check. What fails the check is deleted."""
        continued = self._here() > 0
        self._receive()
        try:
            check(self.part)
        except DataError:
            self.part.unlink(missing_ok=True)
            if not continued:
                raise
            # The old piece came from elsewhere (mirrors may compress differently): from the start.
            self.run(check)

    def _here(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    def _receive(self) -> None:
        import httpx

        for attempt in range(1, ATTEMPTS + 1):
            before = self._here()
            try:
                return self._request(before)
            except httpx.TransportError:
                if attempt == ATTEMPTS or self._here() <= before:
                    raise
        return None

    def _request(self, start: int) -> None:
        headers = {"Range": f"bytes={start}-"} if start else {}
        with self.client.stream("GET", self.url, headers=headers) as response:
            if start and response.status_code == 416:  # nothing there beyond what is here
                self.part.unlink()
                return self._request(0)
            response.raise_for_status()
            if response.status_code != 206:
                start = 0
            elif not response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
                raise DataError("it answered with another part of the file than was asked for")
            length = response.headers.get("Content-Length", "")
            total = start + int(length) if length.isdecimal() else None
            self._check_size(total or 0)
            self.part.parent.mkdir(parents=True, exist_ok=True)
            with self.part.open("r+b" if start else "wb") as file:
                file.seek(start)
                for piece in response.iter_raw():
                    start += len(piece)
                    self._check_size(start)
                    file.write(piece)
                    if self.progress:
                        self.progress(self.part.stem, start, total)
        return None

    def _check_size(self, size: int) -> None:
        if size > self.limit:
            self.part.unlink(missing_ok=True)
            raise DataError(f"it sends {size} bytes or more; expected at most {self.limit}")


def _reason(error: Exception) -> str:
    import httpx

    if isinstance(error, httpx.HTTPStatusError):
        return f"HTTP status {error.response.status_code}"
    if isinstance(error, httpx.TimeoutException):
        return "no answer in time"
    return str(error) or type(error).__name__

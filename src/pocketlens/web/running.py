"""Run the model of a website in a headless browser, and compare its answers.

The site's own modules run under its Content-Security-Policy, served on this computer only.
"""

from __future__ import annotations

import base64
import json
import mimetypes
import os
import secrets
import shutil
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from pocketlens.app.spec import RecognizerSpec
from pocketlens.errors import AppError
from pocketlens.files import read_limited, temporary_folder
from pocketlens.web.examples import Examples, read_examples
from pocketlens.web.listing import EXAMPLES, read_listing
from pocketlens.web.policy import POLICY

__all__ = ["SiteRun", "find_browser", "run_site"]

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
PLACES = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    r"C:\Program Files\Google\Chrome\Application\chrome.exe",
    r"C:\Program Files (x86)\Microsoft\Edge\Application\msedge.exe",
)
OWN = Path(__file__).parent / "page" / "check"
MAX_FILE = 2**30
MAX_ANSWER = 50_000_000
TIMEOUT = 300.0  # seconds
ENDING = 10.0  # seconds


@dataclass(frozen=True)
class SiteRun:
    """How the model ran in a browser.

    Args:
        browser: The browser's program.
        images: How many images it classified.
        largest_difference: Of a probability, from the Core ML file's.
        milliseconds: Of one image; the median.
        problems: One message per problem.
    """

    browser: str
    images: int = 0
    largest_difference: float | None = None
    milliseconds: float | None = None
    problems: list[str] = field(default_factory=list)


def find_browser() -> Path | None:
    """Chromium, Chrome or Edge; None if none is installed."""
    found = next(filter(None, map(shutil.which, PROGRAMS)), None)
    found = found or next(filter(os.path.isfile, PLACES), None)
    return None if found is None else Path(found)


def run_site(folder: str | os.PathLike[str], browser: Path, *, timeout: float = TIMEOUT) -> SiteRun:
    """Run the model of a website that `check_site` found complete.

    Args:
        folder: The website's folder.
        browser: The program, see `find_browser`.
        timeout: Seconds until a browser without an answer is stopped.

    Raises:
        AppError: The folder is not a website written by Pocketlens, or its images are damaged.
    """
    folder = Path(folder)
    files = read_listing(folder).files
    if EXAMPLES not in files:
        old = f"{folder} was written by an older version; write it again, with --force"
        return SiteRun(str(browser), problems=[old])
    try:
        spec = RecognizerSpec.from_json(read_limited(folder / "recognizer.json", MAX_FILE).decode())
    except (OSError, UnicodeDecodeError) as error:
        raise AppError(f"{folder / 'recognizer.json'} cannot be read: {error}") from error
    examples = read_examples(folder, spec.input, len(spec.classes))
    server = _Server(folder, set(files), examples)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        ended = _visit(browser, server, timeout)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    if server.answer is None:
        return SiteRun(str(browser), problems=[f"{browser} {ended}"])
    return _compared(str(browser), server, examples, spec)


def _visit(browser: Path, server: _Server, timeout: float) -> str:
    """Open the page and wait for its answer; what happened if there is none."""
    with temporary_folder() as profile:
        words = [
            str(browser),
            "--headless=new",
            *("--no-first-run", "--no-default-browser-check", "--disable-gpu"),
            *("--disable-dev-shm-usage", "--disable-extensions", "--disable-sync"),
            *("--disable-background-networking", "--disable-component-update"),
            "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
            f"--user-data-dir={profile}",
        ]
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            words.append("--no-sandbox")  # it does not work for this user
        log = profile / "log"
        try:
            with log.open("wb") as errors:
                process = subprocess.Popen(
                    [*words, f"{server.address}check-page.html"],
                    stdin=subprocess.DEVNULL,
                    stdout=errors,
                    stderr=errors,
                    start_new_session=True,
                )
        except OSError as error:
            return f"cannot be started: {error.strerror}"
        try:
            waited = 0.0
            while waited < timeout and not server.answered.wait(0.1) and process.poll() is None:
                waited += 0.1
            if process.poll() is None:
                return f"gave no answer in {timeout:.0f} s"
            last = log.read_bytes()[-300:].decode(errors="replace")
            return f"ended with status {process.returncode}: {' '.join(last.split())}"
        finally:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the browser and its helpers."""
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(ENDING)
    if hasattr(os, "killpg"):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.wait(ENDING)


class _Server(ThreadingHTTPServer):
    """Serves the files of the site, and the page that runs its model."""

    daemon_threads = True

    def __init__(self, folder: Path, files: set[str], examples: Examples) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder = folder
        self.files = files
        self.prefix = f"/{secrets.token_urlsafe(16)}/"  # other programs here do not know it
        self.address = f"http://127.0.0.1:{self.server_port}{self.prefix}"
        self.images = json.dumps([_rgba(image) for image in examples.images]).encode()
        self.missing: list[str] = []
        self.answer: dict[str, Any] | None = None
        self.answered = threading.Event()

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError):  # the browser ended meanwhile
            super().handle_error(request, client_address)

    def content(self, name: str) -> bytes | None:
        if name == "check-images.json":
            return self.images
        if name in ("check-page.html", "check-page.js"):
            return (OWN / name).read_bytes()
        if name not in self.files:
            return None
        try:
            return read_limited(self.folder / name, MAX_FILE)
        except OSError:
            return None


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        name = self._name()
        content = self.server.content(name)
        if content is None:
            if name not in ("", "favicon.ico"):
                self.server.missing.append(name)
            self.send_error(404)
            return
        self.send_response(200)
        kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
        self.send_header("Content-Type", "text/javascript" if name.endswith(".js") else kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Content-Security-Policy", POLICY)
        self.end_headers()
        self.wfile.write(content)

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if self._name() != "check-answer" or not length.isdecimal() or int(length) > MAX_ANSWER:
            self.send_error(404)
            return
        try:
            self.server.answer = dict(json.loads(self.rfile.read(int(length))))
        except (ValueError, TypeError, RecursionError):
            self.server.answer = {"error": "the answer is not JSON"}
        self.send_response(204)
        self.end_headers()
        self.server.answered.set()

    def _name(self) -> str:
        path = urlsplit(self.path).path
        return path.removeprefix(self.server.prefix) if path.startswith(self.server.prefix) else ""

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name there
        pass


def _rgba(image: NDArray[np.uint8]) -> dict[str, Any]:
    height, width, channels = image.shape
    pixels = np.full((height, width, 4), 255, np.uint8)
    pixels[..., :3] = image if channels == 3 else image[..., :1]
    return {"width": width, "height": height, "data": base64.b64encode(pixels.tobytes()).decode()}


def _compared(browser: str, server: _Server, examples: Examples, spec: RecognizerSpec) -> SiteRun:
    answer = server.answer or {}
    problems = [f"the page asks for {name}, which is not in the site" for name in server.missing]
    problems += [f"the page violates its policy: {each}" for each in answer.get("violations", [])]
    try:
        if "error" in answer:
            raise ValueError(answer["error"])
        found = np.array([each["probabilities"] for each in answer["found"]], np.float64)
        times = [float(each["milliseconds"]) for each in answer["found"]]
        if found.shape != examples.probabilities.shape:
            raise ValueError(f"{found.shape} numbers; expected {examples.probabilities.shape}")
    except (ValueError, TypeError, LookupError) as error:
        problems.append(f"the model does not run in the browser: {error}")
        return SiteRun(browser, problems=problems)
    differences = np.abs(found - examples.probabilities)
    for number, difference in enumerate(differences.max(1).tolist()):
        if not difference <= examples.tolerance:  # also NaN
            here, there = (
                f"{spec.classes[row.argmax()]} {row.max():.4f}"
                for row in (found[number], examples.probabilities[number])
            )
            problems.append(
                f"image {number + 1} of {len(found)}: the page answers {here}, the Core ML file "
                f"{there}; a probability differs by {difference:.2g}"
            )
    return SiteRun(browser, len(found), float(differences.max()), float(np.median(times)), problems)

"""A website in Chromium, served under a path of its own: fixtures and helpers of its tests."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Playwright, expect

from pocketlens.web import create_web
from preview.browser import TIMEOUT, camera_video, give_files, launch
from preview.server import image_bytes, quarter, quarters_file

expect.set_options(timeout=1000 * TIMEOUT)

PREFIX = "/deep/site"


class Handler(SimpleHTTPRequestHandler):
    """Serves the folder under `PREFIX` only."""

    def __init__(self, *args: Any, host: Host, **options: Any) -> None:
        self.host = host
        super().__init__(*args, **options)

    def do_GET(self) -> None:
        self.host.requests.append(self.path)
        if self.path.removeprefix(f"{PREFIX}/") in self.host.cut:
            self.close_connection = True  # without an answer
            return
        super().do_GET()

    def translate_path(self, path: str) -> str:
        inside = path.removeprefix(PREFIX) if path.startswith(PREFIX) else "/outside"
        return super().translate_path(inside)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name there
        pass


class Host:
    """A web server for a folder; the connection is cut for the files in `cut`."""

    def __init__(self, folder: Path) -> None:
        self.requests: list[str] = []
        self.cut: set[str] = set()
        handler = partial(Handler, directory=str(folder), host=self)
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}{PREFIX}/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return camera_video(tmp_path_factory.mktemp("video") / "v.y4m", quarter("bottom right"))


@pytest.fixture(scope="module")
def browser(playwright: Playwright, video: Path) -> Iterator[Browser]:
    opened = launch(
        playwright,
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-video-capture={video}",
    )
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A website that no test changes, beside its model `Quarters.mlmodel`."""
    place = tmp_path_factory.mktemp("site")
    return create_web(quarters_file(place / "Quarters.mlmodel"), place / "site")


@pytest.fixture
def host(site: Path) -> Iterator[Host]:
    running = Host(site)
    yield running
    running.close()


@pytest.fixture
def context(browser: Browser, host: Host) -> Iterator[BrowserContext]:
    """A phone. The test fails on errors, and on requests to other hosts."""
    opened = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True)
    opened.set_default_timeout(1000 * TIMEOUT)
    errors: list[str] = []
    foreign: list[str] = []
    opened.on("weberror", lambda error: errors.append(str(error.error)))
    opened.on("console", lambda line: errors.append(line.text) if line.type == "error" else None)

    def on_request(url: str) -> None:
        if urlsplit(url).netloc != urlsplit(host.address).netloc and not url.startswith("blob:"):
            foreign.append(url)

    opened.on("request", lambda request: on_request(request.url))
    yield opened
    opened.close()
    assert errors == [], errors
    assert foreign == [], foreign


def visit(context: BrowserContext, host: Host, fragment: str = "") -> Page:
    page = context.new_page()
    page.goto(f"{host.address}{fragment}")
    expect(page.locator("#connection")).to_have_text("Ready, also offline")
    return page


def give_photo(page: Page, folder: Path, label: str) -> None:
    photo = folder / f"{label}.png"
    photo.write_bytes(image_bytes(quarter(label, 200)))
    give_files(page, "drop", [photo])

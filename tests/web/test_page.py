"""The website in a real browser, served under a path of its own by a plain web server."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

from pocketlens.coreml import load
from pocketlens.web import create_web

pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")

from playwright.sync_api import Browser, BrowserContext, Page, Playwright, expect, sync_playwright

from preview.browser import (
    TIMEOUT,
    accessibility_errors,
    camera_video,
    chromium,
    draw,
    give_files,
    launch,
)
from preview.conftest import axe as axe  # a fixture
from preview.server import image_bytes, quarter, quarters_file

pytestmark = pytest.mark.browser

expect.set_options(timeout=1000 * TIMEOUT)

PREFIX = "/deep/site"


class Handler(SimpleHTTPRequestHandler):
    """Serves the folder under `PREFIX` only; counts the requests."""

    def __init__(self, *args: Any, requests: list[str], **options: Any) -> None:
        self.requests = requests
        super().__init__(*args, **options)

    def translate_path(self, path: str) -> str:
        self.requests.append(path)
        inside = path.removeprefix(PREFIX) if path.startswith(PREFIX) else "/outside"
        return super().translate_path(inside)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name there
        pass


class Host:
    """A web server for a folder."""

    def __init__(self, folder: Path) -> None:
        self.requests: list[str] = []
        handler = partial(Handler, directory=str(folder), requests=self.requests)
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}{PREFIX}/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    if chromium() is None:
        pytest.skip("Chromium is not on the PATH; install it with: apt-get install chromium")
    with sync_playwright() as running:
        yield running


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


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return create_web(quarters_file(tmp_path / "Quarters.mlmodel"), tmp_path / "site")


@pytest.fixture
def host(folder: Path) -> Iterator[Host]:
    running = Host(folder)
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
    assert errors == []
    assert foreign == []


def visit(context: BrowserContext, host: Host, fragment: str = "") -> Page:
    page = context.new_page()
    page.goto(f"{host.address}{fragment}")
    expect(page.locator("#connection")).to_have_text("Ready, also offline")
    return page


def give_photo(page: Page, folder: Path, label: str) -> None:
    photo = folder / f"{label}.png"
    photo.write_bytes(image_bytes(quarter(label, 200)))
    give_files(page, "drop", [photo])


def test_photo_has_the_answer_of_the_core_ml_file(
    context: BrowserContext, host: Host, tmp_path: Path
) -> None:
    page = visit(context, host, "#photo")
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 120, (90, 130, 3), np.uint8)
    pixels[:45, 20:65] += 120
    photo = tmp_path / "noise.png"
    Image.fromarray(pixels).save(photo)
    give_files(page, "drop", [photo])
    answer = load(tmp_path / "Quarters.mlmodel").predict(photo)
    expect(page.locator("#photo .card .label")).to_have_text(answer.verdict)
    rows = page.locator("#photo .bars li").all()
    shown = dict((row.get_attribute("title") or "").rsplit(": ", 1) for row in rows)
    assert list(shown) == [name for name, _ in answer.top(5)]
    assert {name: float(value) for name, value in shown.items()} == pytest.approx(
        dict(answer.top(5)), abs=1e-3
    )
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    give_files(page, "drop", [tmp_path / "broken.png"])
    expect(page.locator("#photo .notice").first).to_have_text("The browser cannot read this image.")


def test_offline_after_the_first_visit(
    context: BrowserContext, host: Host, folder: Path, tmp_path: Path
) -> None:
    page = visit(context, host)
    page.close()
    host.close()
    page = visit(context, host)
    give_photo(page, tmp_path, "top right")
    expect(page.locator("#photo .card .label")).to_have_text("top right")


def test_new_model_at_the_next_visit(
    context: BrowserContext, host: Host, folder: Path, tmp_path: Path
) -> None:
    page = visit(context, host)
    expect(page.locator("h1")).to_have_text("Quarters")
    names = ("eins", "zwei", "drei", "vier", "nothing")
    file = quarters_file(tmp_path / "Viertel.mlmodel", names=names)
    create_web(file, folder, name="Viertel", force=True)
    page.reload()  # this visit still has the old version, complete, while the new one is loaded
    expect(page.locator("h1")).to_have_text("Quarters")
    expect(page.locator("#connection")).to_contain_text("A new version is there")
    give_photo(page, tmp_path, "top left")
    expect(page.locator("#photo .card .label")).to_have_text("top left")
    page.close()
    page = visit(context, host)
    expect(page.locator("h1")).to_have_text("Viertel")
    give_photo(page, tmp_path, "top left")
    expect(page.locator("#photo .card .label")).to_have_text("eins")
    assert page.evaluate("async () => (await caches.keys()).length") == 1


def test_camera_and_drawing(context: BrowserContext, host: Host) -> None:
    page = visit(context, host, "#camera")
    page.get_by_role("button", name="Start the camera").click()
    label = page.locator("#camera .card .label")
    expect(label).to_have_text("bottom right")
    expect(page.locator("#camera .seen")).to_be_visible()
    expect(page.locator("#camera .why-button")).to_be_hidden()  # nobody could answer
    page.get_by_role("button", name="Stop").click()
    expect(page.locator("#camera-status")).to_have_text("The camera is off.")
    page.get_by_role("tab", name="Draw").click()
    draw(page, "#pad", [[(0, 0), (100, 100)]])
    expect(page.locator("#draw .speed")).to_contain_text(" ms")


def test_languages(browser: Browser, host: Host) -> None:
    opened = browser.new_context(locale="de-AT")
    page = opened.new_page()
    page.goto(host.address)
    expect(page.locator("#connection")).to_have_text("Bereit, auch offline")
    expect(page.get_by_role("tab", name="Zeichnen")).to_be_visible()
    expect(page.locator("#draw .label")).to_have_text("Zeichne etwas")
    expect(page.locator("html")).to_have_attribute("lang", "de")
    opened.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_accessibility(browser: Browser, host: Host, axe: str, scheme: Any, tmp_path: Path) -> None:
    opened = browser.new_context(color_scheme=scheme, bypass_csp=True)
    page = visit(opened, host)
    give_photo(page, tmp_path, "top left")
    expect(page.locator("#photo .card .label")).to_have_text("top left")
    found = accessibility_errors(page, axe)
    for name in ("Draw", "Camera"):
        page.get_by_role("tab", name=name).click()
        found += accessibility_errors(page, axe)
    opened.close()
    assert not found

"""Drives the preview's page as a user does: pointer strokes, files, a video as the camera."""

from __future__ import annotations

import base64
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, Playwright, expect

from pocketlens.data.stroke_templates import TEMPLATES

TIMEOUT = 30.0
"""Seconds to wait for anything before the test fails."""

DIGIT_HEIGHT = 0.64
"""As a share of the canvas: MNIST's 20 of 28 pixels, less the pen's width."""

VIDEO_WIDTH, VIDEO_HEIGHT = 640, 480
"""The size of the camera's video in pixels."""


def chromium() -> str | None:
    """The path of the installed Chromium; None if there is none."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)


def launch(playwright: Playwright, *flags: str) -> Browser:
    """Start Chromium, without its sandbox, which does not work as root."""
    arguments = ["--no-sandbox", "--disable-dev-shm-usage", *flags]
    return playwright.chromium.launch(executable_path=chromium(), args=arguments)


NO_WEBSOCKET = """
    // Like Safari with an unknown certificate.
    window.WebSocket = class {
        static CONNECTING = 0;
        static OPEN = 1;
        static CLOSED = 3;
        readyState = 0;
        constructor() {
            setTimeout(() => this.onclose?.({ code: 1006, reason: "" }), 20);
        }
        close() {}
    };
"""


@dataclass
class Visit:
    """Opens pages for one test; records errors, and requests to foreign hosts."""

    browser: Browser
    address: str
    """The page's address; what comes from the command has the token in it."""

    errors: list[str] = field(default_factory=list)
    foreign_requests: list[str] = field(default_factory=list)
    contexts: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.address, _, self.token = self.address.partition("/?token=")

    def __call__(
        self,
        path: str = "/",
        *,
        script: str | None = None,
        with_token: bool = True,
        **options: Any,
    ) -> Page:
        """Open the page; `script` runs before the page's own scripts."""
        context = self.browser.new_context(**options)
        context.set_default_timeout(1000 * TIMEOUT)
        self.contexts.append(context)
        if script:
            context.add_init_script(script)
        page = context.new_page()
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", lambda message: self._on_console(message.type, message.text))
        page.on("request", lambda request: self._on_request(request.url))
        page.on("websocket", lambda socket: self._on_request(socket.url))
        page.goto(self.with_token(path) if with_token else self.address + path)
        expect(page.locator("#connection")).to_have_text("Connected")
        return page

    @property
    def authorization(self) -> dict[str, str]:
        """The header with the token, for requests to the API."""
        return {"Authorization": f"Bearer {self.token}"}

    def with_token(self, path: str) -> str:
        """An address of the preview with its token, before the fragment."""
        rest, hash_sign, fragment = path.partition("#")
        sign = "&" if "?" in rest else "?"
        return f"{self.address}{rest}{sign}token={self.token}{hash_sign}{fragment}"

    def check(self) -> None:
        assert self.errors == []
        assert self.foreign_requests == []

    def _on_console(self, kind: str, text: str) -> None:
        if kind == "error":
            self.errors.append(text)

    def _on_request(self, url: str) -> None:
        parts = urlsplit(url)
        own = parts.netloc == urlsplit(self.address).netloc
        if not own and parts.scheme not in ("blob", "data"):
            self.foreign_requests.append(url)


@contextmanager
def run_page(*words: object, log: Path) -> Iterator[str]:
    """Run `pocketlens preview` or `teach` as a process; yields its address. It must end without
    errors."""
    start = [sys.executable, "-c", "from pocketlens.cli import main; main()"]
    command = [*start, *map(str, words), "--no-open"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with (
        log.open("w") as errors,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment
        ) as process,
    ):
        assert process.stdout is not None
        line = process.stdout.readline()
        try:
            assert line.startswith("http"), line + log.read_text()
            yield line.split()[0]  # with the token
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(TIMEOUT)
    assert log.read_text() == "pocketlens: interrupted\n"


def wait_for_answer(page: Page) -> None:
    """Wait until the newest frame has its answer."""
    expect(page.locator("#connection")).to_have_attribute("data-busy", "false")


def label(page: Page, panel: str = "draw") -> Locator:
    return page.locator(f"#{panel} .card:not(.number) .label")


def draw(page: Page, pad: str, strokes: Sequence[Sequence[tuple[float, float]]]) -> None:
    """Draw with the mouse; the points are in percent of the digit's height, as in `TEMPLATES`."""
    for stroke in canvas_points(page, pad, strokes):
        page.mouse.move(*stroke[0])
        page.mouse.down()
        for point in stroke[1:]:
            page.mouse.move(*point, steps=3)
        page.mouse.up()


def canvas_points(
    page: Page, pad: str, strokes: Sequence[Sequence[tuple[float, float]]]
) -> list[list[tuple[float, float]]]:
    """Strokes in the middle of a canvas, in pixels of the window."""
    page.locator(pad).scroll_into_view_if_needed()
    box = page.locator(pad).bounding_box()
    assert box is not None
    points = np.array([point for stroke in strokes for point in stroke], float)
    middle = (points.min(0) + points.max(0)) / 2
    scale = box["width"] * DIGIT_HEIGHT / 100
    corner = np.array([box["x"], box["y"]]) + box["width"] / 2

    def place(point: tuple[float, float]) -> tuple[float, float]:
        x, y = corner + scale * (np.array(point) - middle)
        return float(x), float(y)

    return [[place(point) for point in stroke] for stroke in strokes]


def draw_digit(page: Page, digit: str, *, template: int = 0, pad: str = "#pad") -> None:
    draw(page, pad, TEMPLATES[digit][template].strokes)


def draw_by_finger(page: Page, pad: str, digit: str) -> None:
    """Draw with touch events, as on a phone."""
    session = page.context.new_cdp_session(page)
    for stroke in canvas_points(page, pad, TEMPLATES[digit][0].strokes):
        for index, (x, y) in enumerate(stroke):
            kind = "touchMove" if index else "touchStart"
            session.send(
                "Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y}]}
            )
        session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


def give_files(page: Page, how: str, files: Iterable[Path]) -> None:
    """Drop or paste files on the page; `how` is `drop` or `paste`."""
    content = [
        {"name": path.name, "data": base64.b64encode(path.read_bytes()).decode()} for path in files
    ]
    page.evaluate(
        """([how, files]) => {
            const transfer = new DataTransfer();
            for (const { name, data } of files) {
                const bytes = Uint8Array.from(atob(data), (character) => character.charCodeAt(0));
                transfer.items.add(new File([bytes], name, { type: "image/png" }));
            }
            const options = { bubbles: true, cancelable: true };
            if (how === "paste") {
                options.clipboardData = transfer;
                document.body.dispatchEvent(new ClipboardEvent("paste", options));
                return;
            }
            options.dataTransfer = transfer;
            document.body.dispatchEvent(new DragEvent("dragover", options));
            document.body.dispatchEvent(new DragEvent("drop", options));
        }""",
        [how, content],
    )


def accessibility_errors(page: Page, axe: str) -> list[str]:
    """The accessibility errors of the page, found by axe-core."""
    page.evaluate(axe)
    result = page.evaluate("() => axe.run()")
    assert result["passes"]
    return [
        f"{violation['id']}: {node['html']} {node['failureSummary']}"
        for violation in result["violations"]
        for node in violation["nodes"]
    ]


def camera_video(path: Path, image: NDArray[np.uint8]) -> Path:
    """Write a video for the browser's fake camera: an enlarged gray image on black."""
    large = Image.fromarray(image).resize((VIDEO_HEIGHT, VIDEO_HEIGHT), Image.Resampling.BICUBIC)
    frame = np.zeros((VIDEO_HEIGHT, VIDEO_WIDTH), np.uint8)
    left = (VIDEO_WIDTH - VIDEO_HEIGHT) // 2
    frame[:, left : left + VIDEO_HEIGHT] = np.asarray(large)
    luma = (
        np.round(16 + frame * (219 / 255)).astype(np.uint8).tobytes()
    )  # the limited range of video
    color = bytes([128]) * (VIDEO_WIDTH * VIDEO_HEIGHT // 2)
    with path.open("wb") as file:
        file.write(f"YUV4MPEG2 W{VIDEO_WIDTH} H{VIDEO_HEIGHT} F30:1 Ip A1:1 C420\n".encode())
        for _ in range(10):
            file.write(b"FRAME\n" + luma + color)
    return path

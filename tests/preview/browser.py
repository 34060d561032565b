"""Driving the preview's page as a person does: strokes of a pointer, files, a camera's film."""

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

from pocketlens.data.stroke_templates import HANDS

PATIENCE = 30.0
"""Seconds after which something that does not happen counts as hung."""

TALL = 0.64
"""A digit's height on the canvas: MNIST's 20 of 28 pixels, less the pen's width."""

WIDE, HIGH = 640, 480
"""The film's size in pixels."""


def chromium() -> str | None:
    """The system's own browser."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)


def launch(playwright: Playwright, *flags: str) -> Browser:
    """Start it. It has no sandbox where tests run as root."""
    arguments = ["--no-sandbox", "--disable-dev-shm-usage", *flags]
    return playwright.chromium.launch(executable_path=chromium(), args=arguments)


NO_WEBSOCKET = """
    // As Safari does, where the certificate is unknown.
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
    """Pages of one test, and what they did that they must not do."""

    browser: Browser
    address: str
    errors: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    contexts: list[Any] = field(default_factory=list)

    def __call__(self, path: str = "/", *, script: str | None = None, **options: Any) -> Page:
        """Open the page; `script` runs before it."""
        context = self.browser.new_context(**options)
        context.set_default_timeout(1000 * PATIENCE)
        self.contexts.append(context)
        if script:
            context.add_init_script(script)
        page = context.new_page()
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", lambda said: self._listen(said.type, said.text))
        page.on("request", lambda request: self._look(request.url))
        page.on("websocket", lambda socket: self._look(socket.url))
        page.goto(self.address + path)
        expect(page.locator("#connection")).to_have_text("Connected")
        return page

    def check(self) -> None:
        assert self.errors == []
        assert self.foreign == []

    def _listen(self, kind: str, text: str) -> None:
        if kind == "error":
            self.errors.append(text)

    def _look(self, url: str) -> None:
        parts = urlsplit(url)
        own = parts.netloc == urlsplit(self.address).netloc
        if not own and parts.scheme not in ("blob", "data"):
            self.foreign.append(url)


@contextmanager
def previewing(*words: object, log: Path) -> Iterator[str]:
    """`pocketlens preview`, as a process; its address. It ends without a complaint."""
    start = [sys.executable, "-c", "from pocketlens.cli import main; main()"]
    command = [*start, "preview", *map(str, words), "--no-open"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with (
        log.open("w") as complaints,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=complaints, text=True, env=environment
        ) as process,
    ):
        assert process.stdout is not None
        line = process.stdout.readline()
        try:
            assert line.startswith("http"), line + log.read_text()
            yield line.split()[0]
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(PATIENCE)
    assert log.read_text() == "pocketlens: interrupted\n"


def settled(page: Page) -> None:
    """Wait until the newest frame is answered."""
    expect(page.locator("#connection")).to_have_attribute("data-busy", "false")


def label(page: Page, panel: str = "draw") -> Locator:
    return page.locator(f"#{panel} .card .label")


def draw(page: Page, pad: str, strokes: Sequence[Sequence[tuple[float, float]]]) -> None:
    """Draw with the mouse; points in per cent of the digit's height, as in `HANDS`."""
    for stroke in placed(page, pad, strokes):
        page.mouse.move(*stroke[0])
        page.mouse.down()
        for point in stroke[1:]:
            page.mouse.move(*point, steps=3)
        page.mouse.up()


def placed(
    page: Page, pad: str, strokes: Sequence[Sequence[tuple[float, float]]]
) -> list[list[tuple[float, float]]]:
    """Strokes in the middle of a canvas, in the window's pixels."""
    page.locator(pad).scroll_into_view_if_needed()
    box = page.locator(pad).bounding_box()
    assert box is not None
    points = np.array([point for stroke in strokes for point in stroke], float)
    middle = (points.min(0) + points.max(0)) / 2
    scale = box["width"] * TALL / 100
    corner = np.array([box["x"], box["y"]]) + box["width"] / 2

    def place(point: tuple[float, float]) -> tuple[float, float]:
        x, y = corner + scale * (np.array(point) - middle)
        return float(x), float(y)

    return [[place(point) for point in stroke] for stroke in strokes]


def draw_digit(page: Page, digit: str, *, hand: int = 0, pad: str = "#pad") -> None:
    draw(page, pad, HANDS[digit][hand].strokes)


def draw_by_finger(page: Page, pad: str, digit: str) -> None:
    """With touches, as a phone sends them."""
    session = page.context.new_cdp_session(page)
    for stroke in placed(page, pad, HANDS[digit][0].strokes):
        for index, (x, y) in enumerate(stroke):
            kind = "touchMove" if index else "touchStart"
            session.send(
                "Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y}]}
            )
        session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


def give_files(page: Page, how: str, files: Iterable[Path]) -> None:
    """`drop` files on the page, or `paste` them."""
    content = [
        {"name": path.name, "data": base64.b64encode(path.read_bytes()).decode()} for path in files
    ]
    page.evaluate(
        """([how, files]) => {
            const given = new DataTransfer();
            for (const { name, data } of files) {
                const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
                given.items.add(new File([bytes], name, { type: "image/png" }));
            }
            const options = { bubbles: true, cancelable: true };
            if (how === "paste") {
                options.clipboardData = given;
                document.body.dispatchEvent(new ClipboardEvent("paste", options));
                return;
            }
            options.dataTransfer = given;
            document.body.dispatchEvent(new DragEvent("dragover", options));
            document.body.dispatchEvent(new DragEvent("drop", options));
        }""",
        [how, content],
    )


def barriers(page: Page, axe: str) -> list[str]:
    """What keeps people out of the page as it is now, as axe-core finds it."""
    page.evaluate(axe)
    result = page.evaluate("() => axe.run()")
    assert result["passes"]
    return [
        f"{fault['id']}: {node['html']} {node['failureSummary']}"
        for fault in result["violations"]
        for node in fault["nodes"]
    ]


def film(path: Path, image: NDArray[np.uint8]) -> Path:
    """A film for the browser's stand-in of a camera: a gray picture, enlarged, on black."""
    large = Image.fromarray(image).resize((HIGH, HIGH), Image.Resampling.BICUBIC)
    frame = np.zeros((HIGH, WIDE), np.uint8)
    left = (WIDE - HIGH) // 2
    frame[:, left : left + HIGH] = np.asarray(large)
    luma = np.round(16 + frame * (219 / 255)).astype(np.uint8).tobytes()  # as television has it
    color = bytes([128]) * (WIDE * HIGH // 2)
    with path.open("wb") as file:
        file.write(f"YUV4MPEG2 W{WIDE} H{HIGH} F30:1 Ip A1:1 C420\n".encode())
        for _ in range(10):
            file.write(b"FRAME\n" + luma + color)
    return path

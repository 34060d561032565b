"""The page in the benchmark of the website: what it runs, how it is opened, its worker's heap."""

from __future__ import annotations

import functools
import http.server
import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, CDPSession, Page

PHONE = {"width": 390, "height": 844}

FIRST = """async () => {
  const model = await (await import("./api.js")).recognizer();
  const { width, height } = model.description.input;
  await model.classify(new ImageData(width, height), { still: true });
  return performance.now();
}"""

START = """async () => {
  const { FILES, load } = await import("./engine/run.js");
  const { prepare, planes } = await import("./prepare.js");
  const files = await Promise.all(FILES.map(async (path) => (await fetch(path)).arrayBuffer()));
  const { input } = await (await fetch("recognizer.json")).json();
  const run = await load(files);
  const image = new ImageData(640, 480);
  for (let i = 0; i < image.data.length; i++) image.data[i] = i % 4 === 3 ? 255 : (i * 7919) % 251;
  window.frame = () => run(planes(prepare(image, input), input));
  await window.frame();
}"""

SPEED = """async (seconds) => {
  const times = [];
  const end = performance.now() + 1000 * seconds;
  while (performance.now() < end || times.length < 3) {
    const start = performance.now();
    await window.frame();
    times.push(performance.now() - start);
  }
  return times;
}"""

MANY = """async (count) => {
  const model = await (await import("./api.js")).recognizer();
  for (let i = 0; i < count; i++) {
    const image = new ImageData(320, 240);
    image.data.fill(i % 251);
    await model.classify(image, { still: false });
  }
}"""

PIXELS = """async ([side, text]) => {
  const model = await (await import("./api.js")).recognizer();
  const gray = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const found = [];
  for (let at = 0; at < gray.length; at += side * side) {
    const image = new ImageData(side, side);
    for (let i = 0; i < side * side; i++) image.data.fill(gray[at + i], 4 * i, 4 * i + 3);
    for (let i = 0; i < side * side; i++) image.data[4 * i + 3] = 255;
    found.push(Array.from((await model.classify(image, { still: true })).probabilities));
  }
  return found;
}"""

FILE = """async (text) => {
  const { predict } = await import("./api.js");
  const blob = await (await fetch(`data:;base64,${text}`)).blob();
  const { models } = await predict(blob);
  return Array.from(models[0].probabilities);
}"""


class Server(http.server.ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError):  # a page was closed meanwhile
            super().handle_error(request, client_address)


class Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name there
        pass


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of a folder."""
    handler = functools.partial(Handler, directory=str(folder))
    server = Server(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def visited(
    browser: Browser, address: str, *, slower: int, offline: bool = False
) -> Iterator[tuple[Page, CDPSession]]:
    """The site in a new profile, on a phone; `offline` also stores it, in the background."""
    context = browser.new_context(
        viewport=PHONE,  # type: ignore[arg-type]
        has_touch=True,
        bypass_csp=True,
        service_workers="allow" if offline else "block",
    )
    page = context.new_page()
    page.set_default_timeout(600_000)
    session = context.new_cdp_session(page)
    session.send("Emulation.setCPUThrottlingRate", {"rate": slower})
    page.goto(address, wait_until="commit")
    try:
        yield page, session
    finally:
        context.close()


class Worker:
    """Chromium's protocol with the page's worker, through the page's session."""

    def __init__(self, page: Page, session: CDPSession) -> None:
        self.page, self.session = page, session
        self.attached: str | None = None
        self.answers: dict[int, Any] = {}
        session.on("Target.attachedToTarget", self._attach)
        session.on("Target.receivedMessageFromTarget", self._receive)
        session.send(
            "Target.setAutoAttach",
            {"autoAttach": True, "waitForDebuggerOnStart": False, "flatten": False},
        )

    def send(self, method: str) -> Any:
        number = len(self.answers) + 1
        while self.attached is None:
            self.page.wait_for_timeout(20)
        message = json.dumps({"id": number, "method": method})
        self.session.send(
            "Target.sendMessageToTarget", {"sessionId": self.attached, "message": message}
        )
        while number not in self.answers:
            self.page.wait_for_timeout(20)
        return self.answers[number]

    def _attach(self, event: dict[str, Any]) -> None:
        if event["targetInfo"]["type"] == "worker":
            self.attached = event["sessionId"]

    def _receive(self, event: dict[str, Any]) -> None:
        message = json.loads(event["message"])
        if "id" in message:
            self.answers[message["id"]] = message["result"]

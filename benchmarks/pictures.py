"""The pictures of README and the documentation, drawn from two finished runs.

    python benchmarks/pictures.py runs/digits runs/quick

`docs/images/preview.png` shows the preview's page with a drawing, next to the app's camera screen
with a simulated photo; both answers are those of the first run's Core ML file. `web.png` shows the
website of the same file on a phone. `report.png` is the second
run's report. Needs Playwright, and Chromium on the PATH.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

from pocketlens.coreml import load
from pocketlens.data.stroke_templates import TEMPLATES
from pocketlens.errors import RunError
from pocketlens.report import write_report
from pocketlens.report.app_screen import HEIGHT, WIDTH, draw_app_screen
from pocketlens.run_folder import Run, read_run
from pocketlens.web import create_web

IMAGES = Path(__file__).parents[1] / "docs" / "images"

PAGE = (1000, 784)
"""Width and height of the page in the picture, in CSS pixels."""
PHONE = (390, 844)
GAP = 20
"""Pixels between the phones of the picture."""
PHOTO = 61
"""The index of the test image in the website's picture."""
WALL = "#8a9480"
REPORT = (1200, 1500)
SHARP = 2
"""Pixels of the picture per CSS pixel of the page."""
GROUND = "#e3e8ef"

DIGIT = "2"
SIZE = 0.7
"""The digit's height as a share of the canvas."""


def main(camera: Path, quick: Path) -> None:
    chromium = shutil.which("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        run = read_run(camera)
        if run.model is None:
            raise RunError(f"{camera} has no Core ML file; expected a finished run")
        page, phone = page_with_drawing(browser, run.model), app_screen(browser, run)
        picture = Image.new("RGB", (page.width + phone.width + 80, page.height), GROUND)
        picture.paste(page, (0, 0))
        picture.paste(phone, (page.width + 40, (page.height - phone.height) // 2))
        save(picture, "preview.png")
        save(side_by_side(website(browser, run)), "web.png")
        view = browser.new_page(viewport={"width": REPORT[0], "height": REPORT[1]})
        view.goto(write_report(quick).resolve().as_uri())
        save(Image.open(io.BytesIO(view.screenshot())), "report.png")
        browser.close()


def page_with_drawing(browser: Browser, model: Path) -> Image.Image:
    """The preview's page after a digit was drawn with the mouse."""
    words = ["-c", "from pocketlens.cli import main; main()", "preview", str(model), "--port", "0"]
    server = subprocess.Popen(
        [sys.executable, *words, "--no-open", "--json"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    try:
        assert server.stdout
        view = browser.new_page(
            viewport={"width": PAGE[0], "height": PAGE[1]}, device_scale_factor=SHARP
        )
        view.goto(json.loads(server.stdout.readline())["address"])
        expect(view.locator("#connection")).to_have_text("Connected")
        draw(view)
        expect(view.locator("#draw .card .label")).to_have_text(DIGIT)
        view.mouse.move(0, 0)
        return Image.open(io.BytesIO(view.screenshot())).convert("RGB")
    finally:
        server.send_signal(signal.SIGINT)
        server.communicate()


def website(browser: Browser, run: Run) -> list[Image.Image]:
    """The run's website on a phone: with a drawing, a test image, and a picture of nothing."""
    assert run.model
    photos, views = run.load("test"), []
    with tempfile.TemporaryDirectory() as place:
        folder = create_web(run.model, Path(place) / "site", name="Digit Lens")
        photo, wall = Path(place) / "photo.jpg", Path(place) / "wall.jpg"
        Image.fromarray(255 - photos.images[PHOTO].squeeze()).resize((400, 400)).save(photo)
        Image.new("RGB", (400, 400), WALL).save(wall)
        handler = partial(QuietHandler, directory=str(folder))
        with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
            Thread(target=server.serve_forever, daemon=True).start()
            view = browser.new_page(
                viewport={"width": PHONE[0], "height": PHONE[1]}, is_mobile=True, has_touch=True
            )
            view.goto(f"http://127.0.0.1:{server.server_port}/")
            expect(view.locator("#connection")).to_have_text("Ready, also offline")
            draw(view)
            expect(view.locator("#draw .card .label")).to_have_text(DIGIT)
            views.append(view.screenshot())
            view.emulate_media(color_scheme="dark")
            view.locator("#tab-photo").click()
            view.locator("#files").set_input_files(photo)
            answer = photos.classes[photos.labels[PHOTO]]
            expect(view.locator("#photo .card .label")).to_have_text(answer)
            views.append(view.screenshot())
            view.emulate_media(color_scheme="light")
            view.locator("#photo-clear").click()
            view.locator("#files").set_input_files(wall)
            expect(view.locator("#photo .card .label")).to_have_text("Nothing recognized")
            views.append(view.screenshot())
            server.shutdown()
    return [Image.open(io.BytesIO(each)).convert("RGB") for each in views]


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        pass


def side_by_side(views: Sequence[Image.Image]) -> Image.Image:
    width, height = views[0].size
    picture = Image.new("RGB", (len(views) * (width + GAP) + GAP, height + 2 * GAP), GROUND)
    for index, view in enumerate(views):
        picture.paste(view, (GAP + index * (width + GAP), GAP))
    return picture


def draw(view: Page) -> None:
    box = view.locator("#pad").bounding_box()
    assert box
    scale = box["width"] * SIZE / 100
    strokes = TEMPLATES[DIGIT][0].strokes
    points = [point for stroke in strokes for point in stroke]
    left, top = (box["width"] / 2 - scale * middle(axis, points) for axis in (0, 1))
    for stroke in strokes:
        for index, (x, y) in enumerate(stroke):
            view.mouse.move(box["x"] + left + scale * x, box["y"] + top + scale * y, steps=3)
            if index == 0:
                view.mouse.down()
        view.mouse.up()


def middle(axis: int, points: Sequence[tuple[float, float]]) -> float:
    values = [point[axis] for point in points]
    return (min(values) + max(values)) / 2


def app_screen(browser: Browser, run: Run) -> Image.Image:
    """The app's camera screen with a test image of the run."""
    assert run.model
    width, height = WIDTH + 24, HEIGHT + 24
    with tempfile.TemporaryDirectory() as folder:
        drawing = draw_app_screen(load(run.model), run.load("test"), Path(folder) / "app.svg")
        scale = (PAGE[1] - 40) / height
        html = f'<body style="margin:0;background:{GROUND}">{drawing.read_text()}'
        view = browser.new_page(
            viewport={"width": width, "height": height}, device_scale_factor=scale * SHARP
        )
        view.set_content(html)
        return Image.open(io.BytesIO(view.screenshot())).convert("RGB")


def save(picture: Image.Image, name: str) -> None:
    """Save a picture with a palette, which is a quarter of the size."""
    small = picture.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    small.save(IMAGES / name, optimize=True)
    print(f"wrote {IMAGES / name}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))

"""The pictures of README and the documentation, drawn from two finished runs.

    python benchmarks/pictures.py runs/digits runs/quick

`docs/images/preview.png` shows the preview's page with a drawing, next to the app's camera screen
with a simulated photo; both answers are those of the first run's Core ML file. `report.png` is the
second run's report. Needs Playwright, and Chromium on the PATH.
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
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

from pocketlens.coreml import load
from pocketlens.data.stroke_templates import TEMPLATES
from pocketlens.errors import RunError
from pocketlens.report import write_report
from pocketlens.report.app_screen import HEIGHT, WIDTH, draw_app_screen
from pocketlens.run_folder import Run, read_run

IMAGES = Path(__file__).parents[1] / "docs" / "images"

PAGE = (1000, 784)
"""Width and height of the page in the picture, in CSS pixels."""
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

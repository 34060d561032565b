"""The page in a real browser, over a real server, with a recognizer trained on real MNIST."""

from __future__ import annotations

import json
import re
import shutil
import time
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from asking import fine
from pocketlens.coreml import load
from pocketlens.data import Dataset
from pocketlens.data.stroke_templates import HANDS

pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")

from playwright.sync_api import Browser, Page, expect

from preview.browser import (
    NO_WEBSOCKET,
    PATIENCE,
    Visit,
    draw,
    draw_by_finger,
    draw_digit,
    give_files,
    label,
    previewing,
    settled,
)
from preview.server import picture, quarter, quarters_file

pytestmark = pytest.mark.browser

expect.set_options(timeout=1000 * PATIENCE)


def names(page: Page, digit: str, pad: str = "#pad") -> bool:
    """Whether the digit's common hand is named when it is drawn, after all that was drawn."""
    draw_digit(page, digit, pad=pad)
    settled(page)
    named = label(page).inner_text() == digit
    page.locator("#clear").click()
    return named


def test_ten_digits_are_drawn_and_named(visit: Visit) -> None:
    page = visit()
    expect(label(page)).to_have_text("Draw something")
    missed = [digit for digit in HANDS if not names(page, digit)]
    assert len(missed) <= 1, f"not named: {missed}"
    expect(label(page)).to_have_text("Draw something")


def test_where_no_websocket_opens(visit: Visit) -> None:
    page = visit(script=NO_WEBSOCKET)
    missed = [digit for digit in HANDS if not names(page, digit)]
    assert len(missed) <= 1, f"not named: {missed}"


def test_a_finger_and_a_thin_pen(visit: Visit) -> None:
    page = visit(has_touch=True, viewport={"width": 400, "height": 800})
    draw_by_finger(page, "#pad", "3")
    expect(label(page)).to_have_text("3")
    page.locator("#clear").click()
    before = ink(page)
    page.locator("#pen").fill("2")
    draw_digit(page, "3")
    settled(page)
    thin = ink(page)
    page.locator("#undo").click()
    expect(label(page)).to_have_text("Draw something")
    page.locator("#pen").fill("14")
    draw_digit(page, "3")
    settled(page)
    assert before < thin < ink(page) / 3


def ink(page: Page) -> float:
    """The share of the canvas that is drawn on."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")
    share: float = page.evaluate(
        """() => {
            const pad = document.getElementById("pad");
            const { data } = pad.getContext("2d").getImageData(0, 0, pad.width, pad.height);
            return data.filter((value, at) => at % 4 === 0 && value > 127).length / data.length;
        }"""
    )
    return share


def test_undo_takes_back_a_stroke_and_a_clearing(visit: Visit) -> None:
    page = visit()
    draw(page, "#pad", HANDS["4"][0].strokes)
    settled(page)
    whole = ink(page)
    page.keyboard.press("Control+z")
    settled(page)
    assert 0 < ink(page) < whole
    page.locator("#clear").click()
    assert ink(page) == 0
    page.locator("#undo").click()
    assert 0 < ink(page) < whole


def test_bars_and_the_pixels_that_the_model_sees(visit: Visit, digits_file: Path) -> None:
    page = visit()
    draw_until_measured(page, "2")
    rows = page.locator("#draw .bars li")
    assert rows.count() == 5
    shares = [float(row.inner_text().split()[-2]) for row in rows.all()]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] > 70
    expect(rows.first).to_have_class("chosen")
    assert re.fullmatch(r"\d+\.\d ms · \d+ frames per second", speed(page))
    # The pixels on the page are those that the model was given: it says the same of them.
    seen = np.array(seen_pixels(page), np.uint8).reshape(28, 28)
    answer = load(digits_file).predict(seen)
    assert answer.top(5) == [
        (name, pytest.approx(p, abs=1e-4)) for name, p in shown_probabilities(page, "draw").items()
    ]
    page.get_by_label("What the model sees", exact=True).and_(page.locator("#draw input")).uncheck()
    expect(page.locator("#draw .seen")).to_be_hidden()


def draw_until_measured(page: Page, digit: str) -> None:
    """Frames have a rate when two come within a second; on a busy machine not all do."""
    end = time.monotonic() + PATIENCE
    while "per second" not in speed(page):
        assert time.monotonic() < end, speed(page)
        page.locator("#clear").click()
        draw_digit(page, digit)
        settled(page)


def speed(page: Page) -> str:
    return page.locator("#draw .speed").inner_text()


def seen_pixels(page: Page) -> list[int]:
    found: list[int] = page.evaluate(
        """() => {
            const seen = document.querySelector("#draw .seen");
            const { data } = seen.getContext("2d").getImageData(0, 0, seen.width, seen.height);
            return [...data].filter((_, at) => at % 4 === 0);
        }"""
    )
    return found


def shown_probabilities(page: Page, panel: str) -> dict[str, float]:
    """To six digits, as the bars tell who points at them."""
    titles = [row.get_attribute("title") for row in page.locator(f"#{panel} .bars li").all()]
    pairs = [title.rsplit(": ", 1) for title in titles if title]
    return {name: float(probability) for name, probability in pairs}


def test_the_same_answer_everywhere(visit: Visit, photo_file: Path, digits_file: Path) -> None:
    by_python = load(digits_file).predict(photo_file).probabilities
    assert max(by_python, key=lambda name: by_python[name]) == "7"
    [line] = json.loads(fine("predict", digits_file, photo_file, "--top", 10, "--json"))
    assert line["top"] == pytest.approx(by_python, abs=1e-4)
    content = photo_file.read_bytes()
    answer = httpx.post(f"{visit.address}/api/predict?top=10", content=content, trust_env=False)
    assert dict(answer.json()["models"][0]["top"]) == pytest.approx(by_python, abs=1e-4)
    page = visit()
    give_files(page, "drop", [photo_file])
    expect(label(page, "photo")).to_have_text("7")
    on_page = shown_probabilities(page, "photo")
    assert len(on_page) == 5
    assert on_page == pytest.approx({name: by_python[name] for name in on_page}, abs=1e-4)


@pytest.mark.parametrize("how", ["drop", "paste"])
def test_photos_become_a_grid(visit: Visit, how: str, mnist_test: Dataset, tmp_path: Path) -> None:
    files = [tmp_path / f"{index}.png" for index in range(3)]
    for path, image in zip(files, mnist_test.images, strict=False):
        Image.fromarray(image[..., 0]).resize((140, 140)).save(path)
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG and then nothing")
    page = visit()
    give_files(page, how, [*files, broken])
    expect(page.locator("#tab-photo")).to_have_attribute("aria-selected", "true")
    expect(page.locator(".photo")).to_have_count(4)
    # The newest comes first; MNIST's test set begins with 7, 2, 1.
    expect(page.locator(".photo .label:visible")).to_have_text(["1", "2", "7"])
    expect(page.locator(".photo .notice:visible")).to_contain_text("is not a picture")
    # The browser says so, too.
    assert "400" in visit.errors.pop()
    page.get_by_role("button", name="Remove 1.png").click()
    expect(page.locator(".photo")).to_have_count(3)
    page.get_by_role("button", name="Remove all").click()
    expect(page.locator(".photo")).to_have_count(0)


def test_nothing_is_shown_calmly(browser: Browser, tmp_path: Path) -> None:
    file = quarters_file(tmp_path / "Quarters.mlmodel")
    photo = tmp_path / "black.png"
    photo.write_bytes(picture("nothing"))
    with previewing(file, "--port", 0, log=tmp_path / "log") as address:
        visit = Visit(browser, address)
        page = visit()
        give_files(page, "drop", [photo])
        expect(label(page, "photo")).to_have_text("nothing")
        expect(label(page, "photo")).to_have_class("label quiet")
        expect(page.locator("#said")).to_have_text("black.png: nothing")
        expect(page.locator("#photo .chosen")).to_have_count(0)
        photo.write_bytes(picture("top right"))
        give_files(page, "drop", [photo])
        expect(label(page, "photo").first).to_have_text("top right")
        expect(label(page, "photo").first).to_have_class("label long")
        page.context.close()
        visit.check()


def test_chosen_files(visit: Visit, photo_file: Path) -> None:
    page = visit("/#photo")
    page.locator("#files").set_input_files(photo_file)
    expect(label(page, "photo")).to_have_text("7")
    expect(page.locator("#photo .seen")).to_be_visible()
    page.locator("#photo-seen").uncheck()
    expect(page.locator("#photo .seen")).to_be_hidden()


def test_corrections_are_kept_and_deleted(visit: Visit, kept: Path) -> None:
    page = visit()
    picker = page.locator("#draw .picker")
    expect(picker.get_by_role("button").first).to_be_disabled()
    draw_digit(page, "1")
    settled(page)
    picker.get_by_role("button", name="7", exact=True).click()
    items = page.locator("#kept-list li")
    expect(items).to_have_count(1)
    expect(items.locator("img")).to_have_js_property("naturalWidth", 280)
    [file] = kept.rglob("*.png")
    assert file.parent == kept / "7"
    # Put right once more, it is there once.
    picker.get_by_role("button", name="1", exact=True).click()
    expect(page.get_by_role("button", name="Delete this 1")).to_be_visible()
    expect(items).to_have_count(1)
    [file] = kept.rglob("*.png")
    assert file.parent == kept / "1"
    with Image.open(file) as image:
        assert image.size == (280, 280)
    page.get_by_role("button", name="Delete this 1").click()
    expect(items).to_have_count(0)
    assert not list(kept.rglob("*.png"))


def test_a_photo_is_corrected(visit: Visit, kept: Path, photo_file: Path) -> None:
    page = visit("/#photo")
    give_files(page, "drop", [photo_file])
    page.locator(".photo .picker").get_by_role("button", name="9", exact=True).click()
    expect(page.locator("#kept-list li")).to_have_count(1)
    assert [path.parent.name for path in kept.rglob("*.png")] == ["9"]
    page.get_by_role("button", name="Delete this 9").click()
    expect(page.locator("#kept-list li")).to_have_count(0)


def test_many_classes_and_many_corrections(browser: Browser, tmp_path: Path) -> None:
    file = quarters_file(tmp_path / "Many.mlmodel", idle=8)
    collected = tmp_path / "kept"
    photo = tmp_path / "photo.png"
    photo.write_bytes(picture("top left"))
    words = [file, "--collect", collected, "--port", 0]
    with previewing(*words, log=tmp_path / "log") as address:
        for level in range(1, 65):
            content = picture(quarter("top left", level))
            httpx.post(
                f"{address}/api/corrections?label=nothing", content=content, trust_env=False
            ).raise_for_status()
        visit = Visit(browser, address)
        page = visit()
        items = page.locator("#kept-list li")
        expect(items).to_have_count(60)
        expect(page.locator("#kept-words")).to_contain_text("64 pictures")
        page.get_by_role("button", name="Show more").click()
        expect(items).to_have_count(64)
        expect(page.get_by_role("button", name="Show more")).to_be_hidden()
        give_files(page, "drop", [photo])
        picker = page.locator(".photo .picker")
        picker.get_by_label("What it was").select_option("idle 3")
        picker.get_by_role("button", name="Keep").click()
        expect(items).to_have_count(65)
        assert len(list((collected / "idle 3").glob("*.png"))) == 1
        page.context.close()
        visit.check()


def test_nothing_is_kept_unless_asked_for(
    browser: Browser, digits_file: Path, tmp_path: Path
) -> None:
    with previewing(digits_file, "--port", 0, log=tmp_path / "log") as address:
        page = Visit(browser, address)()
        draw_digit(page, "5")
        settled(page)
        expect(page.locator("#kept")).to_be_hidden()
        expect(page.locator("#draw .picker")).to_be_hidden()
        page.context.close()


def test_two_models_beside_each_other(browser: Browser, digits_file: Path, tmp_path: Path) -> None:
    other = tmp_path / "Again.mlpackage"
    shutil.copytree(digits_file, other)
    with previewing(digits_file, other, "--port", 0, log=tmp_path / "log") as address:
        visit = Visit(browser, address)
        page = visit()
        draw_digit(page, "2")
        settled(page)
        expect(page.locator("#draw .card h3")).to_have_text([digits_file.stem, "Again"])
        expect(label(page)).to_have_text(["2", "2"])
        expect(page.locator("#said")).to_have_text(f"{digits_file.stem}: 2; Again: 2")
        left, right = (card.bounding_box() for card in page.locator("#draw .card").all())
        assert left and right
        assert left["y"] == right["y"] and left["x"] < right["x"]
        page.context.close()
        visit.check()


def test_the_connection_is_made_anew(browser: Browser, digits_file: Path, tmp_path: Path) -> None:
    with previewing(digits_file, "--port", 0, log=tmp_path / "log") as address:
        visit = Visit(browser, address)
        page = visit()
        port = address.rsplit(":", 1)[1]
    line = page.locator("#connection")
    expect(line).to_contain_text("trying again in")
    draw_digit(page, "2")
    with previewing(digits_file, "--port", port, log=tmp_path / "log"):
        expect(line).to_have_text("Connected")
        # What was drawn meanwhile is looked at.
        expect(label(page)).to_have_text("2")
        page.context.close()
    # What the browser itself says of attempts that fail, and nothing else.
    assert all("WebSocket connection to" in error for error in visit.errors), visit.errors


def test_another_preview_in_the_same_place(
    browser: Browser, digits_file: Path, tmp_path: Path
) -> None:
    other = tmp_path / "Again.mlpackage"
    shutil.copytree(digits_file, other)
    with previewing(digits_file, "--port", 0, log=tmp_path / "log") as address:
        visit = Visit(browser, address)
        page = visit()
        expect(page.locator("#models")).to_have_text(digits_file.stem)
    with previewing(other, "--port", address.rsplit(":", 1)[1], log=tmp_path / "log"):
        expect(page.locator("#models")).to_have_text("Again")
        page.context.close()

"""The tab for photos: the list, the results, and the part of a photo that the model sees."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from pocketlens.data import Dataset
from pocketlens.prediction import NOTHING

pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")

from playwright.sync_api import Browser, Page, Route, expect

from preview.browser import (
    TIMEOUT,
    Visit,
    accessibility_errors,
    give_files,
    label,
    run_page,
)
from preview.server import SIDE, image_bytes, quarter, quarters_file
from sampling import sampled

pytestmark = pytest.mark.browser

expect.set_options(timeout=1000 * TIMEOUT)

PHONE = {"width": 390, "height": 844}

LONG = (
    "Domestic shorthair cat, orange tabby, lying down",
    "Domestic shorthair cat, orange tabby, standing",
    "قطة برية صغيرة",
    "<img src=x onerror=alert(1)>",
    NOTHING,
)


@pytest.fixture(scope="module")
def quarters(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Visit]:
    """Opens pages of the model whose answers are known."""
    folder = tmp_path_factory.mktemp("quarters")
    file = quarters_file(folder / "Quarters.mlmodel")
    with run_page("preview", file, "--port", 0, log=folder / "log") as address:
        visit = Visit(browser, address)
        yield visit
        visit.check()


def open_photo(page: Page, path: Path, image: NDArray[np.uint8]) -> None:
    path.write_bytes(image_bytes(image))
    give_files(page, "drop", [path])
    expect(page.locator(".crop canvas")).to_be_visible()


def wide_photo() -> NDArray[np.uint8]:
    """Three squares next to each other: `top left`, `nothing`, `bottom right`."""
    return np.hstack([quarter("top left"), quarter(NOTHING), quarter("bottom right")])


def seen(page: Page) -> NDArray[np.uint8]:
    """The model's input, `(SIDE, SIDE)`, as the page shows it."""
    values: list[int] = page.evaluate(
        """() => {
            const seen = document.querySelector("#photo .seen");
            const { data } = seen.getContext("2d").getImageData(0, 0, seen.width, seen.height);
            return [...data].filter((_, index) => index % 4 === 0);
        }"""
    )
    return np.array(values, np.uint8).reshape(SIDE, SIDE)


def in_guide(page: Page) -> NDArray[np.uint8]:
    """What the frame on the photo shows, reduced to `(SIDE, SIDE)`."""
    values: list[int] = page.evaluate(
        """(side) => {
            const source = document.querySelector(".crop canvas");
            const frame = document.querySelector(".crop .guide").getBoundingClientRect();
            const box = source.getBoundingClientRect();
            const scale = source.width / box.width;
            const small = Object.assign(document.createElement("canvas"),
                { width: side, height: side });
            const context = small.getContext("2d");
            context.imageSmoothingQuality = "high";
            context.drawImage(source, (frame.left - box.left) * scale,
                (frame.top - box.top) * scale, frame.width * scale, frame.height * scale,
                0, 0, side, side);
            const { data } = context.getImageData(0, 0, side, side);
            return [...data].filter((_, index) => index % 4 === 0);
        }""",
        SIDE,
    )
    return np.array(values, np.uint8).reshape(SIDE, SIDE)


@pytest.mark.parametrize("how", sampled(["drop", "paste"], 1))
def test_several_photos(visit: Visit, how: str, mnist_test: Dataset, tmp_path: Path) -> None:
    files = [tmp_path / f"{index}.png" for index in range(3)]
    for path, image in zip(files, mnist_test.images, strict=False):
        Image.fromarray(image[..., 0]).resize((140, 140)).save(path)
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG and then nothing")
    page = visit()
    give_files(page, how, [*files, broken])
    expect(page.locator("#tab-photo")).to_have_attribute("aria-selected", "true")
    expect(page.locator(".photo")).to_have_count(4)
    # The newest photo is first; MNIST's test set starts with 7, 2, 1.
    expect(page.locator(".photo summary .label")).to_have_text(["1", "2", "7"])
    expect(page.locator(".photo .notice:visible")).to_contain_text("unsupported image format")
    # The browser logs the failed request, too.
    assert "400" in visit.errors.pop()
    page.get_by_role("button", name="Remove 1.png").click()
    expect(page.locator(".photo")).to_have_count(3)
    expect(page.locator(".photo summary").last).to_be_focused()
    page.get_by_role("button", name="Remove all").click()
    expect(page.locator(".photo")).to_have_count(0)


def test_whole_number(visit: Visit, mnist_test: Dataset, tmp_path: Path) -> None:
    """MNIST's test set starts with 7, 2, 1, 0, 4."""
    large = [
        np.asarray(Image.fromarray(each[..., 0]).resize((140, 140)))
        for each in mnist_test.images[:5]
    ]
    path = tmp_path / "number.png"
    Image.fromarray(255 - np.hstack(large)).save(path)
    page = visit("/#photo")
    page.get_by_label("Read a whole number").check()
    page.locator("#files").set_input_files(path)
    expect(page.locator(".photo summary .label")).to_have_text("72104")
    expect(page.locator(".number .label")).to_have_text("72104")
    expect(page.locator(".number .digits li")).to_have_count(5)
    expect(page.locator(".digit-box")).to_have_text(list("72104"))
    expect(page.locator("#result-announcement")).to_have_text("number.png: 72104")
    window = page.locator(".crop canvas").bounding_box()
    assert window is not None
    for place, box in enumerate(page.locator(".digit-box").all()):
        found = box.bounding_box()
        assert found is not None
        middle = (found["x"] + found["width"] / 2 - window["x"]) / window["width"]
        assert abs(middle - (place + 0.5) / 5) < 0.06
    page.get_by_label("Read a whole number").uncheck()
    expect(page.locator(".digit-box")).to_have_count(0)
    expect(page.locator("#photo .card:visible")).to_have_count(1)


def test_models_of_other_things_read_no_numbers(quarters: Visit) -> None:
    expect(quarters("/#photo").get_by_label("Read a whole number")).to_be_hidden()


def test_file_chooser(visit: Visit, photo_file: Path) -> None:
    page = visit("/#photo")
    page.locator("#files").set_input_files(photo_file)
    expect(label(page, "photo")).to_have_text("7")
    expect(page.locator("#photo .seen")).to_be_visible()
    page.locator("#photo-seen").uncheck()
    expect(page.locator("#photo .seen")).to_be_hidden()


def test_twelve_photos_fit_two_screens_of_a_phone(quarters: Visit, tmp_path: Path) -> None:
    files = [tmp_path / f"IMG_{index}.png" for index in range(12)]
    for level, path in enumerate(files):
        path.write_bytes(image_bytes(quarter("top left", 244 + level)))
    page = quarters(viewport=PHONE)
    give_files(page, "drop", files)
    expect(page.locator(".photo summary .label")).to_have_text(["top left"] * 12)
    assert page.locator("details[open]").count() == 0
    assert page.evaluate("() => document.documentElement.scrollHeight") < 2 * PHONE["height"]
    for image in page.locator(".thumbnail img").all():
        box = image.bounding_box()
        assert box is not None
        assert (box["width"], box["height"]) == (64, 64)
    # One photo is open at a time, and its details are created when it is opened.
    assert page.locator("#photo .card").count() == 0
    page.locator(".photo summary").nth(3).click()
    page.locator(".photo summary").nth(7).click()
    expect(page.locator("details[open] summary")).to_contain_text("IMG_4.png")
    expect(page.locator("details[open] .crop canvas")).to_be_visible()
    assert page.locator("details[open]").count() == 1


@pytest.mark.parametrize(
    ("level", "verdict", "style"),
    sampled(
        [
            (0, "nothing", "label quiet"),
            (110, "not sure", "label quiet"),  # 65 %, above `nothing` with 35 %
            (255, "top right", "label long"),
        ],
        1,
    ),
)
def test_headline_is_what_the_app_shows(
    quarters: Visit, tmp_path: Path, level: int, verdict: str, style: str
) -> None:
    page = quarters()
    open_photo(page, tmp_path / "photo.png", quarter("top right", level))
    expect(label(page, "photo")).to_have_text(verdict)
    expect(label(page, "photo")).to_have_class(style)
    expect(page.locator(".photo summary .label")).to_have_text(verdict)
    expect(page.locator("#result-announcement")).to_have_text(f"photo.png: {verdict}")
    expect(page.locator("#photo .chosen")).to_have_count(int(verdict == "top right"))


@pytest.mark.parametrize("width", sampled([390, 1280], 1))
def test_bars_start_at_one_place(browser: Browser, tmp_path: Path, width: int) -> None:
    file = quarters_file(tmp_path / "Cats.mlmodel", names=LONG)
    with run_page("preview", file, "--port", 0, log=tmp_path / "log") as address:
        visit = Visit(browser, address)
        page = visit(viewport={"width": width, "height": 800})
        open_photo(page, tmp_path / "photo.png", quarter("bottom right"))
        # A label is text, whatever it contains.
        expect(label(page, "photo")).to_have_text("<img src=x onerror=alert(1)>")
        rows = page.locator("#photo .bars li")
        expect(rows).to_have_count(5)
        tracks = [track.bounding_box() for track in page.locator("#photo .track").all()]
        assert len({(box["x"], box["width"]) for box in tracks if box}) == 1
        assert all(box and box["width"] >= 24 for box in tracks)
        titles = [row.get_attribute("title") or "" for row in rows.all()]
        assert {title.rsplit(": ", 1)[0] for title in titles} == set(LONG)
        for row in rows.all():
            title = row.get_attribute("title") or ""
            name = row.locator(".name")
            assert name.text_content() == title.rsplit(": ", 1)[0]
            inside, limit = name.bounding_box(), row.bounding_box()
            assert inside and limit
            assert inside["x"] >= limit["x"]
            # The end of a long name is always visible: two names may differ only there.
            tail = name.locator("span").last.bounding_box()
            assert tail
            assert tail["x"] + tail["width"] <= inside["x"] + inside["width"] + 0.5
        arabic = page.locator("#photo .name", has_text=LONG[2])
        assert arabic.evaluate("(each) => getComputedStyle(each).direction") == "rtl"
        page.context.close()
        visit.check()


def by_keys(page: Page) -> None:
    page.locator(".crop canvas").focus()
    for _ in range(5):
        page.keyboard.press("ArrowRight")


def by_mouse(page: Page) -> None:
    box = page.locator(".crop canvas").bounding_box()
    assert box is not None
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(*middle)
    page.mouse.down()
    page.mouse.move(middle[0] + box["width"] / 2, middle[1], steps=4)
    page.mouse.up()
    page.mouse.move(*middle)  # a released photo does not follow


def by_finger(page: Page) -> None:
    box = page.locator(".crop canvas").bounding_box()
    assert box is not None
    touch(page, [[(box["x"] + x * box["width"], box["y"] + 20)] for x in (0.4, 0.6, 0.9)])


def touch(page: Page, steps: list[list[tuple[float, float]]]) -> None:
    """Put one or several fingers on the page, move them, and lift them."""
    session = page.context.new_cdp_session(page)
    for index, points in enumerate(steps):
        fingers = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(points)]
        kind = "touchMove" if index else "touchStart"
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": fingers})
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


@pytest.mark.parametrize("move", sampled([by_keys, by_mouse, by_finger], 1))
def test_photo_is_moved_and_read_again(
    quarters: Visit, tmp_path: Path, move: Callable[[Page], None]
) -> None:
    page = quarters(has_touch=True)
    open_photo(page, tmp_path / "wide.png", wide_photo())
    expect(label(page, "photo")).to_have_text("nothing")
    expect(page.get_by_role("button", name="Reset the photo")).to_be_disabled()
    move(page)
    expect(label(page, "photo")).to_have_text("top left")
    expect(page.locator("#result-announcement")).to_have_text("wide.png: top left")
    # The photo stops at its edge: no border gets into the frame.
    wait_until(page, lambda: (seen(page) == quarter("top left")).all())
    page.get_by_role("button", name="Reset the photo").click()
    expect(label(page, "photo")).to_have_text("nothing")
    wait_until(page, lambda: (seen(page) == quarter(NOTHING)).all())


@pytest.mark.parametrize(
    ("turns", "expected"),
    sampled(
        [
            (["Turn right"], "top right"),
            (["Turn right", "Turn right"], "bottom right"),
            (["Turn left"], "bottom left"),
            (["r", "r", "Shift+R"], "top right"),
            (["r", "r", "r", "r"], "top left"),
        ],
        2,
    ),
)
def test_photo_is_turned_and_read_again(
    quarters: Visit, tmp_path: Path, turns: list[str], expected: str
) -> None:
    page = quarters()
    open_photo(page, tmp_path / "photo.png", quarter("top left"))
    expect(label(page, "photo")).to_have_text("top left")
    for turn in turns:
        if turn.startswith("Turn"):
            page.get_by_role("button", name=turn).click()
        else:
            page.locator(".crop canvas").press(turn)
    expect(label(page, "photo")).to_have_text(expected)
    wait_until(page, lambda: (seen(page) == quarter(expected)).all())


def gradient() -> NDArray[np.uint8]:
    """A wide image that is different everywhere, so that every crop can be told from others."""
    across, down = np.meshgrid(np.linspace(0, 200, 192), np.linspace(0, 55, 96))
    return (across + down).astype(np.uint8)


def by_wheel(page: Page) -> None:
    page.locator(".crop canvas").hover(position={"x": 40, "y": 40})
    before = page.evaluate("() => scrollY")
    page.mouse.wheel(0, 50)  # scrolls the page: the photo does not have the focus
    expect(page.get_by_label("Zoom")).to_have_value("1")
    page.evaluate("(place) => scrollTo(0, place)", before)
    page.locator(".crop canvas").focus()
    page.locator(".crop canvas").hover(position={"x": 40, "y": 40})
    page.mouse.wheel(0, -300)


def by_pinch(page: Page) -> None:
    box = page.locator(".crop canvas").bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 3, box["y"] + box["height"] / 2
    touch(page, [[(x - wide, y), (x + wide, y)] for wide in (20, 30, 50)])


def by_plus_key(page: Page) -> None:
    for key in ("+", "+", "ArrowRight", "ArrowDown"):
        page.locator(".crop canvas").press(key)
    expect(page.locator("#status-announcement")).to_have_text("Zoom 156 %")


def by_slider(page: Page) -> None:
    page.get_by_label("Zoom").fill("3")
    expect(page.get_by_label("Zoom")).to_have_attribute("aria-valuetext", "300 %")


@pytest.mark.parametrize("zoom", sampled([by_wheel, by_pinch, by_plus_key, by_slider], 1))
@pytest.mark.parametrize("turned", [False, True])
def test_frame_shows_what_the_model_sees(
    quarters: Visit, tmp_path: Path, zoom: Callable[[Page], None], *, turned: bool
) -> None:
    page = quarters(has_touch=True, viewport={"width": 700, "height": 1200})
    open_photo(page, tmp_path / "gradient.png", gradient())
    expect(page.locator("#photo .bars li")).to_have_count(5)
    if turned:
        page.get_by_role("button", name="Turn right").click()
    zoom(page)
    assert float(page.get_by_label("Zoom").input_value()) > 1.2
    wanted = page.evaluate("() => new Promise(requestAnimationFrame)") and in_guide(page)
    assert np.ptp(wanted) < np.ptp(gradient()) / 2
    wait_until(page, lambda: np.abs(seen(page).astype(int) - wanted).max() <= 4)


def wait_until(page: Page, condition: Callable[[], Any]) -> None:
    for _ in range(int(10 * TIMEOUT)):
        if condition():
            return
        page.wait_for_timeout(100)
    raise AssertionError("the page does not get into the expected state")


def test_frames_of_models_with_different_crops(browser: Browser, tmp_path: Path) -> None:
    file = quarters_file(tmp_path / "Square.mlmodel")
    whole = quarters_file(tmp_path / "Whole.mlmodel", crop="fit")
    with run_page("preview", file, whole, "--port", 0, log=tmp_path / "log") as address:
        visit = Visit(browser, address)
        page = visit()
        open_photo(page, tmp_path / "wide.png", wide_photo())
        guides = page.locator(".crop .guide")
        expect(guides).to_have_text(["Square", "Whole"])
        box = page.locator(".crop").bounding_box()
        first, second = (guide.bounding_box() for guide in guides.all())
        assert box and first and second
        assert first["width"] == pytest.approx(box["width"] / 3, abs=1)
        assert second["width"] == pytest.approx(box["width"], abs=1)
        # The model that sees the whole photo allows no borders: the photo cannot be moved.
        by_keys(page)
        expect(page.get_by_role("button", name="Reset the photo")).to_be_disabled()
        page.context.close()
        visit.check()


def test_why(quarters: Visit, tmp_path: Path) -> None:
    """The reason is shown and hidden by the button, and hidden when the photo changes."""
    page = quarters()
    open_photo(page, tmp_path / "wide.png", wide_photo())
    expect(label(page, "photo")).to_have_text(NOTHING)
    why, reason = page.get_by_role("button", name="Why?"), page.locator("#photo .why")
    expect(reason).to_be_hidden()
    why.click()
    expect(reason.locator("img")).to_have_attribute(
        "alt", f"The parts of the image that speak for {NOTHING}"
    )
    expect(reason).to_contain_text("Orange parts speak for it, blue parts against it")
    expect(why).to_have_attribute("aria-expanded", "true")
    why.click()
    expect(reason).to_be_hidden()
    why.click()
    expect(reason).to_be_visible()
    page.get_by_label("Zoom").fill("3")
    expect(reason).to_be_hidden()


def test_a_photo_model_opens_on_photos(quarters: Visit) -> None:
    page = quarters()
    expect(page.locator("#tab-draw")).to_have_attribute("aria-selected", "true")

    def in_color(route: Route) -> None:
        answer = route.fetch()
        body = answer.json()
        body["models"][0]["input"]["color"] = "rgb"
        route.fulfill(response=answer, json=body)

    page.route("**/api/model", in_color)
    page.goto(page.url.partition("#")[0])
    page.reload()
    expect(page.locator("#tab-photo")).to_have_attribute("aria-selected", "true")


def test_photo_that_the_browser_cannot_show(quarters: Visit, tmp_path: Path) -> None:
    page = quarters()
    (tmp_path / "photo.tiff").write_bytes(image_bytes(quarter("top left"), "TIFF"))
    give_files(page, "drop", [tmp_path / "photo.tiff"])
    expect(label(page, "photo")).to_have_text("top left")
    expect(page.locator(".photo")).to_contain_text("The browser cannot show this image.")
    expect(page.locator(".crop")).to_have_count(0)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_accessibility_of_photos(quarters: Visit, axe: str, scheme: Any, tmp_path: Path) -> None:
    page = quarters(color_scheme=scheme)
    files = [tmp_path / f"{name}.png" for name in ("one", "two")]
    for path, level in zip(files, (255, 110), strict=True):
        path.write_bytes(image_bytes(quarter("top left", level)))
    give_files(page, "drop", files)
    expect(page.locator(".photo summary .label")).to_have_text(["not sure", "top left"])
    page.locator(".photo summary").first.press("Enter")
    expect(page.locator(".crop canvas")).to_be_visible()
    why = page.get_by_role("button", name="Why?")
    why.click()
    expect(page.locator(".why img")).to_be_visible()
    assert accessibility_errors(page, axe) == []
    why.click()
    page.get_by_label("Zoom").fill("2")
    page.locator(".photo summary").first.focus()
    order = []
    for _ in range(7):
        page.keyboard.press("Tab")
        order.append(page.evaluate(FOCUSED))
    tools = ["Turn left", "Turn right", "Zoom", "Reset the photo"]
    assert order == ["Photo two.png", *tools, "Why?", "Remove two.png"]


FOCUSED = """() => {
    const { activeElement: focused } = document;
    return focused.ariaLabel ?? focused.closest("label")?.innerText.trim() ?? focused.innerText;
}"""

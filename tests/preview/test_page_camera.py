"""The page's camera, with a film in its place."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")

from playwright.sync_api import Page, expect

from preview.browser import (
    PATIENCE,
    WIDE,
    Visit,
    barriers,
    film,
    label,
    launch,
    settled,
)

pytestmark = pytest.mark.browser

if TYPE_CHECKING:
    from playwright.sync_api import Playwright

expect.set_options(timeout=1000 * PATIENCE)

TRACK = "document.getElementById('video').srcObject?.getVideoTracks()[0]"


@pytest.fixture
def filmed(
    playwright: Playwright, preview: str, seven: NDArray[np.uint8], tmp_path: Path
) -> Iterator[Visit]:
    """Visits with a browser whose camera shows a seven."""
    opened = launch(
        playwright,
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-video-capture={film(tmp_path / 'film.y4m', seven)}",
    )
    made = Visit(opened, preview)
    yield made
    opened.close()
    made.check()


def test_the_camera(filmed: Visit) -> None:
    page = filmed("/#camera")
    page.get_by_role("button", name="Start the camera").click()
    expect(label(page, "camera")).to_have_text("7")
    expect(page.locator("#camera .speed")).to_contain_text("frames per second")
    # The guide is what the model sees: the square in the middle.
    video, guide = (page.locator(place).bounding_box() for place in ("#video", "#guide"))
    assert video and guide
    assert video["width"] / video["height"] == pytest.approx(4 / 3, abs=0.02)
    assert guide["width"] == pytest.approx(guide["height"], abs=2)
    assert guide["height"] == pytest.approx(video["height"], abs=2)
    assert guide["x"] - video["x"] == pytest.approx((video["width"] - guide["width"]) / 2, abs=2)
    assert page.evaluate("() => document.getElementById('video').videoWidth") == WIDE
    mirror = page.get_by_role("button", name="Mirror")
    mirror.click()
    expect(mirror).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#video")).to_have_class("mirrored")
    freeze = page.get_by_role("button", name="Freeze")
    freeze.click()
    settled(page)
    assert page.evaluate("() => document.getElementById('video').paused")
    expect(label(page, "camera")).to_have_text("7")
    freeze.click()
    expect(freeze).to_have_attribute("aria-pressed", "false")
    expect(label(page, "camera")).to_have_text("7")


def test_no_barriers_beside_a_camera(filmed: Visit, axe: str) -> None:
    page = filmed("/#camera")
    page.get_by_role("button", name="Start the camera").click()
    expect(label(page, "camera")).to_have_text("7")
    assert barriers(page, axe) == []


def test_the_other_camera(playwright: Playwright, preview: str) -> None:
    opened = launch(
        playwright,
        "--use-fake-device-for-media-stream=device-count=2",
        "--use-fake-ui-for-media-stream",
    )
    visit = Visit(opened, preview)
    page = visit("/#camera")
    page.get_by_role("button", name="Start the camera").click()
    other = page.get_by_role("button", name="Other camera")
    expect(other).to_be_visible()
    device = f"() => {TRACK}?.getSettings().deviceId"
    first = page.evaluate(device)
    assert first
    for same in (False, True):
        page.evaluate(f"() => {{ window.track = {TRACK}; }}")
        other.click()
        page.wait_for_function(f"() => {TRACK} && {TRACK} !== window.track")
        assert page.evaluate("() => window.track.readyState") == "ended"
        assert (page.evaluate(device) == first) is same
    expect(page.locator("#camera .speed")).to_contain_text("frames per second")
    opened.close()
    visit.check()


def test_the_camera_is_let_go_when_its_tab_is_left(filmed: Visit) -> None:
    page = filmed("/#camera")
    page.get_by_role("button", name="Start the camera").click()
    expect(label(page, "camera")).to_have_text("7")
    page.evaluate(f"() => {{ window.track = {TRACK}; }}")
    page.get_by_role("tab", name="Draw").click()
    assert page.evaluate("() => window.track.readyState") == "ended"
    page.get_by_role("tab", name="Camera").click()
    expect(label(page, "camera")).to_have_text("7")
    page.evaluate(f"() => {{ window.track = {TRACK}; }}")
    hide(page, hidden=True)
    assert page.evaluate("() => window.track.readyState") == "ended"
    hide(page, hidden=False)
    expect(label(page, "camera")).to_have_text("7")
    page.evaluate(f"() => {TRACK}.dispatchEvent(new Event('ended'))")
    expect(page.locator("#camera-words")).to_contain_text("was taken away")
    expect(page.locator("#video")).to_be_hidden()
    page.get_by_role("button", name="Start the camera").click()
    expect(label(page, "camera")).to_have_text("7")
    page.get_by_role("button", name="Stop").click()
    expect(page.locator("#camera-words")).to_have_text("The camera is off.")


def hide(page: Page, *, hidden: bool) -> None:
    """As when another window covers the page, which a browser without windows cannot do."""
    page.evaluate(
        """(hidden) => {
            const state = hidden ? "hidden" : "visible";
            Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
            Object.defineProperty(document, "visibilityState",
                { value: state, configurable: true });
            document.dispatchEvent(new Event("visibilitychange"));
        }""",
        hidden,
    )


@pytest.mark.parametrize(
    ("error", "words"),
    [
        ("NotAllowedError", "not allowed. Allow it with"),
        ("NotFoundError", "There is no camera."),
        ("NotReadableError", "Another program uses the camera."),
        ("AbortError", "The camera cannot be used: so it is"),
    ],
)
def test_why_there_is_no_camera(visit: Visit, error: str, words: str) -> None:
    script = (
        "navigator.mediaDevices.getUserMedia = async () => "
        f"{{ throw new DOMException('so it is', '{error}'); }}"
    )
    page = visit("/#camera", script=script)
    page.get_by_role("button", name="Start the camera").click()
    expect(page.locator("#camera-words")).to_contain_text(words)
    expect(page.get_by_role("button", name="Start the camera")).to_be_visible()


def test_a_computer_without_a_camera(visit: Visit) -> None:
    page = visit("/#camera", permissions=["camera"])
    page.get_by_role("button", name="Start the camera").click()
    expect(page.locator("#camera-words")).to_have_text("There is no camera.")

"""The tab with the camera; a video file replaces the camera."""

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
    TIMEOUT,
    VIDEO_WIDTH,
    Visit,
    accessibility_errors,
    camera_video,
    label,
    launch,
    wait_for_answer,
)
from sampling import sampled

pytestmark = pytest.mark.browser

if TYPE_CHECKING:
    from playwright.sync_api import Playwright

expect.set_options(timeout=1000 * TIMEOUT)

TRACK = "document.getElementById('video').srcObject?.getVideoTracks()[0]"


@pytest.fixture
def visit_with_camera(
    playwright: Playwright, preview: str, seven: NDArray[np.uint8], tmp_path: Path
) -> Iterator[Visit]:
    """Opens pages in a browser whose camera shows a seven."""
    browser = launch(
        playwright,
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-video-capture={camera_video(tmp_path / 'camera.y4m', seven)}",
    )
    visit = Visit(browser, preview)
    yield visit
    browser.close()
    visit.check()


def test_camera(visit_with_camera: Visit) -> None:
    page = visit_with_camera("/#camera")
    page.get_by_role("button", name="Start the camera").click()
    expect(label(page, "camera")).to_have_text("7")
    expect(page.locator("#camera .speed")).to_contain_text("frames per second")
    # The guide shows the model's input: the square in the middle.
    video, guide = (page.locator(place).bounding_box() for place in ("#video", ".guide"))
    assert video and guide
    assert video["width"] / video["height"] == pytest.approx(4 / 3, abs=0.02)
    assert guide["width"] == pytest.approx(guide["height"], abs=2)
    assert guide["height"] == pytest.approx(video["height"], abs=2)
    assert guide["x"] - video["x"] == pytest.approx((video["width"] - guide["width"]) / 2, abs=2)
    assert page.evaluate("() => document.getElementById('video').videoWidth") == VIDEO_WIDTH
    mirror = page.get_by_role("button", name="Mirror")
    mirror.click()
    expect(mirror).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#video")).to_have_class("mirrored")
    freeze = page.get_by_role("button", name="Freeze")
    freeze.click()
    wait_for_answer(page)
    assert page.evaluate("() => document.getElementById('video').paused")
    expect(label(page, "camera")).to_have_text("7")
    freeze.click()
    expect(freeze).to_have_attribute("aria-pressed", "false")
    expect(label(page, "camera")).to_have_text("7")


def test_accessibility_with_a_camera(visit_with_camera: Visit, axe: str) -> None:
    page = visit_with_camera("/#camera")
    page.get_by_role("button", name="Start the camera").click()
    expect(label(page, "camera")).to_have_text("7")
    assert accessibility_errors(page, axe) == []


def test_switch_camera(playwright: Playwright, preview: str) -> None:
    browser = launch(
        playwright,
        "--use-fake-device-for-media-stream=device-count=2",
        "--use-fake-ui-for-media-stream",
    )
    visit = Visit(browser, preview)
    page = visit("/#camera")
    page.get_by_role("button", name="Start the camera").click()
    switch = page.get_by_role("button", name="Switch camera")
    expect(switch).to_be_visible()
    device = f"() => {TRACK}?.getSettings().deviceId"
    first = page.evaluate(device)
    assert first
    for same in (False, True):
        page.evaluate(f"() => {{ window.track = {TRACK}; }}")
        switch.click()
        page.wait_for_function(f"() => {TRACK} && {TRACK} !== window.track")
        assert page.evaluate("() => window.track.readyState") == "ended"
        assert (page.evaluate(device) == first) is same
    expect(page.locator("#camera .speed")).to_contain_text("frames per second")
    browser.close()
    visit.check()


def test_camera_stops_when_its_tab_is_left(visit_with_camera: Visit) -> None:
    page = visit_with_camera("/#camera")
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
    expect(page.locator("#camera-status")).to_contain_text("The camera has stopped.")
    expect(page.locator("#video")).to_be_hidden()
    page.get_by_role("button", name="Start the camera").click()
    expect(label(page, "camera")).to_have_text("7")
    page.get_by_role("button", name="Stop").click()
    expect(page.locator("#camera-status")).to_have_text("The camera is off.")


def hide(page: Page, *, hidden: bool) -> None:
    """Simulate that another window covers the page; a headless browser has no windows."""
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
    ("error", "message"),
    sampled(
        [
            ("NotAllowedError", "Camera access is blocked. Allow it with"),
            ("NotFoundError", "No camera found."),
            ("NotReadableError", "Another program is using the camera."),
            ("AbortError", "The camera cannot be used: test reason"),
        ],
        2,
    ),
)
def test_camera_errors(visit: Visit, error: str, message: str) -> None:
    script = (
        "navigator.mediaDevices.getUserMedia = async () => "
        f"{{ throw new DOMException('test reason', '{error}'); }}"
    )
    page = visit("/#camera", script=script)
    page.get_by_role("button", name="Start the camera").click()
    expect(page.locator("#camera-status")).to_contain_text(message)
    expect(page.get_by_role("button", name="Start the camera")).to_be_visible()


def test_no_camera(visit: Visit) -> None:
    page = visit("/#camera", permissions=["camera"])
    page.get_by_role("button", name="Start the camera").click()
    expect(page.locator("#camera-status")).to_have_text("No camera found.")

"""Accessibility: keyboard, screen reader, narrow windows, dark mode, reduced motion."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")

from playwright.sync_api import Page, expect

from preview.browser import (
    TIMEOUT,
    Visit,
    accessibility_errors,
    draw_digit,
    give_files,
    label,
    wait_for_answer,
)

pytestmark = pytest.mark.browser

expect.set_options(timeout=1000 * TIMEOUT)


def test_label_is_announced_when_it_changes(visit: Visit) -> None:
    page = visit()
    page.evaluate(
        """() => {
            window.announced = [];
            const region = document.getElementById("result-announcement");
            new MutationObserver(() => window.announced.push(region.textContent))
                .observe(region, { childList: true });
        }"""
    )
    draw_digit(page, "0")
    wait_for_answer(page)
    expect(page.locator("#result-announcement")).to_have_text("0")
    announced = page.evaluate("() => window.announced")
    assert announced[-1] == "0"
    assert all(one != other for one, other in pairwise(announced))


def test_keyboard_only(visit: Visit) -> None:
    page = visit()
    keys = page.keyboard
    keys.press("Tab")
    expect(page.get_by_role("tab", name="Draw")).to_be_focused()
    for name in ("Camera", "Photo", "Duel", "Draw"):
        keys.press("ArrowRight")
        expect(page.get_by_role("tab", name=name)).to_have_attribute("aria-selected", "true")
        expect(page.get_by_role("tabpanel", name=name)).to_be_visible()
    keys.press("End")
    expect(page.get_by_role("tab", name="Duel")).to_be_focused()
    keys.press("Home")
    keys.press("Tab")
    expect(page.locator("#pad")).to_be_focused()
    press(page, "ArrowUp", 8)
    keys.press("Space")
    expect(page.locator("#status-announcement")).to_have_text("Pen down")
    press(page, "ArrowDown", 16)
    keys.press("Space")
    wait_for_answer(page)
    expect(label(page)).to_have_text("1")
    keys.press("Delete")
    expect(label(page)).to_have_text("Draw something")
    # A seven: first the bar, then the leg with two keys at once.
    press(page, "ArrowUp", 16)
    press(page, "ArrowLeft", 4)
    keys.press("Space")
    press(page, "ArrowRight", 8)
    for _ in range(8):
        keys.down("ArrowLeft")
        keys.down("ArrowDown")
        keys.up("ArrowLeft")
        keys.up("ArrowDown")
        keys.press("ArrowDown")
    keys.press("Space")
    wait_for_answer(page)
    expect(label(page)).to_have_text("7")
    keys.press("Control+z")
    expect(label(page)).to_have_text("Draw something")


def press(page: Page, key: str, times: int) -> None:
    for _ in range(times):
        page.keyboard.press(key)


def fill_every_tab(page: Page, photo: Path) -> Iterator[str]:
    """Open each tab with content, one after the other."""
    draw_digit(page, "2")
    wait_for_answer(page)
    yield "draw"
    page.get_by_role("tab", name="Camera").click()
    yield "camera"
    give_files(page, "drop", [photo])
    expect(label(page, "photo")).to_have_text("7")
    yield "photo"
    page.get_by_role("tab", name="Duel").click()
    yield "duel"
    page.get_by_role("button", name="Start a new duel").click()
    expect(page.locator("#prompt")).to_have_text("Waiting for the other player")
    yield "room"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_accessibility(visit: Visit, axe: str, scheme: Any, photo_file: Path) -> None:
    page = visit(color_scheme=scheme)
    found = {place: accessibility_errors(page, axe) for place in fill_every_tab(page, photo_file)}
    assert not any(found.values()), found


@pytest.mark.parametrize("width", [320, 768, 1280])
def test_layout_fits_the_window(visit: Visit, width: int, photo_file: Path) -> None:
    page = visit(viewport={"width": width, "height": 640})
    for place in fill_every_tab(page, photo_file):
        inner, scroll = page.evaluate(
            "() => [innerWidth, document.documentElement.scrollWidth]",
        )
        assert scroll <= inner, f"{place} is {scroll} pixels wide"
        smallest = page.evaluate(
            """() => Math.min(...[...document.querySelectorAll("body *")]
                .filter((each) => each.checkVisibility() && each.textContent.trim())
                .map((each) => parseFloat(getComputedStyle(each).fontSize)))"""
        )
        assert smallest >= 12, place


def test_focus_is_visible(visit: Visit) -> None:
    page = visit()
    for _ in range(6):
        page.keyboard.press("Tab")
        outline = page.evaluate(
            """() => {
                const focused = document.activeElement;
                const outlined = focused.closest(".button") ?? focused;
                return parseFloat(getComputedStyle(outlined).outlineWidth);
            }"""
        )
        assert outline >= 2


def test_reduced_motion(visit: Visit) -> None:
    page = visit(reduced_motion="reduce")
    draw_digit(page, "2")
    wait_for_answer(page)
    moving = page.evaluate(
        """() => [...document.querySelectorAll("*")].filter((each) =>
            parseFloat(getComputedStyle(each).transitionDuration) > 0).length"""
    )
    assert moving == 0

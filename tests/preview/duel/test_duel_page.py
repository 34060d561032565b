"""The tab with the duel: two pages play against each other."""

from __future__ import annotations

import re

import pytest

from pocketlens.data.stroke_templates import TEMPLATES

pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")

from playwright.sync_api import Page, expect

from preview.browser import (
    NO_WEBSOCKET,
    TIMEOUT,
    Visit,
    accessibility_errors,
    draw,
)

pytestmark = pytest.mark.browser

expect.set_options(timeout=1000 * TIMEOUT)


def win(page: Page) -> None:
    """Draw the prompt in its different forms until the round is won."""
    prompt = page.locator("#prompt")
    expect(prompt).to_have_text(re.compile(r"^Draw an? \d$"))
    digit = prompt.inner_text()[-1]
    for template in TEMPLATES[digit]:
        draw(page, "#duel-pad", template.strokes)
        page.wait_for_timeout(700)  # time for three drawings to be judged
        if page.locator("#room").get_attribute("data-phase") != "drawing":
            return
        page.locator("#duel-clear").click()
    raise AssertionError(f"no form of {digit} was recognized")


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(None, id="websockets"),
        pytest.param(NO_WEBSOCKET, id="one player on the bridge", marks=pytest.mark.slow),
    ],
)
def test_complete_duel(visit: Visit, script: str | None) -> None:
    one = visit("/#duel")
    one.get_by_label("Your name").fill("Ada")
    one.get_by_role("button", name="Start a new duel").click()
    expect(one.locator("#prompt")).to_have_text("Waiting for the other player")
    code = one.locator("#room-code").inner_text()
    link = one.locator("#room-link").get_attribute("href")
    assert link == f"{visit.address}/?duel={code}"
    # The link opens the lobby with the code filled in.
    two = visit(f"/?duel={code}", script=script)
    expect(two.get_by_label("Duel code")).to_have_value(code)
    two.get_by_label("Your name").fill("Bob")
    two.get_by_role("button", name="Join").click()
    for page, (mine, theirs) in ((one, ("Ada", "Bob")), (two, ("Bob", "Ada"))):
        expect(page.locator("#own-score .who")).to_have_text(mine)
        expect(page.locator("#other-score .who")).to_have_text(theirs)
        expect(page.locator("#prompt")).to_have_text("Get ready")
    for number in range(1, 4):
        expect(one.locator("#round")).to_have_text(f"Round {number}, best of 5")
        win(one)
        expect(one.locator("#own-score strong")).to_have_text(str(number))
        expect(two.locator("#other-score strong")).to_have_text(str(number))
    expect(one.locator("#prompt")).to_have_text("You win the duel, 3 : 0")
    expect(two.locator("#prompt")).to_have_text("Ada wins the duel, 3 : 0")
    two.get_by_role("button", name="Play again").click()
    for page in (one, two):
        expect(page.locator("#prompt")).to_have_text("Get ready")
        expect(page.locator("#own-score strong")).to_have_text("0")
    two.get_by_role("button", name="Leave").click()
    expect(two.get_by_role("button", name="Start a new duel")).to_be_visible()
    expect(one.locator("#duel-error")).to_have_text("Bob has left.")
    expect(one.locator("#prompt")).to_have_text("Waiting for the other player")


def test_the_invited_see_join_first(visit: Visit) -> None:
    page = visit("/#duel")
    create, join = (page.get_by_role("button", name=name) for name in ("Start a new duel", "Join"))
    expect(create).to_have_class("primary")
    expect(page.locator("#invited")).to_be_hidden()
    create.click()
    expect(page.locator("#room-code")).to_have_text(re.compile(r"^\w{12}$"))
    code = page.locator("#room-code").inner_text()
    invited = visit(f"/?duel={code}", viewport={"width": 390, "height": 700})
    create, join = (
        invited.get_by_role("button", name=name) for name in ("Start a new duel", "Join")
    )
    expect(invited.locator("#invited")).to_have_text(f"You are invited to the duel {code}.")
    expect(invited.get_by_label("Duel code")).to_be_hidden()
    expect(join).to_have_class("primary")
    expect(create).not_to_have_class("primary")
    first, second = join.bounding_box(), create.bounding_box()
    assert first and second
    assert first["y"] + first["height"] <= second["y"] <= 700
    # With the keyboard: the name, then Join; Enter in the name field joins, too.
    invited.get_by_label("Your name").focus()
    invited.keyboard.press("Tab")
    expect(join).to_be_focused()
    invited.get_by_label("Your name").press("Enter")
    expect(page.locator("#prompt")).to_have_text("Get ready")
    invited.get_by_role("button", name="Leave").click()
    expect(invited.locator("#invited")).to_be_hidden()
    expect(create).to_have_class("primary")


def test_guest_plays_without_the_token(visit: Visit) -> None:
    """Whoever opens the link is a guest, who sees no saved images."""
    host = visit("/#duel")
    host.get_by_role("button", name="Start a new duel").click()
    link = host.locator("#room-link")
    expect(link).to_have_text(re.compile(r"\?duel=\w{12}$"))
    guest = visit(link.inner_text().removeprefix(visit.address), with_token=False)
    guest.get_by_role("button", name="Join").click()
    for page in (host, guest):
        expect(page.locator("#prompt")).to_have_text("Get ready")
    for page in (host, guest):
        page.get_by_role("tab", name="Draw").click()
    expect(host.locator("#corrections")).to_be_visible()
    expect(guest.locator("#corrections")).to_be_hidden()
    assert guest.evaluate("() => document.cookie") == ""  # HttpOnly


def test_invitation_is_text(visit: Visit) -> None:
    page = visit("/?duel=%3Cimg%20src=x%20onerror=alert(1)%3E")
    expect(page.locator("#invited")).to_have_text("You are invited to the duel <img src=x o.")
    page.get_by_role("button", name="Join").click()
    expect(page.locator("#duel-error")).to_contain_text("no duel with the code")
    expect(page.get_by_label("Duel code")).to_be_visible()
    expect(page.get_by_role("button", name="Start a new duel")).to_have_class("primary")


def test_invitation_says_how_to_reach_it_from_a_phone(visit: Visit) -> None:
    page = visit("/#duel")
    page.get_by_role("button", name="Start a new duel").click()
    expect(page.locator("#only-here")).to_contain_text("This link works only on this computer.")
    expect(page.locator("#only-here")).to_contain_text("pocketlens preview … --lan")


def test_link_is_copied(visit: Visit) -> None:
    page = visit("/#duel")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    for _ in range(2):
        page.get_by_role("button", name="Start a new duel").click()
        page.get_by_role("button", name="Copy link").click()
        expect(page.locator("#copy-link")).to_have_text("Copied")
        code = page.locator("#room-code").inner_text()
        copied = page.evaluate("() => navigator.clipboard.readText()")
        assert copied == f"{visit.address}/?duel={code}"
        page.get_by_role("button", name="Leave").click()


@pytest.mark.slow
def test_accessibility_in_a_duel(visit: Visit, axe: str) -> None:
    one = visit("/#duel")
    one.get_by_role("button", name="Start a new duel").click()
    expect(one.locator("#room-code")).to_have_text(re.compile(r"^\w{12}$"))
    code = one.locator("#room-code").inner_text()
    two = visit(f"/?duel={code}")
    two.get_by_role("button", name="Join").click()
    expect(one.locator("#prompt")).to_have_text("Get ready")
    assert accessibility_errors(one, axe) == []
    expect(one.locator("#prompt")).to_contain_text("Draw")
    # The canvas has the keyboard focus.
    expect(one.locator("#duel-pad")).to_be_focused()
    assert accessibility_errors(one, axe) == []


def test_unknown_code(visit: Visit) -> None:
    page = visit("/#duel")
    page.get_by_label("Duel code").fill("zzzz")
    page.get_by_role("button", name="Join").click()
    expect(page.locator("#duel-error")).to_have_text("no duel with the code 'ZZZZ'")
    expect(page.get_by_role("button", name="Start a new duel")).to_be_visible()

"""The rules of the game, as tables of what happens and what both players see."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import Any

import pytest

from pocketlens.errors import OptionError
from pocketlens.prediction import NOTHING
from pocketlens.preview.duel.match import BEST_OF, COUNTDOWN, MAX_NAME, PAUSE, ROUND, Match

DIGITS = tuple("0123456789")


def begun(classes: tuple[str, ...] = DIGITS, seed: int = 1) -> Match:
    """A match whose first round can be drawn for, at time 0."""
    match = Match(classes, seed=seed)
    match.join("a", "Ann", -COUNTDOWN)
    match.join("b", "Bob", -COUNTDOWN)
    assert match.tick(0.0)
    return match


def win(match: Match, key: str, now: float) -> float:
    """A player wins the round that is drawn, and the next one begins; the time then."""
    assert match.recognized(key, match.prompt, now)
    if match.phase == "over":
        return now
    assert match.tick(now + PAUSE)
    assert match.tick(now + PAUSE + COUNTDOWN)
    return now + PAUSE + COUNTDOWN


def scores(match: Match) -> list[int]:
    return [player.score for player in match.players.values()]


def test_a_match_from_its_beginning() -> None:
    """Each row: what happens, whether it changes anything, the phase and the round after it."""
    match = Match(DIGITS, seed=3)

    def join(key: str, now: float) -> None:
        match.join(key, key, now)

    def tick(now: float) -> bool:
        return match.tick(now)

    def draw(key: str, now: float, label: str | None = "the prompt") -> bool:
        return match.recognized(key, match.prompt if label == "the prompt" else label, now)

    for happens, changes, phase, number in [
        (lambda: tick(0), False, "waiting", 0),
        (lambda: join("a", 0), None, "waiting", 0),
        (lambda: tick(100), False, "waiting", 0),
        (lambda: join("b", 100), None, "countdown", 1),
        (lambda: draw("a", 101), False, "countdown", 1),
        (lambda: tick(102.9), False, "countdown", 1),
        (lambda: tick(103), True, "drawing", 1),
        (lambda: tick(103), False, "drawing", 1),
        (lambda: draw("a", 104, None), False, "drawing", 1),
        (lambda: draw("a", 104, NOTHING), False, "drawing", 1),
        (lambda: draw("c", 104), False, "drawing", 1),
        (lambda: draw("b", 105), True, "pause", 1),
        (lambda: draw("a", 105), False, "pause", 1),
        (lambda: match.again(105), None, "pause", 1),
        (lambda: tick(107.9), False, "pause", 1),
        (lambda: tick(108), True, "countdown", 2),
        (lambda: tick(111), True, "drawing", 2),
        (lambda: tick(111 + ROUND - 0.1), False, "drawing", 2),
        (lambda: tick(111 + ROUND), True, "pause", 2),
        (lambda: draw("a", 111 + ROUND), False, "pause", 2),
    ]:
        assert happens() == changes
        assert (match.phase, match.round) == (phase, number)
    assert scores(match) == [0, 1]
    assert match.winner is None  # nobody drew it in time


@pytest.mark.parametrize(
    ("winners", "score", "winner"),
    [
        ("aaa", [3, 0], "a"),
        ("bbb", [0, 3], "b"),
        ("ababa", [3, 2], "a"),
        ("aabbb", [2, 3], "b"),
    ],
)
def test_best_of_five(winners: str, score: list[int], winner: str) -> None:
    match = begun()
    now = 0.0
    for number, key in enumerate(winners, 1):
        assert match.phase == "drawing"
        assert match.round == number
        now = win(match, key, now + 1)
    assert match.phase == "over"
    assert (scores(match), match.winner) == (score, winner)
    assert not match.tick(now + 1000)
    assert not match.recognized("a", match.prompt, now)
    match.again(now + 5)
    assert (match.phase, match.round, scores(match)) == ("countdown", 1, [0, 0])


def test_rounds_that_nobody_wins_do_not_count() -> None:
    match = begun()
    now = 0.0
    for _ in range(7):
        assert match.tick(now + ROUND)
        assert match.tick(now + ROUND + PAUSE)
        now += ROUND + PAUSE + COUNTDOWN
        assert match.tick(now)
    assert (match.phase, match.round, scores(match)) == ("drawing", 8, [0, 0])


def test_only_the_prompt_wins() -> None:
    match = begun()
    for label in DIGITS:
        if label != match.prompt:
            assert not match.recognized("a", label, 1.0)
    assert match.phase == "drawing"
    assert match.recognized("b", match.prompt, 1.0)


def test_the_first_to_be_recognized_wins_and_only_that_one() -> None:
    match = begun()
    assert match.recognized("b", match.prompt, 2.0)
    assert not match.recognized("a", match.prompt, 2.0)
    assert scores(match) == [0, 1]


def test_both_get_the_same_prompt_at_the_same_time() -> None:
    match = Match(DIGITS, seed=5)
    match.join("a", "Ann", 0.0)
    assert match.seen_by("a", 0.0)["other"] is None
    match.join("b", "Bob", 0.0)
    for now in (0.0, COUNTDOWN - 0.01):
        match.tick(now)
        assert match.seen_by("a", now)["prompt"] is None
        assert match.seen_by("b", now)["prompt"] is None
    match.tick(COUNTDOWN)
    views = [match.seen_by(key, COUNTDOWN) for key in "ab"]
    assert views[0]["prompt"] == views[1]["prompt"] == match.prompt
    for same in ("phase", "round", "best_of", "seconds"):
        assert views[0][same] == views[1][same]


def test_what_each_of_them_sees() -> None:
    match = begun()
    match.recognized("b", match.prompt, 10.0)
    common = {"phase": "pause", "round": 1, "best_of": BEST_OF, "prompt": match.prompt}
    ann, bob = {"name": "Ann", "score": 0}, {"name": "Bob", "score": 1}
    timed: dict[str, Any] = {"seconds": PAUSE - 1}
    assert match.seen_by("a", 11.0) == {**common, **timed, "you": ann, "other": bob, "won": False}
    assert match.seen_by("b", 11.0) == {**common, **timed, "you": bob, "other": ann, "won": True}
    match = begun()
    match.tick(ROUND)
    assert match.seen_by("a", ROUND)["won"] is None


def test_the_clock_says_how_long() -> None:
    match = Match(DIGITS, seed=1)
    assert match.left(0.0) is None
    match.join("a", "", 0.0)
    assert match.left(0.0) is None
    match.join("b", "", 0.0)
    assert (match.left(0.0), match.left(1.0), match.left(99.0)) == (COUNTDOWN, COUNTDOWN - 1, 0.0)
    match.tick(COUNTDOWN)
    assert match.left(COUNTDOWN) == ROUND
    now = COUNTDOWN
    while match.phase != "over":
        now = win(match, "a", now)
    assert match.left(now) is None
    assert match.seen_by("a", now)["seconds"] == 0.0


@pytest.mark.parametrize("phase", ["waiting", "countdown", "drawing", "pause", "over"])
def test_leaving_at_any_time(phase: str) -> None:
    match = begun()
    now = 0.0
    if phase == "waiting":
        match.leave("b")
    elif phase == "countdown":
        match.recognized("b", match.prompt, now)
        match.tick(now + PAUSE)
    elif phase == "pause":
        match.recognized("b", match.prompt, now)
    elif phase == "over":
        while match.phase != "over":
            now = win(match, "b", now)
    assert match.phase == phase
    match.leave("a" if phase != "waiting" else "nobody")
    (key,) = match.players if phase != "waiting" else ("a",)
    assert match.phase == "waiting"
    view = match.seen_by(key, now)
    assert (view["other"], view["prompt"], view["round"], view["won"]) == (None, None, 0, None)
    assert view["you"]["score"] == 0
    assert not match.tick(now + 1000)
    match.again(now)
    assert match.phase == "waiting"  # there is nobody to play against
    match.join("new", "Cat", now)
    assert (match.phase, match.round, scores(match)) == ("countdown", 1, [0, 0])


def test_whoever_is_not_playing_changes_nothing() -> None:
    match = begun()
    match.leave("c")
    assert match.phase == "drawing"
    with pytest.raises(OptionError, match="two are playing here already; start a duel of your own"):
        match.join("c", "Cat", 0.0)
    assert list(match.players) == ["a", "b"]


def test_a_round_has_a_number_of_its_own() -> None:
    """So that a drawing of an old round is told from one of the new, also in another match."""
    match = begun()
    numbers = [match.rounds]
    now = 0.0
    while match.phase != "over":
        now = win(match, "a", now)
    match.again(now)
    numbers.append(match.rounds)
    match.leave("a")
    match.join("c", "", now)
    numbers.append(match.rounds)
    assert numbers == [1, 4, 5]
    assert match.round == 1


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("Ann", "Ann"),
        ("  Ann \t of\n Arc ", "Ann of Arc"),
        ("x" * 100, "x" * MAX_NAME),
        ("", "Player 1"),
        (" \t\n", "Player 1"),
        ("\u200b\u202e", "Player 1"),
        ("a\u202eb", "a b"),
        ("a\0b", "a b"),
        ("<b>Ann</b>", "<b>Ann</b>"),
        ("Zoë 王", "Zoë 王"),
    ],
)
def test_names(given: str, shown: str) -> None:
    match = Match(DIGITS, seed=1)
    match.join("a", given, 0.0)
    assert match.seen_by("a", 0.0)["you"]["name"] == shown


def test_two_without_a_name_have_different_ones() -> None:
    match = Match(DIGITS, seed=1)
    match.join("a", "", 0.0)
    match.join("b", "", 0.0)
    assert [player.name for player in match.players.values()] == ["Player 1", "Player 2"]
    match.leave("a")
    match.join("c", "", 0.0)
    assert [player.name for player in match.players.values()] == ["Player 2", "Player 1"]


def test_prompts_are_even_and_never_twice_in_a_row() -> None:
    match = begun((*DIGITS, NOTHING), seed=8)
    prompts = []
    now = 0.0
    for _ in range(2000):
        prompts.append(match.prompt)
        match.tick(now + ROUND)
        match.tick(now + ROUND + PAUSE)
        now += ROUND + PAUSE + COUNTDOWN
        match.tick(now)
    counts = Counter(prompts)
    assert set(counts) == set(DIGITS)
    assert all(150 < count < 250 for count in counts.values())
    assert all(one != two for one, two in pairwise(prompts))


def test_a_seed_is_a_match() -> None:
    def prompts(seed: int) -> list[str | None]:
        match, now, found = begun(seed=seed), 0.0, []
        while match.phase != "over":
            found.append(match.prompt)
            now = win(match, "a", now)
        return found

    assert prompts(4) == prompts(4)
    assert len({tuple(prompts(seed)) for seed in range(20)}) > 10


@pytest.mark.parametrize("classes", [(), ("4",), ("4", NOTHING), (NOTHING,)])
def test_a_model_that_nobody_can_draw_for(classes: tuple[str, ...]) -> None:
    with pytest.raises(OptionError, match="at least two classes besides 'nothing'"):
        Match(classes, seed=1)


def test_two_classes_take_turns() -> None:
    match = begun(("x", "o", NOTHING))
    now, found = 0.0, []
    while match.phase != "over":
        found.append(match.prompt)
        now = win(match, "b", now)
    assert found in (["x", "o", "x"], ["o", "x", "o"])

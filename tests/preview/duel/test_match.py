"""The rules of a match: events, and the state that each player receives."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from pocketlens.errors import OptionError
from pocketlens.prediction import NOTHING
from pocketlens.preview.duel.match import (
    BEST_OF,
    COUNTDOWN_SECONDS,
    MAX_NAME_LENGTH,
    PAUSE_SECONDS,
    ROUND_SECONDS,
    Match,
)

DIGITS = tuple("0123456789")


def started_match(classes: tuple[str, ...] = DIGITS, seed: int = 1) -> Match:
    """A match whose first round is in the phase `drawing` at time 0."""
    match = Match(classes, seed=seed)
    match.join("a", "Ann", -COUNTDOWN_SECONDS)
    match.join("b", "Bob", -COUNTDOWN_SECONDS)
    assert match.tick(0.0)
    return match


def win(match: Match, key: str, now: float) -> float:
    """Let a player win this round and start the next one; returns the new time."""
    assert match.recognized(key, match.prompt, now)
    if match.phase == "over":
        return now
    assert match.tick(now + PAUSE_SECONDS)
    assert match.tick(now + PAUSE_SECONDS + COUNTDOWN_SECONDS)
    return now + PAUSE_SECONDS + COUNTDOWN_SECONDS


def scores(match: Match) -> list[int]:
    return [player.score for player in match.players.values()]


def test_phases_of_a_match() -> None:
    """Each row: an event, its return value, and the phase and round after it."""
    match = Match(DIGITS, seed=3)

    def join(key: str, now: float) -> None:
        match.join(key, key, now)

    def tick(now: float) -> bool:
        return match.tick(now)

    def draw(key: str, now: float, label: str | None = "prompt") -> bool:
        return match.recognized(key, match.prompt if label == "prompt" else label, now)

    rows: list[tuple[Callable[[], bool | None], bool | None, str, int]] = [
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
        (lambda: match.play_again(105), None, "pause", 1),
        (lambda: tick(107.9), False, "pause", 1),
        (lambda: tick(108), True, "countdown", 2),
        (lambda: tick(111), True, "drawing", 2),
        (lambda: tick(111 + ROUND_SECONDS - 0.1), False, "drawing", 2),
        (lambda: tick(111 + ROUND_SECONDS), True, "pause", 2),
        (lambda: draw("a", 111 + ROUND_SECONDS), False, "pause", 2),
    ]
    for event, returned, phase, number in rows:
        assert event() == returned
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
    match = started_match()
    now = 0.0
    for number, key in enumerate(winners, 1):
        assert match.phase == "drawing"
        assert match.round == number
        now = win(match, key, now + 1)
    assert match.phase == "over"
    assert (scores(match), match.winner) == (score, winner)
    assert not match.tick(now + 1000)
    assert not match.recognized("a", match.prompt, now)
    match.play_again(now + 5)
    assert (match.phase, match.round, scores(match)) == ("countdown", 1, [0, 0])


def test_rounds_without_a_winner_do_not_count() -> None:
    match = started_match()
    now = 0.0
    for _ in range(7):
        assert match.tick(now + ROUND_SECONDS)
        assert match.tick(now + ROUND_SECONDS + PAUSE_SECONDS)
        now += ROUND_SECONDS + PAUSE_SECONDS + COUNTDOWN_SECONDS
        assert match.tick(now)
    assert (match.phase, match.round, scores(match)) == ("drawing", 8, [0, 0])


def test_only_the_prompt_wins() -> None:
    match = started_match()
    for label in DIGITS:
        if label != match.prompt:
            assert not match.recognized("a", label, 1.0)
    assert match.phase == "drawing"
    assert match.recognized("b", match.prompt, 1.0)


def test_only_the_first_recognized_drawing_wins() -> None:
    match = started_match()
    assert match.recognized("b", match.prompt, 2.0)
    assert not match.recognized("a", match.prompt, 2.0)
    assert scores(match) == [0, 1]


def test_both_players_get_the_prompt_at_the_same_time() -> None:
    match = Match(DIGITS, seed=5)
    match.join("a", "Ann", 0.0)
    assert match.state_for("a", 0.0)["other"] is None
    match.join("b", "Bob", 0.0)
    for now in (0.0, COUNTDOWN_SECONDS - 0.01):
        match.tick(now)
        assert match.state_for("a", now)["prompt"] is None
        assert match.state_for("b", now)["prompt"] is None
    match.tick(COUNTDOWN_SECONDS)
    states = [match.state_for(key, COUNTDOWN_SECONDS) for key in "ab"]
    assert states[0]["prompt"] == states[1]["prompt"] == match.prompt
    for same in ("phase", "round", "best_of", "seconds"):
        assert states[0][same] == states[1][same]


def test_state_for_each_player() -> None:
    match = started_match()
    match.recognized("b", match.prompt, 10.0)
    common = {"phase": "pause", "round": 1, "best_of": BEST_OF, "prompt": match.prompt}
    ann, bob = {"name": "Ann", "score": 0}, {"name": "Bob", "score": 1}
    timed: dict[str, Any] = {"seconds": PAUSE_SECONDS - 1}
    assert match.state_for("a", 11.0) == {**common, **timed, "you": ann, "other": bob, "won": False}
    assert match.state_for("b", 11.0) == {**common, **timed, "you": bob, "other": ann, "won": True}
    match = started_match()
    match.tick(ROUND_SECONDS)
    assert match.state_for("a", ROUND_SECONDS)["won"] is None


def test_seconds_left() -> None:
    match = Match(DIGITS, seed=1)
    assert match.seconds_left(0.0) is None
    match.join("a", "", 0.0)
    assert match.seconds_left(0.0) is None
    match.join("b", "", 0.0)
    assert (match.seconds_left(0.0), match.seconds_left(1.0), match.seconds_left(99.0)) == (
        COUNTDOWN_SECONDS,
        COUNTDOWN_SECONDS - 1,
        0.0,
    )
    match.tick(COUNTDOWN_SECONDS)
    assert match.seconds_left(COUNTDOWN_SECONDS) == ROUND_SECONDS
    now = COUNTDOWN_SECONDS
    while match.phase != "over":
        now = win(match, "a", now)
    assert match.seconds_left(now) is None
    assert match.state_for("a", now)["seconds"] == 0.0


@pytest.mark.parametrize("phase", ["waiting", "countdown", "drawing", "pause", "over"])
def test_player_leaves_in_any_phase(phase: str) -> None:
    match = started_match()
    now = 0.0
    if phase == "waiting":
        match.leave("b")
    elif phase == "countdown":
        match.recognized("b", match.prompt, now)
        match.tick(now + PAUSE_SECONDS)
    elif phase == "pause":
        match.recognized("b", match.prompt, now)
    elif phase == "over":
        while match.phase != "over":
            now = win(match, "b", now)
    assert match.phase == phase
    match.leave("a" if phase != "waiting" else "nobody")
    (key,) = match.players if phase != "waiting" else ("a",)
    assert match.phase == "waiting"
    state = match.state_for(key, now)
    assert (state["other"], state["prompt"], state["round"], state["won"]) == (None, None, 0, None)
    assert state["you"]["score"] == 0
    assert not match.tick(now + 1000)
    match.play_again(now)
    assert match.phase == "waiting"  # there is no second player
    match.join("new", "Cat", now)
    assert (match.phase, match.round, scores(match)) == ("countdown", 1, [0, 0])


def test_third_player_changes_nothing() -> None:
    match = started_match()
    match.leave("c")
    assert match.phase == "drawing"
    with pytest.raises(OptionError, match="this duel already has two players; start a new one"):
        match.join("c", "Cat", 0.0)
    assert list(match.players) == ["a", "b"]


def test_total_rounds_counts_across_matches() -> None:
    """It tells a drawing of an old round from one of a new round, also in another match."""
    match = started_match()
    numbers = [match.total_rounds]
    now = 0.0
    while match.phase != "over":
        now = win(match, "a", now)
    match.play_again(now)
    numbers.append(match.total_rounds)
    match.leave("a")
    match.join("c", "", now)
    numbers.append(match.total_rounds)
    assert numbers == [1, 4, 5]
    assert match.round == 1


@pytest.mark.parametrize(
    ("name", "displayed"),
    [
        ("Ann", "Ann"),
        ("  Ann \t of\n Arc ", "Ann of Arc"),
        ("x" * 100, "x" * MAX_NAME_LENGTH),
        ("", "Player 1"),
        (" \t\n", "Player 1"),
        ("\u200b\u202e", "Player 1"),
        ("a\u202eb", "a b"),
        ("a\0b", "a b"),
        ("<b>Ann</b>", "<b>Ann</b>"),
        ("Zoë 王", "Zoë 王"),
    ],
)
def test_displayed_names(name: str, displayed: str) -> None:
    match = Match(DIGITS, seed=1)
    match.join("a", name, 0.0)
    assert match.state_for("a", 0.0)["you"]["name"] == displayed


def test_default_names_are_different() -> None:
    match = Match(DIGITS, seed=1)
    match.join("a", "", 0.0)
    match.join("b", "", 0.0)
    assert [player.name for player in match.players.values()] == ["Player 1", "Player 2"]
    match.leave("a")
    match.join("c", "", 0.0)
    assert [player.name for player in match.players.values()] == ["Player 2", "Player 1"]


def test_prompts_are_uniform_and_never_repeat() -> None:
    match = started_match((*DIGITS, NOTHING), seed=8)
    prompts = []
    now = 0.0
    for _ in range(2000):
        prompts.append(match.prompt)
        match.tick(now + ROUND_SECONDS)
        match.tick(now + ROUND_SECONDS + PAUSE_SECONDS)
        now += ROUND_SECONDS + PAUSE_SECONDS + COUNTDOWN_SECONDS
        match.tick(now)
    counts = Counter(prompts)
    assert set(counts) == set(DIGITS)
    assert all(150 < count < 250 for count in counts.values())
    assert all(one != two for one, two in pairwise(prompts))


def test_seed_determines_the_prompts() -> None:
    def prompts(seed: int) -> list[str | None]:
        match, now, drawn = started_match(seed=seed), 0.0, []
        while match.phase != "over":
            drawn.append(match.prompt)
            now = win(match, "a", now)
        return drawn

    assert prompts(4) == prompts(4)
    assert len({tuple(prompts(seed)) for seed in range(20)}) > 10


@pytest.mark.parametrize("classes", [(), ("4",), ("4", NOTHING), (NOTHING,)])
def test_model_with_one_class_is_rejected(classes: tuple[str, ...]) -> None:
    with pytest.raises(OptionError, match="at least two classes besides 'nothing'"):
        Match(classes, seed=1)


def test_two_classes_alternate() -> None:
    match = started_match(("x", "o", NOTHING))
    now, drawn = 0.0, []
    while match.phase != "over":
        drawn.append(match.prompt)
        now = win(match, "b", now)
    assert drawn in (["x", "o", "x"], ["o", "x", "o"])

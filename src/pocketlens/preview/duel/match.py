"""The game: two players get the same prompt; who first draws what the model recognizes wins.

`Match` holds the rules and knows neither sockets nor clocks: it is told what happens, and when.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pocketlens.errors import OptionError
from pocketlens.prediction import NOTHING

__all__ = ["BEST_OF", "Match"]

BEST_OF = 5
PLAYERS = 2
COUNTDOWN, ROUND, PAUSE = 3.0, 45.0, 3.0
"""Seconds before a round, of a round at most, and after it."""

MAX_NAME = 24


@dataclass
class Player:
    """One of the two."""

    name: str
    score: int = 0


class Match:
    """Best of five.

    Phases: `waiting` for the second player, `countdown`, `drawing`, `pause` after a round, `over`.

    Args:
        classes: The model's; `nothing` is no prompt.
        seed: Chooses the prompts.

    Raises:
        OptionError: Fewer than two classes to draw.
    """

    def __init__(self, classes: Sequence[str], *, seed: int) -> None:
        self.prompts = [name for name in classes if name != NOTHING]
        if len(self.prompts) < 2:
            raise OptionError("a duel needs a model with at least two classes besides 'nothing'")
        self.random = random.Random(seed)  # noqa: S311 - a game
        self.players: dict[str, Player] = {}
        self.rounds = 0
        """How many have begun in all matches; `round` counts those of this match."""
        self._start_anew()

    def _start_anew(self) -> None:
        self.phase = "waiting"
        self.until = 0.0
        self.round = 0
        self.prompt: str | None = None
        self.winner: str | None = None
        """Of the round in `pause`, of the match in `over`; None for nobody."""
        for player in self.players.values():
            player.score = 0

    def join(self, key: str, name: str, now: float) -> None:
        """A player comes; with the second one the match begins.

        Raises:
            OptionError: There are two already.
        """
        if len(self.players) >= PLAYERS:
            raise OptionError("two are playing here already; start a duel of your own")
        self.players[key] = Player(self._shown(name))
        if len(self.players) == PLAYERS:
            self._start_anew()
            self._begin_round(now)

    def leave(self, key: str) -> None:
        """A player is gone; the other waits for a new one, and keeps no score."""
        if self.players.pop(key, None) is not None:
            self._start_anew()

    def again(self, now: float) -> None:
        """A new match between the same two, after the old one."""
        if self.phase == "over":
            self._start_anew()
            self._begin_round(now)

    def left(self, now: float) -> float | None:
        """Seconds until it is time to go on; None while only a player can change things."""
        return None if self.phase in ("waiting", "over") else max(0.0, self.until - now)

    def tick(self, now: float) -> bool:
        """Go on if it is time to; whether anything has changed."""
        if self.left(now) != 0:
            return False
        if self.phase == "countdown":
            self.phase, self.until = "drawing", now + ROUND
        elif self.phase == "drawing":
            self._end_round(None, now)
        else:
            self._begin_round(now)
        return True

    def recognized(self, key: str, label: str | None, now: float) -> bool:
        """The model steadily takes a player's drawing for `label`; whether that wins the round."""
        if self.phase != "drawing" or label != self.prompt or key not in self.players:
            return False
        self.players[key].score += 1
        self._end_round(key, now)
        return True

    def _shown(self, name: str) -> str:
        """A name as it is shown: on one line, nothing invisible in it, not too long."""
        visible = "".join(letter if letter.isprintable() else " " for letter in name)
        taken = {player.name for player in self.players.values()}
        free = (f"Player {number}" for number in range(1, PLAYERS + 1))
        return " ".join(visible.split())[:MAX_NAME] or next(n for n in free if n not in taken)

    def _begin_round(self, now: float) -> None:
        self.rounds += 1
        self.round += 1
        choices = [name for name in self.prompts if name != self.prompt]
        self.prompt = self.random.choice(choices)
        self.winner = None
        self.phase, self.until = "countdown", now + COUNTDOWN

    def _end_round(self, winner: str | None, now: float) -> None:
        self.winner = winner
        self.phase, self.until = "pause", now + PAUSE
        if winner is not None and self.players[winner].score > BEST_OF // 2:
            self.phase = "over"

    def seen_by(self, key: str, now: float) -> dict[str, Any]:
        """What a player is told, for JSON. The prompt is secret until the countdown is over."""
        mine = self.players[key]
        other = next((p for k, p in self.players.items() if k != key), None)
        return {
            "phase": self.phase,
            "round": self.round,
            "best_of": BEST_OF,
            "prompt": None if self.phase in ("waiting", "countdown") else self.prompt,
            "seconds": round(self.left(now) or 0.0, 2),
            "you": {"name": mine.name, "score": mine.score},
            "other": other and {"name": other.name, "score": other.score},
            "won": None if self.winner is None else self.winner == key,
        }

"""The rules of the duel: two players get the same prompt; the first recognized drawing wins.

`Match` has no sockets and no clock: its methods are called with each event and the current time.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from pocketlens.errors import OptionError
from pocketlens.prediction import NOTHING

__all__ = ["BEST_OF", "Match"]

Phase: TypeAlias = Literal["waiting", "countdown", "drawing", "pause", "over"]

BEST_OF = 5
PLAYERS = 2

COUNTDOWN_SECONDS, ROUND_SECONDS, PAUSE_SECONDS = 3.0, 45.0, 3.0
"""Durations: before a round, of a round at most, after a round."""

MAX_NAME_LENGTH = 24


@dataclass
class Player:
    """One of the two players."""

    name: str
    score: int = 0


class Match:
    """A match, best of five rounds.

    The phases are `waiting` (for the second player), `countdown`, `drawing`, `pause` (after a
    round) and `over`. Times are in seconds of any clock that never goes backward.

    Args:
        classes: The model's classes; all but `nothing` are prompts.
        seed: Selects the prompts.

    Raises:
        OptionError: Fewer than two classes to draw.
    """

    def __init__(self, classes: Sequence[str], *, seed: int) -> None:
        self.prompts = [name for name in classes if name != NOTHING]
        if len(self.prompts) < 2:
            raise OptionError("a duel needs a model with at least two classes besides 'nothing'")
        self.random = random.Random(seed)  # noqa: S311 - only a game
        self.players: dict[str, Player] = {}
        self.total_rounds = 0
        """Rounds started in all matches of these players; `round` counts only this match."""
        self._reset()

    def _reset(self) -> None:
        self.phase: Phase = "waiting"
        self.phase_end = 0.0
        self.round = 0
        self.prompt: str | None = None
        self.winner: str | None = None
        """The winner's key: of the round in `pause`, of the match in `over`; None for nobody."""
        for player in self.players.values():
            player.score = 0

    def join(self, key: str, name: str, now: float) -> None:
        """Add a player; the match starts with the second player.

        Raises:
            OptionError: There are two players already.
        """
        if len(self.players) >= PLAYERS:
            raise OptionError("this duel already has two players; start a new one")
        self.players[key] = Player(self._display_name(name))
        if len(self.players) == PLAYERS:
            self._reset()
            self._start_round(now)

    def leave(self, key: str) -> None:
        """Remove a player; the other one waits for a new player and loses the score."""
        if self.players.pop(key, None) is not None:
            self._reset()

    def play_again(self, now: float) -> None:
        """Start a new match of the same players, if the old match is over."""
        if self.phase == "over":
            self._reset()
            self._start_round(now)

    def seconds_left(self, now: float) -> float | None:
        """Seconds until the phase ends by itself; None if only a player can end it."""
        return None if self.phase in ("waiting", "over") else max(0.0, self.phase_end - now)

    def tick(self, now: float) -> bool:
        """Start the next phase if the time of this one is over.

        Returns:
            Whether the phase has changed.
        """
        if self.seconds_left(now) != 0:
            return False
        if self.phase == "countdown":
            self.phase, self.phase_end = "drawing", now + ROUND_SECONDS
        elif self.phase == "drawing":
            self._end_round(None, now)
        else:
            self._start_round(now)
        return True

    def recognized(self, key: str, label: str | None, now: float) -> bool:
        """Report that the model recognizes a player's drawing as `label`.

        Returns:
            Whether the player wins the round.
        """
        if self.phase != "drawing" or label != self.prompt or key not in self.players:
            return False
        self.players[key].score += 1
        self._end_round(key, now)
        return True

    def _display_name(self, name: str) -> str:
        """A player's name on one line, without invisible characters, of limited length."""
        visible = "".join(letter if letter.isprintable() else " " for letter in name)
        taken = {player.name for player in self.players.values()}
        defaults = (f"Player {number}" for number in range(1, PLAYERS + 1))
        return " ".join(visible.split())[:MAX_NAME_LENGTH] or next(
            default for default in defaults if default not in taken
        )

    def _start_round(self, now: float) -> None:
        self.total_rounds += 1
        self.round += 1
        choices = [name for name in self.prompts if name != self.prompt]
        self.prompt = self.random.choice(choices)
        self.winner = None
        self.phase, self.phase_end = "countdown", now + COUNTDOWN_SECONDS

    def _end_round(self, winner: str | None, now: float) -> None:
        self.winner = winner
        self.phase, self.phase_end = "pause", now + PAUSE_SECONDS
        if winner is not None and self.players[winner].score > BEST_OF // 2:
            self.phase = "over"

    def state_for(self, key: str, now: float) -> dict[str, Any]:
        """The state of the match for one player, as JSON.

        The prompt is null until the countdown is over.
        """
        me = self.players[key]
        other = next((player for k, player in self.players.items() if k != key), None)
        return {
            "phase": self.phase,
            "round": self.round,
            "best_of": BEST_OF,
            "prompt": None if self.phase in ("waiting", "countdown") else self.prompt,
            "seconds": round(self.seconds_left(now) or 0.0, 2),
            "you": {"name": me.name, "score": me.score},
            "other": other and {"name": other.name, "score": other.score},
            "won": None if self.winner is None else self.winner == key,
        }

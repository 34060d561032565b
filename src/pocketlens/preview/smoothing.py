"""Decides from frame to frame which label is shown, so that it neither flickers nor guesses.

The rule is the same as in the app (`DecisionRule` and `ProbabilitySmoother` of `RecognizerKit`). A
new label needs a high probability, a clear lead over the second class and a low probability of
`nothing`, several frames in a row. A shown label stays until its probability falls below a lower
threshold. `nothing` is never shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketlens.app.spec import Display
from pocketlens.prediction import NOT_SURE, NOTHING, Predictor

__all__ = ["NOT_SURE", "Smoother"]


class Smoother:
    """Turns a stream of probabilities into the label to show.

    Args:
        classes: The model's `K` classes.
        display: When a label is shown.
    """

    def __init__(self, classes: Sequence[str], display: Display) -> None:
        self.classes = tuple(classes)
        self.display = display
        self.background = self.classes.index(NOTHING) if NOTHING in self.classes else None
        self.reset()

    @classmethod
    def for_model(cls, model: Predictor, *, still: bool = False) -> Smoother:
        """A smoother with the model's own thresholds.

        Args:
            model: Its classes and thresholds are used.
            still: For a single image: no smoothing, and one image is enough to show a label.
        """
        display = Display(**asdict(model.thresholds))
        return cls(model.classes, replace(display, hold=1, smoothing=1.0) if still else display)

    def reset(self) -> None:
        """Forget all frames, for example after a pause or when the camera changes."""
        self.average: NDArray[np.float64] | None = None
        self.shown: int | None = None
        self._candidate: int | None = None
        self._frames = 0

    @property
    def confidence(self) -> float | None:
        """The smoothed probability of the shown label; None if no label is shown."""
        if self.average is None or self.shown is None:
            return None
        return float(self.average[self.shown])

    @property
    def verdict(self) -> str:
        """What is shown as the result: the label, `nothing`, or `NOT_SURE`.

        `nothing` means that it is the most probable class. Before the first frame: `NOT_SURE`.
        """
        if self.shown is not None:
            return self.classes[self.shown]
        nothing = self.average is not None and int(self.average.argmax()) == self.background
        return NOTHING if nothing else NOT_SURE

    def add(self, probabilities: NDArray[np.floating[Any]]) -> str | None:
        """Add the probabilities `(K,)` of one frame.

        Returns:
            The label to show now; None for no label.
        """
        if self.average is None:
            self.average = probabilities.astype(np.float64)
        else:
            self.average += self.display.smoothing * (probabilities - self.average)
        winner = self._clear_winner(self.average)
        same = winner is not None and winner == self._candidate
        self._frames = self._frames + 1 if same else int(winner is not None)
        self._candidate = winner
        if winner is not None and self._frames >= self.display.hold:
            self.shown = winner
        if self.shown is not None and self.average[self.shown] < self.display.keep:
            self.shown = None
        return None if self.shown is None else self.classes[self.shown]

    def _clear_winner(self, average: NDArray[np.float64]) -> int | None:
        """The index of the most probable class if it meets all thresholds for a new label."""
        best = int(average.argmax())
        second = float(np.delete(average, best).max(initial=0.0))
        first, display = float(average[best]), self.display
        present = 1.0 if self.background is None else 1 - float(average[self.background])
        clear = (
            best != self.background
            and first >= display.show
            and first - second >= display.margin
            and present >= display.present
        )
        return best if clear else None

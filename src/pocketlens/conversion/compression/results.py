"""The result of `compress`: what was measured, and what was chosen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pocketlens.conversion.compression.measuring import Measured
from pocketlens.evaluation.accuracy import percent
from pocketlens.files import size_text

__all__ = ["Candidate", "Compressed", "smallest_within"]


@dataclass(frozen=True)
class Candidate:
    """A file that was measured.

    Args:
        kind: The kind of compression; `original` for the file itself.
        text: What that is, in a few words.
        ios: The first iOS version that can run the file.
        bytes: Its size on disk; of a package, of all files in it.
        smaller: How many times smaller it is than the original.
        chosen_on: On the images for the choice.
        reported_on: On the images for the report.
        loss: Percentage points of accuracy that it loses on the images for the choice.
        reported_loss: The same on the images for the report.
        milliseconds: Median time of one image on this computer.
        within: Whether `loss` is within the budget.
    """

    kind: str
    text: str
    ios: int
    bytes: int
    smaller: float
    chosen_on: Measured
    reported_on: Measured
    loss: float
    reported_loss: float
    milliseconds: float
    within: bool

    def to_dict(self) -> dict[str, Any]:
        """A dictionary for JSON."""
        return {
            **vars(self),
            "chosen_on": self.chosen_on.to_dict(),
            "reported_on": self.reported_on.to_dict(),
        }


@dataclass(frozen=True)
class Compressed:
    """The result of `compress`.

    Args:
        original: The file itself.
        candidates: All candidates, the smallest first.
        chosen: The kind that was written; None if no candidate is within the budget.
        path: The file that was written; None without one.
        max_loss: The budget, in percentage points of accuracy.
        notes: What the user should know.
    """

    original: Candidate
    candidates: tuple[Candidate, ...]
    chosen: str | None
    path: Path | None
    max_loss: float
    notes: tuple[str, ...] = ()

    @property
    def best(self) -> Candidate | None:
        """The candidate that was written."""
        return next((each for each in self.candidates if each.kind == self.chosen), None)

    def __str__(self) -> str:
        rows = [self.original, *self.candidates]
        width = max(len(each.kind) for each in rows)
        lines = [
            f"{'':2}{'kind':{width}} {'iOS':>4} {'size':>9} {'smaller':>8}  {'loss':>6}  "
            f"{'accuracy (95 % interval)':30} {'agreement':>9} {'max |Δp|':>9} {'ms':>7}"
        ]
        for each in rows:
            mark = ">" if each.kind == self.chosen else " "
            lines.append(
                f"{mark:2}{each.kind:{width}} {each.ios:>4} {size_text(each.bytes):>9} "
                f"{each.smaller:>7.2f}×  {each.loss:>6.2f}  {each.reported_on!s:30} "
                f"{percent(each.reported_on.agreement):>9} "
                f"{each.reported_on.max_difference:>9.3f} {each.milliseconds:>7.2f}"
            )
        lines.append(
            f"loss: percentage points on the {self.original.chosen_on.images:,} images for the "
            f"choice, at most {self.max_loss:g}; accuracy, agreement and |Δp| with the original: "
            f"on {self.original.reported_on.images:,} other images; ms: per image, here"
        )
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """A dictionary for JSON."""
        return {
            "original": self.original.to_dict(),
            "candidates": [each.to_dict() for each in self.candidates],
            "chosen": self.chosen,
            "path": None if self.path is None else str(self.path),
            "max_loss": self.max_loss,
            "notes": list(self.notes),
        }


def smallest_within(candidates: Sequence[Candidate]) -> Candidate | None:
    """The smallest candidate within the budget that is smaller than the original; None without."""
    fitting = [each for each in candidates if each.within and each.smaller > 1]
    return min(fitting, key=lambda each: each.bytes, default=None)

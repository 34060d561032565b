"""Results of the robustness suite: tables of accuracy, and rejection of empty scenes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pocketlens.evaluation.accuracy import Evaluation, percent
from pocketlens.evaluation.chance import wilson_interval

__all__ = ["BINS", "Rejection", "Score", "Share", "SuiteResult", "Table"]

BINS = 20
"""Number of bins in the histograms of scores."""

WIDE = 6
"""A table with one row and at least this many columns is printed transposed."""


@dataclass(frozen=True)
class Score:
    """Accuracy on some images.

    Args:
        n: Number of images.
        accuracy: Share of right predictions, in [0, 1].
        interval: Its 95 % Wilson score interval `(low, high)`.
        calibration: Expected calibration error in [0, 1]; None if it was not measured.
    """

    n: int
    accuracy: float
    interval: tuple[float, float]
    calibration: float | None

    @classmethod
    def of(cls, evaluation: Evaluation) -> Score:
        """The numbers of an evaluation that a table needs."""
        return cls(
            evaluation.n, evaluation.accuracy, evaluation.interval, evaluation.calibration.error
        )


@dataclass(frozen=True)
class Share:
    """A share of some images.

    Args:
        name: What is counted.
        n: Number of images in total.
        share: The share, in [0, 1].
        interval: Its 95 % Wilson score interval `(low, high)`.
    """

    name: str
    n: int
    share: float
    interval: tuple[float, float]

    @classmethod
    def of(cls, name: str, hits: int, n: int) -> Share:
        """The share `hits / n`; `n` is at least 1."""
        return cls(name, n, hits / n, wilson_interval(hits, n))


@dataclass(frozen=True)
class Table:
    """The result of one test of the suite.

    Args:
        name: A short name, also used in file names: `turns`.
        title: The title for people.
        note: How it was measured.
        rows: Names of the rows.
        columns: Names of the columns.
        scores: `scores[row][column]`.

    Raises:
        ValueError: `scores` does not have one row per name in `rows` and one column per name in
            `columns`.
    """

    name: str
    title: str
    note: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    scores: tuple[tuple[Score, ...], ...]

    def __post_init__(self) -> None:
        if [len(row) for row in self.scores] != [len(self.columns)] * len(self.rows):
            raise ValueError(
                f"the table {self.name!r} has {len(self.rows)} rows and {len(self.columns)} "
                "columns, but scores of another shape"
            )

    def __str__(self) -> str:
        lines = [self.title, f"  {self.note}"]
        if len(self.rows) == 1 and len(self.columns) >= WIDE:
            wide = max(len(name) for name in self.columns)
            lines.append(
                f"  {'':{wide}}  accuracy   95 % interval         calibration error  images"
            )
            lines += [
                f"  {name:{wide}}  {_line(score)}"
                for name, score in zip(self.columns, self.scores[0], strict=True)
            ]
            return "\n".join(lines)
        wide = max(len(name) for name in self.rows)
        cell = max(9, *(len(name) + 1 for name in self.columns))
        lines.append(" " * (wide + 2) + "".join(f"{name:>{cell}}" for name in self.columns))
        for name, row in zip(self.rows, self.scores, strict=True):
            shares = "".join(f"{percent(score.accuracy):>{cell}}" for score in row)
            lines.append(f"  {name:{wide}}{shares}")
        return "\n".join(lines)


@dataclass(frozen=True)
class Rejection:
    """How well a model tells digits (or its other classes) from empty scenes.

    The score of an image is the probability that something is there: 1 minus the probability of
    `nothing`, or, for a model without that class, the largest probability. A label is *shown* if it
    is not `nothing`, its probability is at least `threshold`, and the score is at least `present`.

    Args:
        note: Which images were used.
        threshold: The lowest probability at which a label is shown.
        present: The lowest score at which a label is shown; None for a model without the class
            `nothing`.
        auroc: Area under the ROC curve: the probability that a digit has a higher score than an
            empty scene (ties count half). 1 is perfect, 0.5 is chance.
        fpr: Share of the empty scenes whose score is at least the score that 95 % of the digits
            reach.
        kept: Share of the digits for which a label is shown.
        right: Share of the digits for which the right label is shown.
        false: Share of the empty scenes for which a label is shown.
        kept_by_kind: `kept`, by the surface that the digits are written on.
        false_by_kind: `false`, by the kind of scene.
        digits: Histogram of the digits' scores: counts in 20 bins over [0, 1].
        nothing: Histogram of the empty scenes' scores.

    Raises:
        ValueError: A histogram does not have 20 bins.
    """

    note: str
    threshold: float
    present: float | None
    auroc: float
    fpr: float
    kept: Share
    right: Share
    false: Share
    kept_by_kind: tuple[Share, ...]
    false_by_kind: tuple[Share, ...]
    digits: tuple[int, ...]
    nothing: tuple[int, ...]

    def __post_init__(self) -> None:
        if {len(self.digits), len(self.nothing)} != {BINS}:
            raise ValueError(f"the histograms of scores must have {BINS} bins")

    @property
    def rule(self) -> str:
        """The limits for showing a label, in words."""
        if self.present is None:
            return f"a probability of {self.threshold:g}"
        return f"a probability of {self.threshold:g}, and {self.present:g} that there is something,"

    def __str__(self) -> str:
        lines = [
            "Does it know when nothing is there?",
            f"  {self.note}",
            f"  AUROC {self.auroc:.4f}; false positives when 95 % of the digits are kept: "
            f"{percent(self.fpr)}",
            f"  a label is shown from {self.rule} on:",
        ]
        shares = (self.kept, self.right, self.false, *self.kept_by_kind, *self.false_by_kind)
        wide = max(len(share.name) for share in shares)
        for heading, group in (
            ("", (self.kept, self.right, self.false)),
            ("  kept, by surface", self.kept_by_kind),
            ("  false positives, by kind of scene", self.false_by_kind),
        ):
            lines += [heading] if heading and group else []
            for one in group:
                low, high = one.interval
                lines.append(
                    f"  {one.name:{wide}} {percent(one.share):>9}  "
                    f"{percent(low):>9} to {percent(high):>8} {one.n:8,}"
                )
        return "\n".join(lines)


@dataclass(frozen=True)
class SuiteResult:
    """The results of the robustness suite.

    Args:
        data: Name of the data set.
        classes: The model's classes.
        limit: Number of images per test; the clean test uses all images.
        seed: The seed of all tests.
        tables: The results of the tests, in order.
        rejection: Digits against empty scenes.
        left_out: Tests that were skipped, each with the reason.
        seconds: Duration of the suite.
    """

    data: str
    classes: tuple[str, ...]
    limit: int
    seed: int
    tables: tuple[Table, ...]
    rejection: Rejection
    left_out: tuple[str, ...]
    seconds: float

    def table(self, name: str) -> Table | None:
        """The table with this name; None if the test was skipped."""
        return next((table for table in self.tables if table.name == name), None)

    def __str__(self) -> str:
        parts = [*(str(table) for table in self.tables), str(self.rejection)]
        parts += [f"Left out: {what}" for what in self.left_out]
        return "\n\n".join(parts)

    def to_dict(self) -> dict[str, Any]:
        """A dictionary of lists, strings and numbers for JSON; the inverse of `from_dict`."""
        values = _plain(asdict(self))
        assert isinstance(values, dict)
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> SuiteResult:
        """The inverse of `to_dict`.

        Raises:
            DataError: A key is missing, a value has the wrong type, or the parts do not fit.
        """
        from pocketlens.json_fields import read_fields

        return read_fields(cls, values, "a result of the suite")


def _line(score: Score) -> str:
    low, high = score.interval
    error = "–" if score.calibration is None else percent(score.calibration)
    return (
        f"{percent(score.accuracy):>8}   {percent(low):>8} to {percent(high):>8}  "
        f"{error:>18} {score.n:7,}"
    )


def _plain(values: Any) -> Any:
    """The same values with lists instead of tuples, at all levels."""
    if isinstance(values, dict):
        return {key: _plain(value) for key, value in values.items()}
    if isinstance(values, (list, tuple)):
        return [_plain(value) for value in values]
    return values

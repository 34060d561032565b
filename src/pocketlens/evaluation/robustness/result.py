"""What the suite found: tables of accuracy, and how well digits are told from nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pocketlens.evaluation.accuracy import Evaluation, percent, wilson_interval
from pocketlens.json_fields import number, number_or_none, reading, whole

__all__ = ["BINS", "Rejection", "Score", "Share", "SuiteResult", "Table"]

BINS = 20
"""Bins of the scores' histograms."""

WIDE = 6
"""From so many columns on, a table of one row is printed downwards."""


@dataclass(frozen=True)
class Score:
    """How many answers are right.

    Args:
        n: How many images.
        accuracy: The share answered right, in [0, 1].
        interval: Its 95 % Wilson score interval `(low, high)`.
        calibration: Expected calibration error in [0, 1]; None where it was not measured.
    """

    n: int
    accuracy: float
    interval: tuple[float, float]
    calibration: float | None

    @classmethod
    def of(cls, evaluation: Evaluation) -> Score:
        """The figures of an evaluation that a table keeps."""
        return cls(
            evaluation.n, evaluation.accuracy, evaluation.interval, evaluation.calibration.error
        )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Score:
        """The inverse of `dataclasses.asdict`; raises KeyError, TypeError or ValueError."""
        return cls(
            n=whole(values["n"]),
            accuracy=number(values["accuracy"]),
            interval=_pair(values["interval"]),
            calibration=number_or_none(values["calibration"]),
        )


@dataclass(frozen=True)
class Share:
    """A share of some images.

    Args:
        name: Which images.
        n: How many of them.
        share: In [0, 1].
        interval: The share's 95 % Wilson score interval `(low, high)`.
    """

    name: str
    n: int
    share: float
    interval: tuple[float, float]

    @classmethod
    def of(cls, name: str, hits: int, n: int) -> Share:
        """`hits` of `n`, at least one image."""
        return cls(name, n, hits / n, wilson_interval(hits, n))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Share:
        """The inverse of `dataclasses.asdict`; raises KeyError, TypeError or ValueError."""
        return cls(
            name=str(values["name"]),
            n=whole(values["n"]),
            share=number(values["share"]),
            interval=_pair(values["interval"]),
        )


@dataclass(frozen=True)
class Table:
    """One test of the suite.

    Args:
        name: A word for it, as in file names: `turns`.
        title: What is asked, for people.
        note: How it was done.
        rows: What changes from row to row.
        columns: What changes from column to column.
        scores: `scores[row][column]`.
    """

    name: str
    title: str
    note: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    scores: tuple[tuple[Score, ...], ...]

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

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Table:
        """The inverse of `dataclasses.asdict`; raises KeyError, TypeError or ValueError."""
        table = cls(
            name=str(values["name"]),
            title=str(values["title"]),
            note=str(values["note"]),
            rows=_names(values["rows"]),
            columns=_names(values["columns"]),
            scores=tuple(tuple(Score.from_dict(one) for one in row) for row in values["scores"]),
        )
        sizes = {len(row) for row in table.scores}
        if len(table.scores) != len(table.rows) or sizes != {len(table.columns)}:
            raise ValueError(
                f"the table {table.name!r} has {len(table.rows)} rows and {len(table.columns)} "
                "columns, but scores of another shape"
            )
        return table


@dataclass(frozen=True)
class Rejection:
    """How well a model tells digits (or what else it was trained for) from nothing.

    The score of an image is how probable it is that there is something: one less the probability
    of `nothing`. Of a model without that class it is the largest probability. An answer is *shown*
    if it is not `nothing`, its probability reaches the threshold, and the score reaches `present`.

    Args:
        note: Which images were asked about.
        threshold: From which probability on an answer is shown.
        present: From which score on; None for a model without the class `nothing`.
        auroc: Area under the ROC curve: how often a digit scores higher than nothing does, ties
            counting half. 1 is best, 0.5 is guessing.
        fpr: Of the scenes of nothing, the share that scores as high as 95 % of the digits do.
        kept: Of the digits, the share with an answer shown.
        right: Of the digits, the share with the right answer shown.
        false: Of the scenes of nothing, the share with an answer shown.
        kept_by_kind: `kept` by what the digits are written on.
        false_by_kind: `false` by what the scenes show.
        digits: How many digits have which score: 20 bins over [0, 1].
        nothing: The same of the scenes of nothing.
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

    @property
    def rule(self) -> str:
        """From where on an answer is shown, in words."""
        if self.present is None:
            return f"a probability of {self.threshold:g}"
        return f"a probability of {self.threshold:g}, and {self.present:g} that there is something,"

    def __str__(self) -> str:
        lines = [
            "Does it know when nothing is there?",
            f"  {self.note}",
            f"  AUROC {self.auroc:.4f}; {percent(self.fpr)} of nothing scores as high as 95 % of "
            "what is there",
            f"  shown from {self.rule} on:",
        ]
        shares = (self.kept, self.right, self.false, *self.kept_by_kind, *self.false_by_kind)
        wide = max(len(share.name) for share in shares)
        for heading, group in (
            ("", (self.kept, self.right, self.false)),
            ("  kept, by what it is on", self.kept_by_kind),
            ("  false answers, by what is seen", self.false_by_kind),
        ):
            lines += [heading] if heading and group else []
            for one in group:
                low, high = one.interval
                lines.append(
                    f"  {one.name:{wide}} {percent(one.share):>9}  "
                    f"{percent(low):>9} to {percent(high):>8} {one.n:8,}"
                )
        return "\n".join(lines)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Rejection:
        """The inverse of `dataclasses.asdict`; raises KeyError, TypeError or ValueError."""
        found = cls(
            note=str(values["note"]),
            threshold=number(values["threshold"]),
            present=None if values["present"] is None else number(values["present"]),
            auroc=number(values["auroc"]),
            fpr=number(values["fpr"]),
            kept=Share.from_dict(values["kept"]),
            right=Share.from_dict(values["right"]),
            false=Share.from_dict(values["false"]),
            kept_by_kind=tuple(Share.from_dict(one) for one in values["kept_by_kind"]),
            false_by_kind=tuple(Share.from_dict(one) for one in values["false_by_kind"]),
            digits=tuple(whole(count) for count in values["digits"]),
            nothing=tuple(whole(count) for count in values["nothing"]),
        )
        if {len(found.digits), len(found.nothing)} != {BINS}:
            raise ValueError(f"histograms of rejection have {BINS} bins")
        return found


@dataclass(frozen=True)
class SuiteResult:
    """All that the suite found.

    Args:
        data: Which data set was used.
        classes: The model's classes.
        limit: Images of each test; of the clean one, all.
        seed: What the tests were drawn with.
        tables: The tests, in order.
        rejection: Digits against nothing.
        left_out: What was not measured, and why.
        seconds: How long it took.
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
        """The table of that name; None if that test was left out."""
        return next((table for table in self.tables if table.name == name), None)

    def __str__(self) -> str:
        parts = [*(str(table) for table in self.tables), str(self.rejection)]
        parts += [f"Left out: {what}" for what in self.left_out]
        return "\n\n".join(parts)

    def to_dict(self) -> dict[str, Any]:
        """Plain lists, strings and numbers, ready for JSON; the inverse of `from_dict`."""
        return _plain(asdict(self))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> SuiteResult:
        """The inverse of `to_dict`.

        Raises:
            DataError: A key is missing, a value has the wrong type, or the parts do not fit.
        """
        with reading("a result of the suite"):
            return cls(
                data=str(values["data"]),
                classes=_names(values["classes"]),
                limit=whole(values["limit"]),
                seed=whole(values["seed"]),
                tables=tuple(Table.from_dict(one) for one in values["tables"]),
                rejection=Rejection.from_dict(values["rejection"]),
                left_out=_names(values["left_out"]),
                seconds=number(values["seconds"]),
            )


def _line(score: Score) -> str:
    low, high = score.interval
    error = "–" if score.calibration is None else percent(score.calibration)
    return (
        f"{percent(score.accuracy):>8}   {percent(low):>8} to {percent(high):>8}  "
        f"{error:>18} {score.n:7,}"
    )


def _names(values: Sequence[Any]) -> tuple[str, ...]:
    if not isinstance(values, (list, tuple)):
        raise TypeError(f"expected a list of names; received: {values!r:.80}")
    return tuple(str(value) for value in values)


def _pair(values: Sequence[Any]) -> tuple[float, float]:
    low, high = values
    return number(low), number(high)


def _plain(values: Any) -> Any:
    """Tuples as lists, all the way down."""
    if isinstance(values, dict):
        return {key: _plain(value) for key, value in values.items()}
    if isinstance(values, (list, tuple)):
        return [_plain(value) for value in values]
    return values

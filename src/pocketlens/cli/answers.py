"""What `pocketlens predict` prints of an image: its label, or the number in it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pocketlens.errors import printable

if TYPE_CHECKING:
    from pocketlens.numbers import Digit, Number
    from pocketlens.prediction import Prediction

__all__ = ["NUMBERS", "PREDICTIONS", "Answers", "cell"]

Answer = TypeVar("Answer")

FORMULA = ("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")
"""What begins a formula in a spreadsheet."""


@dataclass(frozen=True)
class Answers(Generic[Answer]):
    """A kind of answer, and how it is printed.

    Args:
        line: One answer and how many classes to print, as a line of text.
        to_json: The same, as the fields of a JSON object.
        columns: The columns of a table.
        row: One answer as their cells.
    """

    line: Callable[[Answer, int], str]
    to_json: Callable[[Answer, int], dict[str, Any]]
    columns: tuple[str, ...]
    row: Callable[[Answer], list[str]]


def cell(value: object) -> str:
    """Text for a cell: a spreadsheet must not take a name for a formula."""
    text = printable(str(value))
    return f"'{text}" if text.lstrip().startswith(FORMULA) else text


def _prediction_line(answer: Prediction, top: int) -> str:
    classes = _classes(answer, top)
    return classes if answer.shown else f"{answer.verdict} ({classes})"


def _classes(answer: Prediction, top: int) -> str:
    return ", ".join(f"{label} {100 * p:.2f} %" for label, p in answer.top(top))


def _prediction_json(answer: Prediction, top: int) -> dict[str, Any]:
    return {
        "label": answer.label,
        "confidence": answer.confidence,
        "shown": answer.shown,
        "verdict": answer.verdict,
        "top": dict(answer.top(top)),
    }


def _prediction_row(answer: Prediction) -> list[str]:
    confidence, shown = f"{answer.confidence:.6f}", _yes(answer.shown)
    return [cell(answer.verdict), cell(answer.label), confidence, shown]


def _number_line(number: Number, top: int) -> str:
    if not number.digits:
        return "no digits"
    unsure = [
        f"digit {place} is not sure: {_classes(digit.prediction, top)}"
        for place, digit in enumerate(number.digits, start=1)
        if not digit.sure
    ]
    lines = [f"{len(number.lines)} lines"] if len(number.lines) > 1 else []
    notes = "; ".join([*lines, *unsure])
    return _in_one_line(number) + (f" ({notes})" if notes else "")


def _number_json(number: Number, top: int) -> dict[str, Any]:
    return {
        "number": number.text,
        "sure": number.sure,
        "digits": [
            digit
            for line, digits in enumerate(number.lines, start=1)
            for digit in _digits_json(digits, line, top)
        ],
    }


def _digits_json(digits: Iterable[Digit], line: int, top: int) -> list[dict[str, Any]]:
    return [
        {
            "label": digit.label,
            "confidence": digit.confidence,
            "sure": digit.sure,
            "line": line,
            "box": list(digit.box),
            "top": dict(digit.prediction.top(top)),
        }
        for digit in digits
    ]


def _number_row(number: Number) -> list[str]:
    return [_in_one_line(number), _yes(number.sure), str(len(number.digits))]


def _in_one_line(number: Number) -> str:
    return " ".join(number.text.split("\n"))


def _yes(value: bool) -> str:
    return "yes" if value else "no"


PREDICTIONS: Answers[Prediction] = Answers(
    _prediction_line,
    _prediction_json,
    ("verdict", "label", "confidence", "shown"),
    _prediction_row,
)

NUMBERS: Answers[Number] = Answers(
    _number_line, _number_json, ("number", "sure", "digits"), _number_row
)

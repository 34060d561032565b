"""Reads plain values (from JSON or TOML) into dataclasses and checks every value.

`cattrs` does the work, with strict hooks: a number must be finite, a string is never read as a
list, and `1` is not `True`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any, Literal, TypeVar, get_args, get_origin

from cattrs import (
    ClassValidationError,
    Converter,
    ForbiddenExtraKeysError,
    IterableValidationError,
)

from pocketlens.errors import DataError, PocketlensError, did_you_mean

__all__ = ["InvalidFieldsError", "error_texts", "read_fields", "strict_converter"]

T = TypeVar("T")

_WRONG_TYPE = (TypeError, ValueError, AttributeError)
"""What cattrs raises for a value of another type, such as a list instead of a dictionary."""

LARGEST_COUNT = 2**53
"""Beyond it, floats are not exact."""

LARGEST_MEASURE = 1e100
"""The largest measured number: more than a loss in float32 can be, and figures can show it."""

MAX_ERRORS = 5
"""How many errors of one JSON file a message lists."""


class InvalidFieldsError(ValueError):
    """Several errors of one field, each as complete text."""

    def __init__(self, errors: list[str]) -> None:
        self.errors = errors
        super().__init__("; ".join(errors))


def read_fields(kind: type[T], values: Any, what: str) -> T:
    """Build the dataclass `kind` from the plain values of a JSON file.

    Args:
        kind: A dataclass of numbers, strings, tuples, dictionaries and dataclasses. Integers are
            counts, so they must not be negative. Unknown keys are ignored.
        values: What was read from the file.
        what: What the values should be, for the message, such as `an evaluation`.

    Raises:
        DataError: A key is missing, or a value has the wrong type or contradicts another one.
    """
    try:
        return _json_converter().structure(values, kind)
    except (ClassValidationError, IterableValidationError, *_WRONG_TYPE) as error:
        texts = error_texts(error)
        more = f"; {len(texts) - MAX_ERRORS} more" if len(texts) > MAX_ERRORS else ""
        raise DataError(f"this is not {what}: {'; '.join(texts[:MAX_ERRORS])}{more}") from error


@cache
def _json_converter() -> Converter:
    converter = strict_converter()
    converter.register_structure_hook(int, _count)
    converter.register_structure_hook(float, _measure)
    return converter


def strict_converter() -> Converter:
    """A new converter whose hooks accept a value only if it has exactly the declared type."""
    converter = Converter(detailed_validation=True)
    converter.register_structure_hook(bool, _bool)
    converter.register_structure_hook(int, _int)
    converter.register_structure_hook(float, _float)
    converter.register_structure_hook(str, _str)
    converter.register_structure_hook_func(lambda hint: _is(hint, Literal), _literal)
    converter.register_structure_hook_factory(
        lambda hint: _is(hint, tuple), lambda hint: _tuple_hook(converter, hint)
    )
    return converter


def error_texts(error: BaseException, key: str = "") -> list[str]:
    """The errors inside an exception of cattrs, one text for each, starting with the dotted key."""
    if isinstance(error, ClassValidationError):
        inside, others = error.group_exceptions()
        texts = []
        for exception, note in inside:
            dotted = f"{key}.{note.name}" if key else note.name
            missing = isinstance(exception, KeyError)
            texts += [f"{dotted} is missing"] if missing else error_texts(exception, dotted)
        return texts + [text for exception in others for text in error_texts(exception, key)]
    if isinstance(error, IterableValidationError):
        return [text for each in error.exceptions for text in error_texts(each, key)]
    if isinstance(error, ForbiddenExtraKeysError):
        prefix = f"{key}." if key else ""
        return [f"unknown key {prefix}{name}" for name in sorted(error.extra_fields)]
    if isinstance(error, InvalidFieldsError):
        return error.errors
    # The text of a TypeError is about code inside cattrs, so it does not help the user.
    has_text = isinstance(error, (ValueError, PocketlensError))
    reason = str(error) if has_text else "has the wrong type"
    return [f"{key} {reason}".strip()]


def _is(hint: Any, generic: Any) -> bool:
    return get_origin(hint) is generic


def _bool(value: Any, _: Any) -> bool:
    if type(value) is not bool:
        raise ValueError(f"must be true or false; received: {value!r:.80}")
    return value


def _int(value: Any, _: Any) -> int:
    if type(value) is not int:
        raise ValueError(f"must be an integer; received: {value!r:.80}")
    return value


def _count(value: Any, _: Any) -> int:
    if type(value) is not int or not 0 <= value <= LARGEST_COUNT:
        raise ValueError(f"must be an integer from 0 to 2^53; received: {_shown(value)}")
    return value


def _measure(value: Any, _: Any) -> float:
    number = _float(value, None)
    if abs(number) > LARGEST_MEASURE:
        raise ValueError(f"must be a number of at most 1e100; received: {_shown(value)}")
    return number


def _shown(value: Any) -> str:
    try:
        return f"{value!r:.80}"
    except ValueError:  # an integer of thousands of digits
        return "a very large number"


def _float(value: Any, _: Any) -> float:
    if type(value) not in (int, float) or not math.isfinite(value):
        raise ValueError(f"must be a finite number; received: {value!r:.80}")
    return float(value)


def _str(value: Any, _: Any) -> str:
    if type(value) is not str:
        raise ValueError(f"must be a string; received: {value!r:.80}")
    return value


def _literal(value: Any, hint: Any) -> Any:
    known = get_args(hint)
    if value not in known:
        names = [str(item) for item in known]
        raise ValueError(f"cannot be {value!r:.80}; {did_you_mean(str(value), names)}")
    return value


def _tuple_hook(converter: Converter, hint: Any) -> Callable[[Any, Any], tuple[Any, ...]]:
    kinds = get_args(hint)
    repeated = len(kinds) == 2 and kinds[1] is Ellipsis

    def structure(value: Any, _: Any) -> tuple[Any, ...]:
        if not isinstance(value, (list, tuple)):
            raise ValueError(f"must be a list; received: {value!r:.80}")
        expected = kinds[:1] * len(value) if repeated else kinds
        if len(value) != len(expected):
            raise ValueError(f"must have {len(expected)} items; received: {len(value)}")
        return tuple(
            converter.structure(item, kind) for item, kind in zip(value, expected, strict=True)
        )

    return structure

"""Taking stored JSON apart again: every value of its type, or one error that says of what."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pocketlens.errors import DataError

__all__ = ["number", "number_or_none", "reading", "whole"]


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Turn the errors of taking a dictionary apart into one DataError about `what`."""
    try:
        yield
    except KeyError as error:
        raise DataError(f"this is not {what}: the key {error} is missing") from error
    except (TypeError, ValueError, AttributeError) as error:
        raise DataError(f"this is not {what}: {error}") from error


def number(value: Any) -> float:
    """A finite number of a JSON file, or ValueError."""
    if type(value) not in (int, float) or not math.isfinite(value):
        raise ValueError(f"expected a number; received: {value!r:.80}")
    return float(value)


def number_or_none(value: Any) -> float | None:
    """A finite number or null of a JSON file, or ValueError."""
    return None if value is None else number(value)


def whole(value: Any) -> int:
    """A count or index of a JSON file, or ValueError."""
    if type(value) is not int or value < 0:
        raise ValueError(f"expected a whole number from 0; received: {value!r:.80}")
    return value

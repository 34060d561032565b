"""The search space of a sweep: which keys of a recipe vary, and over what.

Text forms, as on the command line:

    training.learning_rate=log:0.001..0.1   any number, evenly spread over the logarithm
    training.weight_decay=0..0.1            any number
    training.epochs=2..8                    a whole number, as both ends are whole
    network.channels=[16,32],[32,64]        one of these values
    training.optimizer=adamw,muon           the same
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from pocketlens.errors import OptionError, PocketlensError, RecipeError
from pocketlens.recipe import WITHOUT_EFFECT, Recipe, parse_override
from pocketlens.toml import parse_toml

__all__ = ["Dimension", "check_space", "parse_space"]

MOST_VALUES = 1000
"""The most values of one key."""


@dataclass(frozen=True)
class Dimension:
    """One key of the recipe, and its possible values.

    Args:
        key: The dotted key, such as `training.learning_rate`.
        values: The values to choose from; empty for a range.
        low: The lowest number of a range.
        high: The highest number of a range.
        log: Whether the logarithm is spread evenly.
        whole: Whether only whole numbers are taken.
    """

    key: str
    values: tuple[Any, ...] = ()
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    whole: bool = False

    @property
    def ends(self) -> tuple[Any, ...]:
        """The values that have to be valid: all, or the two ends of a range."""
        if self.values:
            return self.values
        return (int(self.low), int(self.high)) if self.whole else (self.low, self.high)

    def value(self, coordinate: float) -> Any:
        """The recipe's value at a coordinate: an index into `values`, or the number itself."""
        if self.values:
            return self.values[int(coordinate)]
        return round(coordinate) if self.whole else float(coordinate)

    def coordinate(self, value: Any) -> float:
        """The inverse of `value`.

        Raises:
            ValueError: The value is not one of the dimension.
        """
        if self.values:
            return self.values.index(value)
        if not self.low <= value <= self.high:
            raise ValueError(value)
        return int(value) if self.whole else float(value)

    def draw(self, random: np.random.Generator) -> float:
        """A random coordinate."""
        if self.values:
            return int(random.integers(len(self.values)))
        if not self.log:
            if self.whole:
                return int(random.integers(int(self.low), int(self.high) + 1))
            return float(random.uniform(self.low, self.high))
        # A whole number n stands for the range from n - 1/2 to n + 1/2.
        half = 0.5 if self.whole else 0.0
        found = math.exp(random.uniform(math.log(self.low - half), math.log(self.high + half)))
        within = min(max(found, self.low), self.high)
        return round(within) if self.whole else within

    @property
    def text(self) -> str:
        """The text that `parse_space` reads as this dimension."""
        if self.values:
            return f"{self.key}={','.join(map(json.dumps, self.values))}"
        return f"{self.key}={'log:' * self.log}{self.ends[0]!r}..{self.ends[1]!r}"

    def __str__(self) -> str:
        if self.values:
            return f"{self.key}: {', '.join(map(value_text, self.values))}"
        spread = " (logarithm)" if self.log else ""
        return f"{self.key}: {self.ends[0]:g} to {self.ends[1]:g}{spread}"


def value_text(value: Any) -> str:
    """A value of a recipe for people: numbers with four significant digits."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return value if isinstance(value, str) else repr(value)


def parse_space(search: Iterable[str] | Mapping[str, str]) -> tuple[Dimension, ...]:
    """The dimensions of `KEY=VALUES` texts.

    Raises:
        OptionError: Not of that form, an empty range, a key twice, or no dimension at all.
    """
    if isinstance(search, str):
        search = [search]
    texts = [f"{k}={v}" for k, v in search.items()] if isinstance(search, Mapping) else list(search)
    found = tuple(_dimension(text) for text in texts)
    if not found:
        raise OptionError(
            "a sweep needs something to search, such as "
            "--search training.learning_rate=log:0.001..0.1"
        )
    keys = [each.key for each in found]
    if twice := next((key for key in keys if keys.count(key) > 1), None):
        raise OptionError(f"--search names {twice} twice; list all its values once: {twice}=A,B")
    return found


def _dimension(text: str) -> Dimension:
    key, equals, values = text.partition("=") if isinstance(text, str) else ("", "", "")
    key, values = key.strip(), values.strip()
    if not equals or not key or not values:
        raise OptionError(
            "a search must be KEY=LOW..HIGH, KEY=log:LOW..HIGH or KEY=A,B,C, such as "
            f"training.learning_rate=log:0.001..0.1; received: {text!r:.200}"
        )
    log = values.startswith("log:")
    low, dots, high = values.removeprefix("log:").partition("..")
    if dots or log:
        return _range(key, low, high, values, log=log)
    listed = _values(key, values)
    if len(listed) > MOST_VALUES:
        raise OptionError(f"{key} has {len(listed):,} values; expected at most {MOST_VALUES:,}")
    if len(listed) < 2:
        raise OptionError(
            f"{key} has only one value, {values[:80]!r}; expected several, such as {key}=A,B, or "
            f"set it with --set {key}={values[:80]}"
        )
    if any(each in listed[:at] for at, each in enumerate(listed)):
        raise OptionError(f"{key} has a value twice; received: {values[:200]!r}")
    return Dimension(key, tuple(listed))


def _range(key: str, low: str, high: str, text: str, *, log: bool) -> Dimension:
    try:
        ends = float(low), float(high)
        whole = {low.strip().lstrip("+-").isdigit(), high.strip().lstrip("+-").isdigit()} == {True}
    except ValueError:
        ends, whole = (math.nan, math.nan), False
    if not (math.isfinite(ends[0]) and math.isfinite(ends[1])):
        raise OptionError(
            f"{key} must have a range of numbers, such as 0.001..0.1; received: {text[:200]!r}"
        )
    if not ends[0] < ends[1]:
        raise OptionError(
            f"the range of {key} must rise, from a lower to a higher number; "
            f"received: {text[:200]!r}"
        )
    if log and ends[0] <= 0:
        raise OptionError(
            f"a range on the logarithm starts above 0; received for {key}: {text[:200]!r}"
        )
    return Dimension(key, low=ends[0], high=ends[1], log=log, whole=whole)


def _values(key: str, text: str) -> list[Any]:
    """The values of a list, read as TOML if that works, else as words."""
    is_text = isinstance(parse_override(f"{key}=1")[1], str)  # a version 1.10 is no number
    try:
        values = parse_toml(f"value = [{text}]")["value"]
    except ValueError:
        values = None
    if values is None or (is_text and not all(isinstance(each, str) for each in values)):
        values = [each.strip() for each in text.split(",")]
    if not isinstance(values, list) or any(each == "" for each in values):
        raise OptionError(f"{key} must have values such as A,B,C; received: {text[:200]!r}")
    return values


def check_space(recipe: Recipe, space: Iterable[Dimension]) -> None:
    """Try every value of every key on the recipe, and the ends of each range.

    Raises:
        RecipeError: A key that does not exist, or a value that cannot be; all of them.
    """
    from pocketlens.pipeline import check

    errors: list[str] = []
    for each in space:
        table = each.key.split(".")[0]
        if each.key in WITHOUT_EFFECT or table in WITHOUT_EFFECT:
            errors.append(f"{each.key} changes neither accuracy nor size nor speed; leave it out")
            continue
        for value in each.ends:
            try:
                check(recipe, {each.key: value})
            except RecipeError as error:
                errors += [f"{text} (with {each.key}={value_text(value)})" for text in error.errors]
            except PocketlensError as error:
                errors.append(f"{error} (with {each.key}={value_text(value)})")
            else:
                continue
            break  # one value says what is wrong with the key
    if errors:
        raise RecipeError(errors, source="the search")

"""Unique names of the tensors and nodes of a graph."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["Names"]


class Names:
    """The names that are taken; a graph and its inner graphs share them."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self.taken = set(taken)
        self._last_numbers: dict[str, int] = {}

    def unique(self, name: str) -> str:
        """Take `name`, or `name` with a number.

        No number is tried twice, so this takes linear time.
        """
        candidate = name
        number = self._last_numbers.get(name, 1)
        while candidate in self.taken:
            number += 1
            candidate = f"{name}.{number}"
        self._last_numbers[name] = number
        self.taken.add(candidate)
        return candidate

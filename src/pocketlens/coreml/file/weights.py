"""How many numbers of which type a model's weights are, and how they are compressed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

__all__ = ["Weights"]


class Weights:
    """A count of weights.

    Attributes:
        numbers: How many numbers the file stores, by their type, such as `float16` or `uint4`.
        sizes: How many bytes these have in the file, by their type.
        compressed: How many tensors are `quantized`, `palettized` or `sparse`.
    """

    def __init__(self) -> None:
        self.numbers: Counter[str] = Counter()
        self.sizes: Counter[str] = Counter()
        self.compressed: Counter[str] = Counter()

    def add(self, kind: str, count: int, size: int) -> None:
        """Count numbers of one type that have `size` bytes together."""
        self.numbers[kind] += count
        self.sizes[kind] += size

    def update(self, content: Mapping[str, Any]) -> None:
        """Add the `content` of other weights."""
        self.numbers.update(content["weights"])
        self.sizes.update(content["weight_bytes"])
        self.compressed.update(content["compressed"])

    def content(self) -> dict[str, dict[str, int]]:
        """The part of `inspect` about weights."""
        return {
            "weights": dict(self.numbers),
            "weight_bytes": dict(self.sizes),
            "compressed": {kind: n for kind, n in self.compressed.items() if kind},
        }

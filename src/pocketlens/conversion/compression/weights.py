"""`Weight`: a constant of a model that may be compressed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

__all__ = ["Weight"]


@dataclass(frozen=True)
class Weight:
    """A constant of a model that may be compressed.

    Args:
        key: What names it in its file.
        name: Its name for messages.
        array: Its numbers.
        axis: The dimension of its output channels.
    """

    key: str
    name: str
    array: NDArray[Any]
    axis: int

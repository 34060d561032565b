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
        places: The operations that multiply their input with it, by their first output or, in a
            neural network, by the name of the layer; empty if something else uses it, too.
        bias: What its only operation adds to each output channel, 0 without; None if it has no
            place for such numbers.
    """

    key: str
    name: str
    array: NDArray[Any]
    axis: int
    places: tuple[str, ...] = ()
    bias: NDArray[Any] | None = None

"""The rows of numbers between the stages of a `Chain`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["Affine", "Columns", "Floats", "Value", "Vector"]

Floats: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True)
class Vector:
    """A multi-array feature.

    Attributes:
        name: The feature.
        width: How many numbers it has.
        origin: The column of the input that each number is a copy of; -1 for a computed number.
    """

    name: str
    width: int
    origin: tuple[int, ...]


@dataclass(frozen=True)
class Columns:
    """Inputs of the model that are features of their own.

    Attributes:
        indices: Their positions among the inputs.
    """

    indices: tuple[int, ...]

    @property
    def width(self) -> int:
        """How many there are."""
        return len(self.indices)

    @property
    def origin(self) -> tuple[int, ...]:
        """Their positions among the inputs."""
        return self.indices


@dataclass(frozen=True)
class Affine:
    """`factors` · base + `offset`, which the next linear model absorbs.

    Attributes:
        base: The value that it is computed from.
        factors: [width, base.width].
        offset: [width].
    """

    base: Vector | Columns
    factors: Floats
    offset: Floats

    @property
    def width(self) -> int:
        """How many numbers it has."""
        return len(self.offset)

    @property
    def origin(self) -> tuple[int, ...]:
        """All of them are computed."""
        return (-1,) * self.width


Value: TypeAlias = Vector | Columns | Affine

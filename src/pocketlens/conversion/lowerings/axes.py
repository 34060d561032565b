"""Helpers of the lowerings that work along the axes of an image."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

__all__ = ["full", "linear_maps"]


def full(values: Sequence[int] | int, count: int) -> list[int]:
    """A number for each of `count` axes; a single one counts for all."""
    given = [values] if isinstance(values, int) else list(values)
    return given * count if len(given) == 1 else given


def linear_maps(x: Tensor, matrices: Sequence[Tensor]) -> Tensor:
    """Each axis after the channels, multiplied by its matrix `(out, side)`."""
    for dim, matrix in enumerate(matrices, start=2):
        if dim == x.ndim - 1:
            x = x @ matrix.T
        elif dim == x.ndim - 2:
            x = matrix @ x
        else:
            x = (x.transpose(dim, -1) @ matrix.T).transpose(dim, -1)
    return x

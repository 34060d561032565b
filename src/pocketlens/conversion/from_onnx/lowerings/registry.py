"""The lowering of each ONNX op, and what lowerings share.

A lowering is a function whose positional parameters are the op's inputs, and whose keywords are its
attributes with ONNX's defaults. It makes ops of Core ML with coremltools' builder and returns their
results. An attribute that it does not take is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from coremltools.converters.mil import mil
from numpy.typing import NDArray

from pocketlens.errors import ConversionError

__all__ = [
    "LOWERINGS",
    "Var",
    "constant",
    "dtype_of",
    "floats",
    "full_axes",
    "ints",
    "is_bool",
    "is_float",
    "lowers",
    "mb",
    "number",
    "sizes",
]

Var = Any  # a tensor of coremltools' builder
mb = mil.Builder  # the field's own name

LOWERINGS: dict[str, Callable[..., Any]] = {}
"""Op -> the lowering."""


def lowers(*ops: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register a function as the lowering of ops."""

    def register(lowering: Callable[..., Any]) -> Callable[..., Any]:
        LOWERINGS.update(dict.fromkeys(ops, lowering))
        return lowering

    return register


def constant(value: Var, what: str) -> NDArray[Any] | None:
    """The content of a constant input; None if it is omitted.

    Raises:
        ConversionError: It is computed from the inputs of the network.
    """
    if value is None:
        return None
    if value.val is None:
        raise ConversionError(
            f"its input '{what}' depends on the inputs of the network; Core ML needs a constant"
        )
    return np.asarray(value.val)


def ints(value: Var, what: str) -> list[int] | None:
    """The integers of a constant input; None if it is omitted."""
    array = constant(value, what)
    return None if array is None else [int(each) for each in array.reshape(-1)]


def floats(value: Var, what: str) -> list[float] | None:
    """The numbers of a constant input; None if it is omitted."""
    array = constant(value, what)
    return None if array is None else [float(each) for each in array.reshape(-1)]


def sizes(x: Var) -> list[int]:
    """The shape of a tensor.

    Raises:
        ConversionError: It is not fixed.
    """
    try:
        return [int(side) for side in x.shape]
    except TypeError as error:
        raise ConversionError(
            "the size of its input depends on the values of the network's inputs; Core ML needs "
            "a fixed size here"
        ) from error


def dtype_of(x: Var) -> np.dtype[Any]:
    """The element type of a tensor."""
    dtype: np.dtype[Any] = np.dtype(mil.types.nptype_from_builtin(x.dtype))
    return dtype


def is_float(x: Var) -> bool:
    """Whether a tensor has floating-point numbers."""
    return dtype_of(x).kind == "f"


def is_bool(x: Var) -> bool:
    """Whether a tensor has truth values."""
    return dtype_of(x).kind == "b"


def number(x: Var, value: float) -> Any:
    """A number in the element type of a tensor."""
    return dtype_of(x).type(value)


def full_axes(axes: Sequence[int] | None, rank: int) -> list[int]:
    """Axes counted from the front; all of them for None."""
    return list(range(rank)) if axes is None else [axis % rank for axis in axes]

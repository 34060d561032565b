"""Made-up inputs of a model that takes arrays."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pocketlens.errors import ConversionError
from pocketlens.evaluation.arrays import ArrayInput

__all__ = ["LARGE", "MAX_ELEMENTS", "Probe", "probe_arrays"]

Probe: TypeAlias = "tuple[str, dict[str, NDArray[Any]]]"

MAX_ELEMENTS = 2**28
"""The largest made-up array."""

LARGE = "large numbers"

_ANY = (2, 1, 5)
"""The sizes that are tried where any size is allowed."""


def probe_arrays(inputs: Sequence[ArrayInput]) -> list[Probe]:
    """Random numbers, zeros, ones, large and small numbers; the same on every call.

    Every size that an input lists occurs; where any size is allowed, several do.

    Raises:
        ConversionError: An input is too large, or takes texts.
    """
    kinds = ("random numbers", "zeros", "ones", LARGE, "small numbers", "numbers above 0")
    sizes = max(
        (len(size) for each in inputs for size in each.shape if isinstance(size, tuple)), default=0
    )
    count = max(len(kinds), sizes)
    random = np.random.default_rng(0)
    probes = []
    for number in range(count):
        kind = kinds[number % len(kinds)]
        arrays = {each.name: _made_up(each, kind, number, random) for each in inputs}
        probes.append((kind, arrays))
    return probes


def _made_up(each: ArrayInput, kind: str, number: int, random: np.random.Generator) -> NDArray[Any]:
    shape = tuple(
        size if isinstance(size, int) else (size or _ANY)[number % len(size or _ANY)]
        for size in each.shape
    )
    if math.prod(shape) > MAX_ELEMENTS:
        raise ConversionError(
            f"the input {each.name!r} has the shape {shape}; expected at most {MAX_ELEMENTS} "
            "elements"
        )
    if each.dtype == "str":
        raise ConversionError(
            f"no values can be made up for the texts of the input {each.name!r}; "
            "compare with --data X.csv"
        )
    dtype = np.dtype(each.dtype)
    if kind in ("zeros", "ones"):
        return np.full(shape, kind == "ones").astype(dtype)
    if dtype.kind == "b":
        return random.random(shape) < 0.5
    if each.dtype == "uint8":  # pixels
        return random.integers(0, 256, shape).astype(dtype)
    if dtype.kind in "iu":
        return random.integers(0, 3 if kind == "small numbers" else 10, shape).astype(dtype)
    numbers = random.normal(size=shape)
    if kind == "numbers above 0":
        numbers = np.abs(numbers)
    return (numbers * {LARGE: 30.0, "small numbers": 1e-3}.get(kind, 1.0)).astype(dtype)

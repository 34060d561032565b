"""Arrays for tests: drawn from a seed, or written out with a type."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import torch

__all__ = ["Draw", "Run", "f16", "f32", "i8", "i32", "t", "u8", "u16", "u32"]


Run: TypeAlias = Callable[..., list[np.ndarray]]
"""The type of the fixtures `run_op` and `run_layer`."""


class Draw:
    """Draws arrays from a seed.

    Each module that draws has a `Draw` of its own, so that its data do not depend on which other
    modules were imported before.
    """

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)

    def normal(self, *shape: int) -> np.ndarray:
        """Standard normal numbers, float32."""
        return self.random.standard_normal(shape).astype(np.float32)

    def positive(self, *shape: int) -> np.ndarray:
        """Numbers from 0.3 to 3, float32."""
        return self.random.uniform(0.3, 3.0, shape).astype(np.float32)

    def unit(self, *shape: int) -> np.ndarray:
        """Numbers from -0.9 to 0.9, float32."""
        return self.random.uniform(-0.9, 0.9, shape).astype(np.float32)


def f16(values: Any) -> np.ndarray:
    return np.asarray(values, np.float16)


def f32(values: Any) -> np.ndarray:
    return np.asarray(values, np.float32)


def i8(values: Any) -> np.ndarray:
    return np.asarray(values, np.int8)


def i32(values: Any) -> np.ndarray:
    return np.asarray(values, np.int32)


def u8(values: Any) -> np.ndarray:
    return np.asarray(values, np.uint8)


def u16(values: Any) -> np.ndarray:
    return np.asarray(values, np.uint16)


def u32(values: Any) -> np.ndarray:
    return np.asarray(values, np.uint32)


def t(array: np.ndarray) -> torch.Tensor:
    """The array as a float32 tensor."""
    return torch.from_numpy(np.asarray(array, np.float32))

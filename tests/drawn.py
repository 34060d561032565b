"""Random arrays for tables of test cases, float32.

Each module that calls these functions has its own generator, seeded by the module's name. So the
numbers that a module gets do not depend on which other modules were imported before it.
"""

from __future__ import annotations

import sys
import zlib
from functools import cache

import numpy as np
import torch

R = np.random.default_rng(7)
"""For `mil_cases/resampling.py` only; new code calls `uniform`."""


def normal(*shape: int) -> np.ndarray:
    """Gaussian numbers of mean 0 and deviation 1."""
    return _generator(_caller()).standard_normal(shape).astype(np.float32)


def positive(*shape: int) -> np.ndarray:
    """Uniform numbers from 0.3 to 3."""
    return _generator(_caller()).uniform(0.3, 3.0, shape).astype(np.float32)


def unit(*shape: int) -> np.ndarray:
    """Uniform numbers from -0.9 to 0.9."""
    return _generator(_caller()).uniform(-0.9, 0.9, shape).astype(np.float32)


def uniform(low: float, high: float, *shape: int) -> np.ndarray:
    """Uniform numbers from `low` to `high`."""
    return _generator(_caller()).uniform(low, high, shape).astype(np.float32)


def t(array: np.ndarray) -> torch.Tensor:
    """The array as a float32 tensor."""
    return torch.from_numpy(np.asarray(array, np.float32))


def _caller() -> str:
    """The name of the module that called one of the functions above."""
    name = sys._getframe(2).f_globals["__name__"]
    assert isinstance(name, str)
    return name


@cache
def _generator(module: str) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(module.encode()))

"""Arrays that tests draw."""

import numpy as np
import torch

R = np.random.default_rng(7)


def normal(*shape: int) -> np.ndarray:
    return R.standard_normal(shape).astype(np.float32)


def positive(*shape: int) -> np.ndarray:
    return R.uniform(0.3, 3.0, shape).astype(np.float32)


def unit(*shape: int) -> np.ndarray:
    return R.uniform(-0.9, 0.9, shape).astype(np.float32)


def t(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.asarray(array, np.float32))

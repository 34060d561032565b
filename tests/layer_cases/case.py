"""A row of the table of NeuralNetwork layers, and what rows are made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from drawn import normal, t


@dataclass
class Case:
    """One row: a layer, its inputs, its fields, and what follows from the inputs."""

    layer: str
    inputs: list[np.ndarray]
    fields: dict[str, Any]
    expected: Callable[..., Any]
    note: str = ""

    def __str__(self) -> str:
        return f"{self.layer}{'-' + self.note if self.note else ''}"


def edges(top: int, bottom: int, left: int, right: int) -> dict[str, Any]:
    """BorderAmounts, height first."""
    rows = [(top, bottom), (left, right)]
    return {"borderAmounts": [{"startEdgeSize": a, "endEdgeSize": b} for a, b in rows]}


x4 = normal(2, 4, 7, 6)
x5 = normal(2, 3, 4, 7, 6)
odd = normal(1, 4, 6, 5)
weight, bias6 = normal(6, 4, 3, 3), normal(6)
depthwise = normal(4, 1, 3, 3)
even = normal(3, 4, 2, 2)
transposed = normal(4, 3, 3, 3)
sizes = {"outputChannels": 6, "kernelChannels": 4, "kernelSize": [3, 3], "weights": weight}


def over_batch(f: Callable[[torch.Tensor], torch.Tensor]) -> Callable[..., Any]:
    def expected(x: np.ndarray) -> torch.Tensor:
        y = f(t(x).reshape(-1, *x.shape[-3:]))
        return y.reshape(*x.shape[:-3], *y.shape[1:])

    return expected

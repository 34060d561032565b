"""A row in the table of NeuralNetwork layers, and arrays that several rows share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from arrays import Draw, t

draw = Draw(102)


@dataclass
class Case:
    """One row: a layer, its inputs and fields, and the expected outputs.

    `expected` takes the inputs and returns the output, or a list of outputs.
    """

    layer: str
    inputs: list[np.ndarray]
    fields: dict[str, Any]
    expected: Callable[..., Any]
    note: str = ""

    def __str__(self) -> str:
        return f"{self.layer}{'-' + self.note if self.note else ''}"


def edges(top: int, bottom: int, left: int, right: int) -> dict[str, Any]:
    """BorderAmounts; the height comes first."""
    rows = [(top, bottom), (left, right)]
    return {"borderAmounts": [{"startEdgeSize": a, "endEdgeSize": b} for a, b in rows]}


x4 = draw.normal(2, 4, 7, 6)
x5 = draw.normal(2, 3, 4, 7, 6)
odd = draw.normal(1, 4, 6, 5)
weight, bias6 = draw.normal(6, 4, 3, 3), draw.normal(6)
depthwise = draw.normal(4, 1, 3, 3)
even = draw.normal(3, 4, 2, 2)
transposed = draw.normal(4, 3, 3, 3)
sizes = {"outputChannels": 6, "kernelChannels": 4, "kernelSize": [3, 3], "weights": weight}


def over_batch(f: Callable[[torch.Tensor], torch.Tensor]) -> Callable[..., Any]:
    """`f` of the last three dimensions; the dimensions before are the batch."""

    def expected(x: np.ndarray) -> torch.Tensor:
        y = f(t(x).reshape(-1, *x.shape[-3:]))
        return y.reshape(*x.shape[:-3], *y.shape[1:])

    return expected

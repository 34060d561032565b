"""A row of the table of ML Program ops, and what rows are made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from drawn import normal


@dataclass
class Case:
    """One row: an op, what it is given, and what follows.

    `expected` takes the inputs (float32 arrays) and gives the output or outputs. In the float16
    run, float32 arrays and numbers among the inputs and fields are float16.
    """

    op: str
    inputs: dict[str, Any]
    fields: dict[str, Any]
    expected: Callable[..., Any]
    kind: str = ""  # of the output; by default that of x
    opset: str = "CoreML6"
    only: str = ""  # the one precision in which the op exists
    tolerance: float = 0.0
    note: str = ""
    attributes: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.op}{'-' + self.note if self.note else ''}"


x4 = normal(2, 4, 7, 6)
x2 = normal(3, 5)

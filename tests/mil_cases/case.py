"""A row in the table of ML Program ops, and arrays that several rows share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from arrays import Draw

draw = Draw(111)


@dataclass
class Case:
    """One row: an op, its inputs and fields, and the expected outputs.

    `expected` takes the inputs (float32 arrays) and returns the output, or a list of outputs. In
    the float16 run, float32 arrays and numbers among the inputs and fields become float16.

    Attributes:
        op: The op's name.
        inputs: Tensors that are passed when the model runs.
        fields: Constants in the file.
        expected: See above.
        kind: The type of the output; by default that of x.
        opset: The opset of the model.
        only: The single precision in which the op exists; empty for float32 and float16.
        tolerance: The tolerance in float16; 0 for the default.
        note: Tells rows of the same op apart.
        attributes: Fields that are stored as attributes of the operation.
    """

    op: str
    inputs: dict[str, Any]
    fields: dict[str, Any]
    expected: Callable[..., Any]
    kind: str = ""
    opset: str = "CoreML6"
    only: str = ""
    tolerance: float = 0.0
    note: str = ""
    attributes: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.op}{'-' + self.note if self.note else ''}"


x4 = draw.normal(2, 4, 7, 6)
x2 = draw.normal(3, 5)

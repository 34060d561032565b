"""Constant folding of sizes, and of what a model computes from them.

A model with flexible shapes computes sizes while it runs. If the shapes are fixed, the results are
constants, and tensors that are created with these sizes have a known shape.
"""

from __future__ import annotations

import math

import numpy as np

from pocketlens.coreml.graph.nodes import Array, Node

__all__ = ["MAX_FOLDED", "fold"]

MAX_FOLDED = 64
"""How many elements a folded tensor may have: shapes are folded, weights are not."""

# Operators that models compute sizes with. Each has one output, not much larger than its inputs.
ARITHMETIC = frozenset(
    (
        *("Abs", "Add", "Ceil", "Div", "Floor", "Max", "Min", "Mod", "Mul", "Neg", "Pow", "Round"),
        *("Sign", "Sub", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceSum"),
        *("And", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Not", "Or", "Where"),
        *("Cast", "Concat", "Gather", "Reshape", "Slice", "Squeeze", "Transpose", "Unsqueeze"),
    )
)


def fold(node: Node, opset: int) -> Array | None:
    """The output of a node if it follows from constants and known shapes, else None."""
    if node.domain or len(node.outputs) != 1:
        return None
    if node.op == "Shape":
        (x,) = node.inputs
        part = slice(node.attributes.get("start"), node.attributes.get("end"))
        sizes = None if x is None or x.shape is None else x.shape[part]
        return None if sizes is None or None in sizes else np.array(sizes, np.int64)
    given = [value for value in node.inputs if value is not None]
    (result,) = node.outputs
    if node.op not in ARITHMETIC or any(
        value.const is None or value.const.size > MAX_FOLDED or value.dtype.kind not in "biuf"
        for value in given
    ):
        return None
    if node.op in ("Div", "Mod") and not np.all(given[1].const):
        return None  # division by zero: ONNX Runtime decides what the result is
    if result.shape is None or None in result.shape or math.prod(result.sizes) > MAX_FOLDED:
        return None
    from onnx.reference import ReferenceEvaluator

    feed = {value.name: value.const for value in given}
    with np.errstate(all="ignore"):
        try:
            (array,) = ReferenceEvaluator(node.proto(), opsets={"": opset}).run(None, feed)
        except (ArithmeticError, IndexError, ValueError):
            return None  # these numbers are invalid: the error is raised when the model runs
    array = np.asarray(array)
    return array if array.dtype == result.dtype and array.shape == result.shape else None

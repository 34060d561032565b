"""What is known before the model runs: sizes, and what a model computes from them.

A model of flexible shapes computes sizes as it runs. Where the shapes are fixed the results are
constants, and what is made in these sizes has a known shape in its turn.
"""

from __future__ import annotations

import math

import numpy as np

from pocketlens.coreml.graph.nodes import Array, Node

__all__ = ["MAX_FOLDED", "folded"]

MAX_FOLDED = 64
"""Only tensors of at most so many elements are folded: shapes, not weights."""

# What sizes are computed with. Each gives one tensor, whose size is bounded by its inputs'.
ARITHMETIC = frozenset(
    (
        *("Abs", "Add", "Ceil", "Div", "Floor", "Max", "Min", "Mod", "Mul", "Neg", "Pow", "Round"),
        *("Sign", "Sub", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceSum"),
        *("And", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Not", "Or", "Where"),
        *("Cast", "Concat", "Gather", "Reshape", "Slice", "Squeeze", "Transpose", "Unsqueeze"),
    )
)


def folded(node: Node, opset: int) -> Array | None:
    """The only result of a node, if that follows from constants and known shapes; else None."""
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
        return None  # by zero; what that gives comes out in the run
    if result.shape is None or None in result.shape or math.prod(result.sizes) > MAX_FOLDED:
        return None
    from onnx.reference import ReferenceEvaluator

    feed = {value.name: value.const for value in given}
    with np.errstate(all="ignore"):
        try:
            (array,) = ReferenceEvaluator(node.proto(), opsets={"": opset}).run(None, feed)
        except (ArithmeticError, IndexError, ValueError):
            return None  # what is wrong with these numbers comes out in the run
    array = np.asarray(array)
    return array if array.dtype == result.dtype and array.shape == result.shape else None

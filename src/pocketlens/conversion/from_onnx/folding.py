"""Compute what nodes of an ONNX network make of constants and fixed shapes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketlens.conversion.from_onnx.reading import charge, node_text
from pocketlens.conversion.from_onnx.tensor_types import check_size, fixed_shape, known_type
from pocketlens.coreml.file.budget import Budget
from pocketlens.coreml.graph.inference import MAX_TENSOR_BYTES
from pocketlens.errors import ConversionError, printable

__all__ = ["FOLDED", "fold"]

FOLDED = frozenset(
    (
        *("Constant", "ConstantOfShape", "Shape", "Size", "Range", "EyeLike", "Identity", "Cast"),
        *("CastLike", "Abs", "Add", "Ceil", "Div", "Exp", "Floor", "Log", "Max", "Min", "Mod"),
        *("Mul", "Neg", "Pow", "Reciprocal", "Round", "Sign", "Sqrt", "Sub", "Sum", "Clip"),
        *("And", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Not", "Or"),
        *("Xor", "Where", "IsNaN", "IsInf", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceSum"),
        *("ReduceMean", "ReduceSumSquare", "ReduceL2", "ArgMax", "ArgMin", "CumSum", "OneHot"),
        *("Concat", "Expand", "Flatten", "Gather", "GatherElements", "GatherND", "Pad"),
        *("Reshape", "ScatterElements", "ScatterND", "Slice", "Split", "Squeeze", "Tile"),
        *("Transpose", "Trilu", "Unsqueeze", "DequantizeLinear", "QuantizeLinear", "BitShift"),
        *("BitwiseAnd", "BitwiseNot", "BitwiseOr", "BitwiseXor", "NonZero"),
    )
)
"""Ops that are computed here if all their inputs are constants: they take time with their size."""

LOOPED = frozenset(("CumSum", "GatherElements", "GatherND", "ScatterElements", "ScatterND"))
MOST_LOOPED = 2**20
"""How many elements the ops in `LOOPED` may make here: they are loops of Python."""


def fold(
    node: Any,
    types: Mapping[str, Any],
    constants: Mapping[str, NDArray[Any]],
    version: int,
    budget: Budget,
) -> dict[str, NDArray[Any]] | None:
    """The results of a node by name, if they follow from constants and fixed shapes; else None.

    Args:
        node: A node of ONNX's own ops.
        types: The `TypeProto` of each tensor, as far as it is known.
        constants: The constants by name.
        version: That of ONNX's ops.
        budget: Charged for the results, before they are computed.

    Raises:
        ConversionError: The results are too large, or the node is not valid.
    """
    if any(attribute.HasField("g") for attribute in node.attribute):
        return None
    given = [name for name in node.input if name]
    outputs = [name for name in node.output if name]
    shape = fixed_shape(types.get(given[0])) if given else None
    if node.op_type in ("Shape", "Size"):
        if shape is None:
            return None
        said = {each.name: each.i for each in node.attribute}
        part = shape[said.get("start", 0) : said.get("end")]
        value = math.prod(shape) if node.op_type == "Size" else part
        return {outputs[0]: np.array(value, np.int64)}
    feed = {name: constants[name] for name in given if name in constants}
    if node.op_type == "EyeLike" and shape is not None:
        feed = {given[0]: np.broadcast_to(np.float32(0), shape)}
    if len(feed) < len(set(given)):
        return None
    elements = 0
    for name in outputs:
        dtype, sides = known_type(name, types.get(name), unknown=True)
        bound = [MAX_TENSOR_BYTES // dtype.itemsize if side is None else side for side in sides]
        if None in sides and node.op_type == "NonZero":
            bound = [sides[0], feed[given[0]].size]
        charge(budget, check_size(node_text(node), dtype, bound), node_text(node))
        elements += math.prod(bound)
    if node.op_type not in FOLDED or (node.op_type in LOOPED and elements > MOST_LOOPED):
        return None
    from onnx.reference import ReferenceEvaluator

    with np.errstate(all="ignore"):
        try:
            results = ReferenceEvaluator(node, opsets={"": version}).run(None, feed)
        except Exception as error:  # the evaluator raises exceptions of any type
            raise ConversionError(
                f"{node_text(node)} cannot be computed: {type(error).__name__}: "
                f"{printable(' '.join(str(error).split()))[:200]}"
            ) from error
    return {
        name: np.asarray(value) for name, value in zip(node.output, results, strict=False) if name
    }

"""The element types and shapes of a node's outputs, by ONNX's own type inference.

Sizes are checked before anything is allocated.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from onnx import checker, defs, helper, numpy_helper, shape_inference

from pocketlens.coreml.file.values import MAX_RANK
from pocketlens.coreml.graph.kernels import expected_types
from pocketlens.coreml.graph.nodes import STRING, Node, numpy_type, type_proto
from pocketlens.errors import ModelFileError

__all__ = ["IR_VERSION", "MAX_TENSOR_BYTES", "OPSET", "check_size", "infer_types"]

OPSET = 21  # the newest opset that the oldest supported ONNX Runtime (1.20) runs
IR_VERSION = 10
INFERRED_AS = {"GreaterOrEqual": "Greater", "LessOrEqual": "Less"}
"""ONNX 1.17 to 1.19 cannot infer types for the keys; the values have the same types."""

MAX_TENSOR_BYTES = 2**31
"""The largest tensor that a graph may compute: 2 GiB."""


def infer_types(node: Node) -> None:
    """Set the element type and shape of each output of a node.

    Raises:
        ModelFileError: The operator does not accept the node's inputs, or an output would be larger
            than `MAX_TENSOR_BYTES`.
    """
    given = [value for value in node.inputs if value is not None]
    schema = defs.get_schema(INFERRED_AS.get(node.op, node.op), OPSET, node.domain)
    try:
        types = shape_inference.infer_node_outputs(
            schema,
            node.proto(),
            {value.name: type_proto(value) for value in given},
            {
                value.name: numpy_helper.from_array(value.const)
                for value in given
                # Inference only needs the content of small inputs: shapes, axes and the like.
                if value.const is not None and value.const.size <= 64 and value.dtype != STRING
            },
            opset_imports=[helper.make_operatorsetid("", OPSET)],
            ir_version=IR_VERSION,
        )
    except (shape_inference.InferenceError, checker.ValidationError, RuntimeError) as error:
        expected = expected_types(schema, node.inputs)
        reason = f"; expected {expected}" if expected else f": {' '.join(str(error).split())}"
        taken = ", ".join(map(repr, given))
        raise ModelFileError(f"{node.op} cannot take {taken}{reason}") from error
    for value in node.outputs:
        tensor = types[value.name].tensor_type
        value.dtype = numpy_type(tensor.elem_type)
        if tensor.HasField("shape"):
            value.shape = tuple(
                dim.dim_value if dim.HasField("dim_value") else None for dim in tensor.shape.dim
            )
            check_size(value.name, value.dtype, value.shape)


def check_size(name: str, dtype: np.dtype[Any], shape: tuple[int | None, ...]) -> None:
    """Refuse a tensor that is too large.

    Raises:
        ModelFileError: It has more than `MAX_RANK` dimensions or `MAX_TENSOR_BYTES` bytes.
    """
    known = [size for size in shape if size is not None]
    # The other sizes of an empty tensor are limited, too: 0 × 2**64 elements are not allowed.
    count = math.prod(max(size, 1) for size in known)
    if len(shape) > MAX_RANK:
        raise ModelFileError(
            f"the tensor {name!r} would have {len(shape)} dimensions; expected at most {MAX_RANK}"
        )
    if any(size < 0 for size in known) or count * dtype.itemsize > MAX_TENSOR_BYTES:
        raise ModelFileError(
            f"the tensor {name!r} would be {dtype}{list(shape)}; "
            f"expected at most {MAX_TENSOR_BYTES} bytes"
        )

"""`SingleNode`: one operator on arrays, in ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import onnx
from numpy.typing import NDArray
from onnx import helper

from pocketlens.coreml.graph.inference import IR_VERSION, OPSET
from pocketlens.errors import UnsupportedModelError

__all__ = ["SingleNode"]


class SingleNode:
    """Computes an operator with one output.

    Args:
        op: Its name.
        examples: Arrays of the types and shapes of its inputs; one without elements is left out.
        attributes: Its attributes.
    """

    def __init__(
        self, op: str, examples: Sequence[NDArray[Any]], attributes: Mapping[str, Any]
    ) -> None:
        import onnxruntime

        names = [f"x{index}" if each.size else "" for index, each in enumerate(examples)]
        inputs = [
            helper.make_tensor_value_info(
                name, helper.np_dtype_to_tensor_dtype(each.dtype), each.shape
            )
            for name, each in zip(names, examples, strict=True)
            if name
        ]
        node = helper.make_node(op, names, ["y"], **attributes)
        graph = helper.make_graph([node], "single", inputs, [onnx.ValueInfoProto(name="y")])
        opset = [helper.make_operatorsetid("", OPSET)]
        model = helper.make_model(graph, ir_version=IR_VERSION, opset_imports=opset)
        inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        options.intra_op_num_threads = 1
        self._names = names
        try:
            self._session = onnxruntime.InferenceSession(inferred.SerializeToString(), options)
        except Exception as error:  # ONNX Runtime's exceptions have no narrower common base class
            raise UnsupportedModelError(f"ONNX Runtime cannot compute {op}: {error}") from error

    def __call__(self, *arrays: NDArray[Any]) -> NDArray[Any]:
        given = zip(self._names, arrays, strict=True)
        result: NDArray[Any] = self._session.run(None, {n: a for n, a in given if n})[0]
        return result

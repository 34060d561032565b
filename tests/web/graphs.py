"""Small ONNX networks for the tests of the page's engines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from pocketlens.coreml.graph.inference import IR_VERSION, OPSET

IMAGE = (1, 3, 9, 11)
rng = np.random.default_rng(0)


def weights(*shape: int) -> NDArray[np.float32]:
    return (rng.standard_normal(shape) / 3).astype(np.float32)


def network(
    *nodes: tuple[str, Sequence[Any], Mapping[str, Any]],
    shape: Sequence[int] = IMAGE,
    outputs: int = 1,
) -> onnx.ModelProto:
    """Nodes one after the other. Their inputs: `x` for the network's input, an index for an earlier
    node's output, or an array for a constant."""
    made: list[onnx.NodeProto] = []
    constants: list[onnx.TensorProto] = []
    for number, (op, inputs, attributes) in enumerate(nodes):
        names = []
        for given in inputs:
            if isinstance(given, np.ndarray):
                constants.append(numpy_helper.from_array(given, f"c{len(constants)}"))
                names.append(constants[-1].name)
            else:
                names.append(given if isinstance(given, str) else f"n{given}")
        results = [f"n{number}", *(f"n{number}-{i}" for i in range(1, outputs))]
        count = len(results) if op == "Split" else 1
        made.append(helper.make_node(op, names, results[:count], **attributes))
    last = f"n{len(nodes) - 1}"
    graph = helper.make_graph(
        made,
        "test",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, shape)],
        [onnx.ValueInfoProto(name=last)],
        constants,
    )
    opset = [helper.make_operatorsetid("", max(OPSET, 20))]
    model = helper.make_model(graph, ir_version=IR_VERSION, opset_imports=opset)
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    model.graph.output[0].CopyFrom(inferred.graph.output[0])
    return model


def conv(outputs: int, channels: int, size: Sequence[int], **attributes: Any) -> Any:
    given = ["x", weights(outputs, channels, *size), weights(outputs)]
    return ("Conv", given, attributes)


def ints(*values: int) -> NDArray[np.int64]:
    return np.array(values, np.int64)


def floats(*values: float) -> NDArray[np.float32]:
    return np.array(values, np.float32)


def resized(sizes: Sequence[float], shape: Sequence[int] = IMAGE, **attributes: Any) -> Any:
    whole = all(isinstance(each, int) for each in sizes)
    given = ["", ints(*sizes)] if whole else [floats(*sizes)]  # type: ignore[arg-type]
    return network(("Resize", ["x", "", *given], attributes), shape=shape)


def turned(outputs: int, kernel: Sequence[int], groups: int = 1, **attributes: Any) -> Any:
    given = ["x", weights(3 * groups, outputs, *kernel), weights(outputs * groups)]
    shape = (1, 3 * groups, *(5, 6)[-len(kernel) :])
    return network(("ConvTranspose", given, {"group": groups, **attributes}), shape=shape)

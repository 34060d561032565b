"""The ONNX graph of a model as a file for onnxruntime-web.

Weights are stored as float16 where that loses nothing, and widened when the page loads them. Input
and output are float32.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper, numpy_helper

from pocketlens.web.program import smallest

__all__ = ["onnx_file"]

FLOAT = onnx.TensorProto.FLOAT
SMALL = 64
"""Constants of fewer numbers stay as they are: a node is larger than what it saves."""


def onnx_file(model: onnx.ModelProto) -> bytes:
    """The file's content, of a model with one input and one output."""
    graph = onnx.GraphProto()
    graph.CopyFrom(model.graph)
    for info in graph.input:
        if (kind := info.type.tensor_type.elem_type) != FLOAT:
            graph.node.insert(0, _cast(f"{info.name}/float32", info.name, kind))
            _widen(info)
    for info in graph.output:
        if info.type.tensor_type.elem_type != FLOAT:
            graph.node.append(_cast(info.name, f"{info.name}/float32", FLOAT))
            _widen(info)
    constants = list(graph.initializer)
    del graph.initializer[:]
    widened = []
    for constant in constants:
        if constant.data_type == FLOAT:
            array = numpy_helper.to_array(constant)
            half = smallest(array)
            if array.size >= SMALL and half.dtype == np.float16:
                widened.append(_cast(f"{constant.name}/float16", constant.name, FLOAT))
                constant = numpy_helper.from_array(half, f"{constant.name}/float16")
        graph.initializer.append(constant)
    nodes = [*widened, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    del graph.value_info[:]
    written = onnx.ModelProto()
    written.CopyFrom(model)
    written.graph.CopyFrom(graph)
    content: bytes = written.SerializeToString()
    return content


def _widen(info: onnx.ValueInfoProto) -> None:
    info.name = f"{info.name}/float32"
    info.type.tensor_type.elem_type = FLOAT


def _cast(source: str, target: str, to: int) -> onnx.NodeProto:
    return helper.make_node("Cast", [source], [target], f"{source}→{target}", to=to)

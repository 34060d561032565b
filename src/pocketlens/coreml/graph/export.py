"""A finished graph -> an ONNX model, rounded to float16 where the Core ML file says float16.

ONNX Runtime has hardly any float16 kernels for CPUs. It runs a float16 graph in float32 without
rounding the tensors in between, so a value above 65504, which is infinity on the device, would go
unnoticed. Therefore the model is written in float32, and each float16 tensor is rounded
explicitly: cast to float16 and back.

Rounding is delayed past operators that commute with it: rounding is monotone, so ReLU and max
pooling have the same result whether it comes before or after. ONNX Runtime can then still fuse
these operators, and the smaller tensor is rounded. The outputs of a branch or of a loop's step are
rounded inside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from pocketlens.coreml.file.budget import charge
from pocketlens.coreml.graph.builder import Graph
from pocketlens.coreml.graph.inference import IR_VERSION, OPSET
from pocketlens.coreml.graph.nodes import Node, Value, onnx_type
from pocketlens.coreml.graph.pruning import inner_graphs, live_nodes

__all__ = ["onnx_model"]

LARGE = 1024
"""Constants of at least this many bytes can be kept outside the ONNX model."""

HALF = np.dtype(np.float16)
FLOAT_BYTES = 4
FLOAT = onnx.TensorProto.FLOAT
FLOAT16 = onnx.TensorProto.FLOAT16

# Operators that commute with rounding: they only move, drop or select values, or are monotone or
# symmetric about zero. (Clip is one of them because its bounds are float16, too.)
COMMUTES = frozenset(
    [
        "Abs",
        "Clip",
        "Concat",
        "DepthToSpace",
        "Expand",
        "Gather",
        "Identity",
        "Max",
        "MaxPool",
        "Min",
        "Neg",
        "ReduceMax",
        "ReduceMin",
        "Relu",
        "Reshape",
        "Slice",
        "SpaceToDepth",
        "Split",
        "Squeeze",
        "Tile",
        "Transpose",
        "Unsqueeze",
    ]
)


def onnx_model(
    graph: Graph,
    outputs: Sequence[Value] | None = None,
    *,
    apart: dict[str, NDArray[Any]] | None = None,
) -> onnx.ModelProto:
    """Export a graph to an ONNX model.

    Args:
        graph: The finished graph.
        outputs: The outputs of the model, in addition to `graph.extra`; `graph.outputs` by
            default. A float16 value is a float16 output.
        apart: If given, constants of at least `LARGE` bytes are added to this dictionary, by name,
            and the model has only their types and shapes. A session can then use the arrays where
            they are (in the memory-mapped file) without a copy.
    """
    results = [*(graph.outputs if outputs is None else outputs), *graph.extra]
    export = _Export(live_nodes(graph, results), apart=apart)
    for value in graph.inputs:
        export.defined.add(value.name)
        if value.dtype == HALF:
            export.widen_input(value)
    for node in export.live[graph]:
        export.node(node)
    given = set(graph.inputs)
    for value in results:
        if value.dtype == HALF and value not in given:
            export.half(value)
    proto = helper.make_graph(
        export.nodes,
        "pocketlens",
        [_info(value) for value in graph.inputs],
        [_info(value) for value in results],
        list(export.constants.values()),
    )
    return model_of(proto)


def model_of(proto: onnx.GraphProto) -> onnx.ModelProto:
    """The ONNX model of a graph, in our opset."""
    return helper.make_model(
        proto,
        ir_version=IR_VERSION,
        producer_name="pocketlens",
        opset_imports=[helper.make_operatorsetid("", OPSET)],
    )


def _info(value: Value) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(value.name, onnx_type(value.dtype), value.shape)


def _wide_info(name: str, value: Value) -> onnx.ValueInfoProto:
    code = FLOAT if value.dtype == HALF else onnx_type(value.dtype)
    return helper.make_tensor_value_info(name, code, value.shape)


def _name(value: Value) -> str:
    """The name of the tensor that is computed for the value."""
    return f"{value.name}/wide" if value.dtype == HALF else value.name


class _Export:
    """The ONNX nodes of one graph, while they are written.

    For a float16 value `v` there are up to three tensors: `v/wide`, computed in float32; `v`, cast
    to float16; `v/rounded`, cast back.
    """

    def __init__(
        self,
        live: dict[Graph, list[Node]],
        outer: _Export | None = None,
        apart: dict[str, NDArray[Any]] | None = None,
    ) -> None:
        self.live = live
        self.outer = outer
        self.apart: dict[str, NDArray[Any]] | None = apart if outer is None else outer.apart
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, onnx.TensorProto] = {} if outer is None else outer.constants
        self.defined: set[str] = set()  # the values of this graph, not of one around it
        self._exact: set[str] = set()  # float16 values whose wide tensor needs no rounding
        self._cast_names: set[str] = set()  # the float16 and rounded tensors that exist already

    def widen_input(self, value: Value) -> None:
        self._cast(value.name, f"{value.name}/wide", FLOAT)
        self._exact.add(value.name)

    def node(self, node: Node) -> None:
        self.defined.update(value.name for value in node.outputs)
        if node.op == "Cast":
            self._cast_node(node)
            return
        if inner_graphs(node):
            self._nested_node(node)
            return
        delayed = node.op in COMMUTES
        if delayed and all(v is None or self._is_exact(v) for v in node.inputs):
            self._exact.update(v.name for v in node.outputs)
        names = [
            "" if value is None else self._wide(value) if delayed else self._rounded(value)
            for value in node.inputs
        ]
        self._add(node, names, [_name(value) for value in node.outputs], node.attributes)

    def _nested_node(self, node: Node) -> None:
        names = ["" if value is None else self._rounded(value) for value in node.inputs]
        graphs = {key: self._inner(graph, key) for key, graph in node.attributes.items()}
        self._exact.update(value.name for value in node.outputs)
        self._add(node, names, [_name(value) for value in node.outputs], graphs)

    def _inner(self, graph: Graph, name: str) -> onnx.GraphProto:
        export = _Export(self.live, self)
        for value in graph.inputs:
            export.defined.add(value.name)
            export._exact.add(value.name)
        for node in self.live[graph]:
            export.node(node)
        outputs = [(export._rounded(value), value) for value in graph.outputs]
        return helper.make_graph(
            export.nodes,
            name,
            [_wide_info(_name(value), value) for value in graph.inputs],
            [_wide_info(each, value) for each, value in outputs],
        )

    def _cast_node(self, node: Node) -> None:
        (source,), (target,) = node.inputs, node.outputs
        assert source is not None
        given = self._rounded(source)
        if target.dtype == HALF:
            self._add(node, [given], [f"{target.name}/wide"], {"to": FLOAT})
        elif source.dtype == HALF and target.dtype == np.float32:
            self.nodes.append(helper.make_node("Identity", [given], [target.name], node.name))
        else:
            self._add(node, [given], [target.name], node.attributes)

    def _is_exact(self, value: Value) -> bool:
        if value.dtype != HALF or value.const is not None:
            return True
        return value.name in self._home(value)._exact

    def _home(self, value: Value) -> _Export:
        """The graph in which the value is computed: this one or one around it."""
        export = self
        while value.name not in export.defined and export.outer is not None:
            export = export.outer
        return export

    def _wide(self, value: Value) -> str:
        """The name of a float32 tensor with the value, possibly not rounded yet."""
        if value.const is not None:
            return self._constant(value)
        return _name(value)

    def _rounded(self, value: Value) -> str:
        """The name of a tensor with the exact value; a float16 value is rounded, in float32."""
        if self._is_exact(value):
            return self._wide(value)
        rounded = f"{value.name}/rounded"
        home = self._home(value)
        if rounded not in home._cast_names:
            home._cast_names.add(rounded)
            home._cast(home.half(value), rounded, FLOAT)
        return rounded

    def half(self, value: Value) -> str:
        """Cast the value to a float16 tensor with its own name, and return the name."""
        if value.name not in self._cast_names:
            self._cast_names.add(value.name)
            self._cast(self._wide(value), value.name, FLOAT16)
        return value.name

    def _constant(self, value: Value) -> str:
        array = np.asarray(value.const)
        if self.apart is not None and array.nbytes >= LARGE and array.dtype != object:
            return self._constant_apart(value, array, self.apart)
        if value.name not in self.constants:
            wide = array.astype(np.float32) if array.dtype == HALF else array
            self.constants[value.name] = numpy_helper.from_array(wide, value.name)
        return value.name

    def _constant_apart(
        self, value: Value, array: NDArray[Any], apart: dict[str, NDArray[Any]]
    ) -> str:
        """Keep a constant outside the model. ONNX Runtime folds the cast of float16 on loading."""
        name = _name(value)
        if value.name not in self.constants:
            if name != value.name:
                charge(FLOAT_BYTES * array.size, f"{value!r} as float32")
            apart[value.name] = np.require(array, requirements=["C", "ALIGNED"])
            self.constants[value.name] = onnx.TensorProto(
                name=value.name,
                data_type=onnx_type(array.dtype),
                dims=array.shape,
                data_location=onnx.TensorProto.EXTERNAL,
                external_data=[onnx.StringStringEntryProto(key="location", value="apart")],
            )
            if name != value.name:
                root = self
                while root.outer is not None:
                    root = root.outer
                root._cast(value.name, name, FLOAT)
        return name

    def _cast(self, source: str, target: str, to: int) -> None:
        self.nodes.append(helper.make_node("Cast", [source], [target], f"{source}→{target}", to=to))

    def _add(
        self, node: Node, inputs: list[str], outputs: list[str], attributes: dict[str, Any]
    ) -> None:
        self.nodes.append(
            helper.make_node(
                node.op, inputs, outputs, node.name, domain=node.domain or None, **attributes
            )
        )

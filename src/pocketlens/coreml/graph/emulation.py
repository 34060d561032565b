"""A finished graph -> an ONNX model in which each operation computes in float16 or in float32.

It has two more inputs: a flag for each operation of the Core ML model, whether it computes in
float16; and whether constants that float16 cannot hold are 0.

An operation in float16 takes its inputs and its constants rounded to float16, computes in float32,
and rounds its results: what is above 65504 becomes infinite, and what is below 3e-8 becomes 0. The
others compute in float32 throughout, also where the file says float16. So one session answers what
any choice of operations changes.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from pocketlens.coreml.file.budget import charge
from pocketlens.coreml.graph.builder import Graph
from pocketlens.coreml.graph.export import LARGE, model_of
from pocketlens.coreml.graph.nodes import Node, Value, onnx_type
from pocketlens.coreml.graph.pruning import inner_graphs, live_nodes

__all__ = ["FLAGS", "FLUSH", "emulation_model", "is_float", "lost"]

FLAGS = "→half"
"""The input with the flags, `(operations,)` bool."""

FLUSH = "→flush"
"""The input that says whether constants that `lost` tells are 0, a bool."""

SMALLEST = 2.0**-24
"""The smallest number above 0 in float16."""

FLOATS = (np.dtype(np.float16), np.dtype(np.float32))
FLOAT, FLOAT16 = onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16


def is_float(value: Value) -> bool:
    """Whether its numbers are float16 or float32."""
    return value.dtype in FLOATS


def lost(constant: NDArray[Any]) -> NDArray[np.bool_]:
    """Where a constant has numbers that are not 0, and that float16 cannot hold.

    coremltools writes them, such as an epsilon of 1e-12, as the smallest number above 0, 6e-8. A
    device may take that as 0.
    """
    return np.asarray((constant != 0) & (np.abs(constant) <= SMALLEST))


def _half(constant: NDArray[Any], *, flush: bool) -> NDArray[np.float32]:
    """A constant as float16 holds it, in float32."""
    with np.errstate(over="ignore", under="ignore"):
        rounded = constant.astype(np.float16).astype(np.float32)
    gone = lost(constant)
    rounded[gone] = 0 if flush else np.copysign(SMALLEST, constant[gone])
    return np.asarray(rounded)


def emulation_model(
    graph: Graph,
    outputs: Sequence[Value],
    *,
    operations: Mapping[str, int],
    apart: dict[str, NDArray[Any]],
) -> onnx.ModelProto:
    """Export a graph so that flags decide which operations compute in float16.

    Args:
        graph: The finished graph.
        outputs: The outputs of the model; those of float16 are float32.
        operations: The name of each operation that may compute in float16 -> its flag. Without
            any, the model has no flags: it computes in float32.
        apart: Constants of at least `LARGE` bytes are added to it; see `export.onnx_model`.
    """
    writer = _Writer(graph, live_nodes(graph, outputs), operations, apart)
    flags = operations and [
        helper.make_tensor_value_info(FLAGS, onnx.TensorProto.BOOL, (len(operations),)),
        helper.make_tensor_value_info(FLUSH, onnx.TensorProto.BOOL, ()),
    ]
    for value in graph.inputs:
        writer.names[value] = value.name
        if value.dtype == np.float16:
            writer.add("Cast", [value.name], f"{value.name}→wide", to=FLOAT)
            writer.names[value] = f"{value.name}→wide"
    for node in writer.live[graph]:
        writer.node(node, node.place)
    proto = helper.make_graph(
        writer.nodes,
        "pocketlens",
        [*(_info(value, value.dtype) for value in graph.inputs), *flags],
        [_info(value, _wide(value)) for value in outputs],
        list(writer.constants.values()),
    )
    return model_of(proto)


def _wide(value: Value) -> np.dtype[Any]:
    return np.dtype(np.float32) if value.dtype == np.float16 else value.dtype


def _info(value: Value, dtype: np.dtype[Any], name: str = "") -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name or value.name, onnx_type(dtype), value.shape)


class _Writer:
    """Writes the ONNX nodes of one graph."""

    def __init__(
        self,
        graph: Graph,
        live: dict[Graph, list[Node]],
        operations: Mapping[str, int],
        apart: dict[str, NDArray[Any]],
        outer: _Writer | None = None,
    ) -> None:
        self.live = live
        self.operations = operations
        self.apart = apart
        self.outer = outer
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, onnx.TensorProto] = {} if outer is None else outer.constants
        self.names: dict[Value, str] = {}  # the tensors with the values of this graph, in float32
        self._bound = set(graph.tensors.values()) | set(graph.outputs)
        self._places: dict[Value, str] = {}
        self._made: dict[tuple[str, int | None], str] = {}  # what is rounded already
        self._numbers: itertools.count[int] = itertools.count() if outer is None else outer._numbers

    def add(self, op: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(op, inputs, [output], **attributes))
        return output

    def node(self, node: Node, operation: str) -> None:
        """Write a node of an operation; that of a node inside a loop is the loop."""
        flag = self.operations.get(operation)
        inputs = [self._input(value, node.place, flag) for value in node.inputs]
        attributes = {
            key: self._inner(each, key, operation) if isinstance(each, Graph) else each
            for key, each in node.attributes.items()
        }
        if node.op == "Cast" and attributes["to"] == FLOAT16:
            attributes["to"] = FLOAT
        rounded = [
            flag is not None and is_float(value) and value in self._bound and not inner_graphs(node)
            for value in node.outputs
        ]
        results = [
            f"{value.name}→raw" if each else value.name
            for value, each in zip(node.outputs, rounded, strict=True)
        ]
        self.nodes.append(
            helper.make_node(
                node.op, inputs, results, node.name, domain=node.domain or None, **attributes
            )
        )
        for value, result, each in zip(node.outputs, results, rounded, strict=True):
            self.names[value] = value.name
            self._places[value] = node.place
            if each:
                assert flag is not None
                self._choose(result, flag, value.name)
                self._made[value.name, None] = self._made[result, None]

    def _inner(self, graph: Graph, name: str, operation: str) -> onnx.GraphProto:
        writer = _Writer(graph, self.live, self.operations, self.apart, self)
        for value in graph.inputs:
            writer.names[value] = value.name
        for node in self.live[graph]:
            writer.node(node, operation)
        return helper.make_graph(
            writer.nodes,
            name,
            [_info(value, _wide(value)) for value in graph.inputs],
            [_info(value, _wide(value), writer._name(value)) for value in graph.outputs],
        )

    def _input(self, value: Value | None, place: str, flag: int | None) -> str:
        """The tensor with an input of a node, rounded if the flag of its operation is set."""
        if value is None:
            return ""
        name = self._name(value)
        within = value.const is None and self._place(value) == place
        if flag is None or not is_float(value) or within:
            return name
        if value.const is not None and value.const.nbytes < LARGE:
            return self._small_constant(value, flag)
        if value.const is not None and value.dtype == np.float16:
            return name
        return self._choose(name, flag)

    def _small_constant(self, value: Value, flag: int) -> str:
        name, constant = self._name(value), np.asarray(value.const)
        kept, flushed = (_half(constant, flush=each) for each in (False, True))
        same = np.array_equal(kept, flushed, equal_nan=True)
        if same and np.array_equal(kept, constant, equal_nan=True):
            return name
        rounded = f"{value.name}→half"
        self.constants.setdefault(rounded, numpy_helper.from_array(kept, rounded))
        if not same:
            zero = numpy_helper.from_array(flushed, f"{value.name}→0")
            self.constants.setdefault(zero.name, zero)
            rounded = self.add("Where", [FLUSH, zero.name, rounded], self._new(rounded))
        return self._choose(name, flag, rounded=rounded)

    def _choose(
        self, name: str, flag: int, result: str | None = None, rounded: str | None = None
    ) -> str:
        """The tensor, or the rounded one if the flag is set."""
        known = self._known(name, flag)
        if known is not None:
            return known
        if rounded is None:
            rounded = self._known(name, None)
        if rounded is None:
            narrow = self.add("Cast", [name], self._new(name), to=FLOAT16)
            rounded = self.add("Cast", [narrow], self._new(name), to=FLOAT)
            self._made[name, None] = rounded
        at = numpy_helper.from_array(np.array(flag, np.int64), f"→{flag}")
        self.constants.setdefault(at.name, at)
        chosen = self.add("Gather", [FLAGS, at.name], self._new(FLAGS))
        self._made[name, flag] = self.add(
            "Where", [chosen, rounded, name], result or self._new(name)
        )
        return self._made[name, flag]

    def _known(self, name: str, flag: int | None) -> str | None:
        writer: _Writer | None = self
        while writer is not None:
            if (name, flag) in writer._made:
                return writer._made[name, flag]
            writer = writer.outer
        return None

    def _new(self, name: str) -> str:
        return f"{name}→{next(self._numbers)}"

    def _place(self, value: Value) -> str | None:
        writer: _Writer | None = self
        while writer is not None:
            if value in writer._places:
                return writer._places[value]
            writer = writer.outer
        return None

    def _name(self, value: Value) -> str:
        if value.const is not None:
            return self._constant(value)
        writer: _Writer | None = self
        while writer is not None:
            if value in writer.names:
                return writer.names[value]
            writer = writer.outer
        raise KeyError(value.name)

    def _constant(self, value: Value) -> str:
        array = np.asarray(value.const)
        narrow = array.dtype == np.float16
        if array.nbytes < LARGE or array.dtype == object:
            if value.name not in self.constants:
                wide = array.astype(np.float32) if narrow else array
                self.constants[value.name] = numpy_helper.from_array(wide, value.name)
            return value.name
        name = f"{value.name}→wide" if narrow else value.name
        if value.name not in self.constants:
            self.apart[value.name] = np.require(array, requirements=["C", "ALIGNED"])
            self.constants[value.name] = onnx.TensorProto(
                name=value.name,
                data_type=onnx_type(array.dtype),
                dims=array.shape,
                data_location=onnx.TensorProto.EXTERNAL,
                external_data=[onnx.StringStringEntryProto(key="location", value="apart")],
            )
            if narrow:
                charge(4 * array.size, f"{value!r} as float32")
                root = self
                while root.outer is not None:
                    root = root.outer
                root.add("Cast", [value.name], name, to=FLOAT)
        return name

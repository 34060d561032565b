"""The small ONNX graph builder that lowering functions call.

    y = g.Conv(x, weight, bias, strides=[2, 2], pads=[1, 1, 1, 1])

Any ONNX operator is a method by its own name. A `Value` knows its element type and shape, because
ONNX's own type inference runs on every node as it is added; a constant knows its content. Sizes are
bounded before anything is allocated.
"""

from __future__ import annotations

import itertools
import math
from collections import ChainMap
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import onnx
from onnx import checker, defs, helper, numpy_helper, shape_inference

from pocketlens.coreml.file.values import MAX_RANK
from pocketlens.coreml.graph.folding import folded
from pocketlens.coreml.graph.nodes import (
    STRING,
    Array,
    Bools,
    Floats,
    Ints,
    Message,
    Node,
    Operand,
    Shape,
    Value,
    Values,
)
from pocketlens.errors import ModelFileError

__all__ = [
    "Array",
    "Bools",
    "Floats",
    "Graph",
    "Ints",
    "Message",
    "Node",
    "Value",
    "Values",
    "onnx_type",
]

OPSET = 21  # what the oldest supported ONNX Runtime (1.20) runs
IR_VERSION = 10
INFERRED_AS = {"GreaterOrEqual": "Greater", "LessOrEqual": "Less"}
"""Operators of which ONNX 1.17 to 1.19 infers no type, and others that have the same types."""

MAX_TENSOR_BYTES = 2**31
"""The largest tensor that a graph may make: 2 GiB."""

MAX_NODES = 200_000


class Graph:
    """An ONNX graph under construction.

    `inputs` and `outputs` are what the finished model takes and gives. `tensors` maps every name
    that the Core ML model gives to a tensor to its Value. `emission.onnx_model` makes an ONNX model
    of it.

    An `inner` graph is a branch or the body of a loop (`lower.control` makes them): it sees the
    tensors of the graphs around it, and what is named in it is not seen outside.

    Attributes:
        extra: What the model gives beside its outputs, such as new states.
        steps: How many steps loops may still take, once there is a loop; see `lower.control`.
        faults: What can go wrong in a run, in words, in the graphs inside too.
        place: After which operation of the Core ML model new tensors are named.
    """

    def __init__(self, names: Iterable[str] = (), outer: Graph | None = None) -> None:
        """`names`: every tensor name of the Core ML model; no tensor made here takes one of them
        except through `input`, `bind` and `output`."""
        self.inputs: list[Value] = []
        self.outputs: list[Value] = []
        self.extra: list[Value] = []
        self.tensors: MutableMapping[str, Value] = {}
        self.nodes: list[Node] = []
        self.steps: Value | None = None
        self.faults: list[str] = []
        self._constants: dict[tuple[Any, ...], Value] = {}
        self._names: set[str] = set(names)
        self._unnamed: set[str] = set()
        self._named: dict[str, Value] = {}
        self.place = ""
        self._numbers = itertools.count()
        if outer is not None:
            self.tensors = ChainMap({}, outer.tensors)
            self.steps = outer.steps
            self.faults = outer.faults
            self._constants = outer._constants
            self._names = outer._names
            self._unnamed = outer._unnamed
            self.place = outer.place
            self._numbers = outer._numbers

    def __getattr__(self, op: str) -> Callable[..., Value]:
        if not op[0].isupper():
            raise AttributeError(op)
        return lambda *inputs, **attributes: self.op(op, *inputs, **attributes)[0]

    def op(
        self, op: str, *inputs: Operand, outputs: int = 1, domain: str = "", **attributes: Any
    ) -> list[Value]:
        """Add one node, or find its result, where that is known before the model runs.

        Args:
            op: An ONNX operator's name, such as `Conv`.
            inputs: Values; arrays, which become constants; None for an input left out.
            outputs: How many of the operator's outputs to ask for.
            domain: The operator's domain, empty for ONNX's own.
            attributes: The operator's attributes; those that are None are left out.

        Raises:
            ModelFileError: The operator cannot take these inputs, or a result would be larger than
                `MAX_TENSOR_BYTES`.
        """
        values = [self.constant(v) if isinstance(v, np.ndarray) else v for v in inputs]
        while values and values[-1] is None:
            values.pop()  # ONNX Runtime makes a convolution fast only if nothing is left out so
        attributes = {key: value for key, value in attributes.items() if value is not None}
        node = self._node(op, domain, values, outputs, attributes)
        self._infer(node)
        known = folded(node, OPSET)
        if known is not None:
            return [self.constant(known)]
        self.nodes.append(node)
        return node.outputs

    def nested(
        self,
        op: str,
        inputs: Sequence[Value | None],
        graphs: Mapping[str, Graph],
        types: Sequence[tuple[np.dtype[Any], Shape]],
    ) -> list[Value]:
        """Add a node that runs other graphs: ONNX's `If` or `Loop`.

        Args:
            op: The operator's name.
            inputs: What it takes.
            graphs: Its attributes: finished inner graphs of this one.
            types: The element type and shape of each of its outputs.
        """
        for graph in graphs.values():
            # Its own tensors, each one once: ONNX has no other outputs.
            graph.outputs = [graph.Identity(value) for value in graph.outputs]
        node = self._node(op, "", list(inputs), len(types), dict(graphs))
        for value, (dtype, shape) in zip(node.outputs, types, strict=True):
            value.dtype, value.shape = dtype, shape
        self.nodes.append(node)
        return list(node.outputs)

    def inner(self) -> Graph:
        """A graph for a branch or the body of a loop of this one."""
        return Graph(outer=self)

    @contextmanager
    def local(self) -> Iterator[None]:
        """Forget afterward the names that are given to tensors inside."""
        tensors, place = self.tensors, self.place
        self.tensors = ChainMap({}, tensors)
        try:
            yield
        finally:
            self.tensors, self.place = tensors, place

    def _node(
        self,
        op: str,
        domain: str,
        inputs: list[Value | None],
        outputs: int,
        attributes: dict[str, Any],
    ) -> Node:
        if next(self._numbers) >= MAX_NODES:
            raise ModelFileError(f"the model has more than {MAX_NODES} operations")
        name = self._unique(f"{self.place}/{op}" if self.place else op)
        names = [name if i == 0 else self._unique(f"{name}.{i}") for i in range(outputs)]
        self._unnamed.update(names)
        results = [Value(each, STRING, None) for each in names]
        return Node(op, domain, name, inputs, results, attributes)

    def _infer(self, node: Node) -> None:
        given = [value for value in node.inputs if value is not None]
        schema = defs.get_schema(INFERRED_AS.get(node.op, node.op), OPSET, node.domain)
        try:
            types = shape_inference.infer_node_outputs(
                schema,
                node.proto(),
                {value.name: _type_proto(value) for value in given},
                {
                    value.name: numpy_helper.from_array(value.const)
                    for value in given
                    # ONNX looks into an input only where it holds a shape, axes and the like.
                    if value.const is not None and value.const.size <= 64 and value.dtype != STRING
                },
                opset_imports=[helper.make_operatorsetid("", OPSET)],
                ir_version=IR_VERSION,
            )
        except (shape_inference.InferenceError, checker.ValidationError, RuntimeError) as error:
            reason = " ".join(str(error).split())
            raise ModelFileError(
                f"{node.op} cannot take {', '.join(map(repr, given))}: {reason}"
            ) from error
        for value in node.outputs:
            tensor = types[value.name].tensor_type
            value.dtype = _numpy_type(tensor.elem_type)
            if tensor.HasField("shape"):
                value.shape = tuple(
                    dim.dim_value if dim.HasField("dim_value") else None for dim in tensor.shape.dim
                )
                _check_size(value.name, value.dtype, value.shape)

    def input(self, name: str, dtype: Any, shape: Shape) -> Value:
        """Declare a tensor that is given when the model runs."""
        if name in self.tensors:
            raise ModelFileError(f"the model gives the name {name!r} to two tensors")
        value = self.unnamed_input(name, dtype, shape)
        value.name = name
        self.tensors[name] = value
        return value

    def unnamed_input(self, hint: str, dtype: Any, shape: Shape) -> Value:
        """Declare a tensor that is given when the graph runs, called `hint` or much like it."""
        value = Value(self._unique(hint), np.dtype(dtype), shape)
        if shape is not None:
            _check_size(hint, value.dtype, shape)
        self.inputs.append(value)
        return value

    def constant(self, array: Any, dtype: Any = None) -> Value:
        """A constant of the graph; equal small ones are stored once."""
        array = np.asarray(array, dtype)
        if array.dtype.kind == "U":
            array = array.astype(object)
        key: tuple[Any, ...]
        if array.size <= 1024 and array.dtype != object:
            key = (array.dtype.str, array.shape, array.tobytes())
        else:
            key = (id(array),)
        if key not in self._constants:
            value = Value(self._unique("constant"), array.dtype, array.shape, array)
            self._constants[key] = value
            self._unnamed.add(value.name)
        return self._constants[key]

    def like(self, number: float, value: Value) -> Value:
        """The scalar `number` in the element type of `value`."""
        return self.constant(number, value.dtype)

    def cast(self, value: Value, dtype: Any) -> Value:
        """`value` in another element type; itself if it has it already."""
        dtype = np.dtype(dtype)
        if value.dtype == dtype:
            return value
        if STRING in (value.dtype, dtype):
            raise ModelFileError(f"{value!r} cannot be made {dtype}")
        if value.const is not None:
            with np.errstate(invalid="ignore", over="ignore"):  # as in the run
                return self.constant(value.const.astype(dtype))
        return self.Cast(value, to=helper.np_dtype_to_tensor_dtype(dtype))

    def in_float32(self, function: Callable[..., Value], value: Value, *rest: Any) -> Value:
        """`function` of `value`, worked out in float32 and given in the type of `value`.

        What the specification calls one op is rounded once, however many nodes it takes here.
        """
        wide = np.dtype(np.float32) if value.dtype == np.float16 else value.dtype
        others = [self.cast(each, wide) if isinstance(each, Value) else each for each in rest]
        return self.cast(function(self.cast(value, wide), *others), value.dtype)

    def reshape(self, value: Value, shape: Sequence[int]) -> Value:
        """`value` with other sizes; -1 for at most one that follows from the rest."""
        if value.shape == tuple(shape):
            return value
        if value.shape is not None and None not in value.shape:
            given, wanted = math.prod(value.sizes), math.prod(size for size in shape if size != -1)
            if given % wanted if -1 in shape and wanted else given != wanted:
                raise ModelFileError(f"{value!r} cannot have the shape {list(shape)}")
        return self.Reshape(value, np.array(shape, np.int64), allowzero=1 if 0 in shape else None)

    def transpose(self, value: Value, perm: Sequence[int]) -> Value:
        """`value` with its axes in another order; itself if the order is the same."""
        if tuple(perm) == tuple(range(len(perm))):
            return value
        return self.Transpose(value, perm=list(perm))

    def scope(self, name: str) -> None:
        """Name the tensors made from here on after the operation `name`."""
        self.place = name

    def bind(self, name: str, value: Value) -> None:
        """Make `value` known under the Core ML model's own name for it.

        Raises:
            ModelFileError: The name is taken.
        """
        if name in self.tensors:
            raise ModelFileError(f"the model gives the name {name!r} to two tensors")
        # In an inner graph the name may come again, in the graph beside it.
        if value.name in self._unnamed and isinstance(self.tensors, dict):
            self._rename(value, name)
        self.tensors[name] = value

    def assign(self, name: str, value: Value) -> None:
        """Make `value` known under `name`, whatever was known under it till now."""
        self.tensors[name] = value

    def _rename(self, value: Value, name: str) -> None:
        self._unnamed.discard(value.name)
        self._named[name] = value
        value.name = name

    def output(self, name: str, value: Value) -> None:
        """Declare `value` an output called `name`.

        Raises:
            ModelFileError: An output or another tensor has this name.
        """
        if any(each.name == name for each in self.outputs):
            raise ModelFileError(f"the model gives the name {name!r} to two tensors")
        if any(each.name == name for each in self.inputs):
            self.outputs.append(self.Identity(value))  # ONNX gives a name once
            return
        if value.const is not None or not (value.name == name or value.name in self._unnamed):
            value = self.Identity(value)
        taken = self._named.get(name)
        if taken is not None and taken is not value:
            taken.name = self._unique(name)  # an output may be named as an inner tensor is
        self._rename(value, name)
        self.outputs.append(value)

    def extra_output(self, name: str, value: Value) -> Value:
        """Give `value` beside the outputs, called `name` or much like it."""
        copy = self.Identity(value)
        self._rename(copy, self._unique(name))
        self.extra.append(copy)
        return copy

    def elements(self) -> int:
        """How many numbers all computed tensors hold together, as far as sizes are known."""
        own = sum(
            math.prod(size or 1 for size in value.shape or ())
            for node in self.nodes
            for value in node.outputs
        )
        inside = (each for node in self.nodes for each in node.attributes.values())
        return own + sum(each.elements() for each in inside if isinstance(each, Graph))

    def _unique(self, name: str) -> str:
        candidate, number = name, 1
        while candidate in self._names:
            number += 1
            candidate = f"{name}.{number}"
        self._names.add(candidate)
        return candidate


def _type_proto(value: Value) -> onnx.TypeProto:
    return helper.make_tensor_type_proto(onnx_type(value.dtype), value.shape)


def onnx_type(dtype: np.dtype[Any]) -> int:
    """ONNX's number for an element type."""
    return onnx.TensorProto.STRING if dtype == STRING else helper.np_dtype_to_tensor_dtype(dtype)


def _numpy_type(code: int) -> np.dtype[Any]:
    return STRING if code == onnx.TensorProto.STRING else helper.tensor_dtype_to_np_dtype(code)


def _check_size(name: str, dtype: np.dtype[Any], shape: tuple[int | None, ...]) -> None:
    known = [size for size in shape if size is not None]
    # An empty tensor's other sizes are bounded, too: 0 × 2**64 is nothing, but no size.
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
